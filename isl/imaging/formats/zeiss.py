"""Zeiss's .czi files, block by block."""

import dataclasses
import functools
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from isl.errors import InputError
from isl.imaging import units
from isl.imaging.formats import microscope_file as common
from isl.imaging.image import PixelSize
from isl.imaging.lazy import LazyPicture
from isl.imaging.names import was_emitted
from isl.imaging.readable import check_size
from isl.imaging.times import believed_interval, believed_times

_KIND = "Zeiss czi"
_AXES = "TCZYX"
# Of the numbers of pixel types: those of one gray value, and those of several colors.
_GRAYS = {0: "<u1", 1: "<u2", 2: "<f4", 12: "<i4", 13: "<f8"}
_COLORS = (3, 4, 8, 9, 11)
_UNCOMPRESSED = 0
# Numbers of the compressions of blocks: JPEG, LZW, JPEG XR, Zstandard without and with a header.
_JPEG, _LZW, _JPEG_XR, _ZSTD, _ZSTD_HEADED = 1, 2, 4, 5, 6
# More planes than blocks mean a gap (a channel without all z planes), but not this many more.
_LARGEST_GAP = 1000
# Layouts of what the file consists of (Zeiss's description of the format, ZISRAW version 1.0): the
# head of a segment, the file's header, an entry of the directory and of one of its axes, and the
# head of a block, behind which stand its entry, filled up to 256 bytes with it, notes and pixels.
_SEGMENT = struct.Struct("<16sqq")
_HEADER = struct.Struct("<iiii16s16siqqiq")
_ENTRY = struct.Struct("<2siqiiB5si")
_ENTRY_AXIS = struct.Struct("<4siifi")
_BLOCK_HEAD = struct.Struct("<iiq")
_BLOCK_PADDED = 256
# The directory's and the notes' own heads.
_DIRECTORY_HEAD, _NOTES_HEAD = 128, 256


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """A rectangle of pixels as the file's directory has it.

    Attributes:
        starts: First index by axis, e.g. {"C": 1, "X": -40}.
        size: Y, X.
        dtype: Of its pixels.
        compression: Its number.
        position: Of its segment in the file.
    """

    starts: Mapping[str, int]
    size: tuple[int, int]
    dtype: np.dtype
    compression: int
    position: int


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

    Raises:
        InputError: As in `microscope_file.open_guarded`.
    """
    return common.open_guarded(path, _KIND, None, lambda _, source: _pictures(source))


def _pictures(source: common.GuardedFile) -> tuple[LazyPicture, ...]:
    path = source.path
    start, _ = _segment(source, 0, b"ZISRAWFILE")
    *_, part, directory, metadata, _, _ = _HEADER.unpack(source.read_at(start, _HEADER.size))
    if part:
        raise InputError(f"{path}: is part {part} of several files; name the first")
    scenes = _scenes(_blocks(source, directory), path)
    types = {block.dtype for scene in scenes for block in scene.blocks}
    if len(types) > 1:
        raise InputError(f"{path}: has channels of different pixel types; save them apart")
    dtype = common.pixel_type(types.pop(), path)
    notes = _notes(source, metadata)
    described = notes.findall("./Metadata/Information/Image/Dimensions/S/Scenes/Scene")
    shared = common.SharedFile(source.close)
    own = [_scene_name(described, scene.number) for scene in scenes]
    return tuple(
        LazyPicture(
            name=name,
            shape=scene.shape,
            dtype=dtype,
            read_plane=_plane_reader(scene, dtype, source),
            close=shared.use(),
            source=path,
            channel_names=(names := _channel_names(notes, scene)),
            pixel_size=_pixel_size(notes, scene.shape[2]),
            interval=(timing := _times(notes, scene.shape[0], path))[0],
            times=timing[1],
            modality=common.common_modality(names),
            stage=_stage(described, scene.number),
            exposures=_exposures(notes, scene),
            emitted=_emitted(notes, scene),
        )
        for scene, name in zip(scenes, common.image_names(path.stem, own), strict=True)
    )


def _segment(source: common.GuardedFile, start: int, kind: bytes) -> tuple[int, int]:
    """Where the content of a segment begins, and its bytes; the segment must be of `kind`."""
    found, _, used = _SEGMENT.unpack(source.read_at(start, _SEGMENT.size))
    if found.rstrip(b"\0") != kind:
        raise InputError(
            f"{source.path}: has no {kind.decode()} where its header says; it is truncated, "
            "damaged or still being written"
        )
    return start + _SEGMENT.size, used


def _blocks(source: common.GuardedFile, directory: int) -> list[_Block]:
    """What the directory lists, without the reduced copies of a pyramid."""
    start, used = _segment(source, directory, b"ZISRAWDIRECTORY")
    content = source.read_at(start, used)
    (count,) = struct.unpack_from("<i", content)
    place, blocks = _DIRECTORY_HEAD, []
    for _ in range(count):
        _, kind, position, _, compression, pyramid, _, axes = _ENTRY.unpack_from(content, place)
        first, place = place + _ENTRY.size, place + _ENTRY.size + axes * _ENTRY_AXIS.size
        if not pyramid:
            stored = _ENTRY_AXIS.iter_unpack(content[first:place])
            blocks.append(_block(list(stored), kind, compression, position, source.path))
        elif axes < 0:
            raise InputError(f"{source.path}: has a directory that makes no sense; it is damaged")
    return blocks


def _block(
    axes: Sequence[tuple[bytes, int, int, float, int]],
    kind: int,
    compression: int,
    position: int,
    path: Path,
) -> _Block:
    starts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for name, start, size, _, stored in axes:
        axis = name.rstrip(b"\0").decode("latin-1")
        starts[axis], sizes[axis] = start, size
        if size != 1 and axis not in ("Y", "X"):
            raise InputError(
                f"{path}: stores {size} indices of axis {axis} in one block; export it as OME-TIFF"
            )
        if size < 1 or stored != size:
            raise InputError(f"{path}: has blocks of another size than their pixels; it is damaged")
    if not {"Y", "X"} <= set(sizes):
        raise InputError(f"{path}: has blocks without rows or columns; it is damaged")
    if kind in _COLORS:
        raise InputError(f"{path}: is a color image; save its channels as grayscale")
    if kind not in _GRAYS:
        raise InputError(f"{path}: has pixels of an unknown type (number {kind})")
    return _Block(
        starts=starts,
        size=(sizes["Y"], sizes["X"]),
        dtype=np.dtype(_GRAYS[kind]),
        compression=compression,
        position=position,
    )


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
    common.check_shape(path, (t, c, z, y, x))
    return _Scene(number=number, blocks=tuple(blocks), starts=starts, shape=(t, c, z, y, x))


def _plane_reader(
    scene: _Scene, dtype: np.dtype, source: common.GuardedFile
) -> Callable[[int, int, int, slice, slice], np.ndarray]:
    planes: dict[tuple[int, ...], list[_Block]] = {}
    for block in sorted(scene.blocks, key=lambda block: block.starts.get("M", 0)):
        place = tuple(block.starts.get(axis, 0) - scene.starts[axis] for axis in "TCZ")
        planes.setdefault(place, []).append(block)
    decoded = functools.lru_cache(maxsize=4)(functools.partial(_decoded, source))
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
        with common.refusals(path, _KIND):
            pixels = np.zeros(window, dtype)
            for block in planes[t, c, z]:
                y = block.starts["Y"] - scene.starts["Y"]
                x = block.starts["X"] - scene.starts["X"]
                first, last = max(top, y), min(bottom, y + block.size[0])
                begin, end = max(left, x), min(right, x + block.size[1])
                if first >= last or begin >= end:
                    continue
                if block.compression == _UNCOMPRESSED:
                    stored = _rows(source, block, first - y, last - y)
                else:
                    stored = decoded(block)[first - y : last - y]
                part = common.as_pixels(stored[:, begin - x : end - x], dtype)
                pixels[first - top : last - top, begin - left : end - left] = part
        return pixels

    return read


def _stored_at(source: common.GuardedFile, block: _Block) -> tuple[int, int]:
    """Where the bytes of a block lie: the first, and how many."""
    start, _ = _segment(source, block.position, b"ZISRAWSUBBLOCK")
    head = source.read_at(start, _BLOCK_HEAD.size + _ENTRY.size)
    notes, _, held = _BLOCK_HEAD.unpack_from(head)
    axes = _ENTRY.unpack_from(head, _BLOCK_HEAD.size)[-1]
    return start + max(_BLOCK_PADDED, len(head) + axes * _ENTRY_AXIS.size) + notes, held


def _rows(source: common.GuardedFile, block: _Block, first: int, last: int) -> np.ndarray:
    """Some rows of an uncompressed block."""
    start, held = _stored_at(source, block)
    row = block.size[1] * block.dtype.itemsize
    if held < block.size[0] * row:
        raise InputError(f"{source.path}: is truncated or damaged; copy or export it again")
    stored = source.read_at(start + first * row, (last - first) * row)
    return np.frombuffer(stored, block.dtype).reshape(last - first, block.size[1])


def _decoded(source: common.GuardedFile, block: _Block) -> np.ndarray:
    """All rows of a compressed block."""
    imagecodecs = common.library("imagecodecs", source.path)
    dtype, compression = block.dtype, block.compression
    check_size(source.path, block.size, dtype)
    stored = source.read_at(*_stored_at(source, block))
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


def _notes(source: common.GuardedFile, position: int) -> ElementTree.Element:
    """The microscope's notes; a file whose notes cannot be read has none."""
    try:
        start, _ = _segment(source, position, b"ZISRAWMETADATA")
        (size,) = struct.unpack("<i", source.read_at(start, 4))
        return ElementTree.fromstring(source.read_at(start + _NOTES_HEAD, size))
    except (InputError, OSError, struct.error, ElementTree.ParseError, ValueError, LookupError):
        return ElementTree.Element("ImageDocument")


