"""Simulated wells as a microscope stores them: raw overlapping tiles, damaged in known ways."""
