"""Images of colonies and cells to learn from, whatever they come from."""

import dataclasses
import functools
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.colony.cells import whole_cell
from isl.colony.detection import as_bytes, detect, full_scale
from isl.colony.patches import ColonyImage, cut_out
from isl.config import folder_named
from isl.data.differences import WARNED_RATIO, differing_lengths
from isl.data.manifest import images_in
from isl.data.tables import read_table
from isl.data.twins import twins_told
from isl.errors import InputError, unknown
from isl.imaging.inputs.label_image import refuse_photo
from isl.imaging.inputs.read import read_picture
from isl.phantom.colonies.well import MIXED, make_well

from .config import ArraysSource, ColonyExperiment, FolderSource, PhantomSource, TableSource

NONE = -1
_NEVER = "__MACOSX"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """N images and what is known of them.

    Attributes:
        images: At least as large as a patch, uint8.
        labels: int64 [N], the class, or -1.
        names: N names.
        groups: N wells or recordings; the names where none is known.
        grouped: Whether groups are known.
        classes: Names of the classes.
        channels: Names of the channels.
        pixel_sizes: Micrometres of a pixel, one an image that was read from a file of its own.
        vectors: float32 [N, places, 1 + views, D] where the backbone is frozen: of each patch as it
            is, and of its augmented views; see `isl_train.colony.frozen`.
        backbone: What made them.
    """

    images: tuple[ColonyImage, ...]
    labels: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    grouped: bool
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    pixel_sizes: tuple[float | None, ...] = ()
    vectors: np.ndarray | None = None
    backbone: Any = None

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of all pixels, and of which of them are the colonies'."""
        found = hashlib.sha256()
        for image in self.images:
            found.update(repr((image.pixels.dtype.str, image.pixels.shape)).encode())
            found.update(np.ascontiguousarray(image.pixels).tobytes())
            found.update(np.packbits(image.mask).tobytes())
        return found.hexdigest()

    def some(self, which: np.ndarray) -> "Images":
        """Those with the indices, or where a mask is True."""
        index = np.arange(len(self.names))[which]
        return dataclasses.replace(
            self,
            images=tuple(self.images[i] for i in index),
            labels=self.labels[index],
            names=tuple(self.names[i] for i in index),
            groups=tuple(self.groups[i] for i in index),
            pixel_sizes=tuple(self.pixel_sizes[i] for i in index if self.pixel_sizes),
            vectors=None if self.vectors is None else self.vectors[index],
        )


def load_images(
    experiment: ColonyExperiment, folder: Path, say: Callable[[str], None] = lambda text: None
) -> Images:
    """The images of an experiment.

    Args:
        experiment: Says where they come from.
        folder: What paths are relative to.
        say: Told what a person should know, such as how far annotators agree.

    Raises:
        InputError: Something is missing, cannot be read, or is not as the configuration says.
    """
    source = experiment.data
    if isinstance(source, FolderSource):
        images = _from_folder(source, folder, experiment.patch)
        _compare(images, experiment, say)
    elif isinstance(source, TableSource):
        images = _from_table(source, folder, experiment.patch, say)
        _compare(images, experiment, say)
    elif isinstance(source, ArraysSource):
        images = _from_arrays(source, folder, experiment.patch)
    else:
        images = _from_phantoms(source, experiment)
    return _without_twins(images, say)


def _compare(images: Images, experiment: ColonyExperiment, say: Callable[[str], None]) -> None:
    """Says where pictures differ in the size of a pixel, or are one picture in other dress.

    Raises:
        InputError: Sizes of pixels differ more than twofold, and none is stated.
    """
    source, stated = getattr(experiment.data, "path", ""), experiment.pixel_size
    sizes = dict(zip(images.names, images.pixel_sizes, strict=True))
    if stated is None:
        for line in differing_lengths("pixel size", sizes, source, key="pixel_size"):
            say(line)
    else:
        other = [
            name
            for name, size in sizes.items()
            if size is not None and max(size / stated, stated / size) > WARNED_RATIO
        ]
        if other:
            say(
                f"{source}: pixel_size is {stated:g} um, but {len(other)} pictures say otherwise, "
                f"such as {other[0]} ({sizes[other[0]]:g} um)"
            )
    pictures = [image.pixels[..., 0] for image in images.images]
    one_side = ["the pictures"] * len(pictures)
    for line in twins_told(pictures, images.names, one_side, source, groups=images.groups):
        say(f"{line}; put them in one group, or leave one out")


