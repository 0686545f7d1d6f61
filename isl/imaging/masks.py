"""Where pixels of an image count, and whether they say anything."""

import numpy as np

from isl.errors import InputError

# What float32 intensities in [0, 1] differ by when they are meant to be the same.
_ROUNDING = 1e-9


def checked_mask(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The mask, bool [Y, X]; True everywhere where there is none.

    Raises:
        InputError: Its size is not the image's.
    """
    if mask is None:
        return np.ones(image.shape, bool)
    if mask.shape != image.shape:
        raise InputError(
            f"the image is {size_text(image)} pixels, its mask {size_text(mask)}; give a mask of "
            "the image's size"
        )
    return mask.astype(bool)


def size_text(image: np.ndarray) -> str:
    """Size of an image in words, e.g. "1024 x 768"."""
    return " x ".join(map(str, image.shape))


def is_constant(pixels: np.ndarray) -> bool:
    """Whether intensities in [0, 1] differ by no more than rounding, or there are none."""
    return pixels.size == 0 or float(np.ptp(pixels)) < _ROUNDING
