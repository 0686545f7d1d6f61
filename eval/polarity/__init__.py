"""`isl eval` with task "polarity": when embryos polarized, judged on embryos never seen."""
