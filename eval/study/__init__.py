"""`isl eval` with task "comparison": variants of an experiment, trained and judged alike."""
