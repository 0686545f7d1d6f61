"""A dataset's manifest, whatever the task: examples stated one by one, by a table or by folders.

    root = "${ISL_DATA}/embryos"     # of the paths below; relative to the manifest's own folder

    [targets]                        # what may be known of an example, see `isl.data.targets`
    stage = { kind = "class", classes = ["cleavage", "morula", "blastocyst"] }
    heartbeat = { kind = "binary" }
    share = { kind = "number", low = 0, high = 1 }
    grade = { kind = "range", low = 0, high = 1 }
    mask = { kind = "image" }

    [[example]]
    name = "E1"
    group = "patient 7"              # the example's own name unless given
    split = "validation"             # "train" unless given; or "test"
    inputs = { image = "E1.tif" }
    targets = { stage = "morula", share = 0.2, grade = [0.1, 0.25], mask = "E1-mask.tif" }

    [[table]]                        # every row of a CSV is an example; keys name its columns
    file = "outcomes.csv"
    name = "embryo"
    group = "patient"
    split = "side"                   # or one of the sides, of all rows
    inputs = { recording = "movie" }
    targets = { heartbeat = "fhb", grade = ["from", "to"] }      # an empty cell: not known

    [[class_folders]]                # a folder for every class, with images in it
    folder = "photos"
    target = "stage"
    input = "image"                  # unless given
    group = "(P[0-9]+)"              # where in a file's name the group is; its name unless given

Splits are by group: one that puts a group on two sides is refused. Reading a manifest checks its
structure and that its files exist; pixels are read by whoever needs them.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic

from isl import config
from isl.data.examples import Dataset, Example
from isl.data.splits import SPLITS, Split, check_groups, check_names
from isl.data.tables import read_table
from isl.data.targets import ClassTarget, Target, Value
from isl.errors import InputError, unknown
from isl.imaging.formats.table import image_ending, is_photo
from isl.imaging.inputs.read import natural_order

logger = logging.getLogger(__name__)

# What operating systems and notebooks leave in folders, besides names that begin with a dot.
_LEFT = ("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin")


class StatedExample(config.Config):
    """An example as a manifest states it; see `isl.data.examples.Example`."""

    name: str = pydantic.Field(min_length=1)
    group: str = ""
    split: Split = "train"
    inputs: dict[str, str] = pydantic.Field(min_length=1)
    targets: dict[str, Any] = pydantic.Field(default_factory=dict)


class Table(config.Config):
    """A CSV of which every row is an example.

    Attributes:
        file: The CSV.
        name: The column with the names.
        group: The column with the groups; None: the name.
        split: The column with the sides, or one side for all rows.
        inputs: For each input, the column with its path.
        targets: For each target, its column, or two of a range; an empty cell is not known.
    """

    file: str
    name: str
    group: str | None = None
    split: str = "train"
    inputs: dict[str, str] = pydantic.Field(min_length=1)
    targets: dict[str, str | tuple[str, str]] = pydantic.Field(default_factory=dict)


class ClassFolders(config.Config):
    """A folder with a folder for every class.

    Attributes:
        folder: It; what is hidden in it is ignored.
        target: Which target the folders' names are classes of.
        input: What an image is.
        group: A regular expression that finds the group in a file's name; None: the example's name.
        split: Of all of them.
    """

    folder: str
    target: str
    input: str = "image"
    group: str | None = None
    split: Split = "train"


class _DatasetFile(config.Config):
    root: str = "."
    targets: dict[str, Target] = pydantic.Field(default_factory=dict)
    example: tuple[StatedExample, ...] = ()
    table: tuple[Table, ...] = ()
    class_folders: tuple[ClassFolders, ...] = ()


def load_dataset(path: Path) -> Dataset:
    """Reads a manifest and checks all that can be checked without reading pixels.

    Args:
        path: The manifest, a TOML file.

    Raises:
        InputError: Unknown or missing keys, columns or classes, files that are missing, targets
            that cannot be so, names used twice, or a group on two sides of the splits.
    """
    path = Path(path)
    stated = config.load_toml(path, _DatasetFile)
    root = config.folder_named(stated.root, path.parent, source=f"{path}: root")
    found: list[tuple[str, StatedExample]] = [(str(path), example) for example in stated.example]
    for table in stated.table:
        found += [(str(root / table.file), each) for each in _rows_of(table, root)]
    for folders in stated.class_folders:
        target = stated.targets.get(folders.target)
        if not isinstance(target, ClassTarget):
            known = [name for name, one in stated.targets.items() if isinstance(one, ClassTarget)]
            raise InputError(f"{path}: {unknown('target of classes', folders.target, known)}")
        found += [(str(path), each) for each in class_examples(root, folders, target)]
    examples = tuple(_resolved(source, each, stated.targets, root) for source, each in found)
    if not examples:
        raise InputError(
            f"{path}: has no example; give [[example]], [[table]] or [[class_folders]]"
        )
    check_names(path, "example", examples)
    check_groups(path, "example", examples)
    return Dataset(examples=examples, targets=stated.targets, path=path)


def class_examples(root: Path, stated: ClassFolders, target: ClassTarget) -> list[StatedExample]:
    """The images in folders of classes, class by class, in the order of the numbers in their names.

    Args:
        root: What `folder` is relative to.
        stated: Which folder.
        target: The classes; each has a folder of that name, and no other folder is there.

    Raises:
        InputError: A folder is missing, is of no class or holds no image, or a file's name has no
            group.
    """
    folder = root / stated.folder
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    for entry in _seen(folder):
        if entry.is_dir() and entry.name not in target.classes:
            raise InputError(f"{folder}: {unknown('class', entry.name, target.classes)}")
    examples = []
    for label in target.classes:
        images = images_in(folder / label) if (folder / label).is_dir() else []
        if not images:
            raise InputError(
                f"{folder / label}: holds no image; add some, or leave class '{label}' out of "
                f"target '{stated.target}'"
            )
        for file in images:
            name = f"{label}/{file.name}"
            examples.append(
                StatedExample(
                    name=name,
                    group=_group_in(file, stated.group) or name,
                    split=stated.split,
                    inputs={stated.input: str(file)},
                    targets={stated.target: label},
                )
            )
    return examples


def _group_in(file: Path, pattern: str | None) -> str | None:
    if pattern is None:
        return None
    try:
        found = re.search(pattern, file.name)
    except re.error as error:
        raise InputError(f"group '{pattern}' is no regular expression ({error})") from error
    if found is None:
        raise InputError(f"{file}: its name holds no group '{pattern}'")
    return found[1] if found.groups() else found[0]


def images_in(folder: Path) -> list[Path]:
    """The images in a folder, in the order of the numbers in their names.

    Photographs of other kinds than isl learns from are left out, with a warning.
    """
    files = _seen(folder)
    photos = [file for file in files if is_photo(file)]
    if photos:
        logger.warning(
            "%s: %d pictures are left out, such as %s; save them as PNG or TIFF",
            folder,
            len(photos),
            photos[0].name,
        )
    return [file for file in files if image_ending(file) is not None]


def _seen(folder: Path) -> list[Path]:
    """What a person put into a folder, in the order of the numbers in the names."""
    return sorted(
        (
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name.lower() not in _LEFT
        ),
        key=lambda entry: natural_order(entry.name),
    )


def _rows_of(table: Table, root: Path) -> Iterator[StatedExample]:
    path = root / table.file
    columns = [table.name, *table.inputs.values()]
    columns += [] if table.group is None else [table.group]
    columns += [] if table.split in SPLITS else [table.split]
    for column in table.targets.values():
        columns += [column] if isinstance(column, str) else column
    for row in read_table(path, columns):
        name = row[table.name]
        split = table.split if table.split in SPLITS else row[table.split]
        if not name:
            raise InputError(f"{path}: a row has no '{table.name}', the examples' name")
        if split not in SPLITS:
            raise InputError(f"{path}: example '{name}': {unknown('split', split, SPLITS)}")
        if table.group is not None and not row[table.group]:
            raise InputError(f"{path}: example '{name}': its '{table.group}', the group, is empty")
        yield StatedExample(
            name=name,
            group=name if table.group is None else row[table.group],
            split=split,
            inputs={what: row[column] for what, column in table.inputs.items()},
            targets={
                target: row[column] if isinstance(column, str) else [row[one] for one in column]
                for target, column in table.targets.items()
            },
        )


def _resolved(
    source: str, stated: StatedExample, targets: Mapping[str, Target], root: Path
) -> Example:
    """The example with its paths made absolute and its targets read."""
    where = f"{source}: example '{stated.name}'"
    inputs = {what: root / file for what, file in stated.inputs.items()}
    for what, file in inputs.items():
        if not stated.inputs[what] or not file.exists():
            raise InputError(f"{where}: its {what} is missing: there is no {file}")
    known: dict[str, Value] = {}
    for name, value in stated.targets.items():
        if name not in targets:
            raise InputError(f"{where}: {unknown('target', name, targets)}")
        if value in ("", ["", ""]):
            continue
        try:
            known[name] = targets[name].read(value, root)
        except ValueError as error:
            raise InputError(f"{where}: target '{name}': {error}") from error
    return Example(
        name=stated.name,
        group=stated.group or stated.name,
        split=stated.split,
        inputs=inputs,
        targets=known,
    )