def _channel_names(notes: ElementTree.Element, scene: _Scene) -> tuple[str, ...] | None:
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
        names.append(common.name_with_contrast(name, contrast))
    first, last = scene.starts["C"], scene.starts["C"] + scene.shape[1]
    return common.known_names(names[first:last]) if 0 <= first and last <= len(names) else None


def _emitted(notes: ElementTree.Element, scene: _Scene) -> tuple[bool, ...] | None:
    """Of each channel whether the notes say fluorescence."""
    channels = notes.findall("./Metadata/Information/Image/Dimensions/Channels/Channel")
    found = [was_emitted({said.tag: said.text for said in channel}) for channel in channels]
    first, last = scene.starts["C"], scene.starts["C"] + scene.shape[1]
    return tuple(found[first:last]) if 0 <= first and last <= len(found) else None


def _exposures(notes: ElementTree.Element, scene: _Scene) -> tuple[float | None, ...] | None:
    """Milliseconds of each channel; the notes have nanoseconds."""
    channels = notes.findall("./Metadata/Information/Image/Dimensions/Channels/Channel")
    found = [units.length(channel.findtext("ExposureTime"), 1e-6) for channel in channels]
    first, last = scene.starts["C"], scene.starts["C"] + scene.shape[1]
    own = tuple(found[first:last]) if 0 <= first and last <= len(found) else ()
    return own if any(own) else None


