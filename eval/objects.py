"""Nuclei found in fluorescence images, measured or predicted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, cast

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_objects
from skimage.segmentation import relabel_sequential, watershed

from isl.errors import InputError
from isl.imaging.image import PixelSize

from .image_pair import checked_mask, is_constant

# Pixels; takes the noise of single pixels off, and blurs the edge of no nucleus.
_SMOOTHING = 1.0
# Foreground this many deviations of the background above it is more than the background's noise.
_CLEAR = 4.0
# Centres of two nuclei that touch are at least this part of a diameter apart.
_APART = 0.5
# What has less than this part of a typical nucleus' area is debris or noise.
_SMALLEST = 0.1


class Segmenter(Protocol):
    """Finds objects in one fluorescence image."""

    def __call__(
        self,
        image: np.ndarray,
        *,
        mask: np.ndarray | None = None,
        pixel_size: PixelSize | None = None,
    ) -> np.ndarray:
        """Labels the objects.

        Args:
            image: float [Y, X] in [0, 1].
            mask: bool [Y, X], True where a pixel counts; None: every pixel.
            pixel_size: Micrometres; None where nothing says.

        Returns:
            int [Y, X]: 0 background, 1 to N the objects.
        """
        ...


def segment_nuclei(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    pixel_size: PixelSize | None = None,
    diameter: float | None = None,
) -> np.ndarray:
    """Nuclei by Otsu's threshold, those that touch parted by a watershed of their distances.

    The threshold is the image's own, so a prediction that is dimmer or smoother than what was
    measured is not held against it.

    Args:
        image: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.
        pixel_size: Micrometres, needed for `diameter` only.
        diameter: Of a typical nucleus, micrometres; None: estimated from the image.

    Returns:
        int32 [Y, X]: 0 background, 1 to N the nuclei; all 0 where nothing stands out.

    Raises:
        InputError: The mask's size differs, or a diameter came without a pixel size.
    """
    counts = checked_mask(image, mask)
    smooth = _smoothed(image, counts)
    pixels = smooth[counts]
    nothing = np.zeros(image.shape, np.int32)
    if is_constant(pixels):
        return nothing
    threshold = threshold_otsu(pixels)
    if not _stands_out(pixels, threshold):
        return nothing
    foreground = ndimage.binary_fill_holes((smooth > threshold) & counts) & counts
    distance = _distance(foreground)
    size = _diameter_in_pixels(diameter, pixel_size) or _typical_diameter(distance)
    foreground = remove_small_objects(foreground, max_size=int(_SMALLEST * np.pi / 4 * size**2))
    return _parted(foreground, size)


SEGMENTERS: Mapping[str, Segmenter] = MappingProxyType({"nuclei": segment_nuclei})
"""Segmenters by the name a configuration gives."""


def _smoothed(image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The image without the noise of single pixels; pixels that do not count have no part in it."""
    weights = ndimage.gaussian_filter(counts.astype(np.float64), _SMOOTHING)
    sums = ndimage.gaussian_filter(np.where(counts, image, 0.0).astype(np.float64), _SMOOTHING)
    return np.divide(sums, weights, out=np.zeros_like(sums), where=counts)


def _stands_out(pixels: np.ndarray, threshold: float) -> bool:
    """Whether what lies above the threshold is more than the upper half of noise."""
    background = pixels[pixels <= threshold]
    center = np.median(background)
    deviation = 1.4826 * np.median(np.abs(background - center))
    return bool(threshold - center > _CLEAR * deviation)


def _diameter_in_pixels(diameter: float | None, pixel_size: PixelSize | None) -> float | None:
    if diameter is None:
        return None
    if pixel_size is None:
        raise InputError(
            f"a nucleus' diameter of {diameter:g} um needs a pixel size; give it, or leave the "
            "diameter out"
        )
    return diameter / float(np.sqrt(pixel_size.y * pixel_size.x))


def _distance(foreground: np.ndarray) -> np.ndarray:
    """Pixels to the next background, float64 [Y, X]; what lies outside the image is none."""
    return cast(np.ndarray, ndimage.distance_transform_edt(foreground))


def _typical_diameter(distance: np.ndarray) -> float:
    """Twice the radius that fits into most of the foreground's components, by area.

    Nuclei that touch are as wide as one of them, wherever they hang together by a neck.
    """
    components, count = cast(tuple[np.ndarray, int], ndimage.label(distance > 0))
    index = np.arange(1, count + 1)
    radii = ndimage.maximum(distance, components, index)
    areas = ndimage.sum_labels(distance > 0, components, index)
    order = np.argsort(radii)
    summed = np.cumsum(areas[order])
    return 2.0 * float(radii[order][np.searchsorted(summed, summed[-1] / 2)])


def _parted(foreground: np.ndarray, diameter: float) -> np.ndarray:
    distance = _distance(foreground)
    # The ridge of an elongated nucleus has many little summits; blurred it has one.
    landscape = ndimage.gaussian_filter(distance, max(_SMOOTHING, diameter / 10))
    components, _ = cast(tuple[np.ndarray, int], ndimage.label(foreground))
    summits = peak_local_max(
        landscape,
        min_distance=max(1, round(_APART * diameter)),
        labels=components,
        exclude_border=False,
    )
    markers = np.zeros(foreground.shape, np.int32)
    markers[tuple(summits.T)] = np.arange(1, len(summits) + 1)
    labels = watershed(-landscape, markers, mask=foreground)
    return relabel_sequential(labels)[0].astype(np.int32)
