"""Pictures stored in color: the gray of those that are gray, and the brightness of the others."""

from pathlib import Path

import numpy as np

from isl.errors import InputError

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""


def brightness_of(stored: np.ndarray) -> np.ndarray:
    """The brightness of pixels in color, whatever their opacity.

    Args:
        stored: Integers or floats [..., Y, X, 3 or 4]: red, green, blue and perhaps opacity.

    Returns:
        [..., Y, X], of the stored type; integers are rounded.
    """
    brightness = stored[..., :3] @ np.array(LUMA)
    whole = stored.dtype.kind != "f"
    return np.ascontiguousarray(np.rint(brightness) if whole else brightness, stored.dtype)


def gray_of(stored: np.ndarray, path: Path, *, or_else: str = "") -> np.ndarray:
    """The one channel of pixels whose red, green and blue are the same everywhere.

    Args:
        stored: Integers or floats [..., Y, X, 1 to 4]: gray or red, green and blue; behind it
            opacity where there are 2 or 4.
        path: The file, for the message.
        or_else: What else may be done where they are not, such as "give `axes`, or ".

    Returns:
        [..., Y, X], of the stored type.

    Raises:
        InputError: Somewhere colors differ, or a pixel is not opaque.
    """
    samples = stored.shape[-1]
    if samples in (2, 4) and (stored[..., -1] != _most(stored.dtype)).any():
        raise InputError(
            f"{path}: is a color image with pixels that are not opaque; save it as grayscale"
        )
    gray = stored[..., 0]
    if samples > 2 and any((stored[..., other] != gray).any() for other in (1, 2)):
        raise InputError(
            f"{path}: is a color image, whose red, green and blue differ; {or_else}save its "
            "channels as grayscale"
        )
    return np.ascontiguousarray(gray)


def _most(dtype: np.dtype) -> float:
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
