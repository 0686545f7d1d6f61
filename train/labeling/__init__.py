"""Training networks that predict fluorescence."""
