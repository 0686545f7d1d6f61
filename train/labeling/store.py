"""A folder of normalized fields, kept between runs: whole and as it was made, or made anew."""

import contextlib
import functools
import hashlib
import itertools
import logging
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.config import Config
from isl.devices import cache_folder
from isl.errors import InputError
from isl.files.locks import locked
from isl.files.provenance import sha256_of, versions
from isl.files.staging import remove_leftovers, staging_folder
from isl.files.whole import settle, sync_folder
from isl.labeling.dataset import Field
from isl.labeling.label_scale import LabelScale

from .crops import Box, TrainingField
from .kept import ArrayFile, KeptTrainingField, KeptValidationField, written
from .validation_field import ValidationField

logger = logging.getLogger(__name__)

_INDEX = "fields.json"
# Other files, or something else in them, take another number.
_FORMAT = 4
_TRAINING = ("targets", "measured", "visible")
_VALIDATION = ("held_targets", "held_measured")


class GroundFacts(Config):
    """What is known of all fields of an experiment together; see `Ground`."""

    labels: tuple[str, ...]
    planes: int
    modality: str | None
    pixel_size: tuple[float, float, float | None] | None
    training_groups: tuple[str, ...]
    validation_groups: tuple[str, ...]
    label_scale: dict[str, LabelScale]
    label_scales: dict[str, dict[str, LabelScale]]
    experiments: tuple[str, ...]
    sha256: str


class _KeptField(Config):
    name: str
    group: str
    weight: float
    trained_on: bool
    region: Box | None


class _Index(Config):
    """What is in a store: fields in order, bytes in memory, what was said, hashes of all files."""

    facts: GroundFacts
    fields: tuple[_KeptField, ...]
    in_memory: int
    warnings: tuple[str, ...]
    sha256: dict[str, str]


class Store:
    """Where the fields of one experiment are kept.

    Attributes:
        folder: There once they are whole.
        facts: Of all fields.
        in_memory: Bytes that they would take in memory.
        warnings: What a person was warned of when they were read.
    """

    def __init__(self, folder: Path, index: _Index) -> None:
        """Takes a folder and what is in it."""
        self.folder = folder
        self.facts = index.facts
        self.in_memory = index.in_memory
        self.warnings = index.warnings
        self._index = index

    def training(self) -> tuple[TrainingField, ...]:
        """Fields to draw crops from."""
        return tuple(
            KeptTrainingField(
                name=field.name,
                group=field.group,
                weight=field.weight,
                files=self._files(number, "transmitted", *_TRAINING),
            )
            for number, field in enumerate(self._index.fields)
            if field.trained_on
        )

    def validation(self) -> tuple[ValidationField, ...]:
        """Fields to judge on."""
        found = []
        for number, field in enumerate(self._index.fields):
            if field.region is not None:
                files = self._files(number, "transmitted", *_VALIDATION)
                files = {name.removeprefix("held_"): file for name, file in files.items()}
                found.append(KeptValidationField(name=field.name, region=field.region, files=files))
        return tuple(found)

    def _files(self, number: int, *names: str) -> dict[str, ArrayFile]:
        return {name: ArrayFile.at(self.folder / _file(number, name)) for name in names}


def _file(number: int, name: str) -> str:
    return f"{number:05d}.{name}.npy"


class Writer:
    """Writes fields to a folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        """Takes a folder that is to be made."""
        folder.mkdir()
        self._folder = folder
        self._fields: list[_KeptField] = []
        self._sha256: dict[str, str] = {}

    def add(self, training: TrainingField | None, validation: ValidationField | None) -> None:
        """Writes the arrays of a field, which its training and validation ground share.

        Raises:
            OSError: They cannot be written.
        """
        one = training or validation
        if one is None:
            return
        if training is not None:
            transmitted = training.transmitted
            for name in _TRAINING:
                self._write(name, getattr(training, name))
        else:
            transmitted = np.moveaxis(one.transmitted, 0, -1)
        self._write("transmitted", np.ascontiguousarray(transmitted))
        if validation is not None:
            self._write("held_targets", validation.targets)
            self._write("held_measured", validation.measured)
        kept = _KeptField(
            name=one.name,
            group=training.group if training is not None else "",
            weight=training.weight if training is not None else 1.0,
            trained_on=training is not None,
            region=validation.region if validation is not None else None,
        )
        self._fields.append(kept)

    def _write(self, name: str, array: np.ndarray) -> None:
        path = self._folder / _file(len(self._fields), name)
        written(path, array)
        self._sha256[path.name] = sha256_of(path)

    def finish(
        self, store: Path, facts: GroundFacts, *, in_memory: int, warnings: Iterable[str]
    ) -> Store:
        """Makes the folder a store, which others see whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        index = _Index(
            facts=facts,
            fields=tuple(self._fields),
            in_memory=in_memory,
            warnings=tuple(dict.fromkeys(warnings)),
            sha256=self._sha256,
        )
        text = index.model_dump_json()
        (self._folder / _INDEX).write_text(f"{_hash(text)}\n{text}", encoding="utf-8")
        settle(self._folder)
        os.replace(self._folder, store)
        sync_folder(store.parent)
        return Store(store, index)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def open_store(folder: Path) -> Store | None:
    """The store in a folder if it is there and every byte is as it was written.

    One that is not is warned about; what is made in its place replaces it.
    """
    if not os.path.exists(folder):
        return None
    try:
        return Store(folder, _checked(folder))
    except (OSError, ValueError) as error:
        logger.warning("%s: kept fields are damaged (%s); they are made anew", folder, error)
        return None


