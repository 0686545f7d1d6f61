"""What is measured: predictions of isl with all of their statistics, or fluorescence images."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError, unknown
from isl.imaging.image import PixelSize
from isl.imaging.inputs.containers import open_picture, place_in_plate
from isl.imaging.inputs.read import find_inputs
from isl.imaging.lazy import LazyPicture
from isl.imaging.normalize import normalize_label
from isl.imaging.nuclei import shows_nuclei
from isl.imaging.times import stated_interval
from isl.measure.objects import Frame

DEVIATION = "standard_deviation"
INTERVAL = "interval_90"
# Of a normal distribution, the width of the interval that holds 90 %, in deviations.
_DEVIATIONS_OF_INTERVAL = 3.2897
# In order of preference, what is taken for a pixel's intensity.
_INTENSITIES = ("mean", "median", "mode")
_DEAD = ("PROPIDIUM", "DEAD", "DEATH")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One field that is to be measured.

    Attributes:
        name: The field's.
        path: Its first image.
        images: Where each statistic is; of a measured image {"mean": path}.
        record: What `isl predict` says of it; None of images of another origin.
        place: The well that it lies in where a plate says so, such as "B02", else None.
    """

    name: str
    path: Path
    images: Mapping[str, Path]
    record: Mapping[str, Any] | None = None
    place: str | None = None

    @property
    def intensity(self) -> str:
        """The statistic that is taken for a pixel's intensity."""
        return next((name for name in _INTENSITIES if name in self.images), next(iter(self.images)))

    @property
    def copied(self) -> bool:
        """Whether all statistics lie in a copy of the input, beside what was measured."""
        return self.record is not None and bool(self.record.get("settings", {}).get("into"))


def find_sources(paths: Iterable[Path]) -> list[Source]:
    """The predictions, and other images, that paths stand for.

    A folder that `isl predict` wrote stands for its fields, each with all statistics; so does any
    image of a field for that field. Everything else is found as inputs are.

    Raises:
        InputError: A path is missing or holds no image, or two fields have one name.
    """
    found: dict[str, Source] = {}
    for path in paths:
        for source in _at(path):
            other = found.setdefault(source.name, source)
            if other.path.resolve() != source.path.resolve():
                raise InputError(
                    f"{source.path}: has the same name '{source.name}' as {other.path}; measure "
                    "them into folders of their own"
                )
    if not found:
        raise InputError("no input: name folders of predictions, or images")
    return list(found.values())


def _at(path: Path) -> list[Source]:
    if path.is_dir() and (predicted := list(_predictions(path))):
        return predicted
    if path.exists():
        for source in _predictions(path.parent):
            if any(path.resolve() == image.resolve() for image in source.images.values()):
                return [source]
    return [
        Source(name=name, path=image, images={"mean": image}, place=_place(image))
        for name, image in find_inputs([path])
    ]


