"""Plates of OME-Zarr: their wells and fields, chosen by pattern."""

import dataclasses
import fnmatch
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.imaging.formats.microscope_file import refusals
from isl.imaging.formats.table import is_zarr
from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.image import KIND, image_name, open_zarr_image, read_attributes

# A field lies this many folders below its plate: row, column, field.
_DEPTH = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlateLayout:
    """What a plate says of itself; nothing is said of which wells are there.

    Attributes:
        name: Its own name, or its folder's.
        rows: Names of its rows, in order, as for `columns`.
        columns: Those that it lists, and any of its wells beside them.
        wells: Row and column of each, e.g. "B/02", in the plate's own order.
        acquisitions: What it says of each.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[str, ...]
    acquisitions: tuple[Mapping[str, Any], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlateField:
    """One field of a well.

    Attributes:
        row: E.g. "B".
        column: E.g. "02".
        field: E.g. "0".
        path: The folder of its image.
        name: Plate, well and field, e.g. "screen_B02_0".
    """

    row: str
    column: str
    field: str
    path: Path
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plate:
    """What a plate holds.

    Attributes:
        path: Its folder.
        fields: In the plate's own order.
        missing: Wells and fields that it lists and that are not there, e.g. "C/03" or "C/04/1".
    """

    path: Path
    fields: tuple[PlateField, ...]
    missing: tuple[str, ...]


def read_layout(path: Path | str) -> PlateLayout:
    """What a plate says of itself; its wells are not looked at.

    Raises:
        InputError: It is missing, damaged or no plate.
    """
    path = Path(path)
    attributes = read_attributes(path)
    with refusals(path, KIND):
        if "plate" not in attributes:
            raise InputError(f"{path}: is no plate; name the folder that holds the rows")
        plate = attributes["plate"]
        wells = [str(well["path"]).strip("/") for well in plate["wells"]]
        if not all(re.fullmatch(r"[\w-]+/[\w-]+", well) for well in wells):
            raise InputError(f"{path}: lists wells that are not row/column; it is damaged")
        rows, columns = (
            [str(one["name"]) for one in plate.get(axis) or ()] for axis in ("rows", "columns")
        )
        acquisitions = plate.get("acquisitions") or ()
        return PlateLayout(
            name=str(plate.get("name") or image_name(path)),
            rows=tuple(dict.fromkeys((*rows, *(well.split("/")[0] for well in wells)))),
            columns=tuple(dict.fromkeys((*columns, *(well.split("/")[1] for well in wells)))),
            wells=tuple(dict.fromkeys(wells)),
            acquisitions=tuple(one for one in acquisitions if isinstance(one, Mapping)),
        )


def read_plate(path: Path | str) -> Plate:
    """The wells and fields of a plate; no pixels are read.

    Raises:
        InputError: It is missing, damaged or no plate.
    """
    path = Path(path)
    found, missing = [], []
    for well in read_layout(path).wells:
        fields, lost = _fields_of(path, well)
        found += fields
        missing += lost
    return Plate(path=path, fields=tuple(found), missing=tuple(missing))


def images_listed(well: Path) -> Sequence[Mapping[str, Any]]:
    """What a well says of its fields, in its own order; whether they are there is another matter.

    Raises:
        InputError: It is missing or damaged.
    """
    with refusals(well, KIND):
        described = read_attributes(well).get("well") or {}
        images = list(described.get("images") or ())
        if not all(re.fullmatch(r"[\w-]+", str(image["path"]).strip("/")) for image in images):
            raise InputError(f"{well}: lists fields that are no folders of it; it is damaged")
        return [dict(image) | {"path": str(image["path"]).strip("/")} for image in images]


def choose_fields(plate: Plate, pattern: str | None = None) -> tuple[PlateField, ...]:
    """The fields that a pattern names.

    Args:
        plate: The plate.
        pattern: Row, column and field, each with * and ? where any will do: "B/*/0", "B/02",
            "B02", "B2/0"; None: every field that is there.

    Raises:
        InputError: It names no field, or a well that the plate lists and that is not there.
    """
    chosen = tuple(
        field
        for field in plate.fields
        if pattern is None or _fits(pattern, field.row, field.column, field.field)
    )
    if chosen:
        return chosen
    lost = [place for place in plate.missing if pattern is not None and _fits_place(pattern, place)]
    if lost:
        raise InputError(f"{plate.path}: lists {', '.join(lost)}, but that is not there")
    if not plate.fields:
        listed = f"; it lists {len(plate.missing)} that are not there" if plate.missing else ""
        raise InputError(f"{plate.path}: holds no field{listed}")
    wells = list(dict.fromkeys(f"{field.row}/{field.column}" for field in plate.fields))
    shown = ", ".join(wells[:12]) + (", ..." if len(wells) > 12 else "")
    raise InputError(
        f"{plate.path}: has no field '{pattern}' (wells: {shown}); write B/02/0, B02 or B/*/0"
    )


def open_plate(path: Path | str) -> tuple[LazyPicture, ...]:
    """The fields of a plate, or of a well within one.

    Raises:
        InputError: It is missing or damaged, or has no fields.
    """
    path = Path(path)
    if "well" in read_attributes(path):
        well = path.absolute()
        fields, _ = _fields_of(well.parents[1], f"{well.parent.name}/{well.name}")
        if not fields:
            raise InputError(f"{path}: is a well without fields")
    else:
        fields = choose_fields(read_plate(path))
    return tuple(open_zarr_image(field.path, field.name) for field in fields)


def split_plate_path(path: Path) -> tuple[Path, str] | None:
    """The plate that `path` leads into, and the rest of it: a field, a well or a pattern.

    Returns:
        E.g. (screen.zarr, "B/*/0") for screen.zarr/B/*/0; None where no folder above is a plate.
    """
    for folder in itertools.islice(path.absolute().parents, _DEPTH):
        if is_zarr(folder) and "plate" in read_attributes(folder):
            depth = len(folder.parts)
            parts = path.absolute().parts[depth:]
            return path.parents[len(parts) - 1], "/".join(parts)
    return None


def _fields_of(plate: Path, well: str) -> tuple[list[PlateField], list[str]]:
    """The fields of a well that are there; and what is not, the well itself or fields of it."""
    folder = plate / well
    if not is_zarr(folder):
        return [], [well]
    row, column = well.split("/")
    listed = [image["path"] for image in images_listed(folder)]
    fields = [
        PlateField(
            row=row,
            column=column,
            field=field,
            path=folder / field,
            name=f"{image_name(plate)}_{row}{column}_{field}",
        )
        for field in listed
        if is_zarr(folder / field)
    ]
    there = {field.field for field in fields}
    return fields, [f"{well}/{field}" for field in listed if field not in there] or (
        [] if listed else [well]
    )


def _fits_place(pattern: str, place: str) -> bool:
    row, column, *field = place.split("/")
    return _fits(pattern, row, column, field[0] if field else "*")


def _fits(pattern: str, row: str, column: str, field: str) -> bool:
    """Whether a pattern names a field; columns may be written with zeros before them or without."""
    asked = [part.upper() for part in pattern.strip("/").split("/")]
    columns = {column, column.lstrip("0") or "0", column.zfill(2)}
    for each in columns:
        spellings: tuple[list[str], ...] = (
            [row, each, field],
            [row, each],
            [row + each, field],
            [row + each],
        )
        for spelling in spellings:
            if len(spelling) == len(asked) and all(
                own == "*" or fnmatch.fnmatchcase(own.upper(), part)
                for own, part in zip(spelling, asked, strict=True)
            ):
                return True
    return False