def _from_folder(source: FolderSource, folder: Path, patch: int) -> Images:
    root = folder_named(source.path, folder, source="data.path")
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; name one with a folder a class")
    inside = sorted(
        entry.name
        for entry in root.iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and entry.name != _NEVER
    )
    classes = source.classes or tuple(n for n in inside if n not in source.unlabelled)
    for name in classes:
        if name not in inside:
            raise InputError(f"{root}: {unknown('class', name, inside)}")
    _check_classes(classes, root)
    files = [
        (path, classes.index(name) if name in classes else NONE)
        for name in inside
        if name in classes or name in source.unlabelled
        for path in images_in(root / name)
    ]
    empty = [
        name for name in classes if not any(label == classes.index(name) for _, label in files)
    ]
    if empty:
        raise InputError(f"{root / empty[0]}: holds no picture; add some, or leave the class out")
    masks = folder_named(source.masks, folder, source="data.masks") if source.masks else None
    pattern = _pattern(source.group)
    read, names, groups = [], [], []
    for path, _ in files:
        name = f"{path.parent.name}/{path.name}"
        mask = None if masks is None else masks / path.parent.name / path.name
        read.append(_read_colony(path, mask, patch))
        names.append(name)
        groups.append(_group(path, pattern) or name)
    return Images(
        images=tuple(image for image, _ in read),
        pixel_sizes=tuple(size for _, size in read),
        labels=np.array([label for _, label in files]),
        names=tuple(names),
        groups=tuple(groups),
        grouped=bool(source.group),
        classes=classes,
        channels=("transmitted",),
    )


def _from_table(
    source: TableSource, folder: Path, patch: int, say: Callable[[str], None]
) -> Images:
    path = folder_named(source.path, folder, source="data.path")
    named = (source.image, *source.labels, source.mask, source.group)
    rows = read_table(path, filter(None, named), ragged=True)
    if not rows:
        raise InputError(f"{path}: holds no row; give a table with one picture a row")
    votes = [[row[column] for column in source.labels] for row in rows]
    classes = source.classes or tuple(sorted({vote for own in votes for vote in own if vote}))
    _check_classes(classes, path)
    for own in votes:
        for vote in own:
            if vote and vote not in classes:
                raise InputError(f"{path}: {unknown('class', vote, classes)}")
    labels = [majority(own) for own in votes]
    if len(source.labels) > 1:
        ties = sum(label is None and any(own) for label, own in zip(labels, votes, strict=True))
        say(f"annotators agree on {agreement(votes):.1%} of pairs; {ties} images are ties")
    read = [
        _read_colony(
            path.parent / row[source.image],
            path.parent / row[source.mask] if source.mask and row[source.mask] else None,
            patch,
        )
        for row in rows
    ]
    names = tuple(row[source.image] for row in rows)
    if len(set(names)) < len(names):
        twin = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"{path}: the picture {twin} stands in two rows")
    return Images(
        images=tuple(image for image, _ in read),
        pixel_sizes=tuple(size for _, size in read),
        labels=np.array([NONE if label is None else classes.index(label) for label in labels]),
        names=names,
        groups=tuple(row[source.group] for row in rows) if source.group else names,
        grouped=bool(source.group),
        classes=classes,
        channels=("transmitted",),
    )


def majority(votes: Sequence[str]) -> str | None:
    """What most annotators said; None where none did or two classes have as many."""
    counts = Counter(vote for vote in votes if vote).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def agreement(votes: Sequence[Sequence[str]]) -> float:
    """Share of pairs of annotators who say the same of an image, over all that both looked at."""
    same = total = 0
    for own in votes:
        for one, other in itertools.combinations([vote for vote in own if vote], 2):
            same, total = same + (one == other), total + 1
    return same / total if total else float("nan")


def _from_arrays(source: ArraysSource, folder: Path, patch: int) -> Images:
    path = folder_named(source.path, folder, source="data.path")
    try:
        with np.load(path) as stored:
            for name in (*source.channels, source.labels):
                if name not in stored:
                    raise InputError(f"{path}: {unknown('array', name, stored.files)}")
            planes = [stored[name] for name in source.channels]
            kinds = [str(kind) for kind in stored[source.labels]]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as arrays ({error})") from error
    classes = source.classes or tuple(sorted({kind for kind in kinds if kind}))
    _check_classes(classes, path)
    images = []
    for cell in zip(*planes, strict=True):
        pixels = np.stack([whole_cell(plane, patch) for plane in cell], -1)
        images.append(ColonyImage(pixels=pixels, mask=np.ones(pixels.shape[:2], bool)))
    names = tuple(f"cell {number}" for number in range(len(images)))
    return Images(
        images=tuple(images),
        labels=np.array([classes.index(kind) if kind in classes else NONE for kind in kinds]),
        names=names,
        groups=names,
        grouped=False,
        classes=classes,
        channels=source.channels,
    )


