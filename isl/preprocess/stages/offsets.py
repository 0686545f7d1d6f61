"""How far apart two neighboring tiles lie, from the content that both show.

Both tiles are cut to the strips that can overlap at all and band-passed: the noise of single
pixels goes, and so does uneven light, which falls off towards opposite sides of the two tiles. The
pixels near a tile's edge, whose band would depend on what lies beyond it, are left out. For every
displacement within reach of the expected one the normalized cross-correlation is taken over
exactly the pixels that overlap there, each with a mean and a deviation of its own. The products
come from one pair of FFTs, the sums over rectangles from summed-area tables.

That is masked normalized correlation (Padfield, IEEE Trans. Image Process. 21, 2706, 2012), as
`skimage.registration.phase_cross_correlation` has it, for masks that are rectangles: with a third
of its FFTs, only where the answer may lie, and with the correlation itself, of which skimage
returns the peak alone. `skimage.feature.match_template` wants a template that fits inside the
other strip at every displacement, hence no overlap narrower than twice the search.

Source: Christiansen et al. 2018, Image stitching.
"""

import dataclasses
from typing import cast

import numpy as np
import scipy.fft
import scipy.ndimage

from isl.errors import InputError

# The band that is compared, as the standard deviations of two Gaussians, pixels: wider than the
# noise of single pixels, narrower than what light and background vary over.
FINE, COARSE = 1.0, 4.0
# What is left out along each side of a tile, pixels: where the coarse Gaussian reaches beyond it.
EDGE = 6
# Rows or columns of the band that are compared, at least; with both edges, the least overlap that
# can be measured.
LEAST_COMPARED = 4
# A second peak counts when it lies further than this from the first, pixels; nearer ones are the
# first one's shoulder.
APART = 5
# The deviations by which chance has to be exceeded, beyond the greatest that is expected of it.
BEYOND_CHANCE = 2.0
# A contrast below this part of the image's greatest deviation from its mean is rounding.
FLAT = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Offset:
    """Where one tile lies relative to another.

    Attributes:
        y: Rows from the first tile's origin to the second's, pixels.
        x: Columns, likewise.
        confidence: In [0, 1]: how far the peak of the correlation stands above what chance gives
            and above the next peak. 0: nothing was found, and y and x are the expected ones.
        overlap: Pixels that the tiles share at this offset.
    """

    y: float
    x: float
    confidence: float
    overlap: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reach:
    """Along one axis: the displacements that are tried and what of both tiles they touch.

    Attributes:
        lower: The least displacement of the second tile's origin from the first's.
        count: How many there are, each one more than the one before.
        first: What of the first tile can be overlapped.
        second: What of the second tile can be overlapped.
    """

    lower: int
    count: int
    first: slice
    second: slice

    @property
    def shifts(self) -> np.ndarray:
        """Of the second strip's first pixel from the first strip's, int [count]."""
        return np.arange(self.count) + self.lower + self.second.start - self.first.start


def measure_offset(
    first: np.ndarray,
    second: np.ndarray,
    expected: tuple[float, float],
    *,
    search: int,
    least_overlap: int = 2 * EDGE + LEAST_COMPARED,
) -> Offset:
    """The offset at which two tiles correlate best, to a fraction of a pixel.

    A displacement's score is its normalized cross-correlation less the level of chance, which
    unrelated images of the same spectra would hardly reach anywhere within the search. The
    confidence is the best score, less the score of the next best peak where that is positive: near
    the correlation itself for content that occurs once; 0 for noise (empty agarose), for what
    repeats itself, for flat content, for no overlap, and for a peak at the border of the search,
    which may be the slope of one that lies outside.

    Args:
        first: [Y, X], any real dtype, any unit.
        second: [Y, X], of any size.
        expected: Rows and columns from the first tile's origin to the second's, pixels.
        search: How far the truth may lie from `expected`, each way, pixels; at least 2.
        least_overlap: Rows, and columns, that have to overlap, pixels; with fewer than the default
            nothing is found.

    Raises:
        InputError: A tile is not [Y, X] or has pixels that are not finite, or `search` is too
            small.
    """
    for name, tile in (("first", first), ("second", second)):
        if tile.ndim != 2:
            raise InputError(
                f"the {name} tile has shape {tile.shape}; an offset is measured between single "
                "planes [Y, X]"
            )
    if search < 2:
        raise InputError(f"search is {search}; give at least 2 pixels")
    found = _find(first, second, expected, search, least_overlap)
    y, x, confidence = found or (*expected, 0.0)
    shared = [
        max(0, min(m, start + n) - max(0, start))
        for m, n, start in zip(first.shape, second.shape, (round(y), round(x)), strict=True)
    ]
    return Offset(
        y=float(y), x=float(x), confidence=min(confidence, 1.0), overlap=shared[0] * shared[1]
    )


