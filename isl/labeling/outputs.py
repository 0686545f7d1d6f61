"""The files a predicted field becomes: their names, what forbids them, and writing them whole."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from isl.errors import InputError
from isl.imaging.files import sync_folder
from isl.imaging.image import FluorescenceImage
from isl.labeling.staging import settle, staging_folder

PixelType = Literal["uint16", "float32", "uint8"]
PIXEL_TYPES: tuple[str, ...] = get_args(PixelType)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldFiles:
    """Where a field's results belong.

    Attributes:
        images: One OME-TIFF for every statistic, in order; the first has the field's plain name.
        preview: A PNG to look at.
        record: The provenance, in JSON; written last, so a field that has it is complete.
    """

    images: Mapping[str, Path]
    preview: Path
    record: Path

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file, the record last."""
        return *self.images.values(), self.preview, self.record

    @property
    def complete(self) -> bool:
        """Whether every file is there."""
        return all(path.is_file() for path in self.all)


def files_of(folder: Path, name: str, statistics: Sequence[str]) -> FieldFiles:
    """The files of the field `name` in `folder`, for statistics in the order asked for."""
    first, *further = statistics
    images = {first: folder / f"{name}.ome.tif"}
    images |= {statistic: folder / f"{name}.{statistic}.ome.tif" for statistic in further}
    return FieldFiles(
        images=images,
        preview=folder / f"{name}.preview.png",
        record=folder / f"{name}.json",
    )


def check_files(
    folder: Path,
    fields: Sequence[tuple[Path, FieldFiles]],
    *,
    replace: bool,
) -> None:
    """Refuses, before anything is computed, results that could not or must not be written.

    Args:
        folder: Where results go; it need not exist.
        fields: Every input with the files it becomes.
        replace: Whether results already there may stay or be replaced.

    Raises:
        InputError: Two results have one name, a result is an input or exists, or the folder cannot
            be written.
    """
    _check_folder(folder)
    inputs = {_identity(file): path for path, _ in fields for file in _files_within(path)}
    owners: dict[Path, Path] = {}
    for source, files in fields:
        for path in files.all:
            other = owners.setdefault(path, source)
            if other != source:
                raise InputError(
                    f"{source}: its result {path} would be that of {other} too; rename one of "
                    "them, or give each an --out of its own"
                )
            if _identity(path) in inputs:
                raise InputError(
                    f"{path}: is an input, and would be replaced by the result of {source}; give "
                    "another --out"
                )
            if path.is_dir():
                raise InputError(f"{path}: is a folder; a result is to be written there")
            if path.exists() and not replace:
                raise InputError(
                    f"{path}: exists already (give --overwrite to replace it, or --resume to skip "
                    "fields that are done)"
                )


def as_stored(image: FluorescenceImage, dtype: str) -> FluorescenceImage:
    """An image in [0, 1] in the pixel type it is to be stored with; see `stored_values`."""
    return dataclasses.replace(image, channels=stored_values(image.channels, dtype))


def stored_values(values: np.ndarray, dtype: str | np.dtype) -> np.ndarray:
    """Values in the pixel type they are to be stored with; full scale of integers is 1.0.

    Args:
        values: float32 in [0, 1].
        dtype: One of PIXEL_TYPES.
    """
    if dtype == "float32":
        return values.astype(np.float32, copy=False)
    full_scale = np.float32(np.iinfo(dtype).max)
    scaled = np.clip(values, 0, 1) * full_scale
    return np.rint(scaled, out=scaled).astype(dtype)


@contextmanager
def written_together(files: FieldFiles) -> Iterator[FieldFiles]:
    """Paths to write a field's files to; they get their names when all of them are there.

    They are written into a hidden folder beside, which is removed whatever happens, and reach the
    disk before they get their names. A record that is being replaced goes first and the new one
    comes last, so that no record ever stands beside images it does not describe.

    Yields:
        Where to write each file.

    Raises:
        InputError: The folder cannot be written, or is full.
    """
    folder = files.record.parent
    try:
        with staging_folder(folder) as temporary:
            staged = FieldFiles(
                images={name: temporary / path.name for name, path in files.images.items()},
                preview=temporary / files.preview.name,
                record=temporary / files.record.name,
            )
            yield staged
            for source in staged.all:
                settle(source)
            files.record.unlink(missing_ok=True)
            for source, target in zip(staged.all, files.all, strict=True):
                if target == files.record:
                    sync_folder(folder)
                os.replace(source, target)
            sync_folder(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: results cannot be written there ({error.strerror or error})"
        ) from error


def _check_folder(folder: Path) -> None:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"{existing}: is a file, not a folder to write results to (mend --out)")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing}: may not be written to (give another --out)")


def _files_within(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.iterdir() if file.is_file())
    else:
        yield path


def _identity(path: Path) -> tuple[int, int] | Path:
    """The same for two names of one file, links and letter case included."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino
