"""Evaluation of the fragmentation task."""
