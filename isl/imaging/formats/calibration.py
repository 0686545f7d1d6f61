"""What a TIFF says about itself: pixel size, channel names, frame interval."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from isl.imaging.image import PixelSize
from isl.imaging.names import was_emitted
from isl.imaging.times import believed_interval, believed_times
from isl.imaging.units import (
    MICROMETRES,
    MINUTES,
    factor,
    length,
    pixel_size,
    position,
    scaled,
)

# Resolution tags are often the default of a printer or screen (72, 96, 300 dpi: 350 to 85
# micrometres a pixel); only what a microscope could have recorded is believed.
_LARGEST_BELIEVED = 20.0
_CHANNEL_LINE = re.compile(r"^\s*Channel name #(\d+) = (.+?)\s*$", re.MULTILINE)
_STAGE = re.compile(r'\b([YX])PositionUm"?\s*[:=]\s*"?(-?[\d.]+(?:[eE][-+]?\d+)?)')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a file says; None for what it does not.

    Attributes:
        pixel_size: Micrometres.
        channel_names: One a channel.
        interval: Minutes between frames.
        times: Minutes of each time point since the first, where it has one of its own.
        stage: Where the stage stood (y, x), micrometres.
        exposures: Milliseconds, one a channel; None for a channel of which it is not said.
        emitted: Of each channel whether it is fluorescence.
    """

    pixel_size: PixelSize | None = None
    channel_names: tuple[str, ...] | None = None
    interval: float | None = None
    times: tuple[float, ...] | None = None
    stage: tuple[float, float] | None = None
    exposures: tuple[float | None, ...] | None = None
    emitted: tuple[bool, ...] | None = None


