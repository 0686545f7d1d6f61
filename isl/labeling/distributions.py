"""Distributions of a few rows of pixels at a time, so that those of a tile are never in memory."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from isl.labeling import bins


def by_rows(
    of_rows: Callable[[Any], dict[str, jax.Array]], embedding: Any, labels: int
) -> dict[str, jax.Array]:
    """Statistics of a few rows of pixels at a time: so their logits never leave the cache.

    Args:
        of_rows: From embeddings [..., x, D] to float32 [..., x, L] for every name.
        embedding: [B, y, x, D], or several of these in a tuple.
        labels: L; logits are 256 numbers a pixel and label.

    Returns:
        For every name float32 [B, y, x, L].
    """
    shape = jax.tree.leaves(embedding)[0].shape[:3]
    rows = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), embedding)
    at_once = max(1, _logits_at_once() // (shape[2] * labels * bins.BINS))
    found = jax.lax.map(of_rows, rows, batch_size=min(at_once, shape[0] * shape[1]))
    return {name: values.reshape(*shape, labels) for name, values in found.items()}


def _logits_at_once() -> int:
    """How many logits to hold at a time: a processor's cache, or a share of a GPU's memory."""
    return 2**20 if jax.default_backend() == "cpu" else 2**27


def at_temperatures(temperatures: jax.Array | np.ndarray, logits: jax.Array) -> jax.Array:
    """Logits [..., L, 256] divided by the temperatures [L] of their labels."""
    return logits / temperatures.reshape(*(1,) * (logits.ndim - 2), -1, 1)
