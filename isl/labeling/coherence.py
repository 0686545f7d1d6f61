"""Samples of predicted distributions whose neighbours are drawn together: what errs, errs nearby.

Medians and means of single pixels are no possible image: neurites break off, textures are gone. A
sample draws every pixel from its own predicted distribution, and neighbours together, by a Gaussian
copula: a smooth field of normal numbers says, for every pixel, which quantile of its distribution
is shown. How far the field's correlation reaches is what a model's errors show on ground that it
did not learn from (`isl calibrate` measures it): a sum of Gaussians of `SCALES`, weighted by label.

Fields are drawn from absolute places in the image, so that tiles, memory and workers change
nothing, and the same seed gives the same sample.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Its parts, a third of a second to import, are imported where one of them is used.
import scipy

from isl.errors import InputError
from isl.labeling.bins import SAMPLE

SCALES = (2, 4, 8, 16, 32)
"""Standard deviations of the Gaussians that a field is summed of, pixels."""

# A field of scale s is drawn on nodes s / 2 apart, smoothed over two of them, and interpolated.
_SMOOTH = 2.0
_NODES_A_SCALE = 2
_BLOCK = 32
_MARGIN = 8
# Shares are kept off 0 and 1, whose quantiles are the ends of a bin that may be empty.
_LEAST = 1e-4
# Share of errors' variance that neighbours share, below which errors hardly hang together.
_MOSTLY = 0.5
# Distances at which the correlation of errors is measured, pixels, along rows and columns.
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def check_coherence(
    statistics: Iterable[str],
    labels: Iterable[str],
    known: Mapping[str, Sequence[float]],
    model: str,
) -> None:
    """Refuses samples of labels of which a model does not know how far its errors reach.

    Raises:
        InputError: There is such a label.
    """
    for label in labels if SAMPLE in statistics else ():
        if label not in known:
            raise InputError(
                f"model '{model}' does not say how its errors in {label} hang together, which "
                "statistic 'sample' needs; `isl calibrate` measures it on held-out ground"
            )


def sampled_shares(
    weights: Sequence[float], rows: np.ndarray, columns: np.ndarray, seed: Sequence[int]
) -> np.ndarray:
    """Which quantile every pixel shows: float32 [y, x] in (0, 1), uniform, alike nearby.

    Args:
        weights: Of `SCALES`, of sum 1.
        rows: int [y], the image's rows that are wanted, growing.
        columns: int [x].
        seed: Numbers that name the draw, such as the person's, the label and the time point.
    """
    field = np.zeros((len(rows), len(columns)))
    for scale, weight in zip(SCALES, weights, strict=True):
        if weight > 0:
            field += np.sqrt(weight) * _field(scale, rows, columns, (*seed, scale))
    return np.clip(scipy.special.ndtr(field), _LEAST, 1 - _LEAST).astype(np.float32)


def seed_of(seed: int, label: str, t: int) -> tuple[int, ...]:
    """Names the draw of a label at a time point."""
    return seed, zlib.crc32(label.encode()), t


def _field(scale: int, rows: np.ndarray, columns: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """Normal numbers [y, x] whose correlation is a Gaussian of twice the variance scale^2."""
    step = scale // _NODES_A_SCALE
    ends = [(int(places[0]) // step, int(places[-1]) // step + 2) for places in (rows, columns)]
    nodes = _white([(first - _MARGIN, last + _MARGIN) for first, last in ends], seed)
    smooth = scipy.ndimage.gaussian_filter(nodes, _SMOOTH, truncate=_MARGIN / _SMOOTH)
    smooth = smooth[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] * (2 * np.sqrt(np.pi) * _SMOOTH)
    for axis, (places, (first, _)) in enumerate(zip((rows, columns), ends, strict=True)):
        below, part = np.divmod(places - first * step, step)
        part = (part / step).reshape(-1, 1) if axis == 0 else part / step
        lower, upper = smooth.take(below, axis), smooth.take(below + 1, axis)
        # Between nodes a mean varies less than its ends.
        near = np.exp(-1 / (4 * _SMOOTH**2))
        smooth = ((1 - part) * lower + part * upper) / np.sqrt(
            1 - 2 * part * (1 - part) * (1 - near)
        )
    return smooth


def _white(ends: list[tuple[int, int]], seed: tuple[int, ...]) -> np.ndarray:
    """Independent normal numbers at nodes, the same at a node whatever else is asked for."""
    (top, bottom), (left, right) = ends
    blocks = [range(first // _BLOCK, (last - 1) // _BLOCK + 1) for first, last in ends]
    drawn = [
        [
            # Nodes before the image's begin count, too; seeds are not negative.
            np.random.default_rng([*seed, row + 2**16, column + 2**16]).normal(
                size=(_BLOCK, _BLOCK)
            )
            for column in blocks[1]
        ]
        for row in blocks[0]
    ]
    whole = np.block(drawn)
    y, x = top - blocks[0][0] * _BLOCK, left - blocks[1][0] * _BLOCK
    return whole[y : y + bottom - top, x : x + right - left]


def normal_scores(
    probabilities: np.ndarray, true_bins: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """How far measured intensities lie from what was predicted, as normal numbers [...].

    Args:
        probabilities: float [..., 256], of sum 1.
        true_bins: int [...], the bins of what was measured.
        rng: Places each value within the share of its bin.
    """
    cumulative = np.cumsum(probabilities, axis=-1)
    upper = np.take_along_axis(cumulative, true_bins[..., None], axis=-1)[..., 0]
    within = np.take_along_axis(probabilities, true_bins[..., None], axis=-1)[..., 0]
    share = upper - within * rng.random(true_bins.shape)
    return scipy.special.ndtri(np.clip(share, _LEAST, 1 - _LEAST))


def fit_coherence(fields: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, ...] | None:
    """Weights of `SCALES` whose sum of Gaussians is the correlation of errors, of sum 1.

    The part of errors that no neighbour shares is noise of what was measured, and is left out;
    given to the smallest scale it made samples rougher than measured images are
    (`benchmarks/coherence.txt`). Where it is most of them, errors hardly hang together, and the
    smallest scale takes it.

    Args:
        fields: Of each, normal scores [Y, X], and bool [Y, X] where they were measured.

    Returns:
        None where too little is measured.
    """
    products, counts = np.zeros(len(LAGS)), np.zeros(len(LAGS))
    total, count, square = 0.0, 0, 0.0
    for scores, measured in fields:
        total, count = total + scores[measured].sum(), count + int(measured.sum())
        square += float(np.square(scores[measured]).sum())
    if not count:
        return None
    mean = total / count
    for scores, measured in fields:
        centred = np.where(measured, scores - mean, 0)
        for number, lag in enumerate(LAGS):
            for one, other in (
                (np.s_[:-lag], np.s_[lag:]),
                (np.s_[:, :-lag], np.s_[:, lag:]),
            ):
                both = measured[one] & measured[other]
                products[number] += (centred[one] * centred[other])[both].sum()
                counts[number] += both.sum()
    variance = square / count - mean**2
    if variance <= 0 or not counts.all():
        return None
    gaussians = np.exp(-np.square(np.divide.outer(LAGS, SCALES)) / 4)
    weights, _ = scipy.optimize.nnls(gaussians, products / counts / variance)
    if weights.sum() < _MOSTLY:
        weights[0] += 1 - weights.sum()
    return tuple(float(weight) for weight in weights / weights.sum())
