"""How far predicted distributions are from what was measured, label by label.

Every loss returns `(sums, counts)`, each float32 [L]: the sum over the measured pixels of a label
and how many there were. Sums and counts add up over devices, batches and fields, and are divided
once, by `ratio`; a label that was measured nowhere gives 0 with gradients that are exactly 0.
"""

import jax
import jax.numpy as jnp
import numpy as np

from isl.labeling import bins

Sums = tuple[jax.Array, jax.Array]


def cross_entropy(
    logits: jax.Array, intensity: jax.Array, measured: jax.Array, *, softening: float = 0.0
) -> Sums:
    """Cross-entropy in nats divided by ln 256, so that a uniform prediction scores 1.0.

    Args:
        logits: float32 [..., L, 256].
        intensity: float32 [..., L] in [0, 1], what was measured.
        measured: bool [..., L], where it was.
        softening: Standard deviation, in bins, of a Gaussian over neighbouring bins that takes the
            place of the single true bin; 0 is the published loss.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    intensity = _where_measured(intensity, measured)
    if softening > 0:
        nats = -jnp.sum(_softened(intensity, softening) * log_p, axis=-1)
    else:
        true_bin = bins.to_bins(intensity)[..., None]
        nats = -jnp.take_along_axis(log_p, true_bin, axis=-1)[..., 0]
    return _per_label(nats / np.float32(np.log(bins.BINS)), measured)


def ranked_probability_score(logits: jax.Array, intensity: jax.Array, measured: jax.Array) -> Sums:
    """Mean over bins of (predicted - true cumulative distribution)^2; bins are ordered to it.

    Arguments as in `cross_entropy`.
    """
    p = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    intensity = _where_measured(intensity, measured)
    true_cumulative = _bin_numbers(intensity) >= bins.to_bins(intensity)[..., None]
    score = jnp.mean(jnp.square(bins.cumulative(p) - true_cumulative), axis=-1)
    return _per_label(score, measured)


def squared_error(logits: jax.Array, intensity: jax.Array, measured: jax.Array) -> Sums:
    """Squared error of the distribution's mean; arguments as in `cross_entropy`."""
    p = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    error = bins.mean(p) - _where_measured(intensity, measured)
    return _per_label(jnp.square(error), measured)


def ratio(sums: jax.Array, counts: jax.Array) -> jax.Array:
    """Sums / counts, and 0 (with gradient 0) where nothing was counted."""
    return jnp.where(counts > 0, sums / jnp.maximum(counts, 1.0), 0.0)


def weighted_mean(losses: Sums, weights: jax.Array) -> jax.Array:
    """Weighted mean over the labels that were measured at all: scalar, 0 if there is none.

    The published code divides by all labels, absent ones counting 0; here an absent label does not
    dilute the others (specification, section 6).

    Args:
        losses: Sums and counts, each [L].
        weights: float32 [L], not negative.
    """
    sums, counts = losses
    present = jnp.where(counts > 0, weights, 0.0)
    total = jnp.sum(present)
    mean = jnp.sum(present * ratio(sums, counts)) / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, mean, 0.0)


def _where_measured(intensity: jax.Array, measured: jax.Array) -> jax.Array:
    """0 where nothing was measured: a NaN there would spoil gradients even if gated later."""
    return jnp.where(measured, intensity, 0.0)


def _per_label(values: jax.Array, measured: jax.Array) -> Sums:
    axes = tuple(range(values.ndim - 1))
    gated = jnp.where(measured, values, 0.0)
    return jnp.sum(gated, axis=axes), jnp.sum(measured, axis=axes, dtype=jnp.float32)


def _bin_numbers(intensity: jax.Array) -> np.ndarray:
    """0 to 255 along a new last axis of intensities [...]."""
    return np.arange(bins.BINS, dtype=np.float32).reshape((1,) * intensity.ndim + (-1,))


def _softened(intensity: jax.Array, deviation: float) -> jax.Array:
    position = jnp.clip(intensity, 0.0, 1.0)[..., None] * (bins.BINS - 1)
    weight = -0.5 * jnp.square((_bin_numbers(intensity) - position) / deviation)
    return jax.nn.softmax(weight, axis=-1)
