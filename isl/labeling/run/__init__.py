"""Predicting many fields: what is checked first, then field by field, and what is written."""
