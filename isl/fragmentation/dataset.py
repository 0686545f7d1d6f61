"""Datasets of embryos: pictures with masks, shares, grades or ranges, any mix, in one TOML file.

    root = "${ISL_DATA}/embryos"     # of the paths below; relative to the file's own folder
    scale = "our_grades.toml"        # of the grades; the bins in common use unless given
    table = "grades.csv"             # more examples: columns as the keys below
    labels = { "Zelle" = "embryo", "debris" = "ignore" }  # of outlines, besides those in use

    [[example]]
    image = "P3_day2.jpg"
    group = "P3"                     # embryo; the image's name unless given
    split = "train"                  # or "validation", "test"
    mask = "P3_day2.json"            # LabelMe's or COCO's JSON, or a label image 0, 1, 2
    share = 0.12                     # or
    grade = "10-25 %"                # or
    range = [0.05, 0.15]
    site = "Lyon"
    stage = "cleavage"               # or "oocyte", "zygote", "morula", "blastocyst"; see below

Splits are by group. What contradicts itself (a grade outside the scale, a share outside its range)
is refused. Nothing but telling stages (`other_stages` of an experiment) is learned from what is at
another stage than cleavage.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from isl.config import Config, folder_named, parse, read_toml
from isl.data.splits import Split, divided_group
from isl.data.tables import read_table
from isl.errors import InputError
from isl.fragmentation.grades import GradeScale, read_scale
from isl.fragmentation.pictures import read_frames
from isl.fragmentation.polygons import (
    BACKGROUND,
    EMBRYO,
    FRAGMENT,
    SPELLINGS,
    labels_from,
    painted,
)
from isl.fragmentation.separation import close_up
from isl.fragmentation.stages import CLEAVAGE
from isl.fragmentation.view import seen, seen_labels
from isl.imaging.inputs.label_image import read_label_image

logger = logging.getLogger(__name__)

UNKNOWN = 255
"""Label of places of which nothing is known."""

_MEANINGS = {"ignore": BACKGROUND, "embryo": EMBRYO, "fragment": FRAGMENT}


class ExampleEntry(Config):
    """One picture and what is known of it; see the module."""

    image: Path
    group: str = ""
    split: Split = "train"
    mask: Path | None = None
    share: float | None = pydantic.Field(default=None, ge=0, le=1)
    grade: str | None = None
    range: tuple[float, float] | None = None
    site: str = ""
    stage: Literal["cleavage", "oocyte", "zygote", "morula", "blastocyst"] = "cleavage"


class _DatasetFile(Config):
    root: str = "."
    scale: Path | None = None
    table: Path | None = None
    labels: Mapping[str, Literal["embryo", "fragment", "ignore"]] = pydantic.Field(
        default_factory=dict
    )
    example: tuple[ExampleEntry, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One picture, with paths that can be opened.

    Attributes:
        name: Of the picture's file.
        image: The picture.
        group: Its embryo.
        split: Which side the embryo is on.
        mask: Its masks or outlines, or None.
        share: Of fragments, NaN where not given.
        low: Lower bound of the share, NaN where there is none.
        high: Upper bound likewise.
        site: Where it comes from, "" where not given.
        stage: Of `isl.fragmentation.stages.STAGES`.
        meanings: Labels of outlines, in lower case, and what they are.
    """

    name: str
    image: Path
    group: str
    split: Split
    mask: Path | None
    share: float
    low: float
    high: float
    site: str
    stage: str = CLEAVAGE
    meanings: Mapping[str, int] = dataclasses.field(default_factory=lambda: SPELLINGS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """The examples of a dataset.

    Attributes:
        path: Its file.
        scale: Of its grades.
        examples: In the file's order.
    """

    path: Path
    scale: GradeScale
    examples: tuple[Example, ...]

    def of(self, split: Split) -> tuple[Example, ...]:
        """The examples of a split at cleavage stages."""
        return tuple(
            example
            for example in self.examples
            if example.split == split and example.stage == CLEAVAGE
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """Examples in memory, as the network sees them; N pictures of S x S pixels.

    Attributes:
        images: uint8 [N, S, S].
        labels: uint8 [N, S, S]: 0, 1, 2, and UNKNOWN.
        shares: float32 [N], from masks where there are masks; NaN where unknown.
        low: float32 [N], bounds of ranges; NaN where there is none.
        high: float32 [N].
        groups: N embryos.
        names: N names of pictures.
        sites: N sites.
    """

    images: np.ndarray
    labels: np.ndarray
    shares: np.ndarray
    low: np.ndarray
    high: np.ndarray
    groups: tuple[str, ...]
    names: tuple[str, ...]
    sites: tuple[str, ...]

    def __len__(self) -> int:
        """N."""
        return len(self.images)

    def only(self, chosen: Sequence[int] | np.ndarray) -> "Ground":
        """The chosen examples."""
        index = np.asarray(chosen, int)
        return Ground(
            images=self.images[index],
            labels=self.labels[index],
            shares=self.shares[index],
            low=self.low[index],
            high=self.high[index],
            groups=tuple(self.groups[i] for i in index),
            names=tuple(self.names[i] for i in index),
            sites=tuple(self.sites[i] for i in index),
        )


def load_dataset(path: Path) -> Dataset:
    """Reads a dataset's file and checks it; pixels are read by `load_ground`.

    Raises:
        InputError: Something is missing, contradicts itself, or a group stands in two splits.
    """
    tables = read_toml(path)
    parsed = parse(tables, _DatasetFile, source=str(path))
    root = folder_named(parsed.root, path.parent, source=f"root of {path}:")
    scale = read_scale(root / parsed.scale) if parsed.scale is not None else GradeScale()
    entries = list(parsed.example)
    if parsed.table is not None:
        entries += _table_entries(root / parsed.table)
    if not entries:
        raise InputError(f"{path}: holds no example")
    own = {label.strip().lower(): _MEANINGS[what] for label, what in parsed.labels.items()}
    meanings = {**SPELLINGS, **own}
    examples = tuple(
        dataclasses.replace(_example(entry, root, scale, path), meanings=meanings)
        for entry in entries
    )
    if (divided := divided_group(examples)) is not None:
        splits = sorted(each.split for each in divided)
        raise InputError(
            f"{path}: group '{divided[0].group}' stands in {' and '.join(splits)}; frames of one "
            "embryo belong on one side"
        )
    return Dataset(path=path, scale=scale, examples=examples)


def load_ground(examples: Sequence[Example], size: int, *, closer: float | None = None) -> Ground:
    """Reads pictures and masks as views of `size` pixels.

    Args:
        examples: What is read.
        size: Of the views.
        closer: Where given, a picture with a mask becomes a second view, around its embryo (see
            `isl.fragmentation.model.FragmentationConfig`), if it is not coarser than `size`.

    Raises:
        InputError: A file cannot be read, or a mask is of another size than its picture.
    """
    images, labels, shares, of = [], [], [], []
    for example in examples:
        image = only_frame(example)
        truth = np.full((size, size), UNKNOWN, np.uint8)
        share = example.share
        if example.mask is not None:
            mask = read_mask(example.mask, example.image, image.shape, example.meanings)
            truth = seen_labels(mask, size, UNKNOWN)
            share = share_of(mask)
            place = close_up(mask > 0, closer) if closer is not None and mask.any() else None
            if place is not None and min(mask[place].shape) >= size:
                images.append(np.rint(255 * seen(image[place], size)).astype(np.uint8))
                labels.append(seen_labels(mask[place], size, UNKNOWN))
                shares.append(share)
                of.append(example)
        of.append(example)
        images.append(np.rint(255 * seen(image, size)).astype(np.uint8))
        labels.append(truth)
        shares.append(share)
    return Ground(
        images=np.stack(images),
        labels=np.stack(labels),
        shares=np.asarray(shares, np.float32),
        low=np.asarray([e.low for e in of], np.float32),
        high=np.asarray([e.high for e in of], np.float32),
        groups=tuple(e.group for e in of),
        names=tuple(e.name for e in of),
        sites=tuple(e.site for e in of),
    )


def read_mask(
    path: Path, image: Path, shape: tuple[int, ...], meanings: Mapping[str, int] = SPELLINGS
) -> np.ndarray:
    """A mask, uint8 [Y, X] of 0, 1, 2, from outlines or a label image.

    Raises:
        InputError: It cannot be read, holds other numbers, or is not of the picture's size.
    """
    if path.suffix.lower() == ".json":
        outlines = labels_from(path, image.name, meanings, size=shape)
        if outlines.image.casefold() != image.name.casefold():
            logger.warning(
                "%s: was drawn on '%s', and is used for '%s'", path, outlines.image, image.name
            )
        mask = painted(outlines)
    else:
        frames = read_label_image(path)
        mask = frames.reshape(-1, frames.shape[-1])
        if not np.isin(mask, (0, EMBRYO, FRAGMENT)).all():
            raise InputError(
                f"{path}: holds {sorted(map(int, np.unique(mask)))[:6]}; a mask is 0 (background), "
                "1 (embryo), 2 (fragment)"
            )
    if mask.shape != shape:
        raise InputError(
            f"{path}: is {mask.shape[1]} x {mask.shape[0]}, but {image.name} is "
            f"{shape[1]} x {shape[0]} (turned as its EXIF says)"
        )
    return mask.astype(np.uint8)


def share_of(labels: np.ndarray) -> float:
    """Fragment area over embryo area of labels [Y, X]; NaN without embryo."""
    embryo = int(np.isin(labels, (EMBRYO, FRAGMENT)).sum())
    return int((labels == FRAGMENT).sum()) / embryo if embryo else float("nan")


def only_frame(example: Example) -> np.ndarray:
    """An example's picture, float32 [Y, X] in [0, 1].

    Raises:
        InputError: It cannot be read, or is a film.
    """
    frames = read_frames(example.image)
    if len(frames.images) != 1:
        raise InputError(
            f"{example.image}: holds {len(frames.images)} frames; an example is one picture"
        )
    return frames.images[0]


def _table_entries(path: Path) -> list[ExampleEntry]:
    """Examples from a CSV whose columns are the keys of an example, and `low` and `high`."""
    entries = []
    for number, row in enumerate(read_table(path), start=2):
        given: dict[str, Any] = {key: value for key, value in row.items() if key and value}
        bounds = [given.pop(key, None) for key in ("low", "high")]
        if bounds != [None, None]:
            given["range"] = bounds
        entries.append(parse(given, ExampleEntry, source=f"{path} line {number}"))
    return entries


def _example(entry: ExampleEntry, root: Path, scale: GradeScale, path: Path) -> Example:
    where = f"{path}: '{entry.image}'"
    low, high = _bounds(entry, scale, where)
    if entry.share is not None and not np.isnan(low) and not low <= entry.share <= high:
        raise InputError(f"{where}: a share of {entry.share:g} is not within {low:g} to {high:g}")
    for file in (entry.image, entry.mask):
        if file is not None and not (root / file).exists():
            raise InputError(f"{where}: {root / file} does not exist")
    return Example(
        name=entry.image.name,
        image=root / entry.image,
        group=entry.group or entry.image.stem,
        split=entry.split,
        mask=None if entry.mask is None else root / entry.mask,
        share=float("nan") if entry.share is None else entry.share,
        low=low,
        high=high,
        site=entry.site,
        stage=entry.stage,
    )


def _bounds(entry: ExampleEntry, scale: GradeScale, where: str) -> tuple[float, float]:
    if entry.grade is not None and entry.range is not None:
        raise InputError(f"{where}: has a grade and a range; give one")
    try:
        if entry.grade is not None:
            return scale.range_of(entry.grade)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    if entry.range is None:
        return float("nan"), float("nan")
    low, high = entry.range
    if not 0 <= low <= high <= 1:
        raise InputError(f"{where}: a range of {low:g} to {high:g} is none of shares in [0, 1]")
    return low, high
