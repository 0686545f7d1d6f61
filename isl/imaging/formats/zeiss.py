"""Zeiss's .czi files, block by block."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isl.errors import InputError
from isl.files.whole import check_size
from isl.imaging.formats.microscope_file import (
    GuardedFile,
    Shared,
    as_pixels,
    check_shape,
    image_names,
    kept_quiet,
    known_names,
    length,
    library,
    pixel_type,
    refusals,
    told_modality,
    told_name,
)
from isl.imaging.image import PixelSize
from isl.imaging.lazy import LazyPicture

_KIND = "Zeiss czi"
_AXES = "TCZYX"
_UNCOMPRESSED = 0
# Numbers of the compressions of blocks: JPEG, LZW, JPEG XR, Zstandard without and with a header.
_JPEG, _LZW, _JPEG_XR, _ZSTD, _ZSTD_HEADED = 1, 2, 4, 5, 6
# More planes than blocks mean a gap (a channel without all z planes), but not this many more.
_LARGEST_GAP = 1000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Where the pixels of one block belong.

    Attributes:
        starts: First index by axis, e.g. {"C": 1, "X": -40}.
        size: Y, X.
        layer: Its number within a mosaic: later ones lie on top.
        entry: The library's own entry of the file's directory.
    """

    starts: Mapping[str, int]
    size: tuple[int, int]
    layer: int
    entry: Any


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """Blocks that make one image, with the smallest index and the length of each axis."""

    number: int | None
    blocks: tuple[_Block, ...]
    starts: Mapping[str, int]
    shape: tuple[int, int, int, int, int]


def open_czi(path: Path | str) -> tuple[LazyPicture, ...]:
    """The images of a .czi file, one for each scene; the tiles of a mosaic are laid out as one.

    Only blocks that a window touches are decoded, of uncompressed ones only its rows. Tiles of a
    mosaic lie where the file says, later ones on top, and what none covers is 0.

    Args:
        path: The file.

    Raises:
        InputError: The file is missing, damaged, has color or other pixels than uint8, uint16 and
            floats, or the package czifile is not installed.
    """
    path = Path(path)
    source = GuardedFile(path)
    try:
        czifile = library("czifile", path)
        with refusals(path, _KIND), kept_quiet("czifile"):
            return _pictures(czifile, source)
    except BaseException:
        source.close()
        raise


def _pictures(czifile: Any, source: GuardedFile) -> tuple[LazyPicture, ...]:
    path = source.path
    header = _segment(czifile, source, 0, czifile.FileHeaderSegment)
    if header.file_part:
        raise InputError(f"{path}: is part {header.file_part} of several files; name the first")
    directory = _segment(
        czifile, source, header.directory_position, czifile.SubBlockDirectorySegment
    )
    entries = [entry for entry in directory.entries if entry.pyramid_type == 0]
    scenes = _scenes([_block(entry, path) for entry in entries], path)
    dtype = _common_type(entries, path)
    notes = _notes(czifile, source, header)
    shared = Shared(source.close)
    described = _described_scenes(notes)
    own = [_scene_name(described, scene.number) for scene in scenes]
    return tuple(
        _picture(czifile, scene, name, dtype, notes, described, source, shared)
        for scene, name in zip(scenes, image_names(path.stem, own), strict=True)
    )


def _picture(
    czifile: Any,
    scene: _Scene,
    name: str,
    dtype: np.dtype,
    notes: ElementTree.Element,
    described: Sequence[ElementTree.Element],
    source: GuardedFile,
    shared: Shared,
) -> LazyPicture:
    first = scene.starts["C"]
    names = _channel_names(notes)
    last = first + scene.shape[1]
    chosen = known_names(names[first:last]) if 0 <= first and last <= len(names) else None
    return LazyPicture(
        name=name,
        shape=scene.shape,
        dtype=dtype,
        read_plane=_plane_reader(czifile, scene, dtype, source),
        close=shared.use(),
        source=source.path,
        channel_names=chosen,
        pixel_size=_pixel_size(notes, scene.shape[2]),
        interval=_interval(notes) if scene.shape[0] > 1 else None,
        modality=told_modality(chosen),
        stage=_stage(described, scene.number),
    )


def _segment(czifile: Any, source: GuardedFile, position: int, kind: type) -> Any:
    """The segment at `position`, which must be of `kind`.

    The library would search the whole file for one that is not where it should be, and a damaged
    file may send it round in circles.
    """
    found = czifile.Segment(source, position).data() if position >= 0 else None
    if not isinstance(found, kind):
        raise InputError(
            f"{source.path}: has no {kind.SID} where its header says; it is truncated, damaged or "
            "still being written"
        )
    return found


