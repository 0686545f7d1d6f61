"""isl in napari: predict on the open layer, open isl's results, simulated samples."""
