"""One embryo's time-lapse recording, read as a movie; `isl.polarity.finding` finds them."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.table import field_name
from isl.imaging.image import Movie, PixelSize
from isl.imaging.inputs.containers import is_container, open_picture
from isl.imaging.inputs.folder import tell_photos_left_out
from isl.imaging.inputs.frame_numbers import check_named_alike, frame_steps, warn_of_gaps
from isl.imaging.inputs.movie import movie_axes, read_movie
from isl.imaging.inputs.read import open_transmitted
from isl.imaging.lazy import EVERYTHING, LazyPicture
from isl.imaging.names import modality_of
from isl.imaging.times import stated_interval
from isl.imaging.units import check_length
from isl.polarity.embryos_in_field import Window
from isl.polarity.finding import frames_in
from isl.polarity.frame_range import EVERY_FRAME, FrameRange


class FramesOnDisk:
    """Frames [T, Z, Y, X] of which the last one read is in memory, and no other.

    Attributes:
        shape: T, Z, Y, X.
        dtype: As stored.
    """

    def __init__(
        self, read: Callable[[int], np.ndarray], shape: tuple[int, int, int, int], dtype: np.dtype
    ) -> None:
        """Nothing is read yet.

        Args:
            read: Reads frame `t` of those used, [Z, Y, X].
            shape: T, Z, Y, X.
            dtype: As stored.
        """
        self.shape = shape
        self.dtype = dtype
        self._read = functools.lru_cache(maxsize=1)(read)

    def __len__(self) -> int:
        """T."""
        return self.shape[0]

    def __getitem__(self, t: int) -> np.ndarray:
        """Frame `t`, [Z, Y, X]."""
        if not 0 <= t < len(self):
            raise IndexError(t)
        return self._read(t)

    def __iter__(self) -> Iterator[np.ndarray]:
        """One frame after the other."""
        return map(self._read, range(len(self)))

    def fit(self, memory: int | None) -> bool:
        """Whether they take no more than so many bytes."""
        return memory is None or math.prod(self.shape) * self.dtype.itemsize <= memory

    def held(self) -> np.ndarray:
        """All of them in memory."""
        frames = np.empty(self.shape, self.dtype)
        for own, read in zip(frames, self, strict=True):
            own[:] = read
        return frames


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One embryo's time-lapse as it was read, or the part of it that is used.

    Attributes:
        name: The file's or folder's name.
        frames: uint8, uint16 or float32 [T, Z, Y, X], as stored; Z is 1 for all-in-focus frames.
            A long recording's stay on disk.
        numbers: T frame numbers, counted from 0 in file order.
        frame_names: T names, of the files the frames come from or "frame 0" and so on.
        steps: T times, in frame intervals since the first file; the same as `numbers` unless the
            numbers in file names say that files are missing before those used.
        interval: Minutes between frames, or None.
        times: T minutes since the file's first frame, where every frame has a time of its own.
        pixel_size: Micrometres, or None.
        modality: As in `isl.imaging.image.Movie`.
        source: The file or folder.
        window: What it was cut out of a field by, or None.
    """

    name: str
    frames: np.ndarray | FramesOnDisk
    numbers: tuple[int, ...]
    frame_names: tuple[str, ...]
    steps: tuple[float, ...]
    interval: float | None = None
    times: tuple[float, ...] | None = None
    pixel_size: PixelSize | None = None
    modality: str | None = None
    source: Path
    window: Window | None = None

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.numbers)

    def minutes(self, t: int) -> float | None:
        """When frame `t` of those used was taken, since the first file; None: nobody knows."""
        if self.times is not None:
            return self.times[t]
        return None if self.interval is None else self.steps[t] * self.interval

    def frame(self, t: int) -> str:
        """What a person would call frame `t` of those used, e.g. "frame 3 (t016.png)"."""
        own = f"frame {self.numbers[t]}"
        return own if self.frame_names[t] == own else f"{own} ({self.frame_names[t]})"


