"""Pictures as values: what they hold, in which order, and how large a pixel is."""

import dataclasses
import math
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelSize:
    """Lengths in micrometres; `z` is the distance between planes, None where the file is silent."""

    y: float
    x: float
    z: float | None = None

    @property
    def side(self) -> float:
        """Of a square of the same area, its side."""
        return math.sqrt(self.y * self.x)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ZStack:
    """One transmitted-light z-stack as it was read; `isl.imaging.normalize` makes it [0, 1].

    Attributes:
        name: Name of the field: the file's or folder's name without its ending.
        planes: uint8, uint16 or float32 [Z, Y, X], bottom plane first, as stored.
        pixel_size: Micrometres, or None where nothing says.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD", "DIC", or None where nothing says.
        source: The file or folder it came from.
        channel: Name of the channel it is, where the file names its channels.
        exposure: Milliseconds, or None where nothing says.
    """

    name: str
    planes: np.ndarray
    pixel_size: PixelSize | None = None
    modality: str | None = None
    source: Path | None = None
    channel: str | None = None
    exposure: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Movie:
    """A time-lapse of z-stacks: `frames` is [T, Z, Y, X]; the rest is as in ZStack.

    Attributes:
        interval: Minutes between frames, or None where nothing says.
        times: Minutes of each frame since the first, or None where none has a time of its own.
    """

    name: str
    frames: np.ndarray
    pixel_size: PixelSize | None = None
    interval: float | None = None
    times: tuple[float, ...] | None = None
    modality: str | None = None
    source: Path | None = None
    channel: str | None = None
    exposure: float | None = None

    def stack(self, t: int) -> ZStack:
        """The z-stack of time point `t`."""
        return ZStack(
            name=self.name,
            planes=self.frames[t],
            pixel_size=self.pixel_size,
            modality=self.modality,
            source=self.source,
            channel=self.channel,
            exposure=self.exposure,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FluorescenceImage:
    """Fluorescence channels, measured or predicted.

    Attributes:
        name: Name of the field.
        channels: uint8, uint16 or float32, [C, Y, X] or [T, C, Y, X].
        labels: C names, e.g. ("DAPI_CONFOCAL", "MAP2_CONFOCAL").
        measured: bool [C, Y, X], True where a label was measured; None: everywhere.
        pixel_size: Micrometres, or None where nothing says.
        interval: Minutes between frames, or None.
        times: Minutes of each frame since the first, or None where none has a time of its own.
        exposures: Milliseconds, one a label, None for one of which it is not said; or None.
        source: The file or folder it came from.
    """

    name: str
    channels: np.ndarray
    labels: tuple[str, ...]
    measured: np.ndarray | None = None
    pixel_size: PixelSize | None = None
    interval: float | None = None
    times: tuple[float, ...] | None = None
    exposures: tuple[float | None, ...] | None = None
    source: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One image file as it was read, before anyone says what its channels are for.

    Attributes:
        name: Name of the field: the file's name without its ending.
        array: uint8, uint16 or float32 [T, C, Z, Y, X]; an axis the file lacks has length 1.
        channel_names: C names, or None where the file names none.
        pixel_size: Micrometres, or None where the file is silent.
        interval: Minutes between frames, or None.
        times: Minutes of each time point since the first, or None.
        modality: None: these files say it, if at all, in a channel's name.
        exposures: Milliseconds, one a channel, None for one of which it is not said; or None.
        source: The file it came from.
    """

    name: str
    array: np.ndarray
    channel_names: tuple[str, ...] | None = None
    pixel_size: PixelSize | None = None
    interval: float | None = None
    times: tuple[float, ...] | None = None
    modality: str | None = None
    exposures: tuple[float | None, ...] | None = None
    source: Path | None = None
