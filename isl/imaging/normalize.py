"""Stored pixels to intensities in [0, 1]: one rule for training and prediction.

Integers are divided by their type's maximum. Under "auto" each plane of a z-stack is then mapped
to mean 0.5 and standard deviation 0.125, unless it is there already; planes of the paper's data,
which its own pipeline normalized, therefore pass unchanged.
"""

import dataclasses
import math

import numpy as np

from isl.errors import InputError, unknown

MODES = ("auto", "off")
MEAN = 0.5
DEVIATION = 0.125
MEAN_TOLERANCE = 0.05
DEVIATION_TOLERANCE = 0.03
_BLOCK = 1 << 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaneNormalization:
    """What was done to one plane: intensity -> clip(intensity * scale + offset, 0, 1).

    Attributes:
        plane: Index of the plane in the stack.
        mean: Of the plane's intensities (integers divided by their type's maximum).
        standard_deviation: Of the same.
        scale: 1 where the plane was left as it was.
        offset: 0 where the plane was left as it was.
    """

    plane: int
    mean: float
    standard_deviation: float
    scale: float = 1.0
    offset: float = 0.0


def normalize(
    planes: np.ndarray, mode: str = "auto", *, source: object = "z-stack"
) -> tuple[np.ndarray, tuple[PlaneNormalization, ...]]:
    """Intensities a network may see, and what was done to get them.

    Args:
        planes: Integers or floats [Z, Y, X], as stored.
        mode: "auto": map each plane to mean 0.5 and deviation 0.125 and clip to [0, 1], unless its
            mean is within 0.05 and its deviation within 0.03 of that. "off": divide integers by
            their type's maximum, nothing more; floats must lie in [0, 1].
        source: The file or folder, named in messages.

    Returns:
        float32 [Z, Y, X] in [0, 1], and one record a plane.

    Raises:
        InputError: A plane holds NaN or infinity, is constant (auto), or leaves [0, 1] (off).
    """
    if mode not in MODES:
        raise unknown("normalization", mode, MODES)
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"{source}: a z-stack is [Z, Y, X]; this has shape {planes.shape}")
    full_scale = _full_scale(planes.dtype, source)
    normalized = np.empty(planes.shape, np.float32)
    records = []
    for index, plane in enumerate(planes):
        _check_finite(plane, f"{source}: plane {index}")
        if mode == "auto":
            record = _plan(plane, index, full_scale, source)
        else:
            _check_range(plane, f"{source}: plane {index}", "give --normalize auto")
            mean, deviation = _mean_and_deviation(plane, full_scale)
            record = PlaneNormalization(plane=index, mean=mean, standard_deviation=deviation)
        _apply(plane, record, full_scale, normalized[index])
        records.append(record)
    return normalized, tuple(records)


def is_normal(mean: float, standard_deviation: float) -> bool:
    """Whether a plane is close enough to mean 0.5 and deviation 0.125 to be left as it is."""
    return (
        abs(mean - MEAN) <= MEAN_TOLERANCE
        and abs(standard_deviation - DEVIATION) <= DEVIATION_TOLERANCE
    )


def normalize_label(image: np.ndarray, *, source: object = "label image") -> np.ndarray:
    """Fluorescence intensities in [0, 1]: integers by their type's maximum, floats as they are.

    Args:
        image: Any shape; integers, or floats in [0, 1].
        source: The file or folder, named in messages.

    Returns:
        float32, shaped like `image`.

    Raises:
        InputError: Floats outside [0, 1], NaN or infinity.
    """
    full_scale = _full_scale(image.dtype, source)
    _check_finite(image, f"{source}:")
    _check_range(image, f"{source}:", "divide it by its full scale")
    if full_scale == 1.0:
        return image.astype(np.float32)
    return image.astype(np.float32) / np.float32(full_scale)


def _full_scale(dtype: np.dtype, source: object) -> float:
    if np.issubdtype(dtype, np.floating):
        return 1.0
    if np.issubdtype(dtype, np.integer):
        return float(np.iinfo(dtype).max)
    raise InputError(f"{source}: pixels of type {dtype} are no intensities; save it as 16-bit")


def _check_finite(image: np.ndarray, where: str) -> None:
    if np.issubdtype(image.dtype, np.floating):
        bad = image.size - int(np.count_nonzero(np.isfinite(image)))
        if bad:
            raise InputError(
                f"{where} holds {bad} pixels that are NaN or infinite; replace them first"
            )


def _check_range(image: np.ndarray, where: str, remedy: str) -> None:
    lowest, highest = image.min(), image.max()
    if lowest < 0 or (np.issubdtype(image.dtype, np.floating) and highest > 1):
        raise InputError(f"{where} has values {lowest:g} to {highest:g}, not in [0, 1]; {remedy}")


def _plan(plane: np.ndarray, index: int, full_scale: float, source: object) -> PlaneNormalization:
    mean, deviation = _mean_and_deviation(plane, full_scale)
    if plane.min() == plane.max() or deviation == 0:
        raise InputError(
            f"{source}: plane {index} is constant (every pixel is {plane.flat[0]:g}), so there is "
            "nothing to see in it; leave it out with --planes"
        )
    fits = is_normal(mean, deviation)
    scale = 1.0 if fits else DEVIATION / deviation
    return PlaneNormalization(
        plane=index,
        mean=mean,
        standard_deviation=deviation,
        scale=scale,
        offset=0.0 if fits else MEAN - mean * scale,
    )


def _mean_and_deviation(plane: np.ndarray, full_scale: float) -> tuple[float, float]:
    """In two passes over blocks of rows, so that a large plane is never copied whole to float64."""
    rows = max(1, _BLOCK // plane.shape[1])
    blocks = [plane[start : start + rows] for start in range(0, plane.shape[0], rows)]
    mean = sum(float(block.sum(dtype=np.float64)) for block in blocks) / plane.size
    squares = 0.0
    for block in blocks:
        centered = block.astype(np.float64) - mean
        squares += float(np.vdot(centered, centered))
    return mean / full_scale, math.sqrt(squares / plane.size) / full_scale


def _apply(
    plane: np.ndarray, record: PlaneNormalization, full_scale: float, out: np.ndarray
) -> None:
    """Writes the record's mapping of `plane`, clipped to [0, 1], to `out` (float32 [Y, X])."""
    if record.scale == 1.0 and record.offset == 0.0:
        np.divide(plane, np.float32(full_scale), out=out, casting="unsafe")
    else:
        # Centered before it is scaled: float32 keeps a small contrast on a large background.
        center = record.mean * full_scale
        rows = max(1, _BLOCK // plane.shape[1])
        for start in range(0, plane.shape[0], rows):
            block = plane[start : start + rows].astype(np.float64) - center
            out[start : start + rows] = block * (record.scale / full_scale) + MEAN
    np.clip(out, 0.0, 1.0, out=out)