def _block(entry: Any, path: Path) -> _Block:
    starts = {}
    size = {}
    for axis in entry.dimension_entries:
        starts[axis.dimension] = axis.start
        size[axis.dimension] = axis.size
        if axis.size != 1 and axis.dimension not in "YX":
            raise InputError(
                f"{path}: stores {axis.size} indices of axis {axis.dimension} in one block; export "
                "it as OME-TIFF"
            )
        if axis.size < 1 or axis.stored_size != axis.size:
            raise InputError(f"{path}: has blocks of another size than their pixels; it is damaged")
    if not {"Y", "X"} <= set(size):
        raise InputError(f"{path}: has blocks without rows or columns; it is damaged")
    return _Block(starts=starts, size=(size["Y"], size["X"]), layer=starts.get("M", 0), entry=entry)


def _scenes(blocks: Sequence[_Block], path: Path) -> list[_Scene]:
    if not blocks:
        raise InputError(f"{path}: holds no image")
    scenes: dict[int | None, list[_Block]] = {}
    for block in blocks:
        scenes.setdefault(block.starts.get("S"), []).append(block)
    return [
        _scene(number, scenes[number], path)
        for number in sorted(scenes, key=lambda number: -1 if number is None else number)
    ]


def _scene(number: int | None, blocks: Sequence[_Block], path: Path) -> _Scene:
    axes = {axis for block in blocks for axis in block.starts}
    for axis in sorted(axes - {*_AXES, "S", "M"}):
        values = {block.starts.get(axis, 0) for block in blocks}
        if len(values) > 1:
            raise InputError(
                f"{path}: has {len(values)} images along axis {axis}; only time, channels, planes, "
                "scenes and tiles can be read"
            )
    starts = {axis: min(block.starts.get(axis, 0) for block in blocks) for axis in _AXES}
    ends = {axis: 1 + max(block.starts.get(axis, 0) for block in blocks) for axis in "TCZ"}
    ends["Y"] = max(block.starts["Y"] + block.size[0] for block in blocks)
    ends["X"] = max(block.starts["X"] + block.size[1] for block in blocks)
    t, c, z, y, x = (ends[axis] - starts[axis] for axis in _AXES)
    if t * c * z > len(blocks) * _LARGEST_GAP:
        raise InputError(
            f"{path}: claims {t} x {c} x {z} planes (T, C, Z) but holds {len(blocks)} blocks; it "
            "is damaged"
        )
    check_shape(path, (t, c, z, y, x))
    return _Scene(number=number, blocks=tuple(blocks), starts=starts, shape=(t, c, z, y, x))


def _common_type(entries: Iterable[Any], path: Path) -> np.dtype:
    stored = {np.dtype(entry.dtype) for entry in entries}
    if len(stored) > 1:
        raise InputError(f"{path}: has channels of different pixel types; save them apart")
    dtype = stored.pop()
    if dtype.shape:
        raise InputError(f"{path}: is a color image; save its channels as grayscale")
    return pixel_type(dtype, path)


def _plane_reader(
    czifile: Any, scene: _Scene, dtype: np.dtype, source: GuardedFile
) -> Callable[[int, int, int, slice, slice], np.ndarray]:
    planes: dict[tuple[int, ...], list[_Block]] = {}
    for block in sorted(scene.blocks, key=lambda block: block.layer):
        place = tuple(block.starts.get(axis, 0) - scene.starts[axis] for axis in "TCZ")
        planes.setdefault(place, []).append(block)
    decoded = functools.lru_cache(maxsize=4)(functools.partial(_decoded, czifile, source))
    _, _, _, height, width = scene.shape

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        path = source.path
        if (t, c, z) not in planes:
            raise InputError(
                f"{path}: has no plane z {z} of channel {c} at time {t}; save the channels that "
                "have as many planes as the others"
            )
        top, bottom, _ = rows.indices(height)
        left, right, _ = columns.indices(width)
        window = (max(bottom - top, 0), max(right - left, 0))
        check_size(path, window, dtype)
        with refusals(path, _KIND):
            pixels = np.zeros(window, dtype)
            for block in planes[t, c, z]:
                y = block.starts["Y"] - scene.starts["Y"]
                x = block.starts["X"] - scene.starts["X"]
                first, last = max(top, y), min(bottom, y + block.size[0])
                begin, end = max(left, x), min(right, x + block.size[1])
                if first >= last or begin >= end:
                    continue
                if block.entry.compression == _UNCOMPRESSED:
                    stored = _rows(czifile, source, block, first - y, last - y)
                else:
                    stored = decoded(block)[first - y : last - y]
                part = as_pixels(stored[:, begin - x : end - x], dtype)
                pixels[first - top : last - top, begin - left : end - left] = part
        return pixels

    return read


def _stored_at(czifile: Any, source: GuardedFile, block: _Block) -> tuple[int, int]:
    """Where the bytes of a block lie: the first, and how many."""
    with source.lock:
        segment = block.entry.data_segment()
    if not isinstance(segment, czifile.SubBlockSegment):
        raise InputError(f"{source.path}: has no pixels where its directory says; it is damaged")
    return segment.data_offset, segment.data_size