def _find(
    first: np.ndarray,
    second: np.ndarray,
    expected: tuple[float, float],
    search: int,
    least_overlap: int,
) -> tuple[float, float, float] | None:
    """Row, column and confidence of the best displacement; None if no peak stands out."""
    rows, columns = (
        _reach(m, n, round(at), search, least_overlap)
        for m, n, at in zip(first.shape, second.shape, expected, strict=True)
    )
    if rows is None or columns is None:
        return None
    bands = (
        _band(first, rows.first, columns.first, "first"),
        _band(second, rows.second, columns.second, "second"),
    )
    if bands[0] is None or bands[1] is None:
        return None
    correlation, chance = _correlate(bands[0], bands[1], rows.shifts, columns.shifts)
    score = correlation - chance
    row, column = _summit(correlation, int(score.argmax()))
    if not (0 < row < rows.count - 1 and 0 < column < columns.count - 1):
        return None
    confidence = float(score[row, column] - max(0.0, _next_best(score, row, column)))
    if confidence <= 0:
        return None
    return (
        rows.lower + row + _vertex(correlation[row - 1 : row + 2, column]),
        columns.lower + column + _vertex(correlation[row, column - 1 : column + 2]),
        confidence,
    )


def _reach(
    first: int, second: int, expected: int, search: int, least_overlap: int
) -> _Reach | None:
    """What can be tried along one axis, for tiles of these lengths; None if they do not overlap."""
    # Without its edges a tile begins EDGE later and is as much shorter at either end; the
    # displacements stay what they are.
    first, second = first - 2 * EDGE, second - 2 * EDGE
    least = max(least_overlap - 2 * EDGE, LEAST_COMPARED)
    lower = max(expected - search, least - second)
    upper = min(expected + search, first - least)
    if lower > upper:
        return None
    return _Reach(
        lower=lower,
        count=upper - lower + 1,
        first=slice(EDGE + max(0, lower), EDGE + min(first, upper + second)),
        second=slice(EDGE + max(0, -upper), EDGE + min(second, first - lower)),
    )


def _band(tile: np.ndarray, rows: slice, columns: slice, name: str) -> np.ndarray | None:
    """float32 [rows, columns]: the band of a part of a tile, of mean 0; None if it is flat."""
    around = tuple(slice(part.start - EDGE, part.stop + EDGE) for part in (rows, columns))
    strip = tile[around].astype(np.float32)
    if not np.isfinite(strip).all():
        raise InputError(
            f"the {name} tile has pixels that are not finite; stitch on a channel without them"
        )
    # Gaussians of numbers around 0 round less than of a camera's counts; a constant becomes 0.
    strip -= strip.mean(dtype=np.float64)
    fine, coarse = (scipy.ndimage.gaussian_filter(strip, sigma) for sigma in (FINE, COARSE))
    band = (fine - coarse)[EDGE:-EDGE, EDGE:-EDGE]
    band = band - band.mean(dtype=np.float64).astype(np.float32)
    return band if band.std() > FLAT * np.abs(strip).max() else None


