"""Stage 2: gray disks of scattered light, at the same place in every fluorescence image."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Literal

import numpy as np
import scipy.ndimage
from skimage.filters import threshold_triangle
from skimage.morphology import dilation, disk, opening
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import downscale_local_mean

from isl.errors import InputError
from isl.preprocess.stages.flat_field import smooth

DISK_DIAMETER = 50.0
"""Of one gray disk, micrometres (Christiansen et al. 2018)."""
# Disks are looked for in blocks of pixels, as many to a disk's diameter at least: finding a disk
# takes no more, noise is averaged, and smoothing is quick.
_BLOCKS = 16
# Robust standard deviations of the background that a disk must rise by, in its core and besides.
_CORE, _RIM = 3.0, 1.5
_ROUNDS = 8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdditiveDust:
    """What dust adds to every image of a set.

    Attributes:
        artifact: float32 [Y, X], in counts; 0 outside the mask, and everywhere where none is found.
        mask: bool [Y, X], where dust lies, soft edges included.
        background: float32 [Y, X], the mean image as it would be without dust, in counts above
            the sensor's offset.
        sensor_offset: What the camera counts in the dark, given or estimated.
        images: How many the estimate was made from.
        noise: Standard error of the mean image, counts, median over pixels: how well `artifact` is
            known in one pixel.
        note: Why there is no artifact; None where there is one.
    """

    artifact: np.ndarray
    mask: np.ndarray
    background: np.ndarray
    sensor_offset: float
    images: int
    noise: float
    note: str | None = None


def estimate_additive_dust(
    images: Iterable[np.ndarray],
    *,
    disk_diameter: float,
    sensor_offset: float | None = None,
    most_share: float = 0.1,
    background_sigma: float | None = None,
    fill: Literal["nearby", "mean"] = "nearby",
    everywhere: bool = False,
    least: int = 3,
    source: object = "additive dust",
) -> AdditiveDust:
    """Shape and intensity of an additive artifact that all images of a set have.

    As Christiansen et al. 2018 (Dust artifact removal from fluorescence images): mean and minimum
    projections, the sensor's offset off the mean, edge-preserving smoothing and a threshold give a
    mask; masked pixels are filled from the others; a blur gives the background; the artifact is
    the mean less the background. The paper leaves open how, and this is what is done here:

    - Both projections are smoothed by total variation, and a pixel is dust only where both rise
      above their surroundings: cells that chance left in the mean are not in the minimum.
    - The threshold is that of the triangle method, which is for small peaks beside a large one,
      and no less than three robust deviations of the background; what is joined to that need only
      rise by half as much. Specks thinner than a quarter of a disk are no disks.
    - The artifact is 0 outside the mask (grown by an eighth of a disk, for soft edges), so that no
      chance structure of the mean is taken off every image.

    Args:
        images: Integers or floats [Y, X] of one size, in counts; gone through once, two images'
            worth of sums are kept.
        disk_diameter: Of one gray disk, pixels: about `DISK_DIAMETER` / pixel size.
        sensor_offset: What the camera counts in the dark. None: the lowest value of the minimum
            projection after a 5 x 5 median filter. That is too high where no image has a dark
            spot, and too low by the noise's lower tail; it moves the background alone, for the
            artifact is a difference.
        most_share: Of the pixels, soft edges aside; what covers more is no dust.
        background_sigma: Standard deviation of the blur, pixels; None: half a disk's diameter.
        fill: "mean": masked pixels take the mean of all others, as in the paper. "nearby": they
            take the blurred mean of those around them, and a surface of low order is fitted
            besides; vignetting, which is corrected only later, would otherwise end up in the
            artifact.
        everywhere: Whether the artifact is mean less background at every pixel, as the paper's
            words may be read, and not in the mask alone; where no dust is found it is 0 all the
            same.
        least: Fewer images than this are refused.
        source: The set, named in messages.

    Raises:
        InputError: Too few images, sizes that differ, or pixels that are NaN or infinite.
    """
    if not disk_diameter > 0 or fill not in ("nearby", "mean"):
        raise InputError(
            f"{source}: disk_diameter = {disk_diameter:g} pixels, fill = '{fill}'; the diameter "
            "is above 0, the fill 'nearby' or 'mean'"
        )
    mean, minimum, noise, count = _project(images, least, source)
    if sensor_offset is None:
        sensor_offset = float(scipy.ndimage.median_filter(minimum, 5, mode="nearest").min())
    mean -= sensor_offset
    block = max(1, min(int(disk_diameter / _BLOCKS), *mean.shape))
    found = _find(mean, minimum, block, disk_diameter / block)
    share = float(found.mean())
    note = None
    if not found.any():
        note = f"no disks found that rise from the background of {count} images"
    elif share > most_share:
        note = (
            f"what rises from the background covers {share:.1%} of the pixels, more than "
            f"{most_share:.1%}: no dust"
        )
    if note:
        found = np.zeros_like(found)
    mask = _whole(dilation(found, disk(_edge(disk_diameter / block))), block, mean.shape)
    sigma = disk_diameter / 2 if background_sigma is None else background_sigma
    background = _background(mean, mask, sigma, fill)
    return AdditiveDust(
        artifact=np.where(mask | (everywhere and note is None), mean - background, 0).astype("f4"),
        mask=mask,
        background=background.astype(np.float32),
        sensor_offset=sensor_offset,
        images=count,
        noise=noise,
        note=note,
    )


def subtract(
    image: np.ndarray, dust: AdditiveDust, *, source: object = "additive dust"
) -> np.ndarray:
    """An image without the artifact.

    Args:
        image: Integers or floats [Y, X], in counts; left as it is.
        dust: Of the image's set.
        source: The file, named in messages.

    Returns:
        float32 [Y, X], in counts, sensor offset included, never below 0.

    Raises:
        InputError: Sizes differ.
    """
    if image.shape != dust.artifact.shape:
        raise InputError(
            f"{source}: the image has shape {image.shape}, the artifact {dust.artifact.shape}; "
            "estimate it from images of the same size"
        )
    cleaned = image.astype(np.float32) - dust.artifact
    return np.maximum(cleaned, 0, out=cleaned)


def _project(
    images: Iterable[np.ndarray], least: int, source: object
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Mean and minimum (float64 [Y, X]), the mean's standard error (median), number of images."""
    stream = iter(images)
    first = next(stream, None)
    if first is None:
        raise InputError(f"{source}: no images; it takes {least} or more")
    if first.ndim != 2 or first.size == 0:
        raise InputError(f"{source}: an image is [Y, X]; image 0 has shape {first.shape}")
    mean, squares = np.zeros(first.shape), np.zeros(first.shape)
    minimum = np.full(first.shape, np.inf)
    count = 0
    for image in itertools.chain([first], stream):
        if image.shape != first.shape:
            raise InputError(
                f"{source}: image {count} has shape {image.shape}, the first {first.shape}; "
                "all must be of one size"
            )
        if not np.isfinite(image).all():
            raise InputError(
                f"{source}: image {count} holds NaN or infinite pixels; replace them first"
            )
        count += 1
        # Welford's recurrence: the sum of squared deviations from the mean so far.
        deviation = image - mean
        mean += deviation / count
        squares += deviation * (image - mean)
        np.minimum(minimum, image, out=minimum)
    if count < least:
        raise InputError(
            f"{source}: {count} images cannot tell dust from cells; it takes {least} or more, so "
            "give more images or leave the stage out"
        )
    noise = float(np.median(np.sqrt(squares / (count - 1) / count)))
    return mean, minimum, noise, count


