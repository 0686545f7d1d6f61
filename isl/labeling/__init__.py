"""In silico labeling: transmitted light in, a distribution per pixel and label out."""
