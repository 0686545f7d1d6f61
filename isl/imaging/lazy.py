"""Image files opened, not read: what they hold, and any plane or part of one when it is wanted."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.image import Picture, PixelSize
from isl.imaging.readable import check_size

EVERYTHING = slice(None)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LazyPicture:
    """One image of a file, none of whose pixels are in memory.

    Use it as a context manager, or call `close`. It may be read from several threads.

    Attributes:
        name: Name of the field: the file's name without its ending; where a file holds several
            images, with the image's own name or number behind it.
        shape: T, C, Z, Y, X; an axis the file lacks has length 1.
        dtype: uint8, uint16 or float32, native byte order.
        read_plane: (t, c, z, rows, columns) to pixels [y, x]; call `read` instead.
        close: Lets go of the file; nothing to do where no file stays open.
        channel_names: C names, or None where the file names none.
        pixel_size: Micrometres, or None where the file is silent.
        interval: Minutes between frames, or None.
        times: Minutes of each time point since the first, or None where none has its own.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD", "DIC", or None where nothing says.
        stage: Position of the image's middle on the stage (y, x), micrometres, or None.
        exposures: Milliseconds, one a channel, None for one of which it is not said; or None.
        emitted: Of each channel whether the microscope's notes say fluorescence; None: they do not
            say.
        told_by: Who says what its dimensions are, in words.
        source: The file or folder it came from.
    """

    name: str
    shape: tuple[int, int, int, int, int]
    dtype: np.dtype
    read_plane: Callable[[int, int, int, slice, slice], np.ndarray]
    source: Path
    close: Callable[[], None] = lambda: None
    channel_names: tuple[str, ...] | None = None
    pixel_size: PixelSize | None = None
    interval: float | None = None
    times: tuple[float, ...] | None = None
    modality: str | None = None
    stage: tuple[float, float] | None = None
    exposures: tuple[float | None, ...] | None = None
    emitted: tuple[bool, ...] | None = None
    told_by: str = "as its format has them"

    def read(
        self,
        *,
        t: int = 0,
        c: int = 0,
        z: int = 0,
        rows: slice = EVERYTHING,
        columns: slice = EVERYTHING,
    ) -> np.ndarray:
        """Pixels [y, x] of one plane, or of some of its rows and columns (slices of step 1).

        Raises:
            InputError: They cannot be read: the file is truncated, damaged, or gone.
        """
        return self.read_plane(t, c, z, rows, columns)

    def __enter__(self) -> "LazyPicture":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Lets go of the file."""
        self.close()


def window(part: slice, length: int) -> slice:
    """`part` of an axis with its ends filled in.

    Raises:
        ValueError: Its step is not 1.
    """
    start, stop, step = part.indices(length)
    if step != 1:
        raise ValueError(f"{part}: rows and columns are read with step 1")
    return slice(start, max(start, stop))


def read_whole(picture: LazyPicture, channels: Sequence[int] | None = None) -> Picture:
    """All pixels of a picture.

    Args:
        picture: What was opened.
        channels: Indices of the channels wanted; None: all.

    Raises:
        InputError: It cannot be read, or not be held in memory.
    """
    times, count, planes, rows, columns = picture.shape
    chosen = tuple(range(count)) if channels is None else tuple(channels)
    shape = (times, len(chosen), planes, rows, columns)
    check_size(picture.source, shape, picture.dtype)
    try:
        array = np.empty(shape, picture.dtype)
    except MemoryError as error:
        raise InputError(
            f"{picture.source}: does not fit into memory; crop it or split it"
        ) from error
    for t, (index, c), z in itertools.product(range(times), enumerate(chosen), range(planes)):
        array[t, index, z] = picture.read(t=t, c=c, z=z)
    names = picture.channel_names
    return Picture(
        name=picture.name,
        array=array,
        channel_names=None if names is None else tuple(names[c] for c in chosen),
        pixel_size=picture.pixel_size,
        interval=picture.interval,
        times=picture.times,
        modality=picture.modality,
        exposures=None
        if picture.exposures is None
        else tuple(picture.exposures[c] for c in chosen),
        source=picture.source,
    )