def _find(mean: np.ndarray, minimum: np.ndarray, block: int, across: float) -> np.ndarray:
    """Where disks rise from the background, bool [Y / block, X / block].

    Args:
        mean: float64 [Y, X].
        minimum: float64 [Y, X].
        block: Pixels to a block's side.
        across: Blocks to a disk's diameter.
    """
    projections = [_denoised(_blocks(image, block)) for image in (mean, minimum)]
    mask = np.zeros(projections[0].shape, bool)
    for _ in range(_ROUNDS):
        # Dust raises its own surroundings, until it is masked: so round by round.
        rises = [image - smooth(image, across, keep=~mask) for image in projections]
        rise = np.minimum(*rises)
        core, rim = (
            opening(rise > least, disk(_edge(across))) for least in _thresholds(rise, mask)
        )
        found = np.asarray(scipy.ndimage.binary_propagation(core, mask=rim), bool)
        if (found == mask).all() or found.all():
            break
        mask = found
    return mask


def _edge(across: float) -> int:
    """An eighth of a disk, in blocks: a soft edge's width, half that of the thinnest disk."""
    return max(1, round(across / 8))


def _whole(mask: np.ndarray, block: int, shape: tuple[int, ...]) -> np.ndarray:
    """A mask of blocks as one of pixels, bool [Y, X]."""
    return np.repeat(np.repeat(mask, block, axis=0), block, axis=1)[: shape[0], : shape[1]]


def _blocks(image: np.ndarray, block: int) -> np.ndarray:
    """Means of blocks, those at the far borders filled up with the border's pixels."""
    missing = [(0, -length % block) for length in image.shape]
    return downscale_local_mean(np.pad(image, missing, mode="edge"), (block, block))


def _denoised(image: np.ndarray) -> np.ndarray:
    """Edge-preserving smoothing, as strong as the noise asks for."""
    steps = np.diff(image, axis=1) if image.shape[1] > 1 else np.zeros(1)
    noise = _spread(steps) / np.sqrt(2)
    return denoise_tv_chambolle(image, weight=2 * noise) if noise > 0 else image


def _thresholds(rise: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """How much a disk's core and the rest of it rise; the scatter is that outside the mask."""
    if rise.min() == rise.max():
        return np.inf, np.inf
    triangle, spread = float(threshold_triangle(rise)), _spread(rise[~mask])
    return max(triangle, _CORE * spread), max(triangle, _RIM * spread)


def _spread(values: np.ndarray) -> float:
    """Standard deviation of the middle of a distribution, whatever its tails."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _background(
    mean: np.ndarray, mask: np.ndarray, sigma: float, fill: Literal["nearby", "mean"]
) -> np.ndarray:
    """The mean image without what is masked, blurred: float64 [Y, X]."""
    if fill == "mean":
        return smooth(np.where(mask, mean[~mask].mean(), mean), sigma, degree=None)
    return smooth(mean, sigma, keep=~mask)