def _pixel_size(notes: ElementTree.Element, planes: int) -> PixelSize | None:
    found = {
        distance.get("Id"): units.length(distance.findtext("Value"), 1e6)
        for distance in notes.findall("./Metadata/Scaling/Items/Distance")
    }
    return units.pixel_size(found.get("Y"), found.get("X"), found.get("Z"), planes)


def _times(
    notes: ElementTree.Element, frames: int, path: Path
) -> tuple[float | None, tuple[float, ...] | None]:
    """Minutes between frames, as they were taken or planned, and of each frame since the first."""
    time = notes.find("./Metadata/Information/Image/Dimensions/T/Positions")
    if time is None or frames < 2:
        return None, None
    planned = units.length(time.findtext("Interval/Increment"), 1 / 60)
    try:
        taken = [float(value) / 60 for value in time.findtext("List/Offsets", "").split()]
    except ValueError:
        taken = []
    times = believed_times(taken, path) if len(taken) == frames else None
    return believed_interval(planned if times is None else None, times, path), times


def _scene_name(described: Iterable[ElementTree.Element], number: int | None) -> str | None:
    return next((s.get("Name") for s in described if s.get("Index") == str(number)), None)


def _stage(
    described: Sequence[ElementTree.Element], number: int | None
) -> tuple[float, float] | None:
    """The middle of a scene, micrometres."""
    for scene in described:
        if scene.get("Index") == str(0 if number is None else number):
            x, _, y = scene.findtext("CenterPosition", "").partition(",")
            return units.position(y, x)
    return None
