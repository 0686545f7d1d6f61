"""What each frame of a recording is worth: sharpness, exposure, and change since the one before."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from isl.imaging.sharpness import sharpness

# Gray levels of 255: a frame darker or brighter than this, or flatter, is blank.
_DARKEST, _BRIGHTEST = 8.0, 247.0
_FLATTEST = 2.0
# More pixels than this at either end of the scale were exposed badly.
_MOST_CLIPPED = 0.5
# Side of the small version that frames are compared by, and how far they may have moved.
_SIDE = 24
_MOVED = 2


def is_usable(frame: np.ndarray) -> bool:
    """Whether a frame is neither blank nor badly exposed.

    Args:
        frame: uint8 [Y, X].
    """
    share = np.bincount(frame[::2, ::2].ravel(), minlength=256)
    share = share / share.sum()
    levels = np.arange(256)
    mean = share @ levels
    deviation = np.sqrt(share @ (levels - mean) ** 2)
    if not _DARKEST <= mean <= _BRIGHTEST or deviation < _FLATTEST:
        return False
    return bool(share[0] + share[255] <= _MOST_CLIPPED)


def measure_sharpness(picture: np.ndarray) -> float:
    """How sharp an embryo is, cut out; it does not change with contrast. uint8 [Y, X]."""
    return sharpness(picture)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """How much two pictures differ once one is moved onto the other: 1 - their correlation.

    Args:
        before: uint8 [Y, X], an embryo cut out.
        after: The same, later.
    """
    one, other = (_small(picture) for picture in (before, after))
    inner = one[_MOVED:-_MOVED, _MOVED:-_MOVED]
    moved = sliding_window_view(other, inner.shape)
    inner = inner - inner.mean()
    moved = moved - moved.mean(axis=(2, 3), keepdims=True)
    products = np.einsum("abyx,yx->ab", moved, inner)
    powers = np.sqrt(np.einsum("abyx,abyx->ab", moved, moved) * (inner**2).sum())
    correlations = np.divide(products, powers, out=np.zeros_like(products), where=powers > 0)
    return float(1 - correlations.max())


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    return np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