def _predictions(folder: Path) -> Iterator[Source]:
    """The fields whose records lie in a folder, in the order of their names."""
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            if record["made_by"] != "isl predict":
                continue
            own: dict[str, str] = record["outputs"]["images"]
            images = {name: folder / path for name, path in own.items()}
            origin = Path(record["input"]["path"])
            first = next(iter(images.values()))
            if record["settings"].get("into"):
                images = {name: first for name in record["statistics"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
            continue
        yield Source(
            name=file.stem,
            path=first,
            images=images,
            record=record,
            place=_place(first) or _place(origin),
        )


def _place(path: Path) -> str | None:
    place = place_in_plate(path)
    if place is None:
        return None
    row, column, *_ = (*place[1].split("/"), "")
    return f"{row}{column}" if column else None


class OpenedSource:
    """The images of a source, opened, not read; to be used with `with`.

    Attributes:
        labels: Names of the fluorescence labels.
        frames: How many time points there are.
        size: Y, X.
        pixel_size: Micrometres, or None.
        interval: Minutes between frames, or None.
        times: Minutes of each frame since the first, or None where none has its own.
    """

    def __init__(self, source: Source) -> None:
        """Opens them.

        Raises:
            InputError: One cannot be opened, has z planes, or does not fit the others.
        """
        self.source = source
        paths = dict.fromkeys(source.images.values())
        self._pictures = {path: open_picture(path) for path in paths}
        main = self._pictures[source.images[source.intensity]]
        count = main.shape[1]
        names = main.channel_names or tuple(f"channel_{n}" for n in range(1, count + 1))
        if main.shape[2] > 1 and not source.copied:
            raise InputError(
                f"{main.source}: has {main.shape[2]} z planes; fluorescence is measured in one, "
                "such as a maximum projection"
            )
        predicted = tuple(source.record["labels"]) if source.record else names
        self.labels = tuple(name for name in predicted if name in names) or names
        self.frames = main.shape[0]
        self.size = main.shape[3], main.shape[4]
        self.pixel_size: PixelSize | None = main.pixel_size
        self.interval, self.times = main.interval, main.times
        self._names = names
        for statistic, path in source.images.items():
            if self._pictures[path].shape[3:] != self.size:
                raise InputError(
                    f"{path}: {statistic} differs in size from {main.source}; predict them together"
                )

    def frame(self, t: int) -> Frame:
        """All that is known at one time point."""
        images = self.source.images
        intensity = self.source.intensity
        spread = DEVIATION if DEVIATION in images else INTERVAL if INTERVAL in images else None
        others = [name for name in images if name not in (*_INTENSITIES, DEVIATION, INTERVAL)]
        scale = 1.0 if spread == DEVIATION else 1 / _DEVIATIONS_OF_INTERVAL
        return Frame(
            intensities={label: self._read(intensity, label, t) for label in self.labels},
            deviations={}
            if spread is None
            else {label: scale * self._read(spread, label, t) for label in self.labels},
            further={
                (label, name): self._read(name, label, t)
                for name in others
                for label in self.labels
            },
        )

    def _read(self, statistic: str, label: str, t: int) -> np.ndarray:
        """float32 [Y, X] in [0, 1]."""
        picture = self._pictures[self.source.images[statistic]]
        names = picture.channel_names or self._names
        # A copy of the input holds all statistics, its first one under the label's own name unless
        # a measured channel has it.
        own = (f"{label} {statistic}", f"{label} (predicted)", label)
        channel = next(names.index(name) for name in own if name in names)
        pixels = normalize_label(picture.read(t=t, c=channel), source=picture.source)
        if self.source.copied and self.source.record is not None:
            # Pixels of a smaller type than the copy's keep their numbers.
            stored = np.dtype(self.source.record["settings"]["dtype"])
            if stored.kind == "u" and picture.dtype.kind == "u":
                pixels *= np.float32(np.iinfo(picture.dtype).max / np.iinfo(stored).max)
        return pixels

    def __enter__(self) -> "OpenedSource":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Lets go of the files."""
        for picture in self._pictures.values():
            picture.close()


def nuclear_label(labels: tuple[str, ...], asked: str | None, source: Path) -> str:
    """The label whose objects are measured: the one asked for, the only one, or the nuclear one.

    Raises:
        InputError: It is not there, or which is meant cannot be told.
    """
    if asked is not None:
        return chosen_label(labels, asked, source)
    fitting = [label for label in labels if shows_nuclei(label)]
    if len(labels) == 1 or len(fitting) == 1:
        return (fitting or list(labels))[0]
    raise InputError(
        f"{source}: cannot tell which of {', '.join(labels)} shows nuclei; give `nuclei=NAME`, or "
        "a label image of your own by `objects=FILE`"
    )


def dead_label(labels: tuple[str, ...], asked: str | None, source: Path) -> str | None:
    """The label of dead cells: the one asked for, or the only one that is named so; else None."""
    if asked is not None:
        return chosen_label(labels, asked, source)
    fitting = [label for label in labels if any(word in label.upper() for word in _DEAD)]
    return fitting[0] if len(fitting) == 1 else None


def chosen_label(labels: tuple[str, ...], asked: str, source: Path) -> str:
    """A label by its name, or by the beginning of only one name.

    Raises:
        InputError: There is none.
    """
    if asked in labels:
        return asked
    fitting = [label for label in labels if label.casefold().startswith(asked.casefold())]
    if len(fitting) != 1:
        raise InputError(f"{source}: {unknown('label', asked, labels)}")
    return fitting[0]


def stated(opened: OpenedSource, pixel_size: float | None, interval: float | None) -> None:
    """Puts what was said in place of what the files say."""
    if pixel_size is not None:
        opened.pixel_size = PixelSize(y=pixel_size, x=pixel_size)
    opened.interval, opened.times = stated_interval(
        interval, opened.interval, opened.times, opened.source.path
    )


def as_picture(source: Source, opened: OpenedSource, read: Any, dtype: np.dtype) -> LazyPicture:
    """A label image over time as a picture that need not fit into memory.

    Args:
        source: Whose.
        opened: Its images.
        read: (t, rows, columns) to numbers [y, x].
        dtype: Of its pixels.
    """
    return LazyPicture(
        name=source.name,
        shape=(opened.frames, 1, 1, *opened.size),
        dtype=dtype,
        read_plane=lambda t, c, z, rows, columns: read(t, rows, columns).astype(dtype),
        channel_names=("cells",),
        pixel_size=opened.pixel_size,
        interval=opened.interval,
        times=opened.times,
        source=source.path,
    )
