"""Figures of one image pair, one set of objects or one set of distributions."""
