"""Time-lapse recordings of embryos: finding them, and reading each as one movie.

A recording is a TIFF that holds several time points (of stacks, or of all-in-focus frames), or a
folder of frames, one file a time point, in natural order of their names.
"""

import csv
import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError, unknown
from isl.imaging.image import Movie, PixelSize
from isl.imaging.movie import read_movie, time_points
from isl.imaging.names import field_name, image_ending
from isl.imaging.published import is_published_folder
from isl.imaging.read import natural_order

_ACCEPTED = "a TIFF movie, a folder of frames, or a folder of such things"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameRange:
    """Frames to use, counted from 0 in file order; `stop` is the first one left out.

    Attributes:
        start: The first frame.
        stop: None: to the end.
        origin: Where it was said, for messages.
    """

    start: int = 0
    stop: int | None = None
    origin: str = "--frames"

    def within(self, count: int, source: Path) -> range:
        """The frames meant, of `count` that there are.

        Raises:
            InputError: Some of them are not there.
        """
        stop = count if self.stop is None else self.stop
        if self.start >= count or stop > count:
            raise InputError(
                f"{source}: {self.origin} asks for frames {self.start} to {stop - 1}, but its "
                f"{count} frames are 0 to {count - 1}"
            )
        return range(self.start, stop)


EVERY_FRAME = FrameRange()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One embryo's time-lapse as it was read, or the part of it that is used.

    Attributes:
        name: The file's or folder's name.
        frames: uint8, uint16 or float32 [T, Z, Y, X], as stored; Z is 1 for all-in-focus frames.
        numbers: T frame numbers, counted from 0 in file order.
        frame_names: T names, of the files the frames come from or "frame 0" and so on.
        steps: T times, in frame intervals since the first file; the same as `numbers` unless the
            numbers in file names say that files are missing before those used.
        interval: Minutes between frames, or None.
        pixel_size: Micrometres, or None.
        modality: As in `isl.imaging.image.Movie`.
        source: The file or folder.
    """

    name: str
    frames: np.ndarray
    numbers: tuple[int, ...]
    frame_names: tuple[str, ...]
    steps: tuple[int, ...]
    interval: float | None = None
    pixel_size: PixelSize | None = None
    modality: str | None = None
    source: Path

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.numbers)

    def minutes(self, t: int) -> float | None:
        """When frame `t` of those used was taken, since the first file; None: nobody knows."""
        return None if self.interval is None else self.steps[t] * self.interval

    def frame(self, t: int) -> str:
        """What a person would call frame `t` of those used, e.g. "frame 3 (t016.png)"."""
        own = f"frame {self.numbers[t]}"
        return own if self.frame_names[t] == own else f"{own} ({self.frame_names[t]})"


def find_recordings(
    paths: Iterable[Path | str], *, axes: str | None = None, leave_out: Path | None = None
) -> list[tuple[str, Path]]:
    """The recordings that `paths` stand for, as (name, path); none is read.

    A path is a TIFF movie, a folder of frames, or a folder of such things, whose other files are
    left out. A folder that holds several pictures or stacks of one time point each is one embryo's
    folder of frames.

    Args:
        paths: What the person gave.
        axes: What the dimensions of TIFFs are, where they do not say.
        leave_out: A folder that is not searched: where results go.

    Raises:
        InputError: A path is missing or no recording, or two recordings have one name.
    """
    found: list[tuple[str, Path]] = []
    for path in map(Path, paths):
        found += [(field_name(each), each) for each in _recordings_at(path, axes, leave_out)]
    if not found:
        raise InputError("no input: name movies or folders of frames")
    seen: dict[str, Path] = {}
    for name, path in found:
        other = seen.setdefault(name.casefold(), path)
        if other is path:
            continue
        if other.resolve() == path.resolve():
            raise InputError(f"{path}: is given twice")
        raise InputError(
            f"{path}: has the same name '{name}' as {other}, and their results would collide; "
            "rename one"
        )
    return found


def read_recording(
    path: Path,
    *,
    frames: FrameRange = EVERY_FRAME,
    interval: float | None = None,
    axes: str | None = None,
    channel: str | None = None,
) -> Recording:
    """Reads a recording, or some of its frames.

    Args:
        path: A file or folder as `find_recordings` gives it.
        frames: Which frames to use.
        interval: Minutes between frames, whatever the file says.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where a file has several.

    Raises:
        InputError: There is one frame only, frames differ in size or are missing from the sequence,
            a frame is empty or not finite, or a file cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        recording = _read_folder(path, frames, axes, channel)
    else:
        recording = _read_file(path, frames, axes, channel)
    if interval is not None:
        recording = dataclasses.replace(recording, interval=interval)
    if len(recording) < 2:
        raise InputError(_one_frame(recording, axes))
    _check_pixels(recording)
    return recording


