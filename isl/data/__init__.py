"""Datasets: examples with their inputs and targets, groups and splits, whatever the task."""
