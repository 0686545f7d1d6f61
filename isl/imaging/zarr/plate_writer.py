"""Plates of OME-Zarr 0.5 that grow field by field, laid out like another plate."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr

from isl.errors import InputError
from isl.files.folders import put_in_place
from isl.files.locks import locked
from isl.imaging.formats.table import is_zarr
from isl.imaging.zarr.image import read_attributes
from isl.imaging.zarr.metadata import VERSION, put_group
from isl.imaging.zarr.plates import PlateLayout, images_listed, read_layout

# Beside what OME-Zarr says, so that no plate of anybody else's is ever added to.
_MARK = {"made_by": "isl"}


def check_plate(path: Path, like: Path) -> None:
    """Refuses a folder to which fields of a plate laid out like `like` cannot be added.

    Raises:
        InputError: Something else is there, or `like` is damaged or no plate.
    """
    _wells_listed(path, read_layout(like))


def put_into_plate(image: Path, place: Path, like: Path, discarded: Path) -> None:
    """Moves an image into a plate, which is made if missing, and lists it there.

    Only images that were moved in are listed, with the rows, columns and acquisitions of the plate
    that is mirrored and in its order, so it does not show when they came; several processes may do
    so at once. A reader sees the plate as it was before or as it is afterwards.

    Args:
        image: A complete image, on the file system of the plate.
        place: Where it belongs: PLATE/ROW/COLUMN/FIELD.
        like: The plate that is mirrored, which lists that field.
        discarded: What an image already there is renamed to.

    Raises:
        InputError: The plate is something else; see `check_plate`.
        OSError: It cannot be written.
    """
    plate, well = place.parents[2], f"{place.parents[1].name}/{place.parent.name}"
    layout = read_layout(like)
    place.parent.mkdir(parents=True, exist_ok=True)
    # Others that add to the plate are waited for.
    with locked(plate / ".lock"):
        wells = {*_wells_listed(plate, layout), well}
        put_in_place(image, place, discarded)
        put_group(place.parents[1], {})
        put_group(place.parent, _well(place, images_listed(like / well)))
        told = _plate(layout, [well for well in layout.wells if well in wells])
        put_group(plate, {"ome": told, "isl": _MARK})


def _plate(layout: PlateLayout, wells: Sequence[str]) -> dict[str, Any]:
    plate: dict[str, Any] = {
        "version": VERSION,
        "name": layout.name,
        "rows": [{"name": row} for row in layout.rows],
        "columns": [{"name": column} for column in layout.columns],
        "wells": [
            {
                "path": well,
                "rowIndex": layout.rows.index(well.split("/")[0]),
                "columnIndex": layout.columns.index(well.split("/")[1]),
            }
            for well in wells
        ],
    }
    if layout.acquisitions:
        plate["acquisitions"] = [dict(one) for one in layout.acquisitions]
    return {"version": VERSION, "plate": plate}


def _well(place: Path, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a well says that holds `place` and what it listed before, in the order of `images`."""
    listed = {place.name}
    if is_zarr(place.parent):
        listed |= {image["path"] for image in images_listed(place.parent)}
    told = [
        {key: image[key] for key in ("path", "acquisition") if image.get(key) is not None}
        for image in images
        if image["path"] in listed and is_zarr(place.parent / image["path"])
    ]
    return {"ome": {"version": VERSION, "well": {"images": told}}}


def _wells_listed(path: Path, layout: PlateLayout) -> tuple[str, ...]:
    """The wells of a plate of ours that is laid out so; none if there is no plate yet.

    Raises:
        InputError: Something else is there.
    """
    if not os.path.lexists(path) or _is_begun(path):
        return ()
    if path.is_dir() and is_zarr(path):
        attributes = read_attributes(path)
        if "plate" in attributes and _is_ours(path):
            told = read_layout(path)
            if _plate(layout, told.wells) == dict(attributes):
                return told.wells
            raise InputError(
                f"{path}: is laid out otherwise than the plate to be mirrored; give another `out`"
            )
    raise InputError(f"{path}: exists already and is no plate written by isl; give another `out`")


def _is_begun(path: Path) -> bool:
    """Whether a folder is what a killed run leaves of a plate: rows, and nothing that says so."""
    return path.is_dir() and all(
        entry.is_dir() or entry.name.startswith(".") for entry in path.iterdir()
    )


def _is_ours(path: Path) -> bool:
    return zarr.open_group(path, mode="r").attrs.asdict().get("isl") == _MARK