def parse_frames(text: str) -> FrameRange | None:
    """Frames from a text such as `4:30`, `4:` or `:30`; None where it is no such text.

    Raises:
        InputError: It names no frame.
    """
    match = re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", text)
    if match is None:
        return None
    start, stop = (int(number) if number else None for number in match.groups())
    if stop is not None and stop <= (start or 0):
        raise InputError(f"--frames {text}: names no frame; B of A:B is the first frame left out")
    return FrameRange(start=start or 0, stop=stop, origin=f"--frames {text.strip()}")


def read_frame_table(path: Path) -> dict[str, FrameRange]:
    """Frames to use for every embryo, from a CSV table with the columns embryo and frames (A:B).

    Raises:
        InputError: The table cannot be read, lacks a column, names an embryo twice, or a range is
            none.
    """
    ranges: dict[str, FrameRange] = {}
    for line, row in _table_rows(path):
        embryo, text = (row["embryo"] or "").strip(), (row["frames"] or "").strip()
        parsed = parse_frames(text)
        if not embryo or parsed is None:
            raise InputError(
                f"{path}: line {line} has embryo '{embryo}' and frames '{text}'; expected a name "
                "and A:B, such as E016 and 4:30"
            )
        if embryo in ranges:
            raise InputError(f"{path}: line {line} names embryo '{embryo}' again; keep one line")
        ranges[embryo] = dataclasses.replace(parsed, origin=f"{path.name} ({text})")
    return ranges


