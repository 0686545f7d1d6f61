"""The files and folders a predicted field becomes: their names, what forbids them, writing them."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from isl.errors import InputError
from isl.imaging.containers import place_in_plate, zarr_root
from isl.imaging.files import sync_folder
from isl.imaging.folders import put_in_place
from isl.imaging.image import FluorescenceImage
from isl.labeling.staging import settle, staging_folder

PixelType = Literal["uint16", "float32", "uint8"]
PIXEL_TYPES: tuple[str, ...] = get_args(PixelType)
# Formats of images, and how their names end.
FORMATS = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldFiles:
    """Where a field's results belong.

    Attributes:
        images: One for every statistic, in order; the first has the field's plain name. Only one
            where predicted channels go into a copy.
        preview: A PNG to look at.
        record: The provenance, in JSON; written last, so a field that has it is complete.
        format: One of FORMATS: images are files or folders.
        like: The plate that is mirrored where images are fields of plates, else None.
        into: Whether the image is a copy of the input with predicted channels added.
    """

    images: Mapping[str, Path]
    preview: Path
    record: Path
    format: str = "ome-tiff"
    like: Path | None = None
    into: bool = False

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file, the record last."""
        return *self.images.values(), self.preview, self.record

    @property
    def complete(self) -> bool:
        """Whether all of them are there; a folder has its name only when it is whole."""
        return all((path / "zarr.json" if path.is_dir() else path).is_file() for path in self.all)

    @property
    def plates(self) -> tuple[Path, ...]:
        """The plates that images are fields of."""
        return () if self.like is None else tuple(path.parents[2] for path in self.images.values())


def files_of(
    folder: Path,
    name: str,
    statistics: Sequence[str],
    *,
    source: Path | None = None,
    format: str = "ome-tiff",
    into: Path | None = None,
) -> FieldFiles:
    """The files of a field.

    Args:
        folder: Where they go; of a copy, where it lies.
        name: The field's.
        statistics: In the order asked for.
        source: The input; a plate's field becomes a field of plates laid out alike, if `format` is
            "ome-zarr".
        format: One of FORMATS.
        into: The copy of the input, or of its plate, that predicted channels go into; None: they
            go into images of their own.
    """
    format = "ome-zarr" if into is not None else format
    place = place_in_plate(source) if source is not None and format == "ome-zarr" else None
    stem = name if place is None else _stem(place[0])
    if into is not None:
        # The copy stands for all statistics, and gives its name to what lies beside it.
        statistics, stem = statistics[:1], _stem(into)
        name = stem if place is None else f"{stem}_{_joined(place[1])}"
    images = {
        statistic: folder / f"{stem}{f'.{statistic}' if number else ''}{FORMATS[format]}"
        for number, statistic in enumerate(statistics)
    }
    if into is not None:
        images = dict.fromkeys(images, into)
    if place is not None:
        # A well without fields is found to be so when it is opened.
        row, column, field, *_ = (*place[1].split("/"), "0")
        images = {name: path / row / column / field for name, path in images.items()}
    return FieldFiles(
        images=images,
        preview=folder / f"{name}.preview.png",
        record=folder / f"{name}.json",
        format=format,
        like=None if place is None else place[0].absolute(),
        into=into is not None,
    )


