"""Leica's .lif files, plane by plane."""

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isl.errors import InputError
from isl.imaging import units
from isl.imaging.formats import microscope_file as common
from isl.imaging.image import PixelSize
from isl.imaging.lazy import LazyPicture
from isl.imaging.readable import check_size
from isl.imaging.times import believed_interval, believed_times

_KIND = "Leica lif"
# Axes that become channels: stored channels, and the bands of a wavelength scan.
_BANDS = ("C", "λ", "Λ")
_TILES = "M"
_LARGEST = 100_000


def open_lif(path: Path | str) -> tuple[LazyPicture, ...]:
    """The images of a .lif file, one for each series and tile of a mosaic.

    The bands of a wavelength scan are channels, named by wavelength. An x-z scan has one row and
    as many planes as it has lines.

    Raises:
        InputError: As in `microscope_file.open_guarded`.
    """
    return common.open_guarded(path, _KIND, "liffile", _pictures)


def _pictures(liffile: Any, source: common.GuardedFile) -> tuple[LazyPicture, ...]:
    path = source.path
    opened = liffile.LifFile(source)
    if opened.type != liffile.LifFileType.LIF:
        raise InputError(f"{path}: is Leica's {opened.type.value} and not a lif; save it as lif")
    tiles = []
    for image in opened.images:
        if image.is_flim:
            raise InputError(
                f"{path}: holds lifetimes ({image.name}); save its intensities as TIFF"
            )
        count = image.sizes.get(_TILES, 1)
        if len(tiles) + count > _LARGEST:
            raise InputError(f"{path}: claims more than {_LARGEST} images; it is damaged")
        tiles += [(image, tile, count) for tile in range(count)]
    if not tiles:
        raise InputError(f"{path}: holds no image")
    own = [f"{image.path}-{tile + 1}" if count > 1 else image.path for image, tile, count in tiles]
    shared = common.SharedFile(source.close)
    return tuple(
        _picture(image, tile, name, source, shared)
        for (image, tile, _), name in zip(tiles, common.image_names(path.stem, own), strict=True)
    )


def _picture(
    image: Any, tile: int, name: str, source: common.GuardedFile, shared: common.SharedFile
) -> LazyPicture:
    path = source.path
    sizes = dict(image.sizes)
    if "S" in sizes:
        raise InputError(f"{path}: has a color image ({image.name}); save its channels apart")
    if "X" not in sizes or set(sizes) - {"T", "Z", "Y", "X", _TILES, *_BANDS}:
        raise InputError(
            f"{path}: {image.name} has axes {', '.join(sizes)}; only time, planes, channels, rows "
            "and columns can be read"
        )
    dtype = common.pixel_type(image.dtype, path)
    bands = {axis: sizes[axis] for axis in _BANDS if axis in sizes}
    shape = (
        sizes.get("T", 1),
        math.prod(bands.values()),
        sizes.get("Z", 1),
        sizes.get("Y", 1),
        sizes["X"],
    )
    common.check_shape(path, shape)
    check_size(path, shape[-2:], dtype)
    _check_stored(image, shape, source)
    names = _channel_names(image, bands)
    times = _times(image, shape[0], path)
    return LazyPicture(
        name=name,
        shape=shape,
        dtype=dtype,
        read_plane=_plane_reader(image, bands, tile, dtype, shared, path),
        close=shared.use(),
        source=path,
        channel_names=names,
        pixel_size=_pixel_size(image, shape[2]),
        interval=believed_interval(units.length(_step(image, "T"), 1 / 60), times, path),
        times=times,
        modality=common.common_modality(names),
        stage=_stage(image, tile),
    )


def _check_stored(image: Any, shape: tuple[int, ...], source: common.GuardedFile) -> None:
    """Compares what the header claims with what the file holds."""
    block = image.memory_block
    claimed = math.prod(shape) * image.sizes.get(_TILES, 1) * image.dtype.itemsize
    if block.frames or block.offset < 0:
        raise InputError(f"{source.path}: keeps the pixels of {image.name} in other files")
    if claimed > block.size or block.offset + block.size > source.size:
        raise InputError(
            f"{source.path}: claims more pixels for {image.name} than it holds; it is truncated or "
            "damaged, copy or export it again"
        )


