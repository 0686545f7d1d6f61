"""What OME-Zarr 0.5 says of images and plates, and the files that say it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.imaging.colors import label_color
from isl.imaging.files import written_whole
from isl.imaging.folders import folder_written_whole
from isl.imaging.image import PixelSize
from isl.imaging.microscope_file import is_zarr
from isl.imaging.ome_zarr import image_name, read_attributes
from isl.imaging.plates import read_plate

VERSION = "0.5"
# By the number of an image's dimensions.
AXES = {3: "cyx", 4: "tcyx", 5: "tczyx"}


def put_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Makes a folder a Zarr group with these attributes, and no others.

    Raises:
        InputError: It cannot be written.
    """
    group = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    with written_whole(folder / "zarr.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(group, indent=2) + "\n", encoding="utf-8")


def multiscale(
    name: str,
    shape: tuple[int, ...],
    levels: int,
    pixel_size: PixelSize | None,
    interval: float | None,
    stage: tuple[float, float] | None,
) -> dict[str, Any]:
    """An image's resolutions, each of half the rows and columns of the one before.

    Args:
        name: The image's own name.
        shape: Of the finest: C, Y, X; or T, C, Y, X; or T, C, Z, Y, X.
        levels: How many resolutions there are; their paths are "0", "1", ...
        pixel_size: Micrometres, or None where nothing says.
        interval: Minutes between time points, or None.
        stage: Position of the image's middle (y, x), micrometres, or None.
    """
    letters = AXES[len(shape)]
    steps: dict[str, float | None] = {"t": interval, "c": None, "z": None, "y": None, "x": None}
    if pixel_size is not None:
        steps |= {"z": pixel_size.z, "y": pixel_size.y, "x": pixel_size.x}
    kinds = {"t": ("time", "minute"), "c": ("channel", None)}
    axes, scale, origin = [], [], []
    for letter, length in zip(letters, shape, strict=True):
        kind, unit = kinds.get(letter, ("space", "micrometer"))
        step = steps[letter]
        known = {} if step is None or unit is None else {"unit": unit}
        axes.append({"name": letter, "type": kind} | known)
        scale.append(1.0 if step is None else float(step))
        placed = stage is not None and pixel_size is not None and letter in "yx"
        origin.append(
            stage["yx".index(letter)] - scale[-1] * (length - 1) / 2 if stage and placed else 0.0
        )
    return {
        "name": name,
        "axes": axes,
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": _transformations(letters, scale, origin, level),
            }
            for level in range(levels)
        ],
        "type": "mean of 2 x 2 pixels",
    }


def _transformations(
    letters: str, scale: Sequence[float], origin: Sequence[float], level: int
) -> list[dict[str, Any]]:
    """A level's scale, and where the middle of its first pixel lies if not at 0."""
    factors = [2**level if letter in "yx" else 1 for letter in letters]
    steps = [step * factor for step, factor in zip(scale, factors, strict=True)]
    # A pixel of a smaller resolution covers several, and its middle is theirs.
    shift = [
        start + step * (factor - 1) / 2
        for start, step, factor in zip(origin, scale, factors, strict=True)
    ]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
    if any(shift):
        transformations.append({"type": "translation", "translation": shift})
    return transformations


