"""The room for judging predictions, installed as `isl_eval`; nothing stands in it yet."""
