"""Image files opened, not read: what they hold, and any plane or part of one when it is wanted."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from isl.imaging.image import Picture, PixelSize

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
        close: Lets go of the file.
        channel_names: C names, or None where the file names none.
        pixel_size: Micrometres, or None where the file is silent.
        interval: Minutes between frames, or None.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD", "DIC", or None where nothing says.
        stage: Position of the image's middle on the stage (y, x), micrometres, or None.
        source: The file or folder it came from.
    """

    name: str
    shape: tuple[int, int, int, int, int]
    dtype: np.dtype
    read_plane: Callable[[int, int, int, slice, slice], np.ndarray]
    close: Callable[[], None]
    source: Path
    channel_names: tuple[str, ...] | None = None
    pixel_size: PixelSize | None = None
    interval: float | None = None
    modality: str | None = None
    stage: tuple[float, float] | None = None

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of the file."""
        self.close()


def as_lazy(picture: Picture) -> LazyPicture:
    """A picture that is in memory, as if it were a file's."""
    times, channels, planes, rows, columns = picture.array.shape
    return LazyPicture(
        name=picture.name,
        shape=(times, channels, planes, rows, columns),
        dtype=picture.array.dtype,
        read_plane=lambda t, c, z, rows, columns: picture.array[t, c, z, rows, columns],
        close=lambda: None,
        channel_names=picture.channel_names,
        pixel_size=picture.pixel_size,
        interval=picture.interval,
        modality=picture.modality,
        source=picture.source or Path(picture.name),
    )
