"""Wells of stem-cell colonies with known outlines and classes."""
