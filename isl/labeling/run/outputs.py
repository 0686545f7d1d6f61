"""The files and folders a predicted field becomes: their names, and pixels as they are stored."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from isl.errors import InputError
from isl.imaging.image import FluorescenceImage
from isl.imaging.inputs.containers import place_in_plate
from isl.imaging.outputs.results import ResultFiles

PixelType = Literal["uint16", "float32", "uint8"]
PIXEL_TYPES: tuple[str, ...] = get_args(PixelType)
# Formats of images, and how their names end.
FORMATS = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr", "imagej": ".tif"}


def files_of(
    folder: Path,
    name: str,
    statistics: Sequence[str],
    *,
    source: Path | None = None,
    format: str = "ome-tiff",
    into: Path | None = None,
) -> ResultFiles:
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
    return ResultFiles(
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
            f"`into={into}`: measured and predicted channels become an OME-Zarr; give a name that "
            "ends in .ome.zarr"
        )
    if border != "reflect":
        raise InputError(
            f"`into={into}`: with `border={border}` predicted channels are smaller than measured "
            "ones; take `border=reflect`"
        )
    plates = {place and place[0].resolve() for place in map(place_in_plate, sources)}
    if len(sources) > 1 and (None in plates or len(plates) > 1):
        raise InputError(
            f"`into={into}`: holds one image or one plate, and there are {len(sources)} inputs; "
            "predict them one by one"
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


def _stem(path: Path) -> str:
    """The name of a Zarr's folder without its ending."""
    name = path.name or path.resolve().name
    return name.removesuffix(".zarr").removesuffix(".ome")


def _joined(place: str) -> str:
    """A place in a plate as part of a name: "B/02/0" as "B02_0"."""
    return place.replace("/", "", 1).replace("/", "_")
