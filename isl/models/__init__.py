"""Bundled models: each a folder of weights, model.toml and card.md."""
