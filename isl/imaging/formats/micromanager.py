"""Micro-Manager's folders, position by position: NDTiff data sets and separate image files.

An NDTiff data set is a folder with an `NDTiff.index`, which says where in its TIFFs every plane
lies. Separate image files are one TIFF a plane, whose name says which plane it is, beside a
`metadata.txt`. Both are listed before any pixel is read, and no file stays open.
"""

import collections
import dataclasses
import itertools
import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from isl.errors import InputError
from isl.imaging.formats.calibration import (
    Calibration,
    from_micromanager,
    with_micromanager_planes,
    with_z_step,
)
from isl.imaging.formats.microscope_file import common_modality, image_names, refusals
from isl.imaging.formats.tiff import open_tiff
from isl.imaging.formats.tifffile_log import messages_of_tifffile
from isl.imaging.lazy import LazyPicture, window
from isl.imaging.readable import check_readable_file

logger = logging.getLogger(__name__)

INDEX = "NDTiff.index"
METADATA = "metadata.txt"
# Of a plane's place, in the order of an image's axes.
_AXES = ("time", "channel", "z")
_POSITIONS = ("position", "row", "column")
# Of the index: how pixels are stored. Fewer than 16 bits lie in 16; 2 is red, green and blue.
_PIXELS = {0: np.uint8, **dict.fromkeys((1, 3, 4, 5, 6), np.uint16)}
# img_channel000_position000_time000000000_z000.tif, where an axis of one plane may be left out.
_NAMED_AXES = re.compile(r"img((?:_[A-Za-z]+\d+)*)\.tif", re.ASCII)
_NAMED_AXIS = re.compile(r"_([A-Za-z]+)(\d+)", re.ASCII)
# img_000000000_DIC_000.tif, of version 1.4: time, channel by name, z.
_NUMBERED = re.compile(r"img_(\d{9})_(.*)_(\d{3,})\.tif", re.ASCII)

_Read = Callable[[slice, slice], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plane:
    """One plane of a data set, not read.

    Attributes:
        at: Number or name on every axis, of those that the data set has.
        read: Rows and columns to pixels [y, x].
        shape: Of the plane, Y and X.
        dtype: Of its pixels, native byte order.
        notes: What Micro-Manager wrote of it, when asked; None: nothing.
    """

    at: Mapping[str, int | str]
    read: _Read
    shape: tuple[int, int]
    dtype: np.dtype
    notes: Callable[[], Mapping[str, Any] | None]


def is_ndtiff(folder: Path) -> bool:
    """Whether a folder is an NDTiff data set."""
    return (folder / INDEX).is_file()


def is_image_files(folder: Path) -> bool:
    """Whether a folder holds one position as separate image files."""
    if not (folder / METADATA).is_file():
        return False
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if each.name.lower().endswith((".tif", ".tiff"))]
    places = [place_in_name(name) for name in names]
    # Another's metadata.txt may lie beside pictures that happen to be called so.
    return bool(places) and all(
        at is not None and set(at) <= {*_AXES, *_POSITIONS} for at in places
    )


def open_ndtiff(folder: Path | str) -> tuple[LazyPicture, ...]:
    """The images of an NDTiff data set, one for each stage position.

    Raises:
        InputError: A file is missing, damaged or shorter than the index says, planes are missing,
            compressed, in color or of several sizes, or the data set has other axes than time,
            channel, z and position.
    """
    folder = Path(folder)
    with refusals(folder, "Micro-Manager's NDTiff"), messages_of_tifffile([]):
        planes, summary = _planes_of_index(folder)
        return _pictures(folder, planes, summary)


