"""Stage 8: a field's counts to intensities in [0, 1] of a fixed mean and deviation, and back."""

import dataclasses
import math
from types import MappingProxyType

import numpy as np

from isl.errors import InputError

TARGETS = MappingProxyType({"transmitted": (0.5, 0.125), "fluorescence": (0.25, 0.125)})
"""Mean and standard deviation (Christiansen et al. 2018, Global intensity normalization)."""
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over pixels that merge: `Moments.of(a) + Moments.of(b)` is that of both together.

    Attributes:
        count: Of pixels.
        sum: Of their values.
        squares: Sum of the squared deviations from their own mean; sums of squares themselves
            would lose a small contrast on a large background.
        lowest: Value, infinity without pixels.
        highest: Value, minus infinity without pixels.
    """

    count: int = 0
    sum: float = 0.0
    squares: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf

    @property
    def mean(self) -> float:
        """Of all pixels; nan without any."""
        return self.sum / self.count if self.count else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of all pixels; nan without any."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    @classmethod
    def of(
        cls, image: np.ndarray, mask: np.ndarray | None = None, *, source: object = "image"
    ) -> "Moments":
        """Those of an image.

        Args:
            image: Integers or floats [Y, X], in counts.
            mask: bool [Y, X], True where a pixel counts, e.g. where a canvas is covered.
            source: The field, named in messages.

        Raises:
            InputError: NaN or infinity among the pixels that count, or a mask of another size.
        """
        if mask is not None and mask.shape != image.shape:
            raise InputError(
                f"{source}: the image has shape {image.shape}, its mask {mask.shape}; "
                "give the mask of this image"
            )
        # Blocks of rows, so that a large canvas is never copied whole to float64.
        rows = max(1, _BLOCK // max(1, image[:1].size))
        found = cls()
        for start in range(0, len(image), rows):
            block = image[start : start + rows]
            values = block.ravel() if mask is None else block[mask[start : start + rows]]
            found += cls._of_values(values.astype(np.float64), source)
        return found

    @classmethod
    def _of_values(cls, values: np.ndarray, source: object) -> "Moments":
        if not values.size:
            return cls()
        if not np.isfinite(values).all():
            raise InputError(f"{source}: some pixels are NaN or infinite; replace them first")
        total = float(values.sum())
        centered = values - total / values.size
        return cls(
            count=values.size,
            sum=total,
            squares=float(np.vdot(centered, centered)),
            lowest=float(values.min()),
            highest=float(values.max()),
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Those of both sets of pixels (Chan, Golub and LeVeque 1979)."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        between = (other.mean - self.mean) ** 2 * (self.count * other.count / count)
        return Moments(
            count=count,
            sum=self.sum + other.sum,
            squares=self.squares + other.squares + between,
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalization:
    """What was done to a field: value = clip(raw * scale + offset, 0, 1).

    Attributes:
        scale: Per count.
        offset: The value of 0 counts.
        mean: Of the raw pixels, counts.
        deviation: Standard deviation of the raw pixels, counts.
        clipped: Share of the pixels that were clipped; None: not counted (see `count_clipped`).
    """

    scale: float
    offset: float
    mean: float
    deviation: float
    clipped: float | None = None


def plan_normalization(
    moments: Moments, *, mean: float, deviation: float, source: object = "image"
) -> Normalization:
    """The affine map to a mean and a deviation; see `TARGETS` for the paper's.

    Args:
        moments: Of the whole stitched field; of all its planes together where they share a map.
        mean: Wanted mean, in [0, 1].
        deviation: Wanted standard deviation.
        source: The field, named in messages.

    Raises:
        InputError: No pixels, all of one value, or a mean and deviation that cannot be had.
    """
    if not 0 <= mean <= 1 or not 0 < deviation < 1:
        raise InputError(
            f"normalization: mean = {mean:g}, deviation = {deviation:g}; the mean lies in [0, 1], "
            "the deviation between 0 and 1"
        )
    if not moments.count:
        raise InputError(f"{source}: no pixel to normalize by; check the mask or the tiles")
    if moments.lowest == moments.highest or moments.deviation == 0:
        raise InputError(
            f"{source}: every pixel is {moments.lowest:g}, so there is nothing to see in it; "
            "leave it out"
        )
    scale = deviation / moments.deviation
    return Normalization(
        scale=scale,
        offset=mean - moments.mean * scale,
        mean=moments.mean,
        deviation=moments.deviation,
    )


def apply(image: np.ndarray, normalization: Normalization) -> np.ndarray:
    """Intensities of an image.

    Args:
        image: Integers or floats of any shape, in counts; left as it is.
        normalization: Of its field.

    Returns:
        float32 in [0, 1], shaped like `image`.
    """
    values = _affine(image, normalization.scale, normalization.offset)
    return np.clip(values, 0, 1, out=values)


def to_raw(values: np.ndarray, normalization: Normalization) -> np.ndarray:
    """Counts of intensities: the inverse of `apply` wherever that did not clip.

    Args:
        values: Floats of any shape, e.g. a predicted label in [0, 1].
        normalization: Of the field whose units are wanted.

    Returns:
        float32, shaped like `values`, in the corrected raw image's counts.
    """
    return _affine(values, 1 / normalization.scale, -normalization.offset / normalization.scale)


def count_clipped(
    image: np.ndarray, normalization: Normalization, mask: np.ndarray | None = None
) -> int:
    """How many pixels of an image `apply` clips.

    Args:
        image: Integers or floats [Y, X], in counts.
        normalization: Of its field.
        mask: bool [Y, X], True where a pixel counts.
    """
    values = _affine(image, normalization.scale, normalization.offset)
    outside = (values < 0) | (values > 1)
    return int(np.count_nonzero(outside if mask is None else outside & mask))


def _affine(image: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """The affine map of an image as float32; in float64 until then, block of rows by block."""
    result = np.empty(image.shape, np.float32)
    if not image.ndim:
        result[...] = image * scale + offset
        return result
    rows = max(1, _BLOCK // max(1, image[:1].size))
    for start in range(0, len(image), rows):
        block = image[start : start + rows].astype(np.float64)
        result[start : start + rows] = block * scale + offset
    return result