def shown_channels(
    labels: Sequence[str], ranges: Sequence[tuple[float, float, float, float]], planes: int
) -> dict[str, Any]:
    """How viewers are to show the channels of an image.

    Args:
        labels: Names of the channels.
        ranges: Of each channel, the smallest and largest value that it may have, and the values
            that are shown dark and bright.
        planes: Number of z planes; the middle one is shown first.
    """
    channels = [
        {
            "label": label,
            "color": "".join(f"{part:02X}" for part in label_color(label)),
            "active": True,
            "coefficient": 1,
            "family": "linear",
            "inverted": False,
            "window": {
                "min": min(least, dark),
                "max": max(most, bright),
                "start": dark,
                "end": bright,
            },
        }
        for label, (least, most, dark, bright) in zip(labels, ranges, strict=True)
    ]
    return {
        "channels": channels,
        "rdefs": {"defaultT": 0, "defaultZ": planes // 2, "model": "color"},
    }


def write_plate(
    path: Path | str, fields: Sequence[tuple[str, str, str]], *, name: str | None = None
) -> dict[tuple[str, str, str], Path]:
    """Writes a plate without its images, or adds wells and fields to one written so before.

    Every image is then written on its own (`isl.imaging.ome_zarr_writer.zarr_image`). The same
    call again changes nothing, so a run that goes on may make it.

    Args:
        path: The folder of the plate, e.g. screen.ome.zarr.
        fields: Row, column and field of every image, e.g. ("B", "02", "0"), as in the plate that
            is mirrored.
        name: The plate's own name; None: the folder's.

    Returns:
        Where the image of each of `fields` belongs: PLATE/ROW/COLUMN/FIELD.

    Raises:
        InputError: Something else is there, or it cannot be written.
        ValueError: There is no field, or a row, column or field has a name that is no folder's.
    """
    path = Path(path)
    if not fields or not all(re.fullmatch(r"[\w-]+", part) for field in fields for part in field):
        raise ValueError(f"fields are rows, columns and fields of letters and digits: {fields}")
    name = image_name(path) if name is None else name
    if path.exists():
        _put_plate(path, name, {*fields, *_fields_of_ours(path)})
    else:
        with folder_written_whole(path) as folder:
            _put_plate(folder, name, fields)
    return {field: path.joinpath(*field) for field in fields}


def _put_plate(folder: Path, name: str, fields: Iterable[tuple[str, str, str]]) -> None:
    for group, ome in _plate_groups(name, fields).items():
        if not is_zarr(folder / group) or dict(read_attributes(folder / group)) != ome:
            put_group(folder / group, {"ome": ome} if ome else {})


def _fields_of_ours(path: Path) -> set[tuple[str, str, str]]:
    """The fields of a plate that holds what `_plate_groups` says and nothing else.

    Raises:
        InputError: It holds something else, which would be lost.
    """
    refusal = f"{path}: exists already and is no plate written by isl; give another name"
    if not (path / "zarr.json").is_file():
        raise InputError(refusal)
    ome = read_attributes(path)
    plate = read_plate(path)
    listed = {(field.row, field.column, field.field) for field in plate.fields}
    for place in plate.missing:
        row, column, *field = place.split("/")
        listed |= {(row, column, each) for each in field}
    name = str(ome["plate"].get("name"))
    if dict(ome) != _plate_groups(name, listed).get(""):
        raise InputError(refusal)
    return listed


def _plate_groups(name: str, fields: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, Any]]:
    """What every group of a plate says, by path; the plate last, so that its wells are there."""
    wells: dict[tuple[str, str], list[str]] = {}
    for row, column, field in sorted(fields, key=lambda parts: [_natural(part) for part in parts]):
        wells.setdefault((row, column), []).append(field)
    rows, columns = (sorted({well[axis] for well in wells}, key=_natural) for axis in (0, 1))
    groups: dict[str, dict[str, Any]] = {row: {} for row in rows}
    for (row, column), images in wells.items():
        well = {"images": [{"path": field} for field in images]}
        groups[f"{row}/{column}"] = {"version": VERSION, "well": well}
    plate = {
        "version": VERSION,
        "name": name,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {
                "path": f"{row}/{column}",
                "rowIndex": rows.index(row),
                "columnIndex": columns.index(column),
            }
            for row, column in wells
        ],
    }
    return groups | {"": {"version": VERSION, "plate": plate}}


def _natural(part: str) -> tuple[bool, int, str]:
    """Sorts 2 before 10 and Z before AA."""
    return not part.isdecimal(), int(part) if part.isdecimal() else len(part), part
