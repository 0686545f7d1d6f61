"""Colonies: classes learned from few labels and many unlabelled images."""
