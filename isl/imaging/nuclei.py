"""Nuclei found in fluorescence images, measured or predicted."""

from typing import NamedTuple, cast

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects
from skimage.segmentation import watershed

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.masks import checked_mask, is_constant
from isl.imaging.regions import connected_regions

# Pixels; takes the noise of single pixels off, and blurs the edge of no nucleus.
_SMOOTHING = 1.0
# Foreground this many deviations of the background above it is more than the background's noise.
_CLEAR = 4.0
# Pixels; circles smaller than this say nothing of nuclei.
_CIRCLES_APART = 3
# Centres of two nuclei that touch are at least this part of a diameter apart.
_APART = 0.4
# How much of a centre's prominence is due to brightness, beside the outline.
_SEAMS = 0.7
# What has less than this part of a typical nucleus' area is debris or noise.
_SMALLEST = 0.1


# Parts of the names of stains that show nuclei.
_NUCLEAR = ("DAPI", "HOECHST", "H3342", "NUCLE", "DRAQ", "H2B")


def shows_nuclei(label: str) -> bool:
    """Whether a label's name says that it shows nuclei."""
    return any(word in label.upper() for word in _NUCLEAR)


def segment_nuclei(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    pixel_size: PixelSize | None = None,
    diameter: float | None = None,
) -> np.ndarray:
    """Nuclei by Otsu's threshold, those that touch separated by a watershed.

    How large nuclei are comes from the foreground's distance transform, where nobody says it.

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
    level = foreground_level(image, mask=counts)
    if level is None:
        return np.zeros(image.shape, np.int32)
    foreground = (level.smooth > level.threshold) & counts
    size = _diameter_in_pixels(diameter, pixel_size) or _typical_diameter(foreground)
    negligible = int(_SMALLEST * np.pi / 4 * size**2)
    # Larger holes are the gaps between nuclei that touch.
    foreground = remove_small_holes(foreground, max_size=negligible) & counts
    foreground = remove_small_objects(foreground, max_size=negligible)
    contrast = (level.smooth - level.background) / (level.threshold - level.background)
    return _separated(foreground, contrast, size)


def segment_at(image: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The foreground divided among centres that somebody else found.

    Args:
        image: float [Y, X] in [0, 1].
        centers: float [N, 2], rows and columns, within the image.

    Returns:
        int32 [Y, X]: n + 1 where the foreground belongs to centre n, by a watershed of the distance
        to the background. A centre outside of the foreground has no pixel.
    """
    level = foreground_level(image)
    if level is None:
        return np.zeros(image.shape, np.int32)
    foreground = level.smooth > level.threshold
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(np.rint(centers).astype(int).reshape(-1, 2).T)] = np.arange(1, len(centers) + 1)
    reached = np.isin(connected := connected_regions(foreground), connected[markers > 0])
    return watershed(-_distance(foreground), markers, mask=foreground & reached).astype(np.int32)


class ForegroundLevel(NamedTuple):
    """What separates an image's foreground from its background.

    Attributes:
        smooth: The image without the noise of single pixels, float64 [Y, X].
        background: Its usual intensity where there is nothing.
        threshold: Foreground lies above it.
    """

    smooth: np.ndarray
    background: float
    threshold: float


def foreground_level(
    image: np.ndarray, *, mask: np.ndarray | None = None
) -> ForegroundLevel | None:
    """Otsu's threshold of an image; None where nothing stands out of its background's noise.

    Args:
        image: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts; None: every pixel.

    Raises:
        InputError: The mask's size differs.
    """
    counts = checked_mask(image, mask)
    smooth = smoothed(image, counts)
    pixels = smooth[counts]
    if is_constant(pixels):
        return None
    threshold = float(threshold_otsu(pixels))
    background = pixels[pixels <= threshold]
    center = float(np.median(background))
    noise = 1.4826 * float(np.median(np.abs(background - center)))
    # Else the threshold has separated the upper half of noise from the lower.
    if threshold - center <= _CLEAR * noise:
        return None
    return ForegroundLevel(smooth=smooth, background=center, threshold=threshold)


def smoothed(image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The image without the noise of single pixels; pixels that do not count have no part in it."""
    weights = ndimage.gaussian_filter(counts.astype(np.float64), _SMOOTHING)
    sums = ndimage.gaussian_filter(np.where(counts, image, 0.0).astype(np.float64), _SMOOTHING)
    return np.divide(sums, weights, out=np.zeros_like(sums), where=counts)


def _diameter_in_pixels(diameter: float | None, pixel_size: PixelSize | None) -> float | None:
    if diameter is None:
        return None
    if pixel_size is None:
        raise InputError(
            f"a nucleus' diameter of {diameter:g} um needs a pixel size; give it, or leave the "
            "diameter out"
        )
    return diameter / pixel_size.side


def _distance(foreground: np.ndarray) -> np.ndarray:
    """Pixels to the next background, float64 [Y, X]; what lies outside the image is none."""
    return cast(np.ndarray, ndimage.distance_transform_edt(foreground))


def _typical_diameter(foreground: np.ndarray) -> float:
    """Twice the median radius of the largest circles that fit here and there.

    Nuclei that touch leave necks between them, so each still has a circle of its own.
    """
    distance = _distance(foreground)
    summits = peak_local_max(
        ndimage.gaussian_filter(distance, _SMOOTHING),
        min_distance=_CIRCLES_APART,
        labels=foreground.astype(np.int32),
        exclude_border=False,
    )
    radii = distance[tuple(summits.T)]
    return 2.0 * float(np.median(radii[radii >= min(_CIRCLES_APART, radii.max())]))


def _separated(foreground: np.ndarray, contrast: np.ndarray, diameter: float) -> np.ndarray:
    """Nuclei that touch, separated: int32 [Y, X]; contrast 0 is background, 1 the threshold.

    Summits of the Laplacian of Gaussian whose width fits the diameter are centres of nuclei: it
    sees both the necks of the outline and, inside clumps, the dark seams. Of the logarithm, so a
    bright nucleus does not hide a dim neighbour.
    """
    blobs = np.where(foreground, 1.0 + _SEAMS * np.log(np.maximum(contrast, 1.0)), 0.0)
    landscape = ndimage.gaussian_laplace(blobs, diameter / (2 * np.sqrt(2)))
    components = connected_regions(foreground)
    summits = peak_local_max(
        -landscape,
        min_distance=max(1, round(_APART * diameter)),
        labels=components,
        exclude_border=False,
    )
    markers = np.zeros(foreground.shape, np.int32)
    markers[tuple(summits.T)] = np.arange(1, len(summits) + 1)
    return watershed(landscape, markers, mask=foreground).astype(np.int32)