def check_copy(into: Path, sources: Sequence[Path], border: str) -> None:
    """Refuses a copy for predicted channels that the inputs cannot have.

    Raises:
        InputError: It is no OME-Zarr, the inputs are neither one image nor of one plate, or the
            predicted image would not have the input's size.
    """
    if not into.name.endswith(".zarr") or into.name in (".zarr", ".ome.zarr"):
        raise InputError(
            f"--into {into}: measured and predicted channels become an OME-Zarr; give a name that "
            "ends in .ome.zarr"
        )
    if border != "reflect":
        raise InputError(
            f"--into {into}: with --border {border} predicted channels are smaller than measured "
            "ones; take --border reflect"
        )
    plates = {place and place[0].resolve() for place in map(place_in_plate, sources)}
    if len(sources) > 1 and (None in plates or len(plates) > 1):
        raise InputError(
            f"--into {into}: holds one image or one plate, and there are {len(sources)} inputs; "
            "predict them one by one"
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
        InputError: Two results have one name, a result is an input, lies in one or exists, or the
            folder cannot be written.
    """
    _check_folder(folder)
    inputs = _Inputs([path for path, _ in fields])
    owners: dict[Path, Path] = {}
    for source, files in fields:
        claims = dict.fromkeys(files.all, source)
        if files.like is not None:
            claims |= dict.fromkeys(files.plates, files.like)
        for path, claimant in claims.items():
            other = owners.setdefault(path, claimant)
            if other != claimant:
                raise InputError(
                    f"{claimant}: its result {path} would be that of {other} too; rename one of "
                    "them, or give each an --out of its own"
                )
        for path in files.all:
            inputs.check(path, source)
            is_image = path in files.images.values()
            _check_free(path, replace, folder=is_image and files.format == "ome-zarr")
    for plate, like in {plate: f.like for _, f in fields for plate in f.plates}.items():
        from isl.imaging.plate_writer import check_plate

        if like is not None and os.path.lexists(plate):
            check_plate(plate, like)


def _check_free(path: Path, replace: bool, *, folder: bool) -> None:
    """Refuses a result where something is that may not be replaced by it."""
    if path.is_dir():
        if not folder:
            raise InputError(f"{path}: is a folder; a result is to be written there")
        # A folder may hold anything, and it would all be gone.
        from isl.imaging.ome_zarr_writer import is_image

        if not is_image(path):
            raise InputError(f"{path}: is a folder, but no OME-Zarr image; it is not replaced")
    elif path.exists() and folder:
        raise InputError(f"{path}: is a file; a folder is to be written there")
    if path.exists() and not replace:
        raise InputError(
            f"{path}: exists already (give --overwrite to replace it, or --resume to skip "
            "fields that are done)"
        )


class _Inputs:
    """What no result may replace or lie in."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = {_identity(file) for path in paths for file in _files_within(path)}
        roots = {root for path in paths if (root := zarr_root(path)) is not None}
        self._roots = {_identity(root): root for root in roots}
        self._above = {
            _identity(folder) for root in roots for folder in root.absolute().resolve().parents
        }

    def check(self, path: Path, source: Path) -> None:
        """Refuses a result that is an input, or a part of one, or has one in it."""
        if _identity(path) in self._files:
            raise InputError(
                f"{path}: is an input, and would be replaced by the result of {source}; give "
                "another --out"
            )
        for folder in (path, *path.absolute().parents):
            root = self._roots.get(_identity(folder))
            if root is not None:
                raise InputError(
                    f"{path}: is the input {root}, or lies in it, which is never changed; give "
                    "another --out"
                )
        if path.is_dir() and _identity(path) in self._above:
            raise InputError(f"{path}: has an input in it, so it is not replaced")


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
            ending = FORMATS[files.format]
            staged = dataclasses.replace(
                files,
                images={name: temporary / f"{name}{ending}" for name in files.images},
                preview=temporary / files.preview.name,
                record=temporary / files.record.name,
            )
            yield staged
            for source in staged.all:
                settle(source)
            files.record.unlink(missing_ok=True)
            for name, target in files.images.items():
                _place(staged.images[name], target, files, temporary / f"{name}.replaced")
            os.replace(staged.preview, files.preview)
            sync_folder(folder)
            os.replace(staged.record, files.record)
            sync_folder(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: results cannot be written there ({error.strerror or error})"
        ) from error


def _place(image: Path, target: Path, files: FieldFiles, replaced: Path) -> None:
    if files.like is not None:
        from isl.imaging.plate_writer import put_into_plate

        put_into_plate(image, target, files.like, replaced)
    elif image.is_dir():
        put_in_place(image, target, replaced)
    else:
        os.replace(image, target)


def _stem(path: Path) -> str:
    """The name of a Zarr's folder without its ending."""
    name = path.name or path.resolve().name
    return name.removesuffix(".zarr").removesuffix(".ome")


def _joined(place: str) -> str:
    """A place in a plate as part of a name: "B/02/0" as "B02_0"."""
    return place.replace("/", "", 1).replace("/", "_")


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
