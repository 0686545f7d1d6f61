"""Judging predictions: metrics and reports, installed as `isl_eval`."""
