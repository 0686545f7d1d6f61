"""Fitting networks: one trainer for every task, installed as `isl_train`."""
