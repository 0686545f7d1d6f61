"""Lengths in micrometres and times in minutes, from numbers and units as files have them."""

import math
from collections.abc import Mapping
from typing import Any

from isl.errors import InputError
from isl.imaging.image import PixelSize

# As microscopes' software, ImageJ, OME-XML and UDUNITS (which OME-Zarr prescribes) write them.
MICROMETRES = {
    "a": 1e-4, "å": 1e-4, "angstrom": 1e-4, "pm": 1e-6, "picometer": 1e-6, "nm": 1e-3,
    "nanometer": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0,
    "micrometer": 1.0, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6,
    "meter": 1e6, "inch": 25400.0, "inche": 25400.0, "in": 25400.0, "mil": 25.4, "foot": 304800.0,
}  # fmt: skip
MINUTES = {
    "ns": 1 / 6e10, "nanosecond": 1 / 6e10, "us": 1 / 6e7, "µs": 1 / 6e7, "μs": 1 / 6e7,
    "microsecond": 1 / 6e7, "ms": 1 / 60000, "msec": 1 / 60000, "millisecond": 1 / 60000,
    "s": 1 / 60, "sec": 1 / 60, "second": 1 / 60, "min": 1.0, "minute": 1.0, "h": 60.0,
    "hour": 60.0, "hr": 60.0, "d": 1440.0, "day": 1440.0,
}  # fmt: skip


def check_length(name: str, micrometres: float | None) -> None:
    """Refuses a length that a person gives, where it is none.

    Args:
        name: What it is given as.
        micrometres: None: it is not given.

    Raises:
        InputError: It is 0 or less, infinite, or no number.
    """
    if micrometres is not None and not 0 < micrometres < math.inf:
        raise InputError(f"`{name}={micrometres:g}`: expected micrometres above 0")


def factor(unit: Any, units: Mapping[str, float]) -> float | None:
    """What a unit is in micrometres or minutes; None for one that is not known."""
    plain = str(unit).replace("\\u00B5", "µ").strip().casefold()
    plain = plain.replace("metre", "meter")
    return units.get(plain, units.get(plain.removesuffix("s")))


def scaled(value: Any, unit: Any, units: Mapping[str, float]) -> float | None:
    """`value` in micrometres or minutes; None where it or its unit makes no sense."""
    return length(value, factor(unit, units))


def length(value: Any, factor: float | None = 1.0) -> float | None:
    """A positive, finite number times `factor`, or None."""
    try:
        number = float(value) * (factor or math.nan)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def pixel_size(
    y: float | None, x: float | None, z: float | None, planes: int = 2
) -> PixelSize | None:
    """Micrometres, as far as they are known; a single plane has no distance to another."""
    return None if y is None or x is None else PixelSize(y=y, x=x, z=z if planes > 1 else None)


def position(y: Any, x: Any) -> tuple[float, float] | None:
    """A place (y, x) on the stage, or None where a number is missing or not finite."""
    try:
        place = float(y), float(x)
    except (TypeError, ValueError):
        return None
    return place if all(map(math.isfinite, place)) else None
