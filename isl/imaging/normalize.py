"""Stored pixels to intensities in [0, 1]: one rule for training and prediction.

Integers are divided by their type's maximum. Under "auto" each plane is then mapped to mean 0.5 and
standard deviation 0.125, unless all planes of the file or recording are there already; those of the
paper's data, which its own pipeline normalized, therefore pass unchanged; and so do copies of them
in the usual other types, such as 12 bits in 16 or floats up to 65535, at their own full scale. One
choice holds for all planes: they would differ in contrast otherwise, and with them what a network
sees.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from isl.errors import InputError, unknown

MODES = ("auto", "off")
Unit = Literal["recording", "plane"]
"""What one choice holds for."""
MEAN = 0.5
DEVIATION = 0.125
MEAN_TOLERANCE = 0.05
DEVIATION_TOLERANCE = 0.03
# What to do about a plane of a z-stack in which there is nothing to see.
REMEDY = "leave it out with `planes`"
# Pixels copied to float64 at a time: where they are summed, which their number shows in the last
# digits of, and where they are mapped, which stays in a processor's cache.
_BLOCK = 1 << 22
_MAPPED = 1 << 17


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaneNormalization:
    """What was done to one plane: intensity -> clip(intensity * scale + offset, 0, 1).

    Attributes:
        plane: Index of the plane in the stack; 1.25 is a quarter of the way from 1 to 2.
        mean: Of the plane's intensities (integers divided by their type's maximum).
        standard_deviation: Of the same.
        scale: 1 where the plane was left as it was.
        offset: 0 where the plane was left as it was, or brought to its own full scale.
        span: Largest number of the fewest bits (8 to 16) that hold the plane, as a
            share of the full scale of its type; 1 for floats up to 1.
    """

    plane: float
    mean: float
    standard_deviation: float
    scale: float = 1.0
    offset: float = 0.0
    span: float = 1.0

    @property
    def kept(self) -> bool:
        """Whether the plane was left as it was."""
        return self.scale == 1.0 and self.offset == 0.0

    @property
    def done(self) -> str:
        """What was done to the plane: kept, scaled (to the full scale of its bits) or mapped."""
        return "kept" if self.kept else "mapped" if self.offset else "scaled"


def normalize(
    planes: np.ndarray,
    mode: str = "auto",
    *,
    source: object = "z-stack",
    unit: Unit = "recording",
) -> tuple[np.ndarray, tuple[PlaneNormalization, ...]]:
    """Intensities a network may see, and what was done to get them.

    Args:
        planes: Integers or floats [Z, Y, X], as stored.
        mode: "auto": map each plane to mean 0.5 and deviation 0.125 and clip to [0, 1], unless the
            mean of every plane is within 0.05 and its deviation within 0.03 of that, at full scale
            or at that of the fewest bits (8 to 16) that hold all planes. "off": divide
            integers by their type's maximum, nothing more; floats must lie in [0, 1].
        source: The file or folder, named in messages.
        unit: "plane": a choice for each plane by itself, as older models were trained with.

    Returns:
        float32 [Z, Y, X] in [0, 1], and one record a plane.

    Raises:
        InputError: A plane holds NaN or infinity, is constant (auto), or leaves [0, 1] (off).
    """
    records = chosen(measure_stack(planes, mode, source=source), unit)
    return apply_normalization(planes, records), records


def measure_stack(
    planes: np.ndarray, mode: str = "auto", *, source: object = "z-stack"
) -> tuple[PlaneNormalization, ...]:
    """What `normalize` does to each plane alone; of all together, `chosen` makes one choice.

    Args:
        planes: As in `normalize`.
        mode: As there.
        source: As there.

    Raises:
        InputError: As there.
    """
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"{source}: a z-stack is [Z, Y, X]; this has shape {planes.shape}")
    return tuple(
        measure_plane(plane.__getitem__, plane.shape, mode, plane=index, source=source)
        for index, plane in enumerate(planes)
    )


def measure_plane(
    read: Callable[[slice], np.ndarray],
    size: tuple[int, ...],
    mode: str = "auto",
    *,
    plane: float = 0,
    at_once: int = 0,
    source: object = "z-stack",
    remedy: str = REMEDY,
) -> PlaneNormalization:
    """What `normalize` does to a plane alone, from two passes over bands of its rows.

    Of several planes, `chosen` makes one choice.

    Args:
        read: A slice of rows to their pixels [y, X], as stored; called for every row twice.
        size: Y, X.
        mode: As in `normalize`.
        plane: The plane's number, for the record and for messages.
        at_once: Pixels that may be read together; at least 4 million are. It changes no number.
        source: As in `normalize`.
        remedy: What to do about a plane in which there is nothing to see.

    Raises:
        InputError: As in `normalize`.
    """
    if mode not in MODES:
        raise unknown("normalization", mode, MODES)
    where = f"{source}: plane {plane}"
    first = _survey(_blocks(read, size, at_once))
    full_scale = _full_scale(first.dtype, source)
    _check_finite(first.not_finite, where)
    if mode == "off":
        _check_range(first.lowest, first.highest, first.dtype, where, "give `normalize=auto`")
    mean, pixels = first.total / math.prod(size), math.prod(size)
    squares = 0.0
    for block in _blocks(read, size, at_once):
        centered = block.astype(np.float64)
        centered -= mean
        squares += float(np.vdot(centered, centered))
    mean, deviation = mean / full_scale, math.sqrt(squares / pixels) / full_scale
    if mode == "off":
        return PlaneNormalization(plane=plane, mean=mean, standard_deviation=deviation)
    if first.lowest == first.highest or deviation == 0:
        raise InputError(
            f"{where} is constant (every pixel is {first.lowest:g}), so there is nothing to see in "
            f"it; {remedy}"
        )
    record = PlaneNormalization(
        plane=plane,
        mean=mean,
        standard_deviation=deviation,
        span=_span(first.lowest, first.highest, full_scale),
    )
    return _chosen_together((record,))[0]


def chosen(
    records: Iterable[PlaneNormalization], unit: Unit = "recording"
) -> tuple[PlaneNormalization, ...]:
    """One choice for all planes of a file or recording: as they are, at their scale, or mapped.

    Args:
        records: What `measure_plane` said of each plane of each time point, by one mode.
        unit: "plane": each as it is by itself.
    """
    found = tuple(records)
    if unit == "plane" or all(record.kept for record in found):
        return found
    return _chosen_together(found)


def _chosen_together(records: tuple[PlaneNormalization, ...]) -> tuple[PlaneNormalization, ...]:
    """Planes as they are, brought to the full scale of their fewest bits, or all of them mapped."""
    for span in (1.0, max(record.span for record in records)):
        if all(is_normal(r.mean / span, r.standard_deviation / span) for r in records):
            return tuple(dataclasses.replace(r, scale=1 / span, offset=0.0) for r in records)
    return tuple(map(_mapped, records))


def largest_in_use(highest: float, dtype: np.dtype) -> float:
    """The largest number of the fewest bits (8 to 16) that hold pixels up to `highest`.

    Args:
        highest: The brightest pixel, of all planes of a recording.
        dtype: Of the pixels; 1 for floats up to 1.
    """
    full = _full_scale(dtype, "picture")
    return full * _span(0.0, highest, full)


def _span(lowest: float, highest: float, full_scale: float) -> float:
    """See `PlaneNormalization.span`."""
    if lowest < 0 or highest <= 1 == full_scale:
        return 1.0
    tops = (float(2**bits - 1) / full_scale for bits in range(8, 17))
    return next((top for top in tops if highest <= top * full_scale), 1.0)


def _mapped(record: PlaneNormalization) -> PlaneNormalization:
    """To mean 0.5 and deviation 0.125."""
    scale = DEVIATION / record.standard_deviation
    return dataclasses.replace(record, scale=scale, offset=MEAN - record.mean * scale)


def apply_normalization(
    planes: np.ndarray, records: Sequence[PlaneNormalization], out: np.ndarray | None = None
) -> np.ndarray:
    """Whole planes, or the same window of each, to what a network may see.

    Args:
        planes: Integers or floats [Z, Y, X], as stored.
        records: What `measure_plane` said of each plane.
        out: float32 [Z, Y, X] to write to, or None.

    Returns:
        float32 [Z, Y, X] in [0, 1].
    """
    normalized = np.empty(planes.shape, np.float32) if out is None else out
    full_scale = _full_scale(planes.dtype, "z-stack")
    for plane, record, result in zip(planes, records, normalized, strict=True):
        _apply(plane, record, full_scale, result)
    return normalized


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
    survey = _surveyed(image)
    _check_finite(survey.not_finite, f"{source}:")
    _check_range(
        survey.lowest, survey.highest, image.dtype, f"{source}:", "divide it by its full scale"
    )
    if full_scale == 1.0:
        return image.astype(np.float32)
    return image.astype(np.float32) / np.float32(full_scale)


def _full_scale(dtype: np.dtype, source: object) -> float:
    if np.issubdtype(dtype, np.floating):
        return 1.0
    if np.issubdtype(dtype, np.integer):
        return float(np.iinfo(dtype).max)
    raise InputError(f"{source}: pixels of type {dtype} are no intensities; save it as 16-bit")


class _Survey(NamedTuple):
    """What one pass over a plane tells."""

    dtype: np.dtype
    total: float
    lowest: float
    highest: float
    not_finite: int


def _survey(blocks: Iterator[np.ndarray]) -> _Survey:
    parts = [_surveyed(block) for block in blocks]
    return _Survey(
        dtype=parts[0].dtype,
        total=sum(part.total for part in parts),
        lowest=min(part.lowest for part in parts),
        highest=max(part.highest for part in parts),
        not_finite=sum(part.not_finite for part in parts),
    )


def _surveyed(image: np.ndarray) -> _Survey:
    floats = np.issubdtype(image.dtype, np.floating)
    # What is not finite is refused, but only once all of it is counted.
    with np.errstate(invalid="ignore", over="ignore"):
        total = float(image.sum(dtype=np.float64))
    return _Survey(
        dtype=image.dtype,
        total=total,
        lowest=image.min(),
        highest=image.max(),
        not_finite=image.size - int(np.count_nonzero(np.isfinite(image))) if floats else 0,
    )


def _check_finite(bad: int, where: str) -> None:
    if bad:
        raise InputError(f"{where} holds {bad} pixels that are NaN or infinite; replace them first")


def _check_range(lowest: float, highest: float, dtype: np.dtype, where: str, remedy: str) -> None:
    if lowest < 0 or (np.issubdtype(dtype, np.floating) and highest > 1):
        raise InputError(f"{where} has values {lowest:g} to {highest:g}, not in [0, 1]; {remedy}")


def _blocks(
    read: Callable[[slice], np.ndarray], size: tuple[int, ...], at_once: int
) -> Iterator[np.ndarray]:
    """A plane in blocks of rows; several may be read together, which changes no sum over them."""
    height, width = size
    rows = max(1, _BLOCK // width)
    band = rows * max(1, at_once // (rows * width))
    for top in range(0, height, band):
        pixels = read(slice(top, min(top + band, height)))
        for start in range(0, len(pixels), rows):
            yield pixels[start : start + rows]


def _apply(
    plane: np.ndarray, record: PlaneNormalization, full_scale: float, out: np.ndarray
) -> None:
    """Writes the record's mapping of `plane`, clipped to [0, 1], to `out` (float32 [Y, X])."""
    if not record.offset:
        np.divide(plane, np.float32(full_scale / record.scale), out=out, casting="unsafe")
    else:
        # Centered before it is scaled: float32 keeps a small contrast on a large background.
        center = record.mean * full_scale
        rows = max(1, _MAPPED // plane.shape[1])
        for start in range(0, plane.shape[0], rows):
            block = plane[start : start + rows].astype(np.float64)
            block -= center
            block *= record.scale / full_scale
            block += MEAN
            out[start : start + rows] = block
    np.clip(out, 0.0, 1.0, out=out)
