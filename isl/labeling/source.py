"""A transmitted-light field as prediction reads it: window by window, from memory or a file."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.lazy import EVERYTHING, LazyPicture
from isl.imaging.names import modality_of
from isl.imaging.normalize import (
    REMEDY,
    PlaneNormalization,
    Unit,
    apply_normalization,
    chosen,
    measure_plane,
)
from isl.tiling.plan import Window


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TransmittedField:
    """A z-stack, or a movie of z-stacks, whose pixels need not be in memory.

    Attributes:
        name: Name of the field.
        shape: T, Z, Y, X; T is 1 for a z-stack.
        dtype: As stored.
        read: (t, z, rows, columns) to pixels [y, x] as stored.
        movie: Whether it has a time axis.
        pixel_size: Micrometres, or None where nothing says.
        interval: Minutes between frames, or None.
        times: Minutes of each frame since the first, or None where none has a time of its own.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD", "DIC", or None where nothing says.
        channel: Name of the channel it is, where the file names its channels.
        stage: Position of the image's middle on the stage (y, x), micrometres, or None.
        source: The file or folder it came from.
    """

    name: str
    shape: tuple[int, int, int, int]
    dtype: np.dtype
    read: Callable[[int, int, slice, slice], np.ndarray]
    movie: bool
    pixel_size: PixelSize | None = None
    interval: float | None = None
    times: tuple[float, ...] | None = None
    modality: str | None = None
    channel: str | None = None
    stage: tuple[float, float] | None = None
    source: Path | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Y, X."""
        return self.shape[2:]

    def plane(self, t: int, z: float, rows: slice, columns: slice) -> np.ndarray:
        """Pixels [y, x] of a plane, as stored; or of a place between two planes, blended linearly.

        Args:
            t: Time point.
            z: A plane's number; 1.25 is a quarter of the way from plane 1 to plane 2.
            rows: Of step 1, as `columns`.
            columns: Which of them.

        Returns:
            As stored; where two are blended, float32, integers divided by their type's maximum.
        """
        below = int(z)
        lower = self.read(t, below, rows, columns)
        if z == below:
            return lower
        upper = self.read(t, below + 1, rows, columns).astype(np.float32)
        blend = lower + np.float32(z - below) * (upper - lower)
        return blend / np.float32(np.iinfo(self.dtype).max) if self.dtype.kind == "u" else blend


def field_of(stack: ZStack | Movie) -> TransmittedField:
    """A field that is in memory."""
    movie = isinstance(stack, Movie)
    frames = stack.frames if isinstance(stack, Movie) else stack.planes[None]
    times, planes, rows, columns = frames.shape
    return TransmittedField(
        name=stack.name,
        shape=(times, planes, rows, columns),
        dtype=frames.dtype,
        read=lambda t, z, rows, columns: frames[t, z, rows, columns],
        movie=movie,
        pixel_size=stack.pixel_size,
        interval=stack.interval if isinstance(stack, Movie) else None,
        times=stack.times if isinstance(stack, Movie) else None,
        modality=stack.modality,
        source=stack.source,
    )


def field_of_picture(picture: LazyPicture, channel: int) -> TransmittedField:
    """One channel of an opened file, as `read_transmitted` has it, but not read."""
    times, _, planes, rows, columns = picture.shape
    names = picture.channel_names

    def read(t: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        return picture.read(t=t, c=channel, z=z, rows=rows, columns=columns)

    return TransmittedField(
        name=picture.name,
        shape=(times, planes, rows, columns),
        dtype=picture.dtype,
        read=read,
        movie=times > 1,
        pixel_size=picture.pixel_size,
        interval=picture.interval if times > 1 else None,
        times=picture.times if times > 1 else None,
        modality=picture.modality if names is None else modality_of(names[channel]),
        channel=None if names is None else names[channel],
        stage=picture.stage,
        source=picture.source,
    )


def stored_planes(planes: Sequence[float]) -> list[int]:
    """The stored planes that these are, or lie between, each once."""
    return sorted({n for z in planes for n in (math.floor(z), math.ceil(z))})


def held(field: TransmittedField, planes: Sequence[float]) -> TransmittedField:
    """The field with some of its planes read into memory; no others can be read any more."""
    wanted = stored_planes(planes)
    pixels = np.empty((field.shape[0], len(wanted), *field.size), field.dtype)
    for t, frame in enumerate(pixels):
        for z, plane in zip(wanted, frame, strict=True):
            plane[:] = field.read(t, z, EVERYTHING, EVERYTHING)
    places = {z: place for place, z in enumerate(wanted)}
    return dataclasses.replace(
        field, read=lambda t, z, rows, columns: pixels[t, places[z], rows, columns]
    )


def measure(
    field: TransmittedField,
    planes: Sequence[float],
    mode: str,
    at_once: int = 0,
    *,
    unit: Unit = "recording",
) -> tuple[tuple[PlaneNormalization, ...], ...]:
    """How the planes used are to be normalized, one tuple a time point.

    Args:
        field: What is read, every row of it twice.
        planes: Which planes, or places between two; one that is named twice is measured once.
        mode: "auto" or "off"; see `isl.imaging.normalize`.
        at_once: Pixels that may be read together.
        unit: What one choice holds for.

    Raises:
        InputError: A plane cannot be normalized, or not be read.
    """

    def of_plane(t: int, z: float) -> PlaneNormalization:
        return measure_plane(
            lambda rows: field.plane(t, z, rows, EVERYTHING),
            field.size,
            mode,
            plane=z,
            at_once=at_once,
            source=f"{field.source or field.name}"
            + (f": time point {t} of 0 to {field.shape[0] - 1}" if field.movie else ""),
            remedy="save the time points before it, or all but it" if field.movie else REMEDY,
        )

    places = [(t, z) for t in range(field.shape[0]) for z in dict.fromkeys(planes)]
    records = chosen((of_plane(t, z) for t, z in places), unit)
    found = dict(zip(places, records, strict=True))
    return tuple(tuple(found[t, z] for z in planes) for t in range(field.shape[0]))


def normalized(
    field: TransmittedField, t: int, records: Sequence[PlaneNormalization], window: Window
) -> np.ndarray:
    """A window of the planes that `records` name: float32 [Z, y, x] in [0, 1]."""
    rows, columns = (slice(*part) for part in window)
    planes = np.empty((len(records), rows.stop - rows.start, columns.stop - columns.start), "f4")
    for record, out in zip(records, planes, strict=True):
        stored = field.plane(t, record.plane, rows, columns)
        apply_normalization(stored[None], (record,), out[None])
    return planes
