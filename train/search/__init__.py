"""Hyperparameter search: many training runs that share one journal."""
