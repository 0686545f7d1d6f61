"""Fragmentation of cleavage-stage embryos: where fragments are, and how much of the embryo."""
