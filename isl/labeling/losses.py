"""How far predicted distributions are from what was measured, label by label.

Every loss returns `(sums, counts)`, each float32 [L]: the sum over the measured pixels of a label
and how many there were. Sums and counts add up over devices, batches and fields, and are divided
once, by `ratio`; a label that was measured nowhere gives 0 with gradients that are exactly 0.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isl.labeling import bins

Sums = tuple[jax.Array, jax.Array]
Objective = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]]
"""Logits, intensities and where they were measured to sums [L] to minimize, and any others [L]."""

# So many logits (256 KiB) at a time, with all that is made of them, stay in a processor's cache.
_PART_NUMBERS = 2**16
# Bright is a neighbourhood above this share of the brightest, and above this intensity.
_BRIGHT, _FAINT = 0.25, 0.02
_TINY = 1e-12


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


def local_error(
    logits: jax.Array, intensity: jax.Array, measured: jax.Array, *, width: int
) -> Sums:
    """Squared error of what a square mean leaves of the distribution's mean: of its detail.

    Args:
        logits: float32 [B, Y, X, L, 256].
        intensity: float32 [B, Y, X, L] in [0, 1].
        measured: bool [B, Y, X, L]; pixels count where all of their square was measured.
        width: Of the square, in pixels; at most Y and X.
    """
    p = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    error = jnp.where(measured, bins.mean(p) - _where_measured(intensity, measured), 0.0)
    before = (width - 1) // 2
    inner = (
        slice(before, before + error.shape[1] - width + 1),
        slice(before, before + error.shape[2] - width + 1),
    )
    left = error[:, inner[0], inner[1]] - _square_means(error, width)
    whole = _square_means(measured.astype(jnp.float32), width) > 1 - 0.5 / width**2
    return _per_label(jnp.square(left), whole)


def correlation(
    logits: jax.Array, intensity: jax.Array, measured: jax.Array, *, width: int
) -> Sums:
    """How far the distribution's mean is from correlating with the label, image by image: 1 - r.

    Mean of two: of intensities as they are, and of what a square mean leaves of them. Both within
    what is bright, where the label's own square mean is above a share of its highest. So neither
    background, nor an image's own brightness and contrast, count.

    Args:
        logits: float32 [B, Y, X, L, 256].
        intensity: float32 [B, Y, X, L] in [0, 1].
        measured: bool [B, Y, X, L].
        width: Of the square, in pixels, odd; at most Y and X.

    Returns:
        Sums and counts over images in which something is bright.
    """
    p = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    true = _where_measured(intensity, measured)
    images = jnp.stack([jnp.where(measured, bins.mean(p), 0.0), true])
    shades = jax.vmap(functools.partial(_shade, width=width))(images)
    level = _BRIGHT * jnp.max(shades[1], axis=(1, 2), keepdims=True)
    bright = measured & (shades[1] > jnp.maximum(level, _FAINT))
    both = jnp.stack([images, images - shades])
    r = jnp.mean(jax.vmap(lambda pair: _pearson(pair[0], pair[1], bright))(both), axis=0)
    there = jnp.any(bright, axis=(1, 2))
    return jnp.sum(jnp.where(there, 1 - r, 0.0), axis=0), jnp.sum(there, axis=0, dtype=jnp.float32)


def _shade(values: jax.Array, width: int) -> jax.Array:
    """Mean of the square around every pixel of [B, Y, X, L], borders repeated beyond."""
    half = width // 2
    padded = jnp.pad(values, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    return _square_means(padded, width)


def _pearson(one: jax.Array, other: jax.Array, within: jax.Array) -> jax.Array:
    """Of [B, Y, X, L], within part of each image: [B, L]."""
    weight = within / jnp.maximum(jnp.sum(within, axis=(1, 2), keepdims=True), 1)

    def average(values: jax.Array) -> jax.Array:
        return jnp.sum(weight * values, axis=(1, 2), keepdims=True)

    one, other = one - average(one), other - average(other)
    variances = average(one**2) * average(other**2)
    return (average(one * other) * jax.lax.rsqrt(variances + _TINY))[:, 0, 0]


def _square_means(values: jax.Array, width: int) -> jax.Array:
    """Means over all squares within [B, Y, X, L]: [B, Y - width + 1, X - width + 1, L]."""
    for axis in (1, 2):
        edge = jnp.zeros_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
        sums = jnp.concatenate([edge, jnp.cumsum(values, axis=axis)], axis=axis)
        count = values.shape[axis] - width + 1
        ahead, behind = (jax.lax.slice_in_dim(sums, at, at + count, axis=axis) for at in (width, 0))
        values = (ahead - behind) / width
    return values


def by_parts(
    objective: Objective, logits: jax.Array, intensity: jax.Array, measured: jax.Array
) -> tuple[jax.Array, Any]:
    """`objective` of all pixels, a few at a time where a CPU computes; a GPU gets all at once.

    What lies between logits and losses is many times larger than the logits. Taken part by part,
    each with its gradient, it never leaves the cache, which is three times as fast.

    Args:
        objective: Its first sums alone have a gradient; those of a label depend on no other label's
            logits.
        logits: float32 [..., L, 256].
        intensity: float32 [..., L].
        measured: bool [..., L].
    """
    if jax.default_backend() != "cpu":
        return objective(logits, intensity, measured)
    return _by_parts(objective, logits, intensity, measured)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _by_parts(
    objective: Objective, logits: jax.Array, intensity: jax.Array, measured: jax.Array
) -> tuple[jax.Array, Any]:
    sums = jax.lax.map(lambda part: objective(*part), _parts(logits, intensity, measured))
    return jax.tree.map(lambda array: jnp.sum(array, axis=0), sums)


def _by_parts_forward(
    objective: Objective, logits: jax.Array, intensity: jax.Array, measured: jax.Array
) -> tuple[tuple[jax.Array, Any], jax.Array]:
    def with_gradient(part: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, Any], jax.Array]:
        logits, intensity, measured = part
        sums, pull, others = jax.vjp(
            lambda logits: objective(logits, intensity, measured), logits, has_aux=True
        )
        return (sums, others), pull(jnp.ones_like(sums))[0]

    sums, gradients = jax.lax.map(with_gradient, _parts(logits, intensity, measured))
    gradient = gradients.reshape(-1, *logits.shape[-2:])[: intensity[..., 0].size]
    total = jax.tree.map(lambda array: jnp.sum(array, axis=0), sums)
    return total, gradient.reshape(logits.shape)


def _by_parts_backward(
    _: Objective, gradient: jax.Array, cotangents: tuple[jax.Array, Any]
) -> tuple[jax.Array, None, None]:
    of_label = cotangents[0].reshape((1,) * (gradient.ndim - 2) + (-1, 1))
    return gradient * of_label, None, None


_by_parts.defvjp(_by_parts_forward, _by_parts_backward)


def _parts(
    logits: jax.Array, intensity: jax.Array, measured: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Pixels in equal parts, the last one filled up with pixels that nobody measured."""
    labels = logits.shape[-2]
    pixels = intensity[..., 0].size
    size = max(1, min(pixels, _PART_NUMBERS // (labels * bins.BINS)))
    lacking = -pixels % size

    def split(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        filled = jnp.pad(array.reshape(pixels, *shape), ((0, lacking),) + ((0, 0),) * len(shape))
        return filled.reshape(-1, size, *shape)

    return (
        split(logits, (labels, bins.BINS)),
        split(intensity, (labels,)),
        split(measured, (labels,)),
    )


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
