"""Colonies of stem cells in phase contrast: found, numbered, followed over time, and classified."""