def _from_phantoms(source: PhantomSource, experiment: ColonyExperiment) -> Images:
    """Colonies of simulated wells, along the true outlines; mixed ones carry no class."""
    classes = tuple(sorted(source.well.counts))
    # As `isl colony` cuts a well whose pixels are of another size than the model's.
    scale = source.well.pixel_size / (experiment.pixel_size or source.well.pixel_size)
    images, labels, names, groups = [], [], [], []
    for number in range(source.first, source.first + source.wells):
        well = make_well(source.well, np.random.default_rng([source.seed, number]))
        top = full_scale(lambda r, c, image=well.image: image[r, c], well.image.shape)
        grey = as_bytes(well.image, top)
        for colony in well.colonies:
            first_row, first_column, last_row, last_column = colony.box
            box = slice(first_row, last_row), slice(first_column, last_column)
            mask = well.labels[box] == colony.number
            images.append(cut_out(grey[box][..., None], mask, experiment.patch, scale=scale))
            labels.append(NONE if colony.kind == MIXED else classes.index(colony.kind))
            names.append(f"well-{source.seed}-{number:03d}/{colony.number}")
            groups.append(f"well-{source.seed}-{number:03d}")
    return Images(
        images=tuple(images),
        labels=np.array(labels),
        names=tuple(names),
        groups=tuple(groups),
        grouped=True,
        classes=classes,
        channels=("transmitted",),
    )


def _read_colony(path: Path, mask: Path | None, patch: int) -> tuple[ColonyImage, float | None]:
    """A colony, and the micrometres of a pixel where its file says them."""
    opened = read_picture(path)
    picture, size = opened.array, opened.pixel_size
    if picture.shape[0] > 1 or picture.shape[2] > 1:
        raise InputError(f"{path}: has several frames or planes; a colony's picture is one plane")
    plane = picture[0, 0, 0]
    grey = as_bytes(plane, full_scale(lambda r, c: plane[r, c], plane.shape))
    if mask is None:
        found = detect(grey)
        inside = found.labels > 0 if found.ground == "both" else np.ones(grey.shape, bool)
    else:
        refuse_photo(mask)
        inside = read_picture(mask).array[0, 0, 0] > 0
        if inside.shape != grey.shape:
            raise InputError(
                f"{mask}: is {inside.shape[1]} x {inside.shape[0]} pixels, but {path.name} is "
                f"{grey.shape[1]} x {grey.shape[0]}"
            )
    return cut_out(grey[..., None], inside, patch), None if size is None else size.y


def _check_classes(classes: Sequence[str], source: Path) -> None:
    if len(classes) < 2:
        found = f"only '{classes[0]}'" if classes else "none"
        raise InputError(f"{source}: two classes or more are needed to tell apart; found {found}")
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            raise InputError(
                f"{source}: classes '{other}' and '{name}' differ in capitals or spaces only; "
                "spell them alike"
            )


def _pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"data.group: '{text}' is no regular expression ({error})") from error
    if pattern.groups != 1:
        raise InputError(f"data.group: '{text}' needs one bracket around what names the group")
    return pattern


def _group(path: Path, pattern: re.Pattern[str] | None) -> str | None:
    if pattern is None:
        return None
    found = pattern.search(path.name)
    if found is None:
        raise InputError(f"{path}: data.group finds no group in this name")
    return found.group(1)


def _without_twins(images: Images, say: Callable[[str], None]) -> Images:
    """Images of which none has the pixels of another, so that no split parts such twins.

    Of those with one class the first is kept, and a labelled one before others; where twins have
    different classes nobody knows which is right, and none is kept.
    """
    same: dict[bytes, list[int]] = {}
    for index, image in enumerate(images.images):
        same.setdefault(image.pixels.tobytes(), []).append(index)
    kept, contradicting = [], []
    twins = [indices for indices in same.values() if len(indices) > 1]
    for indices in same.values():
        labelled = [index for index in indices if images.labels[index] != NONE]
        if len({int(images.labels[index]) for index in labelled}) > 1:
            contradicting.append(labelled)
        else:
            kept.append((labelled or indices)[0])
    if not twins:
        return images
    first, second = (images.names[index] for index in twins[0][:2])
    say(f"{len(twins)} images occur twice, such as {first} and {second}; one of each is used")
    if contradicting:
        pair = " and ".join(images.names[index] for index in contradicting[0][:2])
        say(f"{len(contradicting)} of them are of several classes, such as {pair}; none is used")
    return images.some(np.sort(np.array(kept, int)))
