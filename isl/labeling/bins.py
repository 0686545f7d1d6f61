"""Distributions over 256 intensities: bin k stands for the intensity k / 255.

The bins' arithmetic runs for every pixel and label, so it must not cost more than the network.
Running sums over bins are taken in two levels (within and between blocks of 16 bins) as products
with small triangular matrices: on a CPU `jnp.cumsum` over 256 bins costs more than the softmax.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

BINS = 256
STATISTICS = ("median", "mean", "mode", "standard_deviation", "probability_nonzero", "entropy")
"""The six that `all` means."""
SAMPLE = "sample"
"""A draw, and no summary; see `isl.labeling.coherence`."""
FURTHER_STATISTICS = ("interval_90", SAMPLE)
"""Given only when asked for by name."""
INTERPOLATED_MEDIAN = "interpolated_median"
"""What `median` is unless the published one is asked for; see `isl.labeling.medians`."""

_BLOCK = 16
_INTENSITIES = np.arange(BINS, dtype=np.float32) / (BINS - 1)
# 1, and the first and second power of the intensity: small ones, so that little is lost in them.
_POWERS = np.stack([(_INTENSITIES - 0.5) ** power for power in range(3)], axis=1)
_UP_TO_AND_INCLUDING = np.triu(np.ones((_BLOCK, _BLOCK), np.float32))
_IN_BLOCKS = np.repeat(np.eye(BINS // _BLOCK, dtype=np.float32), _BLOCK, axis=0)
_BEFORE = np.triu(np.ones((_BLOCK, _BLOCK), np.float32), k=1)


def to_bins(intensity: jax.Array) -> jax.Array:
    """The bin of each intensity: float [...] in [0, 1] to int32 [...] in 0..255."""
    return jnp.round(jnp.clip(intensity, 0.0, 1.0) * (BINS - 1)).astype(jnp.int32)


def cumulative(probabilities: jax.Array) -> jax.Array:
    """Running sum over the last axis, which holds 256 bins: float32 [..., 256] to the same."""
    blocks = probabilities.reshape(*probabilities.shape[:-1], BINS // _BLOCK, _BLOCK)
    within = blocks @ _UP_TO_AND_INCLUDING
    before = within[..., -1] @ _BEFORE
    return (within + before[..., None]).reshape(probabilities.shape)


def mean(probabilities: jax.Array) -> jax.Array:
    """Expected intensity: float32 [..., 256] to [...]."""
    return probabilities @ _INTENSITIES


def statistics(
    logits: jax.Array, names: Sequence[str] = STATISTICS, shares: jax.Array | None = None
) -> dict[str, jax.Array]:
    """What a pixel's distribution says, one number each (published code; paper, Figure 2).

    Args:
        logits: float32 [..., 256].
        names: Any of STATISTICS and FURTHER_STATISTICS, and INTERPOLATED_MEDIAN.
        shares: As of `statistics_of`.

    Returns:
        As `statistics_of`.
    """
    logits = logits.astype(jnp.float32)
    weights = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    found = _of_powers(weights)
    if INTERPOLATED_MEDIAN in names:
        found[INTERPOLATED_MEDIAN] = _half_way(weights)
    others = [name for name in names if name not in found]
    if others:
        # Without them no probabilities are needed, which cost a CPU more than the rest.
        found |= statistics_of(weights / weights.sum(axis=-1, keepdims=True), others, shares)
    return {name: found[name] for name in names}


def statistics_of(
    p: jax.Array, names: Sequence[str] = STATISTICS, shares: jax.Array | None = None
) -> dict[str, jax.Array]:
    """The same of probabilities.

    Args:
        p: float32 [..., 256], of sum 1.
        names: As of `statistics`.
        shares: float32 [...], which quantile `sample` is; needed for it alone.

    Returns:
        A float32 array [...] for every name: `median` = (bins whose cumulative probability is
        below 0.5) / 255; `mode`, `mean`, `standard_deviation` in intensities; `probability_nonzero`
        = 1 - p[0]; `entropy` = -sum p ln(p + 1e-7) / ln 256, in [0, 1];
        `interval_90` = width of the central interval that holds 90 %, in intensities, with
        probability spread evenly over a bin's width of 1 / 255; `interpolated_median`, what half of
        the probability, spread so, lies below, within [0, 1]; `sample`, what a share of it does.
    """
    formulas = {
        "median": lambda: jnp.sum(cumulative(p) < 0.5, axis=-1) / np.float32(BINS - 1),
        "mean": lambda: mean(p),
        "mode": lambda: jnp.argmax(p, axis=-1) / np.float32(BINS - 1),
        "standard_deviation": lambda: _standard_deviation(p),
        "probability_nonzero": lambda: 1.0 - p[..., 0],
        "entropy": lambda: -jnp.sum(p * jnp.log(p + 1e-7), axis=-1) / np.log(BINS),
        INTERPOLATED_MEDIAN: lambda: jnp.clip(_quantile(cumulative(p), 0.5), 0.0, 1.0),
        SAMPLE: lambda: jnp.clip(_quantile(cumulative(p), _given(shares)), 0.0, 1.0),
        "interval_90": lambda: _quantile(cumulative(p), 0.95) - _quantile(cumulative(p), 0.05),
    }
    return {name: formulas[name]().astype(jnp.float32) for name in names}


def _of_powers(weights: jax.Array) -> dict[str, jax.Array]:
    """Mean and standard deviation of weights [..., 256], whatever their sum.

    The deviation is off by less than 0.0003, a thirteenth of a bin.
    """
    sums = jnp.dot(weights, _POWERS, precision=jax.lax.Precision.HIGHEST)
    mean = sums[..., 1] / sums[..., 0]
    variance = jnp.maximum(sums[..., 2] / sums[..., 0] - jnp.square(mean), 0.0)
    return {"mean": mean + 0.5, "standard_deviation": jnp.sqrt(variance)}


def _half_way(weights: jax.Array) -> jax.Array:
    """The interpolated median of weights [..., 256], whatever their sum: float32 [...].

    As `_quantile` gives it, but that running sums are taken of blocks, and then within the one
    block that reaches the half: with them, all 256 cost more than all else that is done of them.
    """
    highest = jax.lax.Precision.HIGHEST
    sums = jnp.dot(weights, _IN_BLOCKS, precision=highest)
    before = jnp.dot(sums, _BEFORE, precision=highest)
    half = (before[..., -1] + sums[..., -1])[..., None] / 2
    # Of the same sums as `start`, which then lies below the half in rounding, too.
    number = jnp.sum(before[..., 1:] < half, axis=-1)
    here = jnp.arange(BINS // _BLOCK).reshape((1,) * number.ndim + (-1,)) == number[..., None]
    blocks = weights.reshape(*weights.shape[:-1], BINS // _BLOCK, _BLOCK)
    inside = jnp.sum(jnp.where(here[..., None], blocks, 0.0), axis=-2)
    start = jnp.sum(jnp.where(here, before, 0.0), axis=-1)
    running = start[..., None] + jnp.dot(inside, _UP_TO_AND_INCLUDING, precision=highest)
    short = running < half
    below = jnp.max(jnp.where(short, running, start[..., None]), axis=-1)
    # Where rounding leaves the block short of the half, its end is where that lies.
    above = jnp.min(jnp.where(short, jnp.inf, running), axis=-1)
    within = (half[..., 0] - below) / (above - below)
    bins = number * _BLOCK + jnp.sum(short, axis=-1)
    return jnp.clip((bins - 0.5 + within) / np.float32(BINS - 1), 0.0, 1.0)


def _given(shares: jax.Array | None) -> jax.Array:
    if shares is None:
        raise ValueError(f"statistic '{SAMPLE}' needs the shares that it is drawn at")
    return shares


def _standard_deviation(p: jax.Array) -> jax.Array:
    intensities = _INTENSITIES.reshape((1,) * (p.ndim - 1) + (BINS,))
    deviations = intensities - mean(p)[..., None]
    return jnp.sqrt(jnp.sum(p * jnp.square(deviations), axis=-1))


def _quantile(cumulated: jax.Array, share: float | jax.Array) -> jax.Array:
    """The intensity that a share (one, or [...]) of probability [..., 256] lies below: [...].

    Within the bin that reaches the share, between the sums before and after it.
    """
    short = cumulated < (share if isinstance(share, float | int) else share[..., None])
    before = jnp.max(jnp.where(short, cumulated, 0.0), axis=-1)
    after = jnp.min(jnp.where(short, 2.0, cumulated), axis=-1)
    within = (share - before) / (after - before)
    return (jnp.sum(short, axis=-1) - 0.5 + within) / np.float32(BINS - 1)
