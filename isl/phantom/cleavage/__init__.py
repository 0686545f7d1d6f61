"""Cleavage-stage embryos, simulated: what the camera sees, and the fragments that are there."""
