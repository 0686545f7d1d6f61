"""When an embryo polarized: all-in-focus frames, predicted EZRIN, classifiers and the onset."""