def _checked(folder: Path) -> _Index:
    said, _, text = (folder / _INDEX).read_text(encoding="utf-8").partition("\n")
    if said != _hash(text):
        raise ValueError(f"{_INDEX} is not as it was written")
    index = _Index.model_validate_json(text)
    for name, sha256 in index.sha256.items():
        if sha256_of(folder / name) != sha256:
            raise ValueError(f"{name} is not as it was written")
    return index


class Place:
    """Where what is made of fields is kept; see `place_for`.

    Attributes:
        store: The folder of the store.
    """

    def __init__(
        self, fields: Sequence[Field], settings: object, held: contextlib.ExitStack
    ) -> None:
        """Looks at the files of the fields, and locks the place for as long as `held` is open."""
        self._named = {path for field in fields for path in _paths(field.model_dump())}
        self._seen = _files_of(self._named)
        self._held = held
        parent = cache_folder() / "fields"
        self.store = parent / _key(fields, settings, self._seen | _files_beside(self._named))
        self._refusal: OSError | None = None
        try:
            parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(parent)
            held.enter_context(locked(parent / f"{self.store.name}.lock"))
        except OSError as error:
            self._refusal = error

    @functools.cached_property
    def staging(self) -> Path:
        """A hidden folder to make the store in, on the same disk.

        Raises:
            OSError: Nothing can be written there.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._held.enter_context(staging_folder(self.store.parent))

    def check_unchanged(self) -> None:
        """Refuses to keep what was read of files that are no longer what they were.

        Raises:
            InputError: A file has changed, come or gone since the place was asked for.
        """
        changed = self._seen.items() ^ _files_of(self._named).items()
        if changed:
            file, _ = min(changed)
            raise InputError(f"{file}: changed while it was read; train again when it is written")


@contextlib.contextmanager
def place_for(fields: Sequence[Field], settings: object) -> Iterator[Place]:
    """Where what is made of fields is kept, for one process at a time.

    That nothing can be written there is no error until something is to be.

    Args:
        fields: As the manifest states them.
        settings: All else that the pixels follow from.

    Raises:
        InputError: Something is to be written there and cannot be, or the disk is full.
    """
    with contextlib.ExitStack() as held:
        place = Place(fields, settings, held)
        try:
            yield place
        except OSError as error:
            raise InputError(
                f"{place.store.parent}: fields cannot be kept there ({error.strerror or error}); "
                "set XDG_CACHE_HOME to a folder with room, or leave training.memory out"
            ) from error


def require_room(folder: Path, needed: int) -> None:
    """Refuses a disk on which so many bytes find no place.

    Raises:
        InputError: There is less.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {needed / 2**30:.2f} GiB of fields are to be kept there, and "
            f"{free / 2**30:.2f} GiB are free; set XDG_CACHE_HOME to a folder with room, or leave "
            "training.memory out"
        )


_Files = dict[Path, tuple[int, int]]
"""Size and time of change of files."""


def _key(fields: Sequence[Field], settings: object, files: _Files) -> str:
    """Names a store after all that its pixels follow from; files are told by size and time."""
    stated = [field.model_dump_json() for field in fields]
    told = [(str(file), *status) for file, status in sorted(files.items())]
    return _hash(repr((_FORMAT, versions(), stated, told, settings)))[:24]


def _paths(value: Any) -> Iterator[Path]:
    """Every path that a statement names."""
    if isinstance(value, Path):
        yield value.absolute()
    elif isinstance(value, dict):
        for part in value.values():
            yield from _paths(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _paths(part)


def _files_of(paths: Iterable[Path]) -> _Files:
    """Those that are files, and all within those that are folders."""
    within = (
        Path(folder, name) for path in paths for folder, _, names in os.walk(path) for name in names
    )
    return _statuses(itertools.chain(paths, within))


def _files_beside(paths: Iterable[Path]) -> _Files:
    """All files that lie in one folder with a file: a set that is read as one lies so."""
    folders = {path.parent for path in paths if not os.path.isdir(path)}
    found = (next(os.walk(folder), (folder, [], [])) for folder in folders)
    return _statuses(Path(folder, name) for folder, _, names in found for name in names)


def _statuses(files: Iterable[Path]) -> _Files:
    found = {}
    for file in files:
        # What cannot be looked at is left to those who read it, and say what is wrong.
        with contextlib.suppress(OSError):
            status = file.stat()
            if stat.S_ISREG(status.st_mode):
                found[file] = status.st_size, status.st_mtime_ns
    return found
