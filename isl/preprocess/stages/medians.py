"""Pixelwise medians over a set of images: what all of them share, without what each one shows."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from isl.errors import InputError

Item = TypeVar("Item")


def pixelwise_median(
    images: Sequence[np.ndarray] | np.ndarray,
    *,
    rows: int = 64,
    least: int = 3,
    source: object = "median",
) -> np.ndarray:
    """The median of each pixel over a set, band of rows by band of rows.

    No more than two copies of N bands are held: with images that are memory-mapped, the whole set
    is never in memory. (Christiansen et al. 2018, Flat field correction.)

    Args:
        images: N integers or floats [Y, X] of one size, or an array [N, Y, X], in counts.
        rows: Height of a band.
        least: Fewer images than this are refused: their median would show the cells themselves.
        source: The set, named in messages.

    Returns:
        float32 [Y, X]; of an even number of images the mean of the middle two.

    Raises:
        InputError: Too few images, sizes that differ, or pixels that are NaN or infinite.
    """
    if len(images) < least:
        raise InputError(
            f"{source}: a median over {len(images)} images would show what is in them; "
            f"it takes {least} or more, so give more images or leave the stage out"
        )
    shape = images[0].shape
    for index, image in enumerate(images):
        if image.shape != shape or len(shape) != 2 or image.size == 0:
            raise InputError(
                f"{source}: image {index} has shape {image.shape}, the first {shape}; "
                "all must be [Y, X] and of one size"
            )
    median = np.empty(shape, np.float32)
    for start in range(0, shape[0], rows):
        band = np.stack([image[start : start + rows] for image in images])
        if not np.isfinite(band).all():
            raise InputError(f"{source}: images hold NaN or infinite pixels; replace them first")
        median[start : start + rows] = np.median(band, axis=0, overwrite_input=True)
    return median


def sample_of(items: Sequence[Item], most: int, seed: int) -> tuple[Item, ...]:
    """At most so many items, evenly spread: one at random out of each of `most` equal runs.

    Args:
        items: In an order that means something, e.g. of acquisition.
        most: At least 1.
        seed: The same seed and items give the same sample.

    Returns:
        In the order of `items`; all of them where there are no more than `most`.
    """
    if most < 1:
        raise InputError(f"a sample of {most} images; it takes 1 or more")
    if len(items) <= most:
        return tuple(items)
    starts = np.arange(most + 1) * len(items) // most
    chosen = np.random.default_rng(seed).integers(starts[:-1], starts[1:])
    return tuple(items[int(index)] for index in chosen)
