"""How well a predicted image agrees with the true one, pixel by pixel, in numbers."""

import dataclasses
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from isl.imaging.masks import is_constant

from .image_pair import Pair, checked_pair, constancy, correlation, regression_line

# Images are in [0, 1]: this scale, not that of the single image, keeps fields comparable.
_FULL_SCALE = 1.0
# Windows as Wang et al. (2004) have them, of 11 x 11 pixels in scikit-image.
_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11


Similarity = tuple[np.ndarray, np.ndarray]
"""What `similarity_map` gives."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelFigures:
    """Agreement of two images; None: undefined, with a note that says why.

    Attributes:
        pearson: Pearson's correlation of all pixels that count.
        pearson_sampled: The same of pixels drawn at random without repetition, one million in the
            paper; of all pixels where there are no more than that.
        mae: Mean absolute error.
        nrmse: Root of the mean squared error over the range of the true image (scikit-image's
            "min-max").
        ssim: Structural similarity (Wang et al. 2004: Gaussian windows of 11 x 11 pixels, full
            scale 1.0), the mean over pixels whose whole window counts.
        psnr: Peak signal over noise, decibels, for a peak of 1.0.
        foreground_pearson: Pearson's correlation of the pixels above Otsu's threshold of the true
            image.
        slope: Of the regression line, predicted = slope * true + intercept.
        intercept: See `slope`.
        pixels: How many pixels count.
        notes: What is undefined, and why.
    """

    pearson: float | None
    pearson_sampled: float | None
    mae: float | None
    nrmse: float | None
    ssim: float | None
    psnr: float | None
    foreground_pearson: float | None
    slope: float | None
    intercept: float | None
    pixels: int
    notes: tuple[str, ...]


def pixel_figures(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    samples: int = 1_000_000,
    seed: int = 0,
    similarity: Similarity | None = None,
) -> PixelFigures:
    """Figures of a predicted image beside the true one (paper, Statistical calculations).

    Args:
        true: float [Y, X] in [0, 1].
        predicted: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.
        samples: How many pixels `pearson_sampled` draws.
        seed: Of that draw.
        similarity: Of the same images and mask, where it is known already: it takes longest.

    Raises:
        InputError: Sizes differ, or pixels that count are not finite.
    """
    pair = checked_pair(true, predicted, mask)
    x, y = pair.chosen
    drawn = _drawn(x.size, samples, seed)
    line = regression_line(x, y)
    ssim = _similarity(pair, similarity)
    psnr = _peak_over_noise(x, y)
    foreground = _foreground_correlation(x, y)
    notes = constancy(x, y)
    if x.size:
        notes += tuple(each for each in (ssim, psnr, foreground) if isinstance(each, str))
    return PixelFigures(
        pearson=correlation(x, y),
        pearson_sampled=correlation(x[drawn], y[drawn]),
        mae=float(np.abs(x - y).mean()) if x.size else None,
        nrmse=None if is_constant(x) else float(normalized_root_mse(x, y, normalization="min-max")),
        ssim=_number(ssim),
        psnr=_number(psnr),
        foreground_pearson=_number(foreground),
        slope=None if line is None else line.slope,
        intercept=None if line is None else line.intercept,
        pixels=x.size,
        notes=notes,
    )


def _drawn(pixels: int, samples: int, seed: int) -> np.ndarray | slice:
    if pixels <= samples:
        return slice(None)
    return np.random.default_rng(seed).choice(pixels, samples, replace=False)


def similarity_map(pair: Pair) -> Similarity:
    """SSIM around every pixel, float64 [Y, X], and where its whole window counts, bool [Y, X]."""
    # A window that reaches beyond the mask would compare what nobody measured.
    window = np.ones((_SSIM_WINDOW, _SSIM_WINDOW), bool)
    counted = np.asarray(ndimage.binary_erosion(pair.mask, window), bool)
    if not counted.any():
        return np.zeros(pair.true.shape), counted
    true, predicted = (np.where(pair.mask, image, 0.0) for image in (pair.true, pair.predicted))
    whole_and_map: Any = structural_similarity(
        true,
        predicted,
        data_range=_FULL_SCALE,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return whole_and_map[1], counted


def foreground_of(true: np.ndarray) -> np.ndarray:
    """The pixels [N] above Otsu's threshold, bool [N]; none where they are constant."""
    return np.zeros(true.shape, bool) if is_constant(true) else true > threshold_otsu(true)


def _similarity(pair: Pair, similarity: Similarity | None) -> float | str:
    values, counted = similarity_map(pair) if similarity is None else similarity
    if not counted.any():
        return (
            f"no window of {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels counts whole: SSIM is undefined"
        )
    return float(values[counted].mean())


def _peak_over_noise(x: np.ndarray, y: np.ndarray) -> float | str:
    if not x.size:
        return "no pixel counts: PSNR is undefined"
    if np.array_equal(x, y):
        return "the images are identical: PSNR is infinite"
    return float(peak_signal_noise_ratio(x, y, data_range=_FULL_SCALE))


def _foreground_correlation(x: np.ndarray, y: np.ndarray) -> float | str:
    if is_constant(x):
        return "the true image is constant: it has no foreground"
    foreground = foreground_of(x)
    found = correlation(x[foreground], y[foreground])
    if found is None:
        return "the foreground is constant in one of the images: its correlation is undefined"
    return found


def _number(value: float | str) -> float | None:
    """The figure; None where there is a reason instead."""
    return None if isinstance(value, str) else value
