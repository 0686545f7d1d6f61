"""Image networks that more than one room uses."""
