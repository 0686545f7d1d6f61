"""One embryo's time-lapse: its frames as 8-bit gray pictures, and when each was taken."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from isl.data.tables import read_table
from isl.errors import InputError
from isl.files.provenance import results_in
from isl.imaging.formats.photo import stored_photo
from isl.imaging.formats.table import field_name, image_ending, is_photo, is_stack_file
from isl.imaging.image import Movie
from isl.imaging.inputs.containers import fields_in, is_container
from isl.imaging.inputs.frame_numbers import (
    check_named_alike,
    frame_numbers,
    frame_steps,
    warn_of_gaps,
)
from isl.imaging.inputs.movie import movie_axes, time_points
from isl.imaging.inputs.photo import PHOTOS
from isl.imaging.inputs.read import by_name, natural_order, open_transmitted
from isl.imaging.lazy import LazyPicture
from isl.imaging.readable import check_readable_file
from isl.imaging.times import stated_interval
from isl.viability.movie_file import is_movie_file, read_movie_file

WHOLE_FRAME = 0
"""The number of an embryo that fills the picture."""
_ACCEPTED = "a movie, a folder of frames, or a folder of such things"
_LEFT_OUT = ("thumbs.db", "desktop.ini")
# Shares of pixels below black and above white where 16 bits become 8.
_BLACK, _WHITE = 0.1, 99.9
# So many frames of a recording say where those lie.
_SAMPLED = 9
# Frames of a movie so many times as far apart as usual are told.
_UNEVEN = 1.5


logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a recording lies and what is known of it before it is opened.

    Attributes:
        name: Of the recording.
        path: A file, or a folder of frames.
        cohort: Whose embryo, or with which others it is compared; "": nobody says.
        start: Hours after insemination of the first frame, or None.
        interval: Minutes between frames, or None.
        times: A table of frames and their hours, or None.
        embryo: Which of several embryos in the picture, from 1; None: there is one; 0
            (`WHOLE_FRAME`): it fills the picture and is not looked for.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where a file has several.
    """

    name: str
    path: Path
    cohort: str = ""
    start: float | None = None
    interval: float | None = None
    times: Path | None = None
    embryo: int | None = None
    axes: str | None = None
    channel: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A time-lapse that was opened.

    Attributes:
        place: Where it lies.
        frame_names: T names, of files, or "frame 0" and so on.
        hours: float [T], after insemination; nan: nobody knows of this frame.
        read: A frame's number to its picture, uint8 [Y, X].
    """

    place: Place
    frame_names: tuple[str, ...]
    hours: np.ndarray
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.frame_names)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Opened:
    """What a file or folder gives by itself.

    Attributes:
        names: T names of frames.
        read: As in `Recording`.
        steps: When each frame was taken, in intervals since the first.
        interval: Minutes between frames, or None.
        times: Minutes of each frame since the first, or None.
    """

    names: tuple[str, ...]
    read: Callable[[int], np.ndarray]
    steps: Sequence[float]
    interval: float | None = None
    times: tuple[float, ...] | None = None


def open_recording(place: Place, memory: int | None = None) -> Recording:
    """Opens a recording; frames of folders and TIFFs are read when they are wanted.

    Args:
        place: Where it lies.
        memory: Bytes that a movie file's frames, which are read through at once, may take; beyond
            that they wait on disk. None: however many.

    Raises:
        InputError: It cannot be opened, has one frame, or nobody says when frames were taken or
            what is said runs back in time.
    """
    path = place.path
    if is_movie_file(path):
        movie = read_movie_file(path, memory)
        frames, names = movie.frames, _numbered(len(movie.frames))
        if place.times is None:
            _warn_of_uneven(movie.seconds, path)
        opened = _Opened(names=names, read=frames.__getitem__, steps=range(len(names)))
    elif path.is_dir() and not is_container(path):
        opened = _open_folder(place)
    else:
        opened = _open_image(place)
    if len(opened.names) < 2:
        raise InputError(f"{path}: holds one frame; a viability needs a recording of many")
    hours = hours_of(
        place,
        opened.names,
        opened.interval,
        times=opened.times,
        steps=opened.steps,
    )
    return Recording(place=place, frame_names=opened.names, hours=hours, read=opened.read)


def recording_of(
    movie: Movie,
    *,
    start: float | None = None,
    hours: Sequence[float] | None = None,
    embryo: int | None = None,
) -> Recording:
    """A movie in memory as a recording; of several planes the middle one.

    Args:
        movie: Integers or floats.
        start: Hours after insemination of the first frame.
        hours: Of every frame, whatever else says.
        embryo: As in `Place`.

    Raises:
        InputError: It has one frame, pixels are not finite, or nobody says when frames were taken.
    """
    path = movie.source or Path(movie.name)
    frames = movie.frames[:, movie.frames.shape[1] // 2]
    place = Place(name=movie.name, path=path, start=start, embryo=embryo)
    names = _numbered(len(frames))
    if len(names) < 2:
        raise InputError(f"{path}: holds one frame; a viability needs a recording of many")
    if hours is None:
        known = hours_of(place, names, movie.interval, times=movie.times)
    elif len(hours) == len(names):
        known = np.asarray(hours, float)
        _check_order(known, names, path)
    else:
        raise InputError(f"{path}: has {len(names)} frames, and `hours` has {len(hours)}")
    if frames.dtype != np.uint8:
        spread = np.unique(np.linspace(0, len(frames) - 1, _SAMPLED, dtype=int))
        bounds = _bounds(frames[spread], path)
        frames = np.stack([_scaled(frame, bounds) for frame in frames])
    return Recording(place=place, frame_names=names, hours=known, read=frames.__getitem__)


def hours_of(
    place: Place,
    names: Sequence[str],
    own_interval: float | None,
    *,
    times: Sequence[float] | None = None,
    steps: Sequence[float] | None = None,
) -> np.ndarray:
    """When each frame was taken, hours after insemination, float [T]; nan: not known.

    Args:
        place: What is said of the recording.
        names: Of its frames.
        own_interval: Minutes between frames as the file has them, or None.
        times: Minutes of each frame since the first, as the file has them, or None.
        steps: When each was taken, in intervals since the first; None: one after the other.

    Raises:
        InputError: Nobody says it, or hours run back.
    """
    if place.times is not None:
        hours = _read_times(place.times, names)
    else:
        interval, own = stated_interval(place.interval, own_interval, times, place.path)
        if (interval is None and own is None) or place.start is None:
            unknown = interval is None and own is None
            lacking = "the minutes between frames" if unknown else "the first frame's hour"
            raise InputError(
                f"{place.path}: does not say {lacking}; a table of recordings says it in "
                "the columns start_hours (after insemination) and interval_minutes, or times; "
                "without one give `start_hours` and `interval_minutes`, or `times`"
            )
        if steps is not None:
            warn_of_gaps(names, steps, place.path)
        if own is None:
            own = [step * (interval or 0) for step in steps or range(len(names))]
        hours = place.start + np.asarray(own, float) / 60
    _check_order(hours, names, place.path)
    if not np.isfinite(hours).any():
        raise InputError(
            f"{place.times or 'start_hours'}: gives no time for any frame of {place.path}"
        )
    return hours


def _check_order(hours: np.ndarray, names: Sequence[str], path: Path) -> None:
    known = np.flatnonzero(np.isfinite(hours))
    back = np.flatnonzero(np.diff(hours[known]) < 0)
    if len(back):
        first, second = int(known[back[0]]), int(known[back[0] + 1])
        raise InputError(
            f"{path}: time runs back from {names[first]} ({hours[first]:g} h) to "
            f"{names[second]} ({hours[second]:g} h); put the frames or their times in order"
        )


def find_places(
    paths: Iterable[Path | str],
    *,
    cohort: str | None = None,
    start: float | None = None,
    interval: float | None = None,
    times: Path | None = None,
    embryo: int | None = None,
    axes: str | None = None,
    channel: str | None = None,
) -> list[Place]:
    """The recordings that paths stand for; none is opened.

    Args:
        paths: Movies, folders of frames, folders of such things, or tables (.csv) of recordings
            with the columns `recording` and `file`, and where known `start_hours`,
            `interval_minutes`, `times` and whatever `cohort` names.
        cohort: The column of tables that says which embryos are compared.
        start: Hours after insemination of the first frames, whatever tables say.
        interval: Minutes between frames, whatever tables and files say.
        times: A table of frames and hours, whatever else says.
        embryo: Which of several embryos in a picture.
        axes: What the dimensions of TIFFs are, where they do not say.
        channel: The transmitted-light channel, where files have several.

    Raises:
        InputError: A path is missing or no recording, two have one name, or a table lacks a column.
    """
    given = {"start": start, "interval": interval, "times": times, "embryo": embryo}
    given |= {"axes": axes, "channel": channel}
    stated = {key: value for key, value in given.items() if value is not None}
    found: list[Place] = []
    for path in map(Path, paths):
        if path.suffix.lower() == ".csv":
            places = read_recordings(path, cohort)
        elif cohort is not None:
            raise InputError(f"{path}: `cohort={cohort}` names a column; give a table (.csv)")
        else:
            places = [Place(name=name, path=each) for name, each in _at(path, axes)]
        found += [dataclasses.replace(place, **stated) for place in places]
    if not found:
        raise InputError("no input: name movies, folders of frames, or tables of recordings")
    by_name(((place.name, place.path) for place in found), folded=True)
    return found


def read_recordings(table: Path, cohort: str | None = None) -> list[Place]:
    """The recordings of a table; paths in it are relative to it.

    Raises:
        InputError: It cannot be read, lacks a column, or holds a number that is none.
    """
    rows = read_rows(table, ("recording", "file", *([cohort] if cohort else [])))
    return [
        Place(
            name=row["recording"],
            path=table.parent / row["file"],
            cohort=row[cohort] if cohort else "",
            start=_number(table, row, "start_hours"),
            interval=_number(table, row, "interval_minutes"),
            times=table.parent / row["times"] if row.get("times") else None,
            embryo=None if (n := _number(table, row, "embryo")) is None else int(n),
        )
        for row in rows
    ]


def read_rows(table: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """As `isl.data.tables.read_table`, of a table that holds something.

    Raises:
        InputError: It cannot be read, holds no row, lacks a column, or rows differ in length.
    """
    rows = read_table(table)
    if not rows:
        raise InputError(f"{table}: holds no row")
    for column in columns:
        if column not in rows[0]:
            raise InputError(f"{table}: has no column '{column}' (it has {', '.join(rows[0])})")
    return rows


def _at(path: Path, axes: str | None) -> list[tuple[str, Path]]:
    if is_container(path):
        return fields_in(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        if not is_movie_file(path) and image_ending(path) is None:
            raise InputError(f"{path}: is not {_ACCEPTED}")
        return [(_name(path), path)]
    if len(_frames_in(path)) > 1 and all(_is_still(file, axes) for file in _frames_in(path)):
        return [(path.name, path)]
    found: list[tuple[str, Path]] = []
    for entry in _entries(path):
        if is_container(entry):
            found += fields_in(entry)
        elif entry.is_dir() and len(_frames_in(entry)) > 1:
            found.append((entry.name, entry))
        elif is_movie_file(entry) or is_stack_file(entry):
            found.append((_name(entry), entry))
    if not found:
        raise InputError(f"{path}: holds no recording; expected {_ACCEPTED}")
    return found


def _is_still(file: Path, axes: str | None) -> bool:
    """Whether a file is one picture by its ending, or by what its head or `axes` says."""
    # Pages of which nothing says what they are may be a movie.
    return time_points(file, axes=axes) == 1


def _frames_in(folder: Path) -> list[Path]:
    results = results_in(folder)
    return [
        entry
        for entry in _entries(folder)
        if entry.is_file()
        and entry.name not in results
        and (is_photo(entry) or image_ending(entry) is not None)
    ]


def _entries(folder: Path) -> list[Path]:
    found = [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "__")) and entry.name.lower() not in _LEFT_OUT
    ]
    return sorted(found, key=lambda entry: natural_order(entry.name))


def _open_folder(place: Place) -> _Opened:
    folder = place.path
    files = _frames_in(folder)
    if not files:
        raise InputError(f"{folder}: holds no frame; expected pictures, one a time point")
    names = [file.name for file in files]
    check_named_alike(names, folder)
    first = _read_still(files[0], place)
    if files[0].suffix.lower() not in PHOTOS:
        with _opened_light(files[0], place)[0] as picture:
            _warn_of_planes(picture.shape[2], folder)
    # One range for all frames: each stretched to its own would flicker.
    bounds = None
    if first.dtype != np.uint8:
        spread = np.unique(np.linspace(0, len(files) - 1, _SAMPLED, dtype=int))
        sample = [_alike(_read_still(files[t], place), files[t], files[0], first) for t in spread]
        bounds = _bounds(np.stack(sample), folder)

    def read(t: int) -> np.ndarray:
        picture = _alike(_read_still(files[t], place), files[t], files[0], first)
        return picture if bounds is None else _scaled(picture, bounds)

    return _Opened(names=tuple(names), read=read, steps=frame_steps(names, folder))


def _alike(picture: np.ndarray, file: Path, first_file: Path, first: np.ndarray) -> np.ndarray:
    """A frame as stored, which must be like the first one."""
    if picture.shape != first.shape:
        raise InputError(
            f"{file}: has {_shown(picture)} pixels, but {first_file.name} has "
            f"{_shown(first)}; frames of one recording are alike in size"
        )
    if picture.dtype != first.dtype:
        raise InputError(
            f"{file}: has pixels of type {picture.dtype}, but {first_file.name} has "
            f"{first.dtype}; save the frames of one recording alike"
        )
    return picture


def _opened_light(path: Path, place: Place, axes: str | None = None) -> tuple[LazyPicture, int]:
    """A file and which of its channels is meant, as `place` says; color is read as brightness."""
    return open_transmitted(path, axes=axes or place.axes, channel=place.channel, colors=True)


def _read_still(file: Path, place: Place) -> np.ndarray:
    """A frame as it is stored, gray, [Y, X]."""
    if file.suffix.lower() not in PHOTOS:
        picture, channel = _opened_light(file, place)
        with picture:
            times, _, planes = picture.shape[:3]
            if times > 1:
                raise InputError(f"{file}: holds {times} time points; a frame is one picture")
            return picture.read(c=channel, z=planes // 2)
    check_readable_file(file)
    stored = stored_photo(file, "L")
    return stored if stored.dtype == np.uint8 else stored.astype(np.float32)


def _open_image(place: Place) -> _Opened:
    path = place.path
    picture, channel = _opened_light(path, place, movie_axes(path, place.axes))
    times, _, planes = picture.shape[:3]
    if times == 1 and planes > 1:
        raise InputError(
            f"{path}: is a z-stack of one time point as it says itself; a viability needs a "
            "time-lapse"
        )
    _warn_of_planes(planes, path)
    sample = [
        picture.read(t=t, c=channel, z=planes // 2)
        for t in np.unique(np.linspace(0, times - 1, _SAMPLED, dtype=int))
    ]
    bounds = None if picture.dtype == np.uint8 else _bounds(np.stack(sample), path)

    def read(t: int) -> np.ndarray:
        plane = picture.read(t=t, c=channel, z=planes // 2)
        return plane if bounds is None else _scaled(plane, bounds)

    return _Opened(
        names=_numbered(times),
        read=read,
        steps=range(times),
        interval=picture.interval,
        times=picture.times,
    )


def _warn_of_uneven(seconds: np.ndarray, path: Path) -> None:
    """Frames that a movie shows longer than others may stand for some that were left out."""
    gaps = np.diff(seconds)
    if len(gaps) and gaps.max() > _UNEVEN * np.median(gaps):
        longest = int(gaps.argmax())
        logger.warning(
            "%s: plays its frames %.3g to %.3g s apart, the longest after frame %d; each is taken "
            "for one interval, so give `times` if frames are missing",
            path,
            gaps.min(),
            gaps.max(),
            longest,
        )


def _warn_of_planes(planes: int, path: Path) -> None:
    if planes > 1:
        logger.warning(
            "%s: has %d planes a time point; the middle one, plane %d, is used",
            path,
            planes,
            planes // 2,
        )


def _bounds(sample: np.ndarray, source: Path) -> tuple[float, float]:
    if not np.isfinite(sample).all():
        raise InputError(f"{source}: holds pixels that are not finite; export it again")
    black, white = (float(value) for value in np.percentile(sample, (_BLACK, _WHITE)))
    return black, max(white, black + 1e-6)


def _scaled(plane: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    share = (plane.astype(np.float32) - bounds[0]) / (bounds[1] - bounds[0])
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def _read_times(table: Path, names: Sequence[str]) -> np.ndarray:
    """Hours by frame: rows in any order; a frame that no row names has no time."""
    rows = read_rows(table, ("frame", "hours"))
    index = _frames_named([row["frame"] for row in rows], names, table)
    hours = np.full(len(names), np.nan)
    for row in rows:
        t = index.get(row["frame"])
        if t is None:
            raise InputError(
                f"{table}: names frame '{row['frame']}', but the recording has {len(names)} "
                f"frames, {names[0]} to {names[-1]}"
            )
        value = _number(table, row, "hours")
        if np.isfinite(hours[t]) and value != hours[t]:
            other = "none" if value is None else f"{value:g}"
            raise InputError(
                f"{table}: says {hours[t]:g} and {other} hours of frame '{row['frame']}'"
            )
        hours[t] = np.nan if value is None else value
    return hours


def _frames_named(wanted: Sequence[str], names: Sequence[str], table: Path) -> dict[str, int]:
    """Which frame each name or number in a table can mean.

    A number is that of the frame counted from 0, or the one that counts in the files' names: the
    one that all rows fit.

    Raises:
        InputError: All rows fit both, and frames differ.
    """
    index = {name: t for t, name in enumerate(names)}
    index |= {field_name(Path(name)): t for t, name in enumerate(names)}
    numbers = {text: int(text) for text in wanted if text not in index and text.isdecimal()}
    counted = {number: t for t, number in enumerate(frame_numbers(names, table) or ())}
    by_name, by_place = (
        {text: t for text, number in numbers.items() if (t := frames.get(number)) is not None}
        for frames in (counted, dict(enumerate(range(len(names)))))
    )
    if by_name != by_place and len(by_name) == len(by_place) == len(numbers):
        text, t = next(iter(by_name.items()))
        raise InputError(
            f"{table}: frame '{text}' may be {names[t]}, or {names[by_place[text]]}, which is "
            f"frame {text} counted from 0; give the files' names"
        )
    return index | (by_name if len(by_name) > len(by_place) else by_place)


def _number(table: Path, row: dict[str, str], column: str) -> float | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{table}: column '{column}' says '{text}', which is no number")
    return value


def _name(path: Path) -> str:
    return path.stem if is_movie_file(path) else field_name(path)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"frame {number}" for number in range(count))


def _shown(picture: np.ndarray) -> str:
    return " x ".join(map(str, picture.shape))