def open_image_files(folder: Path | str) -> tuple[LazyPicture, ...]:
    """The image that lies in a folder as one TIFF a plane; several where names say more positions.

    Raises:
        InputError: A file cannot be read or is no single plane, planes are missing or of several
            sizes, or names have other axes than time, channel, z and position.
    """
    folder = Path(folder)
    with refusals(folder, "Micro-Manager's separate image files"):
        described = _described(folder / METADATA)
        notes = _notes_by_file(described)
        planes = [
            _plane_of_file(path, place, notes)
            for path in sorted(folder.iterdir())
            if (place := place_in_name(path.name)) is not None
        ]
        summary = described.get("Summary")
        return _pictures(folder, planes, summary if isinstance(summary, Mapping) else {})


def _pictures(
    folder: Path, planes: Sequence[_Plane], summary: Mapping[str, Any]
) -> tuple[LazyPicture, ...]:
    if not planes:
        raise InputError(f"{folder}: holds no plane")
    first = planes[0]
    for plane in planes:
        _check_axes(folder, plane)
        if (plane.shape, plane.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{folder}: has planes of {_size(first)} and of {_size(plane)}; a field has one "
                "size and type"
            )
    channels = _channels(planes, summary)
    names = _channel_names(channels, summary)
    positions: dict[tuple[int | str, ...], list[_Plane]] = collections.defaultdict(list)
    for plane in planes:
        positions[tuple(plane.at.get(axis, 0) for axis in _POSITIONS)].append(plane)
    own = [
        _position_name(at, group[0]) if len(positions) > 1 else None
        for at, group in positions.items()
    ]
    return tuple(
        _picture(folder, name, group, channels, names, summary)
        for name, group in zip(image_names(folder.name, own), positions.values(), strict=True)
    )