def _rows(czifile: Any, source: GuardedFile, block: _Block, first: int, last: int) -> np.ndarray:
    """Some rows of an uncompressed block."""
    dtype = np.dtype(block.entry.dtype)
    start, held = _stored_at(czifile, source, block)
    row = block.size[1] * dtype.itemsize
    if held < block.size[0] * row:
        raise InputError(f"{source.path}: is truncated or damaged; copy or export it again")
    stored = source.read_at(start + first * row, (last - first) * row)
    return np.frombuffer(stored, dtype).reshape(last - first, block.size[1])


def _decoded(czifile: Any, source: GuardedFile, block: _Block) -> np.ndarray:
    """All rows of a compressed block."""
    imagecodecs = library("imagecodecs", source.path)
    dtype = np.dtype(block.entry.dtype)
    check_size(source.path, block.size, dtype)
    stored = source.read_at(*_stored_at(czifile, source, block))
    compression = block.entry.compression
    pixels = np.empty(block.size, dtype)
    if compression in (_JPEG, _JPEG_XR):
        decode = imagecodecs.jpeg8_decode if compression == _JPEG else imagecodecs.jpegxr_decode
        decode(stored, out=pixels)
        return pixels
    high_bytes_apart = False
    if compression == _ZSTD_HEADED:
        # One byte says how long the header is; in a longer one the third tells whether all low
        # bytes are stored before all high ones.
        high_bytes_apart = stored[0] >= 3 and bool(stored[2] & 1)
        stored = stored[stored[0] :]
    if compression in (_ZSTD, _ZSTD_HEADED):
        plain = imagecodecs.zstd_decode(stored, out=pixels.nbytes)
    elif compression == _LZW:
        plain = imagecodecs.lzw_decode(stored, out=pixels.nbytes)
    else:
        raise InputError(
            f"{source.path}: is compressed in a way that cannot be read (number {compression}); "
            "export it without compression"
        )
    whole = np.frombuffer(plain, np.uint8, count=pixels.nbytes)
    if high_bytes_apart and dtype.itemsize == 2:
        whole = whole.reshape(2, -1).T
    return np.ascontiguousarray(whole).reshape(-1).view(dtype).reshape(block.size)


def _notes(czifile: Any, source: GuardedFile, header: Any) -> ElementTree.Element:
    """The microscope's notes; a file whose notes cannot be read has none."""
    try:
        segment = _segment(czifile, source, header.metadata_position, czifile.MetadataSegment)
        return ElementTree.fromstring(segment.data())
    except Exception:  # czifile and the parser raise whatever they meet in damaged bytes.
        return ElementTree.Element("ImageDocument")


def _channel_names(notes: ElementTree.Element) -> list[str | None]:
    """Names as acquired, else as displayed, with the contrast method where only it tells."""
    shown = notes.findall("./Metadata/DisplaySetting/Channels/Channel")
    names = []
    for number, channel in enumerate(
        notes.findall("./Metadata/Information/Image/Dimensions/Channels/Channel")
    ):
        name = channel.get("Name") or channel.findtext("Fluor")
        if not name and number < len(shown):
            name = shown[number].get("Name")
        contrast = channel.findtext("ContrastMethod") or channel.findtext("IlluminationType")
        names.append(told_name(name, contrast))
    return names


def _pixel_size(notes: ElementTree.Element, planes: int) -> PixelSize | None:
    found = {
        distance.get("Id"): length(distance.findtext("Value"), 1e6)
        for distance in notes.findall("./Metadata/Scaling/Items/Distance")
    }
    y, x = found.get("Y"), found.get("X")
    if y is None or x is None:
        return None
    return PixelSize(y=y, x=x, z=found.get("Z") if planes > 1 else None)


def _interval(notes: ElementTree.Element) -> float | None:
    """Minutes between frames, as they were taken or planned."""
    time = notes.find("./Metadata/Information/Image/Dimensions/T/Positions")
    if time is None:
        return None
    planned = length(time.findtext("Interval/Increment"), 1 / 60)
    try:
        taken = [float(value) for value in time.findtext("List/Offsets", "").split()]
    except ValueError:
        taken = []
    if len(taken) < 2:
        return planned
    return length((taken[-1] - taken[0]) / (len(taken) - 1), 1 / 60) or planned


def _described_scenes(notes: ElementTree.Element) -> list[ElementTree.Element]:
    return notes.findall("./Metadata/Information/Image/Dimensions/S/Scenes/Scene")


def _scene_name(described: Iterable[ElementTree.Element], number: int | None) -> str | None:
    return next((s.get("Name") for s in described if s.get("Index") == str(number)), None)


def _stage(
    described: Sequence[ElementTree.Element], number: int | None
) -> tuple[float, float] | None:
    """The middle of a scene, micrometres."""
    for scene in described:
        if scene.get("Index") == str(0 if number is None else number):
            try:
                x, y = (float(value) for value in scene.findtext("CenterPosition", "").split(","))
            except ValueError:
                return None
            return (y, x) if math.isfinite(y) and math.isfinite(x) else None
    return None
