"""Losses of fragmentation, each over what is labelled: (sum, count) pairs, divided once."""

import jax
import jax.numpy as jnp
import optax

Pair = tuple[jax.Array, jax.Array]
"""A sum and the count that it is divided by, scalars."""

_SMOOTH = 1.0


def cross_entropy(logits: jax.Array, truth: jax.Array, known: jax.Array) -> Pair:
    """Binary cross-entropy.

    Args:
        logits: float32 [B, Y, X, N].
        truth: float32 [B, Y, X, N] in {0, 1}.
        known: float32 [B, Y, X, N], 1 where the truth is known, else 0.
    """
    each = optax.sigmoid_binary_cross_entropy(logits, truth)
    return jnp.sum(jnp.where(known > 0, each, 0)), known.sum()


def dice_loss(logits: jax.Array, truth: jax.Array, known: jax.Array) -> Pair:
    """1 - Dice of probabilities, image by image and output by output; arguments as above.

    Smoothed by one pixel: an image without fragments is judged by what is found in it. Images of
    which nothing is known do not count.
    """
    probability = jnp.where(known > 0, jax.nn.sigmoid(logits), 0)
    truth = truth * known
    both = (probability * truth).sum(axis=(1, 2))
    total = probability.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    each = 1 - (2 * both + _SMOOTH) / (total + _SMOOTH)
    counts = (known.sum(axis=(1, 2)) > 0).astype(jnp.float32)
    return (each * counts).sum(), counts.sum()


def smooth_l1(share: jax.Array, truth: jax.Array, known: jax.Array, width: float = 0.02) -> Pair:
    """Smooth L1 (Girshick 2015): squared within `width`, linear beyond.

    Args:
        share: float32 [B].
        truth: float32 [B]; anything where it is not known.
        known: float32 [B], 1 or 0.
        width: Where the two meet; half of it is taken off beyond, so that slopes are 1.
    """
    off = jnp.abs(share - jnp.where(known > 0, truth, 0))
    each = jnp.where(off < width, 0.5 * off**2 / width, off - 0.5 * width)
    return (each * known).sum(), known.sum()


def range_loss(share: jax.Array, low: jax.Array, high: jax.Array, known: jax.Array) -> Pair:
    """How far a share lies outside the range of its grade.

    max(0, low - share) + max(0, share - high): zero inside, slope one outside; a point label has
    low = high and is judged by the absolute error.

    Args:
        share: float32 [B].
        low: float32 [B], the lower bound.
        high: float32 [B], the upper bound.
        known: float32 [B], 1 where there is a range, else 0.
    """
    low, high = (jnp.where(known > 0, bound, 0) for bound in (low, high))
    each = jax.nn.relu(low - share) + jax.nn.relu(share - high)
    return (each * known).sum(), known.sum()


def mean(pair: Pair) -> jax.Array:
    """Sum over count; 0 with finite gradients where nothing counts."""
    total, count = pair
    return total / jnp.maximum(count, 1)