def read_recording(
    path: Path,
    *,
    frames: FrameRange = EVERY_FRAME,
    interval: float | None = None,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
    window: Window | None = None,
    memory: int | None = None,
) -> Recording:
    """Reads a recording, or some of its frames.

    Args:
        path: A file or folder as `find_recordings` gives it.
        frames: Which frames to use.
        interval: Minutes between frames, whatever the file says.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where a file has several.
        pixel_size: Micrometres, whatever the file says.
        window: The square around one of several embryos; no more is read of a file. The embryo's
            number is added to the name.
        memory: Bytes that frames may take; those of a recording that takes more are read one by one
            when they are wanted. None: they may take any.

    Raises:
        InputError: There is one frame only, frames differ in size or are missing from the sequence,
            a frame is empty or not finite, a file cannot be read, or a length or time is none.
    """
    path = Path(path)
    check_length("pixel_size", pixel_size)
    read = _read_folder if path.is_dir() and not is_container(path) else _read_file
    recording = read(path, frames, axes, channel, window, memory)
    if window is not None:
        name = name_in_field(recording.name, window)
        recording = dataclasses.replace(recording, name=name, window=window)
    used, times = stated_interval(interval, recording.interval, recording.times, path)
    recording = dataclasses.replace(recording, interval=used, times=times)
    if pixel_size is not None:
        own = recording.pixel_size
        stated = PixelSize(y=pixel_size, x=pixel_size, z=None if own is None else own.z)
        recording = dataclasses.replace(recording, pixel_size=stated)
    if len(recording) < 2:
        raise InputError(_one_frame(recording, axes))
    _check_pixels(recording)
    return recording


def name_in_field(field: str, window: Window) -> str:
    """What an embryo of a field is called, such as well_3-embryo_2."""
    return f"{field}-embryo_{window.number}"


def _read_folder(
    folder: Path,
    chosen: FrameRange,
    axes: str | None,
    channel: str | None,
    window: Window | None,
    memory: int | None,
) -> Recording:
    files = frames_in(folder)
    tell_photos_left_out(folder, files)
    if not files:
        raise InputError(f"{folder}: holds no frame; expected one image file a time point")
    names = [file.name for file in files]
    check_named_alike(names, folder)
    used = list(chosen.within(len(files), folder))
    steps = _steps(names, used, folder)
    first = read_movie(files[used[0]], axes=axes, channel=channel)

    def read(index: int) -> np.ndarray:
        file = files[used[index]]
        picture = first if index == 0 else read_movie(file, axes=axes, channel=channel)
        if picture.frames.shape[0] > 1:
            raise InputError(f"{file}: is a movie among single frames; keep it in another folder")
        _check_same(picture, first, file, files[used[0]])
        planes = picture.frames[0]
        return planes if window is None else planes[:, *window.place(used[index])]

    rows, columns = first.frames.shape[2:] if window is None else (window.side, window.side)
    frames = FramesOnDisk(
        read, (len(used), first.frames.shape[1], rows, columns), first.frames.dtype
    )
    return Recording(
        name=field_name(folder),
        frames=frames.held() if frames.fit(memory) else frames,
        numbers=tuple(used),
        frame_names=tuple(names[number] for number in used),
        steps=steps,
        pixel_size=first.pixel_size,
        modality=first.modality,
        source=folder,
    )


def recording_of(movie: Movie) -> Recording:
    """A movie in memory as a recording, all of whose frames are used.

    Raises:
        InputError: It has one frame, or a frame is empty or not finite.
    """
    source = movie.source or Path(movie.name)
    recording = _of_movie(movie, EVERY_FRAME, source)
    if len(recording) < 2:
        raise InputError(_one_frame(recording, None))
    _check_pixels(recording)
    return recording


def _of_movie(movie: Movie, chosen: FrameRange, path: Path) -> Recording:
    used = chosen.within(movie.frames.shape[0], path)
    return _numbered(movie, movie.frames[used.start : used.stop], used, path)