def from_ome(xml: str, source: object = "image") -> Calibration:
    """Reads OME-XML (the first image's Pixels element); broken XML says nothing.

    Args:
        xml: The description.
        source: The file, named where its times contradict each other.
    """
    pixels = _ome_pixels(xml)
    if pixels is None:
        return Calibration()

    def size(axis: str) -> float | None:
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        value = pixels.get(f"PhysicalSize{axis}", "")
        # Stacks taken from the top down have a negative step in files of some microscopes.
        return scaled(value.removeprefix("-") if axis == "Z" else value, unit, MICROMETRES)

    channels = pixels.findall("{*}Channel")
    names = [channel.get("Name") for channel in channels]
    times = believed_times(_ome_times(pixels), source)
    return Calibration(
        pixel_size=pixel_size(size("Y"), size("X"), size("Z")),
        channel_names=_all_named(names),
        interval=believed_interval(
            scaled(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"), MINUTES),
            times,
            source,
        ),
        times=times,
        stage=_ome_stage(pixels),
        exposures=_ome_exposures(pixels, len(names)),
        emitted=tuple(was_emitted(channel.attrib) for channel in channels),
    )


def _ome_times(pixels: ElementTree.Element) -> list[float]:
    """Minutes when the first plane of each time point was taken; empty where one does not say."""
    taken: dict[int, float] = {}
    try:
        for plane in pixels.findall("{*}Plane"):
            unit = factor(plane.get("DeltaTUnit", "s"), MINUTES)
            time = float(plane.get("DeltaT", "nan")) * (unit or math.nan)
            frame = int(plane.get("TheT", ""))
            if math.isfinite(time):
                taken[frame] = min(time, taken.get(frame, time))
    except ValueError:
        return []
    frames = sorted(taken)
    return [taken[frame] for frame in frames] if frames == list(range(len(frames))) else []


def _ome_exposures(pixels: ElementTree.Element, channels: int) -> tuple[float | None, ...] | None:
    """Milliseconds of each channel's first plane that says them; None where none does."""
    found: dict[int, float] = {}
    for plane in pixels.findall("{*}Plane"):
        unit = plane.get("ExposureTimeUnit", "s")
        minutes = scaled(plane.get("ExposureTime"), unit, MINUTES)
        number = plane.get("TheC", "")
        if minutes is not None and number.isdecimal():
            found.setdefault(int(number), minutes * 60000)
    return tuple(map(found.get, range(channels))) if found else None


def channels_in_ome(xml: str) -> tuple[int, int] | None:
    """How many channels OME-XML describes one by one, and how many it says there are.

    None where it describes none, or is broken. A channel of several samples (colors) counts as so
    many.
    """
    pixels = _ome_pixels(xml)
    if pixels is None:
        return None
    channels = pixels.findall("{*}Channel")
    try:
        described = sum(int(channel.get("SamplesPerPixel", "1")) for channel in channels)
        return (described, int(pixels.get("SizeC", ""))) if channels else None
    except ValueError:
        return None


def type_in_ome(xml: str) -> str:
    """The type of pixels that OME-XML names, such as "uint16"; "" where it names none."""
    pixels = _ome_pixels(xml)
    return "" if pixels is None else pixels.get("Type", "")


def _ome_pixels(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml).find(".//{*}Pixels")
    except ElementTree.ParseError:
        return None


def from_imagej(
    metadata: Mapping[str, Any], resolution: tuple[float, float] | None, channels: int
) -> Calibration:
    """Reads ImageJ's description.

    Args:
        metadata: As tifffile parses it: unit, spacing, finterval, tunit, Labels, Info.
        resolution: Pixels a unit along (Y, X), from the resolution tags.
        channels: Number of channels, to tell channel names from slice names.
    """
    unit = str(metadata.get("unit", ""))
    y, x = (None, None)
    if resolution is not None:
        sizes = (1 / r if r else None for r in resolution)
        units = (metadata.get("yunit", unit), unit)
        y, x = (scaled(size, own, MICROMETRES) for size, own in zip(sizes, units, strict=True))
    # A stack that is to be shown upside down has a negative spacing.
    spacing = str(metadata.get("spacing")).removeprefix("-")
    z = scaled(spacing, metadata.get("zunit", unit), MICROMETRES)
    return Calibration(
        pixel_size=_believed(pixel_size(y, x, z)),
        channel_names=_imagej_names(metadata, channels),
        interval=scaled(metadata.get("finterval"), str(metadata.get("tunit", "s")), MINUTES),
        stage=_imagej_stage(metadata),
    )


def from_micromanager(metadata: Any, said: Calibration) -> Calibration:
    """Adds what Micro-Manager says of its first plane (XPositionUm, PixelSizeUm) to `said`."""
    if not isinstance(metadata, Mapping):
        return said
    stage = said.stage
    if stage is None:
        stage = position(metadata.get("YPositionUm"), metadata.get("XPositionUm"))
    size = said.pixel_size
    if size is None:
        edge = scaled(metadata.get("PixelSizeUm"), "um", MICROMETRES)
        size = pixel_size(edge, edge, None)
    return dataclasses.replace(said, stage=stage, pixel_size=size)


def with_micromanager_planes(
    said: Calibration,
    first_of_times: Sequence[Any],
    first_of_channels: Sequence[Any],
    source: object,
) -> Calibration:
    """Adds times and exposures that Micro-Manager notes with each plane, where nothing else says.

    Args:
        said: What is known already.
        first_of_times: Its notes on the first plane of each time point.
        first_of_channels: Its notes on the first plane of each channel.
        source: The file, for warnings.
    """
    elapsed = [_noted(notes, "ElapsedTime-ms") for notes in first_of_times]
    if said.times is None and len(elapsed) > 1 and None not in elapsed:
        times = believed_times([time / 60000 for time in elapsed if time is not None], source)
        interval = believed_interval(said.interval, times, source)
        said = dataclasses.replace(said, times=times, interval=interval)
    exposures = tuple(
        length(_noted(notes, "Exposure-ms") or _noted(notes, "Exposure"))
        for notes in first_of_channels
    )
    if said.exposures is None and any(exposures):
        said = dataclasses.replace(said, exposures=exposures)
    return said


def with_z_step(said: Calibration, step: Any) -> Calibration:
    """Adds micrometres between planes to a known pixel size that lacks them."""
    size = said.pixel_size
    z = scaled(str(step).removeprefix("-"), "um", MICROMETRES)
    if size is None or size.z is not None or z is None:
        return said
    return dataclasses.replace(said, pixel_size=dataclasses.replace(size, z=z))


def _noted(notes: Any, name: str) -> float | None:
    """A finite number in Micro-Manager's notes on a plane, or None."""
    try:
        value = float(notes.get(name))
    except (AttributeError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def from_resolution(resolution: tuple[float, float] | None, unit: str) -> Calibration:
    """Reads a plain TIFF's resolution tags: pixels a unit along (Y, X), unit "cm" or "inch"."""
    if resolution is None:
        return Calibration()
    y, x = (scaled(1 / r if r else None, unit, MICROMETRES) for r in resolution)
    return Calibration(pixel_size=_believed(pixel_size(y, x, None)))


def _ome_stage(pixels: ElementTree.Element) -> tuple[float, float] | None:
    """Position of the first plane that has one.

    The standard's unit for a position without one is "reference frame", which is no length; files
    from before units were part of it mean micrometres.
    """
    for plane in pixels.findall("{*}Plane"):
        if plane.get("PositionY") is None or plane.get("PositionX") is None:
            continue
        units = [plane.get(f"Position{axis}Unit", "µm") for axis in "YX"]
        y, x = (factor(unit, MICROMETRES) for unit in units)
        if y is None or x is None:
            return None
        place = position(plane.get("PositionY"), plane.get("PositionX"))
        return None if place is None else (place[0] * y, place[1] * x)
    return None


def _imagej_stage(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """Position that Micro-Manager leaves in Info, as JSON or as lines."""
    found = {axis: number for axis, number in _STAGE.findall(str(metadata.get("Info", "")))}
    return position(found.get("Y"), found.get("X"))


def _believed(size: PixelSize | None) -> PixelSize | None:
    return size if size is not None and max(size.y, size.x) < _LARGEST_BELIEVED else None


def _all_named(names: Sequence[Any]) -> tuple[str, ...] | None:
    texts = tuple(str(name).strip() if name is not None else "" for name in names)
    return texts if texts and all(texts) else None


def _imagej_names(metadata: Mapping[str, Any], channels: int) -> tuple[str, ...] | None:
    """Slice labels where there is one a channel, or the channel names microscopes leave in Info."""
    labels = metadata.get("Labels")
    if isinstance(labels, list | tuple) and len(labels) == channels:
        return _all_named(labels)
    found = {
        int(number): name for number, name in _CHANNEL_LINE.findall(str(metadata.get("Info", "")))
    }
    if sorted(found) == list(range(1, channels + 1)):
        return tuple(found[number] for number in sorted(found))
    return None
