"""Films of embryos from zygote to blastocyst, in cohorts, with a viability by a stated formula."""
