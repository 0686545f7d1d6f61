"""One image of an OME-Zarr, versions 0.4 and 0.5, read chunk by chunk."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from isl.errors import InputError
from isl.imaging import units
from isl.imaging.formats.microscope_file import (
    as_pixels,
    check_shape,
    common_modality,
    kept_quiet,
    known_names,
    pixel_type,
    refusals,
)
from isl.imaging.formats.table import is_zarr
from isl.imaging.lazy import LazyPicture
from isl.imaging.readable import check_size
from isl.imaging.times import believed_times
from isl.imaging.zarr.metadata import MINUTES

KIND = "OME-Zarr"
_AXES = "TCZYX"
# Versions up to 0.3 name their axes without types or not at all.
_OLD_AXES = ("t", "c", "z", "y", "x")
_ENDINGS = (".ome.zarr", ".zarr")
# A field lies this many folders below its plate: row, column, field.
_PLATE_DEPTH = 3
# A window touches at most this many chunks; more are the sign of damage, and would take for ever.
_MOST_CHUNKS = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Axis:
    """One axis of the stored array.

    Attributes:
        letter: T, C, Z, Y or X.
        step: From one element to the next: micrometres or minutes; None where the file is silent.
        origin: Micrometres of the first element, or None.
    """

    letter: str
    step: float | None
    origin: float | None


def open_zarr_image(path: Path, name: str) -> LazyPicture:
    """One image, the group with the multiscales.

    Args:
        path: Its folder.
        name: What the picture is to be called.

    Raises:
        InputError: It is missing, damaged, of another kind, or has axes other than t, c, z, y, x
            or pixels other than uint8, uint16 and floats.
    """
    attributes = read_attributes(path)
    with refusals(path, KIND), kept_quiet("zarr"):
        if not attributes.get("multiscales"):
            raise InputError(f"{path}: is a Zarr without OME's multiscales; name an OME-Zarr image")
        multiscale = attributes["multiscales"][0]
        # The first is the finest.
        dataset = multiscale["datasets"][0]
        array = zarr.open_group(path, mode="r")[dataset["path"]]
        if not isinstance(array, zarr.Array):
            raise InputError(f"{path}: level {dataset['path']} is no array; it is damaged")
        axes = _axes(multiscale, dataset, array.ndim, path)
        times = _times(multiscale.get("metadata"), path)
        return _picture(array, axes, path, name, attributes.get("omero"), times)


def image_name(path: Path) -> str:
    """The name of an image, plate or series: its folder's, without .zarr or .ome.zarr.

    A field of a plate is called by plate, well and field, e.g. "screen_B02_0".
    """
    above = path.absolute().parents
    if len(above) > _PLATE_DEPTH and is_zarr(above[1]) and is_zarr(above[2]):
        row, column, field = path.absolute().parts[-_PLATE_DEPTH:]
        return f"{image_name(above[2])}_{row}{column}_{field}"
    name = path.name or path.resolve().name
    ending = next((e for e in _ENDINGS if name.lower().endswith(e) and len(name) > len(e)), "")
    return name[: len(name) - len(ending)]


def read_attributes(path: Path) -> Mapping[str, Any]:
    """What OME-Zarr says of a group: multiscales, omero, plate or well; empty if nothing.

    Raises:
        InputError: The folder is missing, or no Zarr group that can be read.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such folder")
    if not path.is_dir() or not is_zarr(path):
        raise InputError(f"{path}: is no OME-Zarr: it has no zarr.json, .zgroup or .zarray")
    with refusals(path, KIND), kept_quiet("zarr"):
        attributes = zarr.open_group(path, mode="r").attrs.asdict()
        found = attributes.get("ome", attributes)
        if not isinstance(found, Mapping):
            raise InputError(f"{path}: has attributes that are no table; it is damaged")
        return found


def _axes(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], dimensions: int, path: Path
) -> tuple[_Axis, ...]:
    named = multiscale.get("axes") or list(_OLD_AXES[-dimensions:])
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in named]
    letters = [_letter(axis) for axis in named]
    if len(letters) != dimensions or len(set(letters)) < dimensions or None in letters:
        names = ", ".join(str(axis.get("name")) for axis in named)
        raise InputError(
            f"{path}: has {dimensions} dimensions with axes {names}; each of t, c, z, y, x is "
            "understood at most once"
        )
    if not {"Y", "X"} <= set(letters):
        raise InputError(f"{path}: has no axes y and x")
    steps, origins = _transformed((dataset, multiscale), dimensions)
    axes = []
    for axis, letter, step, origin in zip(named, letters, steps, origins, strict=True):
        unit = units.factor(axis.get("unit"), units.MINUTES if letter == "T" else units.MICROMETRES)
        unit = None if letter == "C" else unit
        axes.append(
            _Axis(
                letter=str(letter),
                step=units.length(step, unit),
                origin=None if origin is None or unit is None else origin * unit,
            )
        )
    return tuple(axes)


