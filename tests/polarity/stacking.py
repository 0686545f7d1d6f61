"""Focus stacking by local contrast, which the wavelet fusion is compared with.

Both take every pixel from the plane that looks sharpest around it: by the variance of its
neighborhood, or by the strength of its Laplacian (Pertuz, Puig and Garcia, Pattern Recognit. 46,
1415, 2013, compare these and others).
"""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from isl.polarity.focus import AllInFocus


def stack_by_variance(planes: np.ndarray, *, width: int = 9) -> AllInFocus:
    """Takes each pixel from the plane of largest variance around it.

    Args:
        planes: uint8, uint16 or float32 [Z, Y, X].
        width: Of the square in which the variance is taken, pixels.
    """
    return _sharpest(planes, (_variance(plane, width) for plane in planes))


def stack_by_laplacian(planes: np.ndarray, *, scale: float = 1.0, width: float = 2.0) -> AllInFocus:
    """Takes each pixel from the plane of strongest Laplacian around it.

    Args:
        planes: uint8, uint16 or float32 [Z, Y, X].
        scale: Standard deviation of the Gaussian whose Laplacian it is, pixels.
        width: Standard deviation of the Gaussian by which its square is averaged, pixels.
    """
    return _sharpest(
        planes,
        (
            ndimage.gaussian_filter(
                ndimage.gaussian_laplace(plane.astype(np.float64), scale) ** 2, width
            )
            for plane in planes
        ),
    )


def _variance(plane: np.ndarray, width: int) -> np.ndarray:
    centered = plane - plane.mean(dtype=np.float64)
    mean = ndimage.uniform_filter(centered, width)
    return ndimage.uniform_filter(centered**2, width) - mean**2


def _sharpest(planes: np.ndarray, sharpness: Iterable[np.ndarray]) -> AllInFocus:
    """Of planes [Z, Y, X], each pixel where its sharpness [Y, X] is largest."""
    depth = np.zeros(planes.shape[1:], np.intp)
    best = np.full(planes.shape[1:], -np.inf)
    for index, plane_sharpness in enumerate(sharpness):
        better = plane_sharpness > best
        depth[better] = index
        best[better] = plane_sharpness[better]
    image = np.take_along_axis(planes, depth[None], axis=0)[0]
    return AllInFocus(image=image.astype(np.float32), depth=depth.astype(np.float32))