def _read_file(
    path: Path,
    chosen: FrameRange,
    axes: str | None,
    channel: str | None,
    window: Window | None,
    memory: int | None,
) -> Recording:
    axes = movie_axes(path, axes)
    picture, index = open_transmitted(path, axes=axes, channel=channel)
    with picture:
        times, _, planes, *size = picture.shape
        used = chosen.within(times, path)

        def of_frame(file: LazyPicture, t: int) -> np.ndarray:
            rows, columns = (EVERYTHING, EVERYTHING) if window is None else window.place(t)
            return np.stack(
                [file.read(t=t, c=index, z=z, rows=rows, columns=columns) for z in range(planes)]
            )

        def opened(place: int) -> np.ndarray:
            with open_picture(path, axes=axes) as file:
                return of_frame(file, used[place])

        rows, columns = size if window is None else (window.side, window.side)
        shape = (len(used), planes, rows, columns)
        frames = FramesOnDisk(opened, shape, picture.dtype)
        if frames.fit(memory):
            # All from the file that is open.
            read = FramesOnDisk(lambda place: of_frame(picture, used[place]), shape, picture.dtype)
            recording = _numbered(picture, read.held(), used, path)
        else:
            recording = _numbered(picture, frames, used, path)
    if picture.channel_names is None:
        return recording
    return dataclasses.replace(recording, modality=modality_of(picture.channel_names[index]))


def _numbered(
    told: Movie | LazyPicture, frames: np.ndarray | FramesOnDisk, used: range, path: Path
) -> Recording:
    """Frames of a file, [T, Z, Y, X], with what it tells of them."""
    return Recording(
        name=told.name,
        frames=frames,
        numbers=tuple(used),
        frame_names=tuple(f"frame {number}" for number in used),
        steps=tuple(used),
        interval=told.interval,
        times=None if told.times is None else told.times[used.start : used.stop],
        pixel_size=told.pixel_size,
        modality=told.modality,
        source=path,
    )


def _check_same(picture: Movie, first: Movie, file: Path, first_file: Path) -> None:
    """Refuses a frame that has another size or pixel type than the first."""
    for what, own, other in (
        ("planes", picture.frames.shape[1], first.frames.shape[1]),
        ("pixels", picture.frames.shape[2:], first.frames.shape[2:]),
        ("type", picture.frames.dtype, first.frames.dtype),
    ):
        if own != other:
            raise InputError(
                f"{file}: has {_shown(own)} {what}, but {first_file.name} has {_shown(other)}; "
                "frames of one recording are alike in size and type"
            )


def _shown(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _steps(names: Sequence[str], used: Sequence[int], folder: Path) -> tuple[float, ...]:
    """When each frame used was taken, in frame intervals since the first file.

    Raises:
        InputError: Frames are missing between those used.
    """
    times = frame_steps(names, folder)
    for first, second in itertools.pairwise(used):
        missing = round(times[second] - times[first]) - 1
        if missing > 0:
            raise InputError(
                f"{folder}: {missing} frame{'s are' if missing > 1 else ' is'} missing between "
                f"{names[first]} (frame {first}) and {names[second]} (frame {second}); add what is "
                f"missing, or use one side only, with `frames=:{second}` or `frames={second}:`"
            )
    warn_of_gaps([names[n] for n in used], [times[n] for n in used], folder)
    return tuple(times[number] for number in used)


def _one_frame(recording: Recording, axes: str | None) -> str:
    planes = recording.frames.shape[1]
    message = f"{recording.source}: holds one frame to use; an onset needs a movie of two or more"
    if planes > 1 and axes is None:
        message += f" (give `axes=TYX` if its {planes} planes are time points)"
    return message


def _check_pixels(recording: Recording) -> None:
    """Refuses frames that hold nothing, or no numbers."""
    for t, planes in enumerate(recording.frames):
        if not np.isfinite(planes).all():
            raise InputError(
                f"{recording.source}: {recording.frame(t)} holds pixels that are NaN or infinite; "
                "replace them first"
            )
        if planes.min() == planes.max():
            raise InputError(
                f"{recording.source}: {recording.frame(t)} is empty (every pixel is "
                f"{planes.flat[0]:g}); leave it out with `frames=A:B`, or replace it"
            )
