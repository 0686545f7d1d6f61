"""Stage 9, of one image: how much of it shows something, is saturated, or is unevenly lit."""

import math

import numpy as np

from isl.imaging.sharpness import Noise, blocks, estimate_noise, smoothed

# Pixels: detail between these two scales is content, where it exceeds so many deviations of noise.
CONTENT_SCALES = (1.5, 8.0)
CONTENT_DEVIATIONS = 6.0
# What float32 cannot distinguish from nothing, relative to the brightest pixel.
_ROUNDING = 1e-6
# The illumination left over is what a blur over this share of the height leaves.
UNEVEN_DIVISOR = 8


def content(
    image: np.ndarray,
    covered: np.ndarray | None = None,
    noise: Noise | None = None,
    *,
    imprint: float = 0.0,
) -> float:
    """Share of pixels that show more than noise.

    Noise is measured at the image's own scale and at half of it, so that noise which blending or
    resampling has made smoother than the camera's is not taken for cells. What a median filter
    leaves is smoother still, and has to be given as `noise`. Large images are measured block
    by block.

    Args:
        image: Integers or floats [Y, X], in any unit.
        covered: bool [Y, X], where the image shows something; None: everywhere.
        noise: Of the image, had its slow part been white; None: measured.
        imprint: Deviation, in the image's unit and between `CONTENT_SCALES`, of what corrections
            left in it of other images' cells; no more content than noise is.
    """
    pixels = shown = 0
    for block, mask in blocks(image, covered):
        pixels += block.size if mask is None else int(mask.sum())
        shown += _shown(block, mask, noise, imprint)
    return shown / pixels if pixels else 0.0


def _shown(
    image: np.ndarray, covered: np.ndarray | None, noise: Noise | None, imprint: float
) -> int:
    """Pixels of a block that show more than noise."""
    seen = image if covered is None else image[covered]
    brightest = float(np.abs(seen).max())
    image = image - seen.mean(dtype=np.float64).astype(np.float32)
    if covered is not None:
        image = np.where(covered, image, np.float32(0))
    narrow, wide = (smoothed(image, scale, covered) for scale in CONTENT_SCALES)
    if noise is None:
        own, halved = estimate_noise(image, covered), _halved_noise(image, covered)
        noise = Noise(deviation=max(own.deviation, 2 * halved.deviation))
    threshold = CONTENT_DEVIATIONS * math.hypot(noise.after(*CONTENT_SCALES), imprint)
    shown = np.abs(narrow - wide) > max(threshold, _ROUNDING * brightest)
    return int(np.count_nonzero(shown if covered is None else shown[covered]))


def saturated(image: np.ndarray, limit: float | None = None) -> float:
    """Share of pixels at the camera's limit.

    Args:
        image: Integers or floats, any shape, raw.
        limit: Counts of a full pixel, e.g. 4095 for a camera of 12 bits; None: the largest value
            of the integer type; floats have none, and are never saturated.
    """
    if limit is None:
        if image.dtype.kind not in "ui":
            return 0.0
        limit = float(np.iinfo(image.dtype).max)
    return float(np.count_nonzero(image >= limit) / max(image.size, 1))


def uneven(image: np.ndarray, covered: np.ndarray | None = None) -> float:
    """Illumination left over: relative deviation of the strongly blurred image.

    Args:
        image: Integers or floats [Y, X], without the camera's offset.
        covered: bool [Y, X], where the image shows something; None: everywhere.

    Returns:
        0 for an image without light.
    """
    # Averaged over blocks first: the blur is far wider than they are.
    block = max(1, min(image.shape) // 64)
    means, weights = _binned(image.astype(np.float32), covered, block)
    known = weights > 0
    if not known.any():
        return 0.0
    blurred = smoothed(means, min(means.shape) / UNEVEN_DIVISOR, known)[known]
    mean = float(blurred.mean(dtype=np.float64))
    return float(blurred.std(dtype=np.float64)) / mean if mean > 0 else 0.0


def _halved_noise(image: np.ndarray, covered: np.ndarray | None) -> Noise:
    """White noise of the image at half its size."""
    means, weights = _binned(image, covered, 2)
    return estimate_noise(means, weights == 1) if means.size else Noise(deviation=0.0)


def _binned(
    image: np.ndarray, covered: np.ndarray | None, factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means over squares of `factor` pixels a side, and the covered share of each."""
    rows, columns = (length // factor for length in image.shape)
    shape = (rows, factor, columns, factor)
    cut = np.s_[: rows * factor, : columns * factor]
    if covered is None:
        return image[cut].reshape(shape).mean(axis=(1, 3)), np.ones((rows, columns), np.float32)
    weights = covered[cut].reshape(shape).mean(axis=(1, 3), dtype=np.float32)
    total = np.where(covered, image, np.float32(0))[cut].reshape(shape).mean(axis=(1, 3))
    return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0), weights
