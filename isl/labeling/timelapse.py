"""Time-lapses in a dataset: a folder of frames, its labels' folders, and a table of what happened.

    [[time_lapse]]
    name = "E016"
    frames = "dic/E016"                  # one image a time point, in the order of their numbers
    labels = { EZRIN = "ezrin/E016" }    # folders of images with the frames' names
    annotation = { table = "labels.csv", embryo = "16" }
    interval = 20.0                      # minutes between frames, where known
    modality = "DIC"

    [[time_lapse]]
    name = "E017"
    frames = "E017.ome.tif"              # or a movie; here with both channels
    channel = "DIC"
    labels = { EZRIN = "E017.ome.tif" }
    channels = { EZRIN = "Ezrin-RFP" }   # where they are not named like the labels

Every frame becomes a field of its own, named "E016/t013", in the time-lapse's group. Of a label in
a movie that is a z-stack the maximum over its planes is taken. The table is a CSV with the columns
`embryo` and `t` (the number in the frame's file name; a movie's frames count from 0), and one
column of 0 and 1 for each event, such as `polarized`, or `compacted` where somebody looked for it.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from isl.config import Config
from isl.data.splits import Split
from isl.data.tables import read_table
from isl.errors import InputError, unknown
from isl.imaging.formats.table import field_name
from isl.imaging.inputs.containers import is_container, open_picture
from isl.imaging.inputs.folder import images_among, tell_photos_left_out
from isl.imaging.inputs.frame_numbers import frame_numbers
from isl.imaging.inputs.read import natural_order


class Annotation(Config):
    """Rows of a table.

    Attributes:
        table: The CSV.
        embryo: What its column `embryo` says of this time-lapse; the name unless given.
    """

    table: Path
    embryo: str | None = None


class TimeLapse(Config):
    """One recording as the manifest states it.

    Attributes:
        name: Name of the recording, once in a manifest.
        frames: Folder of images, one a time point; or a movie.
        channel: The transmitted channel of a movie, by name, where it has several.
        labels: For each label, a folder of images that have the frames' names; or of a movie, a
            movie of as many frames, which may be the same.
        channels: What movies call the labels' channels, where they do not call them as labels are.
        annotation: Where it stands when what happened.
        interval: Minutes between frames, or None where nobody knows.
        group: Embryo or patient; the name unless given.
        split: Which side of the splits the group is on.
        pixel_size: Micrometres, instead of what the files say.
        z_step: Micrometres between planes, instead of what the files say.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD" or "DIC", instead of what the files say.
    """

    name: str = pydantic.Field(min_length=1)
    frames: Path
    channel: str | None = None
    labels: dict[str, Path] = pydantic.Field(default_factory=dict)
    channels: dict[str, str] = pydantic.Field(default_factory=dict)
    annotation: Annotation | None = None
    interval: pydantic.PositiveFloat | None = None
    group: str = ""
    split: Split = "train"
    pixel_size: pydantic.PositiveFloat | None = None
    z_step: pydantic.PositiveFloat | None = None
    modality: str | None = None

    def rooted(self, root: Path) -> "TimeLapse":
        """The time-lapse with its paths made absolute and its group filled in."""
        annotation = self.annotation
        if annotation is not None:
            annotation = annotation.model_copy(update={"table": root / annotation.table})
        return self.model_copy(
            update={
                "frames": root / self.frames,
                "labels": {label: root / folder for label, folder in self.labels.items()},
                "annotation": annotation,
                "group": self.group or self.name,
            }
        )


def is_movie(time_lapse: TimeLapse) -> bool:
    """Whether its frames are those of one file."""
    return time_lapse.frames.is_file() or is_container(time_lapse.frames)


def frame_files(time_lapse: TimeLapse) -> list[Path]:
    """The frames of a time-lapse of single files, in the order of the numbers in their names.

    Raises:
        InputError: The folder is missing or holds no image.
    """
    folder = time_lapse.frames
    if not folder.is_dir():
        raise InputError(f"time-lapse '{time_lapse.name}': there is no folder {folder}")
    files = _images_in(folder)
    if not files:
        raise InputError(f"time-lapse '{time_lapse.name}': {folder} holds no image")
    return files


def frame_fields(time_lapse: TimeLapse) -> list[dict[str, Any]]:
    """What a manifest would say of each frame if it were written out: a table for every field.

    Raises:
        InputError: The folder is missing or holds no image, a label lacks a frame's image, or one
            of its images has no frame.
    """
    shared = {
        key: getattr(time_lapse, key) for key in ("split", "pixel_size", "z_step", "modality")
    }
    shared["recording"] = time_lapse.name
    if is_movie(time_lapse):
        return [{**table, **shared} for table in _fields_of_movie(time_lapse)]
    tables = []
    files = frame_files(time_lapse)
    for file in files:
        labels = {label: folder / file.name for label, folder in time_lapse.labels.items()}
        for label, image in labels.items():
            if not image.is_file():
                raise InputError(
                    f"time-lapse '{time_lapse.name}': label '{label}' has no image {image}, which "
                    f"would belong to the frame {file.name}"
                )
        name = f"{time_lapse.name}/{field_name(file)}"
        group = time_lapse.group or time_lapse.name
        tables.append(
            {"name": name, "transmitted": file, "labels": labels, "group": group, **shared}
        )
    frames = {file.name for file in files}
    for label, folder in time_lapse.labels.items():
        for image in _images_in(folder):
            if image.name not in frames:
                raise InputError(
                    f"time-lapse '{time_lapse.name}': label '{label}' has an image {image}, but "
                    f"{time_lapse.frames} has no frame of that name; add the frame, or remove it"
                )
    return tables


def _fields_of_movie(time_lapse: TimeLapse) -> Iterator[dict[str, Any]]:
    """As `frame_fields`, of a movie, without what all time-lapses share."""
    where = f"time-lapse '{time_lapse.name}'"
    for label in time_lapse.channels:
        if label not in time_lapse.labels:
            raise InputError(f"{where}: channels: {unknown('label', label, time_lapse.labels)}")
    count = _count(time_lapse.frames)
    if count < 2:
        raise InputError(
            f"{where}: {time_lapse.frames} has one time point, or pages of which nothing says what "
            "they are; save it as an OME-TIFF or ImageJ TIFF of time points"
        )
    for label, file in time_lapse.labels.items():
        own = _count(file)
        if own != count:
            raise InputError(
                f"{where}: label '{label}' has {own} frames in {file}, but {time_lapse.frames} has "
                f"{count}"
            )
    for t in range(count):
        yield {
            "name": f"{time_lapse.name}/t{t:03d}",
            "transmitted": time_lapse.frames,
            "channel": time_lapse.channel,
            "frame": t,
            "labels": {
                label: {"file": file, "channel": time_lapse.channels.get(label), "frame": t}
                for label, file in time_lapse.labels.items()
            },
            "group": time_lapse.group or time_lapse.name,
        }


def _count(movie: Path) -> int:
    """How many time points a file holds."""
    with open_picture(movie) as picture:
        return picture.shape[0]


def read_event(time_lapse: TimeLapse, event: str) -> np.ndarray | None:
    """For every frame whether an event has happened, as the table says.

    Args:
        time_lapse: One with absolute paths.
        event: A column of 0 and 1, such as "polarized".

    Returns:
        bool [T]; None where there is no table or it has no such column.

    Raises:
        InputError: The table cannot be read, says something else than 0 and 1, or does not say it
            of every frame; or frames are missing between others.
    """
    annotation = time_lapse.annotation
    if annotation is None:
        return None
    rows = read_table(annotation.table, ("embryo", "t"))
    where = f"{annotation.table}: time-lapse '{time_lapse.name}'"
    if rows and event not in rows[0]:
        return None
    embryo = annotation.embryo or time_lapse.name
    mine: dict[str, str] = {}
    for row in rows:
        if row["embryo"] == embryo and mine.setdefault(row["t"], row[event]) != row[event]:
            raise InputError(f"{where}: column '{event}' says both of t = {row['t']}; keep one row")
    if not mine:
        raise InputError(f"{where}: {unknown('embryo', embryo, {row['embryo'] for row in rows})}")
    numbers = numbers_of_frames(time_lapse)
    if is_movie(time_lapse):
        assert numbers is not None
        files = [Path(f"frame {number}") for number in numbers]
    else:
        files = frame_files(time_lapse)
    if numbers is None:
        raise InputError(
            f"{where}: which number in {files[0].name} is the table's t is not known; number all "
            "frames in the same way, e.g. t001.png"
        )
    _check_complete(time_lapse, files, numbers, labeled=mine)
    happened = []
    for file, number in zip(files, numbers, strict=True):
        value = mine.get(str(number))
        if value not in ("0", "1"):
            said = "nothing" if value is None else repr(value)
            raise InputError(
                f"{where}: column '{event}' says {said} of t = {number} ({file.name}); give 0 or 1"
            )
        happened.append(value == "1")
    return np.array(happened)


def numbers_of_frames(time_lapse: TimeLapse) -> list[int] | None:
    """The number of each frame, by `isl.imaging.inputs.frame_numbers`, or None.

    Frames of a movie count from 0.

    Raises:
        InputError: As in `frame_files`, or names count more than time points.
    """
    if is_movie(time_lapse):
        return list(range(_count(time_lapse.frames)))
    files = frame_files(time_lapse)
    return frame_numbers([file.name for file in files], time_lapse.frames)


def _images_in(folder: Path) -> list[Path]:
    """The images of a folder, in the order of the numbers in their names."""
    files = images_among(file for file in folder.iterdir() if not file.name.startswith("."))
    tell_photos_left_out(folder, files)
    return sorted(files, key=lambda file: natural_order(file.name))


def _check_complete(
    time_lapse: TimeLapse,
    files: Sequence[Path],
    numbers: Sequence[int],
    labeled: Collection[str],
) -> None:
    """Refuses frames that are missing between others: an onset is counted in frames.

    Numbers may go up in steps of 2 or 10, if all do and the table has no others (`labeled`).
    """
    if len(files) < 2:
        return
    gaps = np.diff(numbers)
    known = {int(number) for number in labeled if number.isdecimal()}
    for index, gap in enumerate(gaps):
        between = known & set(range(numbers[index] + 1, numbers[index + 1]))
        missing = len(between) or round(gap / gaps.min()) - 1
        if missing:
            are = "frames are" if missing > 1 else "frame is"
            raise InputError(
                f"time-lapse '{time_lapse.name}': {missing} {are} missing between "
                f"{files[index].name} and {files[index + 1].name} in {time_lapse.frames}; add what "
                "is missing, or keep one side only"
            )