def _letter(axis: Mapping[str, Any]) -> str | None:
    """T, C, Z, Y or X; time and channel may have any name, if they say their type."""
    by_type = {"time": "T", "channel": "C"}.get(str(axis.get("type")))
    name = str(axis.get("name")).upper()
    return by_type or (name if name in _AXES and len(name) == 1 else None)


def _transformed(
    transformed: Sequence[Mapping[str, Any]], dimensions: int
) -> tuple[list[float | None], list[float | None]]:
    """Steps and origins along each dimension, in the axes' units.

    Transformations of the dataset come first, then those of all datasets.
    """
    steps: list[float | None] = [None] * dimensions
    origins: list[float | None] = [None] * dimensions
    for owner in transformed:
        for one in owner.get("coordinateTransformations") or ():
            values = one.get(one.get("type"))
            if not isinstance(values, list) or len(values) != dimensions:
                continue
            numbers = [float(value) for value in values]
            if one["type"] == "scale":
                steps = [n if s is None else s * n for s, n in zip(steps, numbers, strict=True)]
                origins = [o if o is None else o * n for o, n in zip(origins, numbers, strict=True)]
            elif one["type"] == "translation":
                origins = [(o or 0.0) + n for o, n in zip(origins, numbers, strict=True)]
    return steps, origins


def _picture(
    array: zarr.Array,
    axes: tuple[_Axis, ...],
    path: Path,
    name: str,
    omero: Any,
    times: tuple[float, ...] | None,
) -> LazyPicture:
    dtype = pixel_type(array.dtype, path)
    lengths = dict(zip((axis.letter for axis in axes), array.shape, strict=True))
    t, c, z, y, x = (int(lengths.get(letter, 1)) for letter in _AXES)
    check_shape(path, (t, c, z, y, x))
    check_size(path, array.chunks, dtype)
    by_letter = {axis.letter: axis for axis in axes}
    steps = {axis.letter: axis.step for axis in axes}
    names = _channel_names(omero, c)
    return LazyPicture(
        name=name,
        shape=(t, c, z, y, x),
        dtype=dtype,
        read_plane=_plane_reader(array, "".join(by_letter), dtype, path),
        source=path,
        channel_names=names,
        pixel_size=units.pixel_size(steps["Y"], steps["X"], steps.get("Z"), z),
        interval=steps.get("T") if t > 1 else None,
        times=times if times is not None and len(times) == t else None,
        modality=common_modality(names),
        stage=_stage(by_letter, y, x),
    )


def _times(metadata: Any, path: Path) -> tuple[float, ...] | None:
    """Minutes of each time point since the first, as isl writes them."""
    found = metadata.get(MINUTES) if isinstance(metadata, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(time, int | float) for time in found):
        return None
    return believed_times(found, path)


def _plane_reader(
    array: zarr.Array, letters: str, dtype: np.dtype, path: Path
) -> Callable[[int, int, int, slice, slice], np.ndarray]:
    height, width = (array.shape[letters.index(letter)] for letter in "YX")
    tall, wide = (array.chunks[letters.index(letter)] for letter in "YX")

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        top, bottom, _ = rows.indices(height)
        left, right, _ = columns.indices(width)
        window = (max(bottom - top, 0), max(right - left, 0))
        with refusals(path, KIND):
            check_size(path, window, dtype)
            if math.prod(n // chunk + 2 for n, chunk in zip(window, (tall, wide), strict=True)) > (
                _MOST_CHUNKS
            ):
                raise InputError(
                    f"{path}: is stored in chunks of {tall} x {wide}; make them larger"
                )
            place = {"T": t, "C": c, "Z": z, "Y": slice(top, bottom), "X": slice(left, right)}
            plane = np.asarray(array[tuple(place[letter] for letter in letters)])
            if letters.index("X") < letters.index("Y"):
                plane = plane.T
            return as_pixels(plane, dtype)

    return read


def _channel_names(omero: Any, channels: int) -> tuple[str, ...] | None:
    described = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(described, list) or len(described) != channels:
        return None
    return known_names([str(c.get("label") or "") for c in described if isinstance(c, Mapping)])


def _stage(axes: Mapping[str, _Axis], rows: int, columns: int) -> tuple[float, float] | None:
    """The middle of the image where the file says where its first pixel lies."""
    middle = []
    for letter, count in (("Y", rows), ("X", columns)):
        axis = axes[letter]
        if axis.origin is None or axis.step is None or not math.isfinite(axis.origin):
            return None
        middle.append(axis.origin + axis.step * (count - 1) / 2)
    return middle[0], middle[1]
