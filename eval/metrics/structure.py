"""Whether a picture could be an image: how long and connected its lines are, how rough its texture.

Figures of single pixels reward blur, which breaks thin lines and smooths texture away. These
compare a picture with the measured one without asking that anything lie in the same place.
"""

import dataclasses
import itertools

import numpy as np
import scipy.ndimage
from skimage.filters import sato, threshold_otsu
from skimage.measure import label
from skimage.morphology import skeletonize

# Widths of lines, as the standard deviation of a ridge across, pixels.
RIDGES = (1.5, 2.5)
# Before ridges are looked for, pixels: below what a microscope resolves.
_SMOOTH = 1.0
_LEAST_PIXELS = 30
_BANDS = 8
_LONGEST = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Structure:
    """How a picture's lines and texture differ from the measured one's.

    Attributes:
        length: Pixels of its lines' skeleton.
        connectedness: Pixels of the part of it that a pixel of line belongs to, on average.
        parts: How many there are.
        roughness: Its power over the measured picture's in `_BANDS` bands of frequency, log10, mean
            of absolute differences; 0: the same texture at every scale.
    """

    length: int
    connectedness: float
    parts: int
    roughness: float


def line_threshold(measured: np.ndarray, counted: np.ndarray) -> float:
    """What a ridge's strength must exceed to be a line: Otsu's, in the measured picture.

    Args:
        measured: float [Y, X].
        counted: bool [Y, X], what was measured.
    """
    return float(threshold_otsu(_ridges(np.where(counted, measured, 0))[counted]))


def structure_of(
    picture: np.ndarray, measured: np.ndarray, counted: np.ndarray, threshold: float
) -> Structure:
    """Figures of a picture beside the measured one.

    Args:
        picture: float [Y, X]; the measured picture itself gives what the others aim at.
        measured: float [Y, X].
        counted: bool [Y, X].
        threshold: Of `line_threshold`.
    """
    shown = np.where(counted, picture, 0)
    lines = _ridges(shown) > threshold
    numbered = np.asarray(label(lines, connectivity=2))
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    skeleton = skeletonize((sizes >= _LEAST_PIXELS)[numbered])
    parts = np.bincount(np.asarray(label(skeleton, connectivity=2)).ravel())[1:]
    length = int(parts.sum())
    powers = [_powers(np.where(counted, each, 0), counted) for each in (picture, measured)]
    return Structure(
        length=length,
        connectedness=float(np.square(parts).sum() / length) if length else 0.0,
        parts=len(parts),
        roughness=float(np.abs(powers[0] - powers[1]).mean()),
    )


def _ridges(picture: np.ndarray) -> np.ndarray:
    smooth = scipy.ndimage.gaussian_filter(picture, _SMOOTH)
    # Any iterable is taken; the annotation names that of the default.
    return sato(smooth, sigmas=RIDGES, black_ridges=False)  # pyright: ignore[reportArgumentType]


def _powers(picture: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """log10 of the mean power in each band, of what deviates from the mean, float64 [_BANDS]."""
    window = np.outer(*(np.hanning(length) for length in picture.shape))
    deviation = np.where(counted, picture - picture[counted].mean(), 0) * window
    power = np.abs(np.fft.fft2(deviation)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in picture.shape), indexing="ij"))
    edges = np.geomspace(1 / _LONGEST, 0.5, _BANDS + 1)
    inside = [(frequency >= low) & (frequency < high) for low, high in itertools.pairwise(edges)]
    tiny = np.finfo(float).tiny
    return np.log10(np.array([power[band].mean() if band.any() else 0 for band in inside]) + tiny)
