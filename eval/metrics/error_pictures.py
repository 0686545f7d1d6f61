"""True and predicted fluorescence, and their difference, as the paper shows them."""

import numpy as np

from isl.imaging.masks import checked_mask, is_constant

from .image_pair import checked_pair

Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))
# The paper's "Image processing in figures".
_MEAN, _DEVIATION = 0.25, 0.125
_NOISE_FLOOR = 0.2
WHITE = 0.8
"""Of a normalized image, what is shown white; an error so large has its full color."""

# Equally bright to the eye, so neither kind of error looks larger than the other.
FALSE_POSITIVE = (255, 0, 255)
"""Magenta: predicted too bright."""
FALSE_NEGATIVE = (0, 162, 162)
"""Teal: predicted too dim."""
_NOT_COUNTED = (44, 46, 50)


def normalized(
    image: np.ndarray, mask: np.ndarray | None = None, window: Window = WHOLE
) -> np.ndarray:
    """An image of mean 0.25 and deviation 0.125 over the pixels that count.

    Args:
        image: float [Y, X].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.
        window: Rows and columns that are given back, of a large image.

    Returns:
        float64 [y, x]; 0.25 everywhere where the pixels that count are constant or none.

    Raises:
        InputError: The mask's size differs.
    """
    pixels = image[checked_mask(image, mask)].astype(np.float64)
    part = image[window].astype(np.float64)
    if is_constant(pixels):
        return np.full(part.shape, _MEAN)
    return (part - pixels.mean()) / pixels.std() * _DEVIATION + _MEAN


def fluorescence_picture(
    image: np.ndarray, mask: np.ndarray | None = None, window: Window = WHOLE
) -> np.ndarray:
    """Fluorescence as the paper prints it: normalized, the noise floor black, the rest brightened.

    Args:
        image: float [Y, X].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.
        window: As in `normalized`.

    Returns:
        float64 [y, x] in [0, 1]: f(x) = max(0, min(1, (x - 0.2) / 0.6)) of the normalized image.
    """
    shown = normalized(image, mask, window)
    return np.clip((shown - _NOISE_FLOOR) / (WHITE - _NOISE_FLOOR), 0.0, 1.0)


def error_picture(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray | None = None,
    window: Window = WHOLE,
) -> np.ndarray:
    """Where a prediction is too bright (magenta) and too dim (teal); black where it is right.

    Both images are normalized each by itself and brightened, f(x) = min(1, x / 0.8), but not cut
    off at the noise floor, so errors below it show here although `fluorescence_picture` has them
    black. A prediction that errs in brightness and contrast only shows no error.

    Args:
        true: float [Y, X].
        predicted: float [Y, X].
        mask: bool [Y, X], True where a pixel counts, others are grey; None: every pixel.
        window: As in `normalized`.

    Returns:
        uint8 [y, x, 3] red, green, blue.

    Raises:
        InputError: Sizes differ, or pixels that count are not finite.
    """
    pair = checked_pair(true, predicted, mask)
    counted = pair.mask[window][..., None]
    shown = [
        # Below 0 there is no fluorescence to be wrong about.
        np.clip(np.nan_to_num(normalized(image, pair.mask, window)) / WHITE, 0.0, 1.0)
        for image in (pair.true, pair.predicted)
    ]
    error = (shown[1] - shown[0])[..., None]
    colored = np.maximum(error, 0) * FALSE_POSITIVE + np.maximum(-error, 0) * FALSE_NEGATIVE
    return np.rint(np.where(counted, colored, _NOT_COUNTED)).astype(np.uint8)
