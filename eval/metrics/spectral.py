"""At which sizes a predicted image agrees with the true one: Fourier ring correlation."""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy.signal import windows

from isl.imaging.image import PixelSize
from isl.imaging.masks import is_constant

from .image_pair import checked_pair, constancy

# A ring with less than this part of the image's energy holds rounding only.
_ROUNDING = 1e-13
# The highest frequency that pixels hold in every direction, cycles a pixel.
_NYQUIST = 0.5
BANDS = 8
"""Rings between no frequency and half a cycle a pixel."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectralBand:
    """Agreement within a ring of spatial frequencies.

    Attributes:
        low: Cycles a pixel; the ring holds frequencies above it.
        high: Cycles a pixel, included.
        low_per_um: Cycles a micrometre; None where the pixel size is not known.
        high_per_um: As `low_per_um`.
        correlation: -1 to 1; None: undefined.
        note: Why it is undefined; "" where it is not.
    """

    low: float
    high: float
    low_per_um: float | None
    high_per_um: float | None
    correlation: float | None
    note: str = ""


def spectral_correlation(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    bands: int = BANDS,
    pixel_size: PixelSize | None = None,
) -> tuple[SpectralBand, ...]:
    """Fourier ring correlation, from coarse to fine, in rings of equal width.

    Of the largest rectangle that the mask leaves whole, the mean taken off and a Hann window laid
    over it, so that the jump from one edge to the opposite one is no detail.

    Args:
        true: float [Y, X] in [0, 1].
        predicted: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.
        bands: Rings between no frequency and half a cycle a pixel.
        pixel_size: Micrometres; where pixels are not square, rings have no micrometres.

    Returns:
        The bands, coarse first.

    Raises:
        InputError: Sizes differ, or pixels that count are not finite.
    """
    pair = checked_pair(true, predicted, mask)
    top, bottom, left, right = largest_rectangle(pair.mask)
    first, second = (image[top:bottom, left:right] for image in (pair.true, pair.predicted))
    edges = np.linspace(0, _NYQUIST, bands + 1)
    scale = None if pixel_size is None or pixel_size.y != pixel_size.x else 1 / pixel_size.x
    reasons = constancy(first, second)
    found = (
        [(None, "; ".join(reasons))] * bands
        if reasons
        else ring_correlations(_ring_sums(_spectra(first, second, edges), bands))
    )
    return tuple(
        SpectralBand(
            low=float(low),
            high=float(high),
            low_per_um=None if scale is None else float(low) * scale,
            high_per_um=None if scale is None else float(high) * scale,
            correlation=value,
            note=note,
        )
        for (low, high), (value, note) in zip(itertools.pairwise(edges), found, strict=True)
    )


def spectral_sums(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    parts: np.ndarray,
    *,
    bands: int = BANDS,
) -> np.ndarray:
    """Sums that make the correlation of every band, part by part of an image: they add up.

    Summed over pixels, the products of two images that hold one ring only are those of the ring's
    frequencies (Parseval). So all parts together give `spectral_correlation`, and those of several
    fields its figures over all their pixels.

    Args:
        true: float [Y, X] in [0, 1].
        predicted: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts.
        parts: int [Y, X], the part of every pixel, from 0.
        bands: As in `spectral_correlation`.

    Returns:
        float64 [parts, bands + 1, 3]: of every band, and last of the whole image, the sums of
        true squared, predicted squared, and their product; 0 outside of the largest rectangle.

    Raises:
        InputError: As in `spectral_correlation`.
    """
    pair = checked_pair(true, predicted, mask)
    top, bottom, left, right = largest_rectangle(pair.mask)
    within = slice(top, bottom), slice(left, right)
    count = int(parts.max()) + 1
    sums = np.zeros((count, bands + 1, 3))
    if not pair.true[within].size:
        return sums
    of_pixel = parts[within].ravel()
    spectra = _spectra(
        pair.true[within], pair.predicted[within], np.linspace(0, _NYQUIST, bands + 1)
    )
    for band in range(bands + 1):
        kept = spectra.ring == band + 1 if band < bands else np.True_
        x, y = (
            np.asarray(scipy.fft.irfft2(np.where(kept, each, 0), s=spectra.size)).ravel()
            for each in (spectra.true, spectra.predicted)
        )
        for number, product in enumerate((x * x, y * y, x * y)):
            sums[:, band, number] = np.bincount(of_pixel, product, minlength=count)
    return sums


def ring_correlations(sums: np.ndarray) -> list[tuple[float | None, str]]:
    """Correlation of every band, or None and why it is undefined, from sums [bands + 1, 3]."""
    *rings, whole = sums.tolist()
    return [_correlation(*ring, *whole[:2]) for ring in rings]


def largest_rectangle(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The rectangle of most True pixels: first row, end row, first column, end column.

    Args:
        mask: bool [Y, X].

    Returns:
        Half-open bounds; four zeros where nothing is True.
    """
    if mask.all():
        return 0, mask.shape[0], 0, mask.shape[1]
    best, area = (0, 0, 0, 0), 0
    heights = np.zeros(mask.shape[1], int)
    for row, counted in enumerate(mask):
        # How many True pixels end here, column by column: the largest rectangle under a skyline.
        heights = np.where(counted, heights + 1, 0)
        # Rising columns that are still open: where they may begin, and their height.
        rising: list[tuple[int, int]] = []
        for column, height in enumerate([*heights.tolist(), 0]):
            begin = column
            while rising and rising[-1][1] >= height:
                begin, tall = rising.pop()
                if tall * (column - begin) > area:
                    area = tall * (column - begin)
                    best = (row + 1 - tall, row + 1, begin, column)
            rising.append((begin, height))
    return best


