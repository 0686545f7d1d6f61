"""The files that a run writes of one input, and what forbids them."""
