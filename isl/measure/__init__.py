"""Cells measured in predicted fluorescence: objects, their intensities, and how sure they are."""
