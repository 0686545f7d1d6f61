"""Colonies: how well classes are told, over folds and shares of labels."""
