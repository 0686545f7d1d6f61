"""Finding colonies by their texture (Witmer and Bhanu 2024, "Cell colony detection").

Blur, rank entropy, Otsu's threshold, opening, holes filled, small objects removed; all by
scikit-image and scipy.ndimage. The picture is read in tiles: what a pixel's entropy depends on lies
within `MARGIN` pixels, and everything after it needs the whole map, which is 4 bytes a pixel.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import pydantic
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.filters.rank import entropy
from skimage.morphology import disk, opening, reconstruction, remove_small_objects
from skimage.segmentation import watershed

from isl.config import Config
from isl.errors import InputError
from isl.imaging.regions import connected_regions

PAPER_PIXEL_SIZE = 0.8
"""Micrometres; what the paper's numbers of pixels are at."""
# OpenCV's width for a kernel of three taps whose width is not given; its table of ready kernels
# has 1/4, 1/2, 1/4 there, which differ by 0.011.
_BLUR = 0.8
_TAPS = 1
_TILE = 1024

Plane = Callable[[slice, slice], np.ndarray]
"""(rows, columns) to the pixels there, [y, x]."""


class DetectionConfig(Config):
    """How colonies are found; pixels are those of 0.8 um, and are scaled where a size is known.

    Attributes:
        disk: Radius of the disk within which entropy is taken, and of the opening's.
        order: paper: Otsu's threshold, then opening of what is above it; published_code: opening of
            the map of entropies, stretched to 8 bit, then Otsu's threshold.
        least_area: Objects of fewer pixels are removed.
        least_contrast: Otsu's threshold cuts any picture in two. Where the upper part's mean
            entropy lies less than so many deviations of the lower part above its mean, the picture
            holds one kind of ground only; 0 turns that off. Beyond the paper, whose wells are never
            empty.
        least_entropy: The same where the upper part's mean entropy is less than so many bits, as
            it is where smooth light passes from one grey value to the next.
        split: Touching colonies are split at constrictions: where what lies on both sides is wider
            by more than this share of the widest. 0, the paper's way, leaves them one.
        full: One kind of ground of at least so much entropy (bits) is one colony that fills the
            picture; below, the well is empty.
    """

    disk: int = pydantic.Field(default=3, ge=1)
    order: Literal["paper", "published_code"] = "paper"
    least_area: float = pydantic.Field(default=2000, ge=0)
    least_contrast: float = pydantic.Field(default=4.0, ge=0)
    least_entropy: float = pydantic.Field(default=2.5, ge=0)
    split: float = pydantic.Field(default=0.0, ge=0, lt=1)
    full: float = pydantic.Field(default=3.6, ge=0)

    def at(self, pixel_size: float | None) -> "DetectionConfig":
        """The same in pixels of another size (micrometres); None: taken for the paper's."""
        if pixel_size is None:
            return self
        scale = PAPER_PIXEL_SIZE / pixel_size
        return self.model_copy(
            update={
                "disk": max(1, round(self.disk * scale)),
                "least_area": self.least_area * scale**2,
            }
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in one picture.

    Attributes:
        labels: int32 [Y, X], 0 for background, colonies from 1 in order of their first pixel.
        ground: both: colonies and background; empty: no colony; full: nothing but one colony.
        threshold: Otsu's, in bits of entropy (of 255 in the published code's order).
    """

    labels: np.ndarray
    ground: Literal["both", "empty", "full"]
    threshold: float


def margin(config: DetectionConfig) -> int:
    """How far from a pixel the entropy there looks."""
    return config.disk + _TAPS


def detect(
    plane: Plane | np.ndarray,
    shape: tuple[int, int] | None = None,
    config: DetectionConfig | None = None,
    *,
    tile: int = _TILE,
) -> Found:
    """Finds colonies in one picture.

    Args:
        plane: uint8, uint16 or float32 in [0, 1] [Y, X]; or what reads parts of one.
        shape: Y and X, where `plane` reads.
        config: How; in pixels of this picture (see `DetectionConfig.at`).
        tile: Side of the tiles it is read in, in pixels. The result is the same for any.

    Raises:
        InputError: A float is not finite or not within [0, 1].
    """
    config = config or DetectionConfig()
    if isinstance(plane, np.ndarray):
        array = plane
        shape = (array.shape[0], array.shape[1])
        read: Plane = lambda rows, columns: array[rows, columns]  # noqa: E731
    elif shape is None:
        raise ValueError("a shape is needed where a picture is read")
    else:
        read = plane
    return binarized(entropy_map(read, shape, config, tile=tile), config)


def entropy_map(
    plane: Plane, shape: tuple[int, int], config: DetectionConfig, *, tile: int = _TILE
) -> np.ndarray:
    """Entropy, in bits, of the blurred 8-bit grey values within a disk: float32 [Y, X]."""
    top = full_scale(plane, shape, tile)
    reach = margin(config)
    result = np.empty(shape, np.float32)
    footprint = disk(config.disk)
    for rows, columns in _tiles(shape, tile):
        read = tuple(
            slice(max(0, inner.start - reach), min(length, inner.stop + reach))
            for inner, length in zip((rows, columns), shape, strict=True)
        )
        grey = as_bytes(plane(*read), top)
        bits = entropy(blurred(grey), footprint)
        inside = tuple(
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip((rows, columns), read, strict=True)
        )
        result[rows, columns] = bits[inside]
    return result


def blurred(grey: np.ndarray) -> np.ndarray:
    """uint8 [Y, X] after a Gaussian of three taps, mirrored at the border as OpenCV does."""
    smooth = ndimage.gaussian_filter(
        grey.astype(np.float32), _BLUR, radius=_TAPS, mode="mirror", output=np.float32
    )
    return np.rint(smooth).astype(np.uint8)


def binarized(bits: np.ndarray, config: DetectionConfig) -> Found:
    """Colonies from a map of entropies, float32 [Y, X]."""
    footprint = disk(config.disk)
    flat = bits.min() == bits.max()
    threshold = float(bits.flat[0]) if flat else float(threshold_otsu(bits))
    ground = _ground(bits, threshold, config)
    if ground != "both":
        filled = np.full(bits.shape, ground == "full", np.int32)
        return Found(labels=filled, ground=ground, threshold=float("nan"))
    if config.order == "paper":
        above = opening(bits > threshold, footprint)
    else:
        low, high = float(bits.min()), float(bits.max())
        stretched = np.rint((bits - low) / (high - low) * 255).astype(np.uint8)
        opened = opening(stretched, footprint)
        threshold = float(threshold_otsu(opened))
        above = opened > threshold
    filled = np.asarray(ndimage.binary_fill_holes(above))
    # `max_size` itself is removed, too.
    kept = remove_small_objects(filled, max_size=max(0, int(np.ceil(config.least_area)) - 1))
    labels = connected_regions(kept)
    if config.split:
        labels = _split_at_constrictions(labels, config)
    return Found(
        labels=labels.astype(np.int32),
        ground="both" if labels.any() else "empty",
        threshold=threshold,
    )


def _ground(
    bits: np.ndarray, threshold: float, config: DetectionConfig
) -> Literal["both", "empty", "full"]:
    """Whether a picture holds colonies and background, or only one of them."""
    if bits.min() == bits.max():
        return "full" if bits.flat[0] >= config.full else "empty"
    if not config.least_contrast:
        return "both"
    above = bits > threshold
    lower, upper = bits[~above], bits[above]
    apart = float(upper.mean(dtype=np.float64) - lower.mean(dtype=np.float64))
    clear = apart >= config.least_contrast * float(lower.std(dtype=np.float64))
    if clear and float(upper.mean(dtype=np.float64)) >= config.least_entropy:
        return "both"
    return "full" if float(np.median(bits)) >= config.full else "empty"


def _split_at_constrictions(labels: np.ndarray, config: DetectionConfig) -> np.ndarray:
    """Labels int32 [Y, X] in which objects are split at constrictions, numbered anew."""
    result = np.zeros(labels.shape, np.int32)
    count = 0
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        own = np.pad(labels[box] == number, 1)
        # The border of the picture is none of the object's.
        inward = ndimage.gaussian_filter(np.asarray(ndimage.distance_transform_edt(own)), 2.0)
        lowered = reconstruction(inward - config.split * inward.max(), inward)
        high = inward - lowered >= config.split * inward.max() - 1e-9
        tops = connected_regions(own & high)
        parts = watershed(-inward, tops, mask=own) if tops.max() > 1 else own.astype(np.int32)
        sizes = np.bincount(parts.ravel())[1:]
        if (sizes < config.least_area).any():
            parts = own.astype(np.int32)
        inside = parts[1:-1, 1:-1]
        result[box][inside > 0] = count + inside[inside > 0]
        count += int(inside.max())
    return result


def full_scale(plane: Plane, shape: tuple[int, int], tile: int = _TILE) -> float:
    """What becomes 255: the highest value of the fewest bits (8, 10, 12, 14, 16) that hold all.

    A picture is not stretched to its own range, or an empty well's noise would be texture.

    Raises:
        InputError: A float is not finite or not within [0, 1].
    """
    highest = 0.0
    for rows, columns in _tiles(shape, tile):
        pixels = plane(rows, columns)
        if pixels.dtype.kind == "f":
            if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
                raise InputError(
                    "pixels are floats that are not all within 0 and 1; save the picture as "
                    "integers, or divide it by its full scale"
                )
            continue
        if pixels.dtype == np.uint8:
            return 255.0
        highest = max(highest, float(pixels.max(initial=0)))
    if not highest:
        return 1.0
    return next(float(2**bits - 1) for bits in (8, 10, 12, 14, 16) if highest < 2**bits)


def as_bytes(pixels: np.ndarray, top: float) -> np.ndarray:
    """Pixels as uint8, where `top` (see `full_scale`) becomes 255."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels.astype(np.float32) * np.float32(255 / top)).astype(np.uint8)


def _tiles(shape: tuple[int, int], tile: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], tile):
        for left in range(0, shape[1], tile):
            yield (
                slice(top, min(top + tile, shape[0])),
                slice(left, min(left + tile, shape[1])),
            )
