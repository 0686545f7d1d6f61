"""The room for judging predictions, installed as `isl_eval`."""