class _Spectra(NamedTuple):
    """Half of the spectra of two real images, and the ring of every frequency.

    Attributes:
        true: complex [Y, X // 2 + 1].
        predicted: complex [Y, X // 2 + 1].
        ring: int [Y, X // 2 + 1]; 0 the mean, which is taken off; after the last ring the corners.
        size: Of the images, (Y, X).
    """

    true: np.ndarray
    predicted: np.ndarray
    ring: np.ndarray
    size: tuple[int, int]


def _spectra(true: np.ndarray, predicted: np.ndarray, edges: np.ndarray) -> _Spectra:
    height, width = true.shape
    taper = np.outer(*(windows.hann(length + 2)[1:-1] for length in (height, width)))
    # What a constant image is left with is rounding.
    first, second = (
        np.asarray(scipy.fft.rfft2((image - np.average(image, weights=taper)) * taper))
        * (not is_constant(image))
        for image in (true, predicted)
    )
    frequency = np.hypot(scipy.fft.fftfreq(height)[:, None], scipy.fft.rfftfreq(width)[None, :])
    ring = np.searchsorted(edges, frequency, side="left")
    return _Spectra(first, second, ring, (height, width))


def _ring_sums(spectra: _Spectra, bands: int) -> np.ndarray:
    """Sums over the frequencies of every ring, and of all: `spectral_sums`, but for a factor."""
    # rfft2 leaves out the mirror images of all but the first column, and the last of even widths.
    mirrored = np.full(spectra.true.shape[1], 2.0)
    mirrored[0] = 1.0
    if spectra.size[1] % 2 == 0:
        mirrored[-1] = 1.0
    first, second = spectra.true, spectra.predicted
    products = (np.abs(first) ** 2, np.abs(second) ** 2, np.real(first * second.conj()))
    sums = np.stack(
        [
            np.bincount(spectra.ring.ravel(), (product * mirrored).ravel(), minlength=bands + 2)
            for product in products
        ],
        axis=1,
    )
    return np.concatenate([sums[1:-1], sums.sum(axis=0, keepdims=True)])


def _correlation(
    first: float, second: float, product: float, first_energy: float, second_energy: float
) -> tuple[float | None, str]:
    """Correlation of a ring from its sums, beside the energy of each whole image."""
    if first <= _ROUNDING * first_energy or second <= _ROUNDING * second_energy:
        return None, "one of the images has no detail of this size"
    return float(np.clip(product / np.sqrt(first * second), -1.0, 1.0)), ""
