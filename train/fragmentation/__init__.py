"""Training of the fragmentation task."""
