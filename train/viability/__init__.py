"""Training ensembles that give a viability from key frames."""