def _table_rows(path: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="")
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise InputError(
            f"--frames {path}: is neither A:B, such as 4:30, nor a table that exists"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV table ({error})") from error
    for column in ("embryo", "frames"):
        if column not in columns:
            raise InputError(
                f"{path}: {unknown('column', column, columns)}; expected it first line"
            )
    return rows


def _recordings_at(path: Path, axes: str | None, leave_out: Path | None) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        if image_ending(path) is None:
            raise InputError(f"{path}: is not {_ACCEPTED}")
        return [path]
    if is_published_folder(path):
        raise InputError(f"{path}: is a folder of published single stacks, not of a movie's frames")
    frames, movies = _sorted_out(path, axes)
    # A TIFF of one time point beside movies is one of them that went wrong, and to be listed.
    stills = [file for file in frames if image_ending(file) != ".png"]
    if len(stills) <= len(movies):
        frames = [file for file in frames if file not in stills]
        movies += stills
    # One picture among folders is an overview or the like, not a recording of one frame.
    inner = [] if len(frames) > 1 else _frame_folders(path, axes, leave_out)
    if frames and not movies and not inner:
        return [path]
    if len(frames) > 1:
        raise InputError(
            f"{path}: holds movies ({movies[0].name}) and single frames ({frames[0].name}); keep "
            "them in folders of their own"
        )
    found = sorted([*movies, *inner], key=lambda each: natural_order(each.name))
    if not found:
        raise InputError(f"{path}: holds no recording; expected {_ACCEPTED}")
    return found


def _sorted_out(folder: Path, axes: str | None) -> tuple[list[Path], list[Path]]:
    """Images in a folder: those that are one time point each, and those that are movies.

    Raises:
        InputError: Files have pages of which nothing says what they are.
    """
    frames: list[Path] = []
    movies: list[Path] = []
    silent: list[Path] = []
    for file in _images(folder):
        points = time_points(file, axes=axes)
        (silent if points is None else movies if points > 1 else frames).append(file)
    if silent and not frames and not movies:
        raise InputError(
            f"{folder}: {silent[0].name} does not say what its pages are; give --axes TYX if each "
            "file is a movie, --axes ZYX if each is the stack of one time point"
        )
    # A damaged file among frames, or among movies, is one of them; reading it says what is wrong.
    (movies if len(movies) > len(frames) else frames).extend(silent)
    return sorted(frames, key=_by_name), sorted(movies, key=_by_name)


def _frame_folders(folder: Path, axes: str | None, leave_out: Path | None) -> list[Path]:
    """Folders of frames right below a folder; others and hidden ones are left out."""
    avoided = None if leave_out is None else leave_out.resolve()
    return [
        entry
        for entry in _entries(folder)
        if entry.is_dir()
        and entry.resolve() != avoided
        and not is_published_folder(entry)
        and _images(entry)
        and _sorted_out(entry, axes)[0]
    ]


def _images(folder: Path) -> list[Path]:
    return [
        entry for entry in _entries(folder) if entry.is_file() and image_ending(entry) is not None
    ]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(
            (entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=_by_name
        )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _by_name(path: Path) -> list[tuple[int, str]]:
    return natural_order(path.name)


def _read_folder(
    folder: Path, chosen: FrameRange, axes: str | None, channel: str | None
) -> Recording:
    files = _images(folder)
    if not files:
        raise InputError(f"{folder}: holds no frame; expected .png or .tif files, one a time point")
    names = [file.name for file in files]
    _check_alike(names, folder)
    used = list(chosen.within(len(files), folder))
    steps = _steps(names, used, folder)
    pictures = [read_movie(files[number], axes=axes, channel=channel) for number in used]
    for file, picture in zip((files[number] for number in used), pictures, strict=True):
        if picture.frames.shape[0] > 1:
            raise InputError(f"{file}: is a movie among single frames; keep it in another folder")
        _check_same(picture, pictures[0], file, files[used[0]])
    return Recording(
        name=field_name(folder),
        frames=np.concatenate([picture.frames for picture in pictures]),
        numbers=tuple(used),
        frame_names=tuple(names[number] for number in used),
        steps=steps,
        pixel_size=pictures[0].pixel_size,
        modality=pictures[0].modality,
        source=folder,
    )


def _read_file(path: Path, chosen: FrameRange, axes: str | None, channel: str | None) -> Recording:
    movie = read_movie(path, axes=axes, channel=channel)
    used = chosen.within(movie.frames.shape[0], path)
    return Recording(
        name=movie.name,
        frames=movie.frames[used.start : used.stop],
        numbers=tuple(used),
        frame_names=tuple(f"frame {number}" for number in used),
        steps=tuple(used),
        interval=movie.interval,
        pixel_size=movie.pixel_size,
        modality=movie.modality,
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


def _check_alike(names: Sequence[str], folder: Path) -> None:
    """Refuses a file whose name, but for its numbers, differs from that of the others."""
    patterns = [_pattern(name) for name in names]
    (usual, count), *others = Counter(patterns).most_common()
    if not others or not any("#" in pattern for pattern in patterns):
        return
    odd = names[next(i for i, pattern in enumerate(patterns) if pattern != usual)]
    example = names[patterns.index(usual)]
    if count == 1:
        raise InputError(
            f"{folder}: {odd} and {example} are named differently, so their order in time is not "
            "known; number all frames in the same way"
        )
    raise InputError(
        f"{folder}: {odd} is not named like the other frames ({example}); move it elsewhere, or "
        "name it like them"
    )


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", field_name(Path(name)).casefold())


def _steps(names: Sequence[str], used: Sequence[int], folder: Path) -> tuple[int, ...]:
    """When each frame used was taken, in frame intervals since the first file.

    Raises:
        InputError: Frames are missing between those used.
    """
    counted = _counting_number(names, folder)
    if counted is None:
        return tuple(used)
    gaps = np.diff(counted)
    apart = np.rint(gaps / min(gaps)).astype(int)
    for first, second in itertools.pairwise(used):
        missing = apart[first] - 1
        if missing:
            raise InputError(
                f"{folder}: {missing} frame{'s are' if missing > 1 else ' is'} missing between "
                f"{names[first]} (frame {first}) and {names[second]} (frame {second}); add what is "
                f"missing, or use one side only, with --frames :{second} or --frames {second}:"
            )
    times = np.concatenate([[0], np.cumsum(apart)])
    return tuple(int(times[number]) for number in used)


def _counting_number(names: Sequence[str], folder: Path) -> list[int] | None:
    """The number in each name that counts time points: the one that grows from file to file.

    Of several the one that grows most evenly, since names may hold the time of day as well.
    """
    columns = list(
        zip(*(map(int, re.findall(r"\d+", field_name(Path(name)))) for name in names), strict=True)
    )
    varying = [column for column in columns if len(set(column)) > 1]
    growing = [column for column in varying if min(np.diff(column)) > 0]
    if not varying:
        return None
    if not growing:
        twins = [name for name, n in zip(names, varying[0], strict=True) if n == varying[0][0]]
        raise InputError(
            f"{folder}: {', '.join(twins[:2])} and others count more than time points; save all "
            "planes of a time point in one TIFF, and one embryo's frames in a folder"
        )
    return list(min(growing, key=lambda column: len(set(np.diff(column)))))


def _one_frame(recording: Recording, axes: str | None) -> str:
    planes = recording.frames.shape[1]
    message = f"{recording.source}: holds one frame to use; an onset needs a movie of two or more"
    if planes > 1 and axes is None:
        message += f" (give --axes TYX if its {planes} planes are time points)"
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
                f"{planes.flat[0]:g}); leave it out with --frames A:B, or replace it"
            )


def limit_of(
    name: str, source: Path, limits: FrameRange | Mapping[str, FrameRange] | None
) -> FrameRange:
    """Which frames of an embryo are used.

    Args:
        name: The embryo.
        source: Its file or folder, for messages.
        limits: The same frames for all, a range by embryo, or None: all frames.

    Raises:
        InputError: There is a table that does not name the embryo.
    """
    if limits is None:
        return EVERY_FRAME
    if isinstance(limits, FrameRange):
        return limits
    if name not in limits:
        raise InputError(
            f"{source}: the table of --frames {unknown('embryo', name, limits)}; add a line for it "
            "(: uses every frame)"
        )
    return limits[name]
