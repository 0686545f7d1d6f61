"""One probability from a time-lapse of an embryo; for research, never to choose an embryo."""