def _plane_reader(
    image: Any,
    bands: Mapping[str, int],
    tile: int,
    dtype: np.dtype,
    shared: common.SharedFile,
    path: Path,
) -> Callable[[int, int, int, slice, slice], np.ndarray]:
    inner = tuple(image.frames.frame_dims)
    if "X" not in inner:
        raise InputError(f"{path}: stores {image.name} in an order that cannot be read")
    outer = [axis for axis in image.sizes if axis not in inner]

    def frame(place: Mapping[str, int]) -> np.ndarray:
        """[Y, X], or [X] where a frame has no rows."""
        stored = image.frame(**{axis: place[axis] for axis in outer})
        plane = stored[tuple(slice(None) if axis in "YX" else place[axis] for axis in inner)]
        transposed = "Y" in inner and inner.index("X") < inner.index("Y")
        return plane.T if transposed else plane

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        place = {"T": t, "Z": z, _TILES: tile, "Y": 0}
        if bands:
            found = np.unravel_index(c, tuple(bands.values()))
            place |= {axis: int(index) for axis, index in zip(bands, found, strict=True)}
        with common.refusals(path, _KIND), shared.lock:
            if "Y" in inner:
                return common.as_pixels(frame(place)[rows, columns], dtype)
            # Scanned in x and z first: each row lies in a frame of its own.
            lines = range(*rows.indices(image.sizes.get("Y", 1)))
            width = len(range(*columns.indices(image.sizes["X"])))
            pixels = np.empty((len(lines), width), dtype)
            for row, line in zip(pixels, lines, strict=True):
                row[:] = common.as_pixels(frame(place | {"Y": line})[columns], dtype)
            return pixels

    return read


def _channel_names(image: Any, bands: Mapping[str, int]) -> tuple[str, ...] | None:
    """Names by dye and contrast, else by color; those of a wavelength scan by wavelength."""
    described = image.xml_element.findall(
        "./Data/Image/ImageDescription/Channels/ChannelDescription"
    )
    stored = [_described_name(channel) for channel in described][: bands.get("C", 1)]
    scans = [
        [f"{round(wavelength * 1e9)} nm" for wavelength in image.coords[axis]]
        for axis in bands
        if axis != "C" and axis in image.coords
    ]
    if not scans:
        return common.known_names(stored) if len(stored) == math.prod(bands.values()) else None
    parts = [stored, *scans] if "C" in bands else scans
    names = common.known_names([" ".join(filter(None, each)) for each in itertools.product(*parts)])
    return names if names is not None and len(names) == math.prod(bands.values()) else None


def _described_name(channel: ElementTree.Element) -> str | None:
    notes = {
        each.findtext("Key", ""): each.findtext("Value", "")
        for each in channel.findall("ChannelProperty")
    }
    name = notes.get("DyeName") or channel.get("LUTName")
    return common.name_with_contrast(name, notes.get("ContrastingMethodName"))


def _pixel_size(image: Any, planes: int) -> PixelSize | None:
    y, x = units.length(_step(image, "Y"), 1e6), units.length(_step(image, "X"), 1e6)
    z = units.length(_step(image, "Z"), 1e6)
    return units.pixel_size(y if "Y" in image.sizes else x, x, z, planes)


def _step(image: Any, axis: str) -> float | None:
    """From one element of an axis to the next, in metres or seconds, or None."""
    coordinates = image.coords.get(axis)
    if coordinates is None or len(coordinates) < 2:
        return None
    return abs(float(coordinates[-1] - coordinates[0])) / (len(coordinates) - 1)


def _times(image: Any, frames: int, path: Path) -> tuple[float, ...] | None:
    """Minutes of each time point since the first, by the stamps of its planes."""
    outer = [axis for axis in image.sizes if axis not in image.frames.frame_dims]
    if frames < 2 or outer[:1] != ["T"]:
        return None
    try:
        stamps = np.asarray(image.timestamps, "datetime64[ms]").astype(np.int64)
        first = stamps.reshape(frames, -1).min(axis=1)
    except (ValueError, TypeError, OverflowError, AttributeError):
        return None
    return believed_times([float(stamp) / 60000 for stamp in first - first[0]], path)


def _stage(image: Any, tile: int) -> tuple[float, float] | None:
    scan = image.tilescan
    if scan is None or tile >= len(scan.tiles):
        return None
    y, x = (float(scan.tiles[tile][axis]) * 1e6 for axis in ("pos_y", "pos_x"))
    return units.position(y, x)