def _picture(
    folder: Path,
    name: str,
    planes: Sequence[_Plane],
    channels: Sequence[int | str],
    names: tuple[str, ...] | None,
    summary: Mapping[str, Any],
) -> LazyPicture:
    """One position, whose complete time points are read where the acquisition was stopped."""
    found: dict[tuple[int, int, int], _Plane] = {}
    for plane in planes:
        t, z = (_number(folder, plane, axis) for axis in ("time", "z"))
        at = t, channels.index(plane.at.get("channel", 0)), z
        if at in found:
            raise InputError(f"{folder}: has {_place(at)} of {name} twice; export it again")
        found[at] = plane
    # Numbers may begin anywhere (z below 0), and grow by one.
    begins = [min(at[axis] for at in found) for axis in range(len(_AXES))]
    placed = {
        (t - begins[0], c, z - begins[2]): plane for (t, c, z), plane in sorted(found.items())
    }
    depth = 1 + max(z for _, _, z in placed)
    told = 1 + max(t for t, _, _ in placed)
    needed = [
        [at for at in itertools.product((t,), range(len(channels)), range(depth))]
        for t in range(told)
    ]
    whole = list(itertools.takewhile(lambda of_time: all(at in placed for at in of_time), needed))
    lacking = [at for of_time in needed[len(whole) :] for at in of_time if at not in placed]
    if lacking and (not whole or len(needed) - len(whole) > 1):
        raise InputError(
            f"{folder}: lacks {_place(lacking[0])} of {name}; copy or export it again, or name its "
            "TIFFs one by one"
        )
    for what, count, planned in (
        ("time points", len(whole), max(told, _count(summary, "Frames"))),
        ("planes", depth, _count(summary, "Slices")),
    ):
        if count < planned:
            logger.warning(
                "%s: of %d %s of %s %d are there whole, and are read (was the acquisition "
                "stopped?)",
                folder,
                planned,
                what,
                name,
                count,
            )
    first = placed[0, 0, 0]
    said = with_micromanager_planes(
        from_micromanager(first.notes() or summary, Calibration()),
        [placed[t, 0, 0].notes() for t in range(len(whole))],
        [placed[0, c, 0].notes() for c in range(len(channels))],
        folder,
    )
    said = with_z_step(said, summary.get("z-step_um") if depth > 1 else None)

    def read_plane(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        plane = placed[range(len(whole))[t], range(len(channels))[c], range(depth)[z]]
        return plane.read(window(rows, plane.shape[0]), window(columns, plane.shape[1]))

    return LazyPicture(
        name=name,
        shape=(len(whole), len(channels), depth, *first.shape),
        dtype=first.dtype,
        read_plane=read_plane,
        source=folder,
        channel_names=names,
        pixel_size=said.pixel_size,
        interval=said.interval,
        times=said.times,
        modality=common_modality(names),
        stage=said.stage,
        exposures=said.exposures,
        told_by="TCZYX, as Micro-Manager's data set says",
    )


def _planes_of_index(folder: Path) -> tuple[list[_Plane], Mapping[str, Any]]:
    planes: list[_Plane] = []
    files: dict[str, tuple[int, Literal["<", ">"]]] = {}
    check_readable_file(folder / INDEX)
    for at, name, start, width, height, pixels, packed, *notes in tifffile.read_ndtiff_index(
        folder / INDEX
    ):
        if Path(name).name != name:
            raise InputError(f"{folder}: its index names '{name}', which is no file in it")
        path = folder / name
        if name not in files:
            files[name] = check_readable_file(path), _byte_order(path)
        size, order = files[name]
        if pixels not in _PIXELS or packed:
            how = "compressed" if packed else "in color, or of a type that is not known"
            raise InputError(f"{path}: holds planes that are {how}; save it as OME-TIFF")
        dtype = np.dtype(_PIXELS[pixels])
        if min(width, height) < 1 or start + width * height * dtype.itemsize > size:
            raise InputError(f"{path}: is truncated or damaged; copy or export it again")
        where, length, squeezed = notes
        planes.append(
            _Plane(
                at=at,
                read=_raw_reader(path, start, (height, width), dtype.newbyteorder(order)),
                shape=(height, width),
                dtype=dtype,
                notes=lambda path=path, where=where, length=0 if squeezed else length: _notes_at(
                    path, where, length
                ),
            )
        )
    if not files:
        return [], {}
    with tifffile.FileHandle(folder / next(iter(files))) as file:
        summary = tifffile.read_micromanager_metadata(file, {"Summary"}).get("Summary")
    return planes, summary if isinstance(summary, Mapping) else {}


def _byte_order(path: Path) -> Literal["<", ">"]:
    with path.open("rb") as file:
        begun = file.read(2)
    if begun not in (b"II", b"MM"):
        raise InputError(f"{path}: is no TIFF; copy or export it again")
    return "<" if begun == b"II" else ">"


def _raw_reader(path: Path, start: int, shape: tuple[int, int], stored: np.dtype) -> _Read:
    """Reads rows and columns of a plane that lies uncompressed in a file."""

    def read(rows: slice, columns: slice) -> np.ndarray:
        line = shape[1] * stored.itemsize
        count = (rows.stop - rows.start) * shape[1]
        try:
            pixels = np.fromfile(path, stored, count, offset=start + rows.start * line)
        except FileNotFoundError as error:
            raise InputError(f"{path}: is gone since it was opened") from error
        if pixels.size < count:
            raise InputError(f"{path}: has become shorter since it was opened")
        part = pixels.reshape(-1, shape[1])[:, columns]
        return np.ascontiguousarray(part, stored.newbyteorder("="))

    return read


def _notes_at(path: Path, start: int, length: int) -> Mapping[str, Any] | None:
    with path.open("rb") as file:
        file.seek(start)
        return _parsed(file.read(length))


def _plane_of_file(
    path: Path, place: Mapping[str, int | str], notes: Mapping[str, Mapping[str, Any]]
) -> _Plane:
    picture = open_tiff(path)
    if picture.shape[:3] != (1, 1, 1):
        raise InputError(f"{path}: holds several planes, and its name says that it is one")
    return _Plane(
        at=place,
        read=lambda rows, columns: picture.read(rows=rows, columns=columns),
        shape=picture.shape[3:],
        dtype=picture.dtype,
        notes=lambda: notes.get(path.name) or _notes_within(path),
    )


def place_in_name(name: str) -> dict[str, int | str] | None:
    """Which plane a file holds by its name; None for another file."""
    if found := _NAMED_AXES.fullmatch(name):
        return {axis: int(number) for axis, number in _NAMED_AXIS.findall(found[1])}
    if found := _NUMBERED.fullmatch(name):
        return {"time": int(found[1]), "channel": found[2], "z": int(found[3])}
    return None


def _described(path: Path) -> Mapping[str, Any]:
    found = _parsed(path.read_bytes())
    if found is None:
        logger.warning("%s: is damaged; sizes and times are those of the image files alone", path)
    return found or {}


def _notes_by_file(described: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Notes on planes in metadata.txt, whose keys name files (2.0) or time, channel and z (1.4)."""
    found = {}
    for key, notes in described.items():
        if isinstance(notes, Mapping) and not key.startswith("Coords-"):
            file = str(notes.get("FileName", key.removeprefix("Metadata-")))
            found[file.replace("\\", "/").rpartition("/")[2]] = notes
    return found


def _notes_within(path: Path) -> Mapping[str, Any] | None:
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags.get("MicroManagerMetadata")
    return tag.value if tag is not None and isinstance(tag.value, Mapping) else None


def _parsed(text: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, Mapping) else None


def _check_axes(folder: Path, plane: _Plane) -> None:
    unknown = sorted(set(plane.at) - {*_AXES, *_POSITIONS})
    if unknown:
        raise InputError(
            f"{folder}: has the axis '{unknown[0]}', which isl does not know; save what belongs to "
            "one of its values as a data set of its own"
        )


def _number(folder: Path, plane: _Plane, axis: str) -> int:
    value = plane.at.get(axis, 0)
    if isinstance(value, str):
        raise InputError(f"{folder}: counts its {axis} in words ('{value}'); save it as OME-TIFF")
    return value


def _channels(planes: Sequence[_Plane], summary: Mapping[str, Any]) -> list[int | str]:
    """By number; by name as the summary lists them, else in the order in which they were taken."""
    found = list(dict.fromkeys(plane.at.get("channel", 0) for plane in planes))
    if any(isinstance(channel, str) for channel in found):
        listed: list[int | str] = [*_listed(summary)]
        return [name for name in listed if name in found] if set(found) <= set(listed) else found
    return sorted(found)


def _channel_names(
    channels: Sequence[int | str], summary: Mapping[str, Any]
) -> tuple[str, ...] | None:
    if all(isinstance(channel, str) for channel in channels):
        return tuple(map(str, channels))
    listed = _listed(summary)
    return tuple(listed) if len(listed) == len(channels) and all(listed) else None


def _listed(summary: Mapping[str, Any]) -> list[str]:
    listed = summary.get("ChNames")
    return [str(name) for name in listed] if isinstance(listed, list) else []


def _count(summary: Mapping[str, Any], key: str) -> int:
    value = summary.get(key)
    return value if isinstance(value, int) else 0


def _position_name(at: tuple[int | str, ...], first: _Plane) -> str:
    notes = first.notes() or {}
    named = notes.get("PositionName")
    if isinstance(named, str) and named:
        return named
    position, row, column = at
    grid = f"r{row}c{column}" if {"row", "column"} & set(first.at) else ""
    label = position if isinstance(position, str) else f"Pos{position}"
    return "_".join(part for part in (label if "position" in first.at else "", grid) if part)


def _place(at: tuple[int, int, int]) -> str:
    return ", ".join(f"{axis} {number}" for axis, number in zip(_AXES, at, strict=True))


def _size(plane: _Plane) -> str:
    return f"{plane.shape[0]} x {plane.shape[1]} ({plane.dtype})"
