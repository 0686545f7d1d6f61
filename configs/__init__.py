"""Configurations that come with isl, to be trained, evaluated or searched by name."""
