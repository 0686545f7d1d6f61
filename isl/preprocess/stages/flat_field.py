"""Stages 4 and 5: what every image of a set is divided by, uneven illumination and dust.

Illumination is slow over the image; dust that takes a share of transmitted light is sharp. Both are
the same in every image, and the sensor's offset, which is no light, must be gone first.
"""

from types import MappingProxyType

import numpy as np
import scipy.ndimage
from numpy.polynomial import legendre

from isl.errors import InputError

DIVISORS = MappingProxyType({"fluorescence": 16.0, "transmitted": 32.0})
"""Image height over the blur's standard deviation (Christiansen et al. 2018)."""
DEGREE = 3
"""Of the surface that is taken off before the blur."""
LEAST = 0.05
"""Of a field's mean: where it is darker there is no light to correct with."""


def estimate_flat_field(
    median: np.ndarray,
    *,
    divisor: float,
    sensor_offset: float = 0.0,
    degree: int | None = DEGREE,
    source: object = "flat field",
) -> np.ndarray:
    """The illumination of a set of images, of mean 1 (Christiansen et al. 2018, Flat field).

    A Gaussian blur of the pixelwise median, as in the paper. Near a border a blur has pixels on
    one side alone, so that a slope biases it: with the image mirrored there, 30 % of vignetting
    comes out 4 to 8 % too bright in the corners. A surface of low order is therefore taken off
    before the blur and put back after it; the blur then sees only what the surface leaves, and the
    corners are as good as the rest. It also undoes the blur's bias where the field is curved.

    Args:
        median: Integers or floats [Y, X], in counts: `medians.pixelwise_median` of the set.
        divisor: The blur's standard deviation is the height divided by this: see `DIVISORS`.
        sensor_offset: What the camera counts in the dark; no light, taken off first.
        degree: Of the surface in y and in x; None: the plain blur of the paper.
        source: The set, named in messages.

    Returns:
        float32 [Y, X], of mean 1.

    Raises:
        InputError: The field is dark somewhere, so that nothing can be divided by it.
    """
    if median.ndim != 2 or median.size == 0 or not divisor > 0:
        raise InputError(
            f"{source}: a median of shape {median.shape} and a divisor of {divisor:g}; "
            "it takes an image [Y, X] and a divisor above 0"
        )
    light = median.astype(np.float64) - sensor_offset
    field = smooth(light, median.shape[0] / divisor, degree=degree)
    return as_divisor(field, source)


def estimate_dust(median: np.ndarray, *, source: object = "dust field") -> np.ndarray:
    """What share of the light passes, of mean 1 (Christiansen et al. 2018, Dust artifact removal).

    Not blurred: dust is as sharp as the median of many images shows it, whose noise goes into
    every corrected image. The sensor's offset must be gone from the images before (stage 4).

    Args:
        median: Integers or floats [Y, X], in counts: `medians.pixelwise_median` of the set.
        source: The set, named in messages.

    Returns:
        float32 [Y, X], of mean 1.

    Raises:
        InputError: The field is dark somewhere, so that nothing can be divided by it.
    """
    if median.ndim != 2 or median.size == 0:
        raise InputError(f"{source}: a median is [Y, X]; this has shape {median.shape}")
    return as_divisor(median.astype(np.float64), source)


def correct_flat_field(
    image: np.ndarray,
    flat: np.ndarray,
    *,
    sensor_offset: float = 0.0,
    most: float | None = None,
    source: object = "flat field",
) -> np.ndarray:
    """An image as even light, or light without dust, would have given it: divided and clipped.

    Args:
        image: Integers or floats [Y, X], in counts; left as it is.
        flat: float [Y, X], of mean 1: a flat field, or dust.
        sensor_offset: What the camera counts in the dark; the result has none.
        most: Values above are clipped to it; None: nothing is clipped at the top.
        source: Where the field comes from, named in messages.

    Returns:
        float32 [Y, X], in counts above the offset, never below 0.

    Raises:
        InputError: Sizes differ, or the field is dark somewhere.
    """
    if image.shape != flat.shape:
        raise InputError(
            f"{source}: the image has shape {image.shape}, the field {flat.shape}; "
            "estimate the field from images of the same size"
        )
    check_divisor(flat, source)
    corrected = image.astype(np.float32) - np.float32(sensor_offset)
    corrected /= flat.astype(np.float32, copy=False)
    return np.clip(corrected, 0, most, out=corrected)


def as_divisor(field: np.ndarray, source: object) -> np.ndarray:
    """A field to divide by: float32 of mean 1, from floats [Y, X] in counts."""
    mean = float(field.mean())
    if not mean > 0:
        raise InputError(
            f"{source}: its mean is {mean:g}, so there is no light in it; check the sensor offset "
            "and the images"
        )
    relative = (field / mean).astype(np.float32)
    check_divisor(relative, source)
    return relative


def check_divisor(field: np.ndarray, source: object) -> None:
    """Refuses a field (float [Y, X], of mean 1) that is dark or not finite anywhere."""
    lowest = float(field.min())
    if not lowest >= LEAST or not np.isfinite(field).all():
        y, x = np.unravel_index(int(np.argmin(field)), field.shape)
        raise InputError(
            f"{source}: at y = {y}, x = {x} it is {lowest:.3g} of its mean (below {LEAST:g}), too "
            "dark to divide by; check the sensor offset, give more images or leave the stage out"
        )


def smooth(
    image: np.ndarray,
    sigma: float,
    *,
    keep: np.ndarray | None = None,
    degree: int | None = 3,
) -> np.ndarray:
    """A Gaussian blur that neither slopes at the border nor masked pixels bias.

    Args:
        image: float [Y, X].
        sigma: The blur's standard deviation, pixels.
        keep: bool [Y, X]; where it is False, only what is around a pixel counts.
        degree: In y and in x, of the surface that is taken off before the blur and put back after
            it; None: no surface.

    Returns:
        float64 [Y, X].
    """
    kept = np.ones(image.shape, bool) if keep is None else keep
    surface = np.zeros(image.shape) if degree is None else fit_surface(image, kept, degree)
    remainder = np.where(kept, image - surface, 0.0)
    blurred = scipy.ndimage.gaussian_filter(remainder, sigma, mode="reflect")
    if keep is not None:
        weight = scipy.ndimage.gaussian_filter(kept.astype(np.float64), sigma, mode="reflect")
        # Too far from any kept pixel nothing is known but their mean.
        far = weight < 1e-6
        mean = remainder.sum() / max(1, np.count_nonzero(kept))
        blurred = np.where(far, mean, blurred / np.where(far, 1.0, weight))
    return surface + blurred


def fit_surface(image: np.ndarray, keep: np.ndarray, degree: int) -> np.ndarray:
    """The least-squares surface through the kept pixels, a polynomial in y times one in x.

    Args:
        image: float [Y, X].
        keep: bool [Y, X].
        degree: In y and in x; less where there are too few pixels for it.

    Returns:
        float64 [Y, X].
    """
    y, x = (
        legendre.legvander(np.linspace(-1, 1, length), min(degree, length - 1))
        for length in image.shape
    )
    weights = keep.astype(np.float64)
    squares = np.einsum("ab,ai,aj,bk,bl->ikjl", weights, y, y, x, x, optimize=True)
    products = y.T @ np.where(keep, image, 0.0) @ x
    terms = products.size
    # By least squares, not by solving: few kept pixels leave terms open.
    found = np.linalg.lstsq(squares.reshape(terms, terms), products.ravel(), rcond=1e-10)[0]
    return y @ found.reshape(products.shape) @ x.T
