"""The files and folders a predicted field becomes: their names, and writing them whole."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from isl.errors import InputError
from isl.files.folders import put_in_place
from isl.files.staging import staging_folder
from isl.files.whole import settle, sync_folder
from isl.imaging.containers import place_in_plate
from isl.imaging.image import FluorescenceImage

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
            # Fields of several plates have the same name, each in its own.
            names = {
                name: f"{name}.ome.zarr" if files.like is not None else path.name
                for name, path in files.images.items()
            }
            staged = dataclasses.replace(
                files,
                images={name: temporary / own for name, own in names.items()},
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
        from isl.imaging.zarr.plate_writer import put_into_plate

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
