"""`isl eval` with task "labeling": models judged on ground they never saw."""
