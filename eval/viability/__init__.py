"""Judging viability: discrimination, calibration, and what an order of transfers would cost."""
