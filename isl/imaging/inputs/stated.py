"""What a person says of an image, in place of what its file says; arrays in place of files."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from isl.errors import InputError, unknown
from isl.imaging.formats.axes import ORDER, parse_axes
from isl.imaging.formats.published import TRANSMITTED
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.inputs.containers import is_container
from isl.imaging.inputs.frames import open_transmitted_frames, steps_in
from isl.imaging.inputs.movie import read_movie
from isl.imaging.inputs.read import read_transmitted
from isl.imaging.lazy import LazyPicture, read_whole
from isl.imaging.names import modality_of
from isl.imaging.times import believed_interval, stated_interval
from isl.imaging.units import check_length

_Image = TypeVar("_Image", ZStack, Movie, LazyPicture)
# Nobody has pictures so few pixels wide.
_COLORS = (3, 4)
_USUAL = {2: "YX", 3: "ZYX", 4: "TZYX"}
_USUAL_MOVIE = {2: "YX", 3: "TYX", 4: "TZYX"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stated:
    """What was said; None for what was not.

    Attributes:
        axes: One letter of T, C, Z, Y, X for each dimension of a TIFF or an array.
        channel: Name of the transmitted channel.
        pixel_size: Micrometres.
        z_step: Micrometres between planes.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
    """

    axes: str | None = None
    channel: str | None = None
    pixel_size: float | None = None
    z_step: float | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        """Refuses lengths that are none.

        Raises:
            InputError: One is 0 or less, or no number.
        """
        check_length("pixel_size", self.pixel_size)
        check_length("z_step", self.z_step)

    def of(self, image: _Image) -> _Image:
        """The image with what was said in place of what it says.

        Raises:
            InputError: A z step is stated of an image whose pixel size nobody knows.
        """
        size = image.pixel_size
        if self.pixel_size is not None:
            z = None if size is None else size.z
            size = PixelSize(y=self.pixel_size, x=self.pixel_size, z=z)
        if self.z_step is not None:
            if size is None:
                raise InputError(
                    f"{image.source or image.name}: does not say its pixel size, which "
                    f"`z_step={self.z_step:g}` needs; give `pixel_size=UM` too"
                )
            size = dataclasses.replace(size, z=self.z_step)
        return dataclasses.replace(image, pixel_size=size, modality=self.modality or image.modality)

    def of_stack(self, stack: ZStack | Movie) -> ZStack | Movie:
        """As `of`, of either."""
        if isinstance(stack, Movie):
            return self.of(stack)
        return self.of(stack)


# Nothing was said.
UNSTATED = Stated()


def parse_modality(text: str) -> str:
    """A modality by its own name, or by a word for it such as "phase" or "bright field".

    Raises:
        InputError: It is none that is known.
    """
    name = text.strip().upper().replace("-", "_").replace(" ", "_")
    found = name if name in TRANSMITTED else modality_of(text)
    if found is None:
        raise unknown("modality", text, TRANSMITTED)
    return found


def as_stack(
    stack: ZStack | Movie | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
    z_step: float | None = None,
    modality: str | None = None,
) -> ZStack | Movie:
    """An array or path as the z-stack or movie it is; a stack or movie with what is said of it.

    Args:
        stack: A z-stack, a movie, an array of uint8, uint16 or floats, or the path of an image.
        axes: One letter of T, C, Z, Y, X for each dimension of an array, C of length 1, or of a
            TIFF that does not say. None: YX, ZYX or TZYX.
        channel: Name of the transmitted channel of a file that has several.
        pixel_size: Micrometres, as of `Stated`.
        z_step: Likewise.
        modality: Likewise.

    Raises:
        InputError: An array has no pixels or pixels of another type, or is masked or of colors;
            `axes` does not fit it; a length is not above 0; or a file cannot be read.
    """
    if isinstance(stack, str | Path):
        stack = read_transmitted(stack, axes=axes, channel=channel)
    else:
        stack = _in_memory(stack, axes, channel, _USUAL)
    said = Stated(
        pixel_size=pixel_size,
        z_step=z_step,
        modality=None if modality is None else parse_modality(modality),
    )
    return said.of_stack(stack)


def as_movie(
    movie: ZStack | Movie | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
    interval: float | None = None,
    modality: str | None = None,
) -> Movie:
    """As `as_stack`, where time points are expected: an array of three dimensions is TYX.

    Args:
        movie: A movie, a z-stack (which becomes one time point), an array, or the path of a file
            or of a folder of frames, where times follow the numbers in their names.
        axes: As there; None: YX, TYX or TZYX.
        channel: As there.
        pixel_size: Micrometres.
        interval: Minutes between frames; what the movie says otherwise gives a warning.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.

    Raises:
        InputError: As there.
    """
    steps = None
    if isinstance(movie, str | Path):
        path = Path(movie)
        steps = steps_in(path) if path.is_dir() and not is_container(path) else None
        movie = _movie_at(path, axes, channel)
    else:
        movie = _in_memory(movie, axes, channel, _USUAL_MOVIE)
    if isinstance(movie, ZStack):
        movie = Movie(
            name=movie.name,
            frames=movie.planes[None],
            pixel_size=movie.pixel_size,
            modality=movie.modality,
            source=movie.source,
        )
    said = Stated(
        pixel_size=pixel_size, modality=None if modality is None else parse_modality(modality)
    )
    used, times = stated_interval(interval, movie.interval, movie.times, movie.source or movie.name)
    if steps is not None and used is not None and steps != tuple(range(len(steps))):
        times = tuple(step * used for step in steps)
        used = believed_interval(used, times, movie.source or movie.name)
    return dataclasses.replace(said.of(movie), interval=used, times=times)


def as_picture(movie: Movie) -> LazyPicture:
    """A movie in memory as what is read plane by plane: T, one channel, Z, Y, X."""
    frames, planes, height, width = movie.frames.shape

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        range(1)[c]
        return movie.frames[t, z, rows, columns]

    return LazyPicture(
        name=movie.name,
        shape=(frames, 1, planes, height, width),
        dtype=movie.frames.dtype,
        read_plane=read,
        source=movie.source or Path(movie.name),
        channel_names=None if movie.channel is None else (movie.channel,),
        pixel_size=movie.pixel_size,
        interval=movie.interval,
        times=movie.times,
        modality=movie.modality,
    )


def _movie_at(path: Path, axes: str | None, channel: str | None) -> Movie:
    if not path.is_dir() or is_container(path):
        return read_movie(path, axes=axes, channel=channel)
    picture, index = open_transmitted_frames(path, axes=axes, channel=channel)
    frames = read_whole(picture, (index,))
    return Movie(
        name=frames.name,
        frames=frames.array[:, 0],
        pixel_size=frames.pixel_size,
        modality=frames.modality,
        source=path,
    )


def _in_memory(
    image: ZStack | Movie | np.ndarray,
    axes: str | None,
    channel: str | None,
    usual: Mapping[int, str],
) -> ZStack | Movie:
    if channel is not None:
        raise InputError(
            f"`channel={channel}` is for files; give the array of that channel alone, or the path"
        )
    if not isinstance(image, ZStack | Movie):
        return _of_array(image, axes, usual)
    if axes is not None:
        raise InputError(f"`axes={axes}` is for arrays; a {type(image).__name__} says its own")
    return image


def _of_array(array: np.ndarray, axes: str | None, usual: Mapping[int, str]) -> ZStack | Movie:
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise InputError(
            f"a {type(array).__name__} is no image; give an array, a path, or what "
            "read_transmitted reads"
        )
    shape = " x ".join(map(str, array.shape))
    if axes is None and array.ndim > 2 and array.shape[-1] in _COLORS:
        raise InputError(
            f"array: has shape {shape}, the last of which are colors; give it in gray, such as "
            "array.mean(axis=-1), or say `axes`"
        )
    order = usual.get(array.ndim) if axes is None else parse_axes(axes)
    if order is None:
        raise InputError(f"array: has shape {shape}; give 2 to 4 dimensions, or say `axes=TCZYX`")
    if len(order) != array.ndim:
        raise InputError(f"array: `axes={axes}` names {len(order)} axes of shape {shape}")
    if not (array.dtype.newbyteorder("=") in (np.uint8, np.uint16) or array.dtype.kind == "f"):
        raise InputError(
            f"array: has pixels of type {array.dtype}; give uint8, uint16 or floats, such as "
            "(array - array.min()).astype('uint16')"
        )
    if not array.size:
        raise InputError(f"array: has no pixels (shape {shape})")
    missing = [letter for letter in ORDER if letter not in order]
    whole = array.transpose([order.index(letter) for letter in ORDER if letter in order])
    whole = np.expand_dims(whole, tuple(ORDER.index(letter) for letter in missing))
    if whole.shape[1] > 1:
        raise InputError(
            f"array: has {whole.shape[1]} channels (`axes={axes}`); give the transmitted one alone"
        )
    frames = whole[:, 0]
    if array.dtype.kind == "f":
        frames = frames.astype(np.float32)
    elif not array.dtype.isnative:
        frames = frames.astype(array.dtype.newbyteorder("="))
    movie = Movie(name="array", frames=frames)
    return movie if "T" in order and len(frames) > 1 else movie.stack(0)