def _correlate(
    first: np.ndarray, second: np.ndarray, down: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The normalized cross-correlation of two bands and the level of chance, both [down, right].

    Chance: the correlation of unrelated images over N pixels has the variance r / N, where r is
    the sum over all shifts of the product of both autocorrelations (Bartlett 1946); r pixels count
    as one. Of n independent ones the greatest is near sqrt(2 log n) deviations.

    Args:
        first: float32 [Y, X] of mean 0.
        second: float32 [Y, X] of mean 0.
        down: int [down], increasing by 1: rows from the first band's first pixel to the second's.
        right: int [right], likewise columns.
    """
    # Padded so far that no shift within reach meets the next period.
    shape = [
        cast(int, scipy.fft.next_fast_len(int(max(shifts[-1] + n, m - shifts[0])), real=True))
        for shifts, m, n in zip((down, right), first.shape, second.shape, strict=True)
    ]
    cross = np.fft.rfft2(first, shape) * np.fft.rfft2(second, shape).conj()
    product = np.fft.irfft2(cross, shape)[np.ix_(down % shape[0], right % shape[1])]
    # By Parseval the autocorrelations' product sums to the power of the cross-spectrum, of which
    # only the columns up to the middle are stored.
    power = (np.square(cross.real) + np.square(cross.imag)).sum(axis=0, dtype=np.float64)
    power[1 : (shape[1] + 1) // 2] *= 2
    energy = [float(np.square(band).sum(dtype=np.float64)) for band in (first, second)]
    pixels_as_one = power.sum() / (shape[0] * shape[1]) / (energy[0] * energy[1])

    sums, pixels = _sums(first, second.shape, down, right)
    second_sums, _ = _sums(second, first.shape, -down, -right)
    scatter = [
        _sums(np.square(band), other.shape, sign * down, sign * right)[0] - total**2 / pixels
        for band, other, sign, total in (
            (first, second, 1, sums),
            (second, first, -1, second_sums),
        )
    ]
    deviation = np.sqrt(np.maximum(scatter[0], 0) * np.maximum(scatter[1], 0))
    seen = deviation > FLAT * np.sqrt(energy[0] * energy[1])
    correlation = np.divide(
        product - sums * second_sums / pixels, deviation, where=seen, out=np.zeros(pixels.shape)
    )
    independent = 1 + pixels.size / pixels_as_one
    deviations = np.sqrt(2 * np.log(independent)) + BEYOND_CHANCE
    return correlation, deviations * np.sqrt(pixels_as_one / pixels)


def _sums(
    band: np.ndarray, other: tuple[int, ...], down: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Over what a band shares with a rectangle of size `other` at each shift: its sum, and pixels.

    Returns:
        float64 [down, right] and int [down, right].
    """
    table = np.zeros((band.shape[0] + 1, band.shape[1] + 1))
    np.cumsum(np.cumsum(band, axis=0, dtype=np.float64), axis=1, out=table[1:, 1:])
    top, left = np.maximum(down, 0), np.maximum(right, 0)
    bottom = np.minimum(down + other[0], band.shape[0])
    end = np.minimum(right + other[1], band.shape[1])
    sums = (
        table[np.ix_(bottom, end)]
        - table[np.ix_(top, end)]
        - table[np.ix_(bottom, left)]
        + table[np.ix_(top, left)]
    )
    return sums, np.outer(bottom - top, end - left)


def _summit(correlation: np.ndarray, start: int) -> tuple[int, int]:
    """Uphill from a flat index: where the correlation exceeds its neighbors (the score may not)."""
    row, column = divmod(start, correlation.shape[1])
    while True:
        top, left = max(row - 1, 0), max(column - 1, 0)
        around = correlation[top : row + 2, left : column + 2]
        down, right = divmod(int(around.argmax()), around.shape[1])
        if around[down, right] <= correlation[row, column]:
            return row, column
        row, column = top + down, left + right


def _next_best(score: np.ndarray, row: int, column: int) -> float:
    """The highest score of a peak that lies apart from the one at (row, column)."""
    peaks = score == scipy.ndimage.maximum_filter(score, 2 * APART + 1)
    peaks[max(row - APART, 0) : row + APART + 1, max(column - APART, 0) : column + APART + 1] = 0
    return float(score[peaks].max(initial=-1.0))


def _vertex(three: np.ndarray) -> float:
    """Of a parabola through three values, the middle one the greatest: within half a step of it."""
    before, middle, after = three
    curvature = before - 2 * middle + after
    return 0.0 if curvature == 0 else float((before - after) / (2 * curvature))
