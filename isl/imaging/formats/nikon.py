"""Nikon's .nd2 files, frame by frame."""

import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError
from isl.imaging import units
from isl.imaging.formats import microscope_file as common
from isl.imaging.image import PixelSize
from isl.imaging.lazy import LazyPicture
from isl.imaging.names import was_emitted
from isl.imaging.readable import check_size
from isl.imaging.times import believed_interval, believed_times

_KIND = "Nikon nd2"
# What the loops of an experiment step through: time, stage positions, planes.
_LOOPS = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}
_MAGIC = bytes.fromhex("dacebe0a")
_MAP_SIGNATURE, _TAIL = b"ND2 CHUNK MAP SIGNATURE 0000001!", 40
# A file's map takes at least this many bytes for each frame.
_ENTRY = 16
_EXPOSURE = re.compile(r"\bExposure: ([\d.,]+) (ms|s|µs|us)\b")
_MILLISECONDS = {"s": 1000.0, "ms": 1.0, "µs": 0.001, "us": 0.001}
_CONTRAST_FLAGS = {"brightfield": "Brightfield", "phaseContrast": "Phase", "diContrast": "DIC"}


def open_nd2(path: Path | str) -> tuple[LazyPicture, ...]:
    """The images of an .nd2 file, one for each stage position.

    A frame holds all channels of a plane, so a channel costs the reading of its frame; the last
    frame is kept.

    Raises:
        InputError: As in `microscope_file.open_guarded`.
    """

    def pictures(nd2: Any, source: common.GuardedFile) -> tuple[LazyPicture, ...]:
        _check_whole(source)
        opened = nd2.ND2File(source)
        try:
            return _pictures(opened, source)
        except BaseException:
            opened.close()
            raise

    return common.open_guarded(path, _KIND, "nd2", pictures)


def _check_whole(source: common.GuardedFile) -> None:
    """Refuses a file that lacks its end, where the map of its frames lies."""
    begun = source.read_at(0, len(_MAGIC)) == _MAGIC
    if begun and source.read_at(source.size - _TAIL, len(_MAP_SIGNATURE)) != _MAP_SIGNATURE:
        raise InputError(
            f"{source.path}: lacks its end; it is truncated or still being written, copy it again"
        )


def _pictures(opened: Any, source: common.GuardedFile) -> tuple[LazyPicture, ...]:
    path = source.path
    if opened.is_legacy:
        raise InputError(f"{path}: is an nd2 file of before 2010; save it anew, or as TIFF")
    loops = _loops(opened, source)
    attributes = opened.attributes
    channels = attributes.componentCount
    if opened.is_rgb or (attributes.channelCount or 1) != channels:
        raise InputError(f"{path}: is a color image; save its channels as grayscale")
    dtype = common.pixel_type(opened.dtype, path)
    counts = dict(loops)
    shape = (
        counts.get("T", 1),
        channels,
        counts.get("Z", 1),
        attributes.heightPx,
        attributes.widthPx,
    )
    common.check_shape(path, shape)
    check_size(path, (shape[3], shape[4], channels), dtype)
    names = common.known_names(_channel_names(opened))
    names = names if names is not None and len(names) == channels else None
    shared = common.SharedFile(opened.close, source.close)
    frame = _frame_reader(opened, source, shared, (channels, shape[3], shape[4]))
    points, taken = _points(opened), _taken(opened)
    positions = counts.get("P", 1)
    own = [points[p].name if p < len(points) else None for p in range(positions)]
    return tuple(
        LazyPicture(
            name=name,
            shape=shape,
            dtype=dtype,
            read_plane=_plane_reader(frame, loops, position, dtype, path),
            close=shared.use(),
            source=path,
            channel_names=names,
            pixel_size=_pixel_size(opened, shape[2]),
            interval=(timing := _times(opened, loops, position, taken, path))[0],
            times=timing[1],
            modality=common.common_modality(names),
            stage=_stage(opened, points, position),
            exposures=_exposures(opened, channels),
            emitted=_emitted(opened, channels),
        )
        for position, name in enumerate(common.image_names(path.stem, own))
    )


def _loops(opened: Any, source: common.GuardedFile) -> tuple[tuple[str, int], ...]:
    """What frames are stored by, outermost first: T, P or Z and how many there are."""
    loops = tuple(
        (_LOOPS.get(str(loop.type), str(loop.type)), int(loop.count)) for loop in opened.experiment
    )
    axes = [axis for axis, _ in loops]
    unknown = [axis for axis, count in loops if axis not in _LOOPS.values() and count > 1]
    if unknown or len(set(axes)) < len(axes):
        raise InputError(
            f"{source.path}: steps through {', '.join(unknown or axes)}; save it as one time "
            "series of z-stacks"
        )
    if math.prod(count for _, count in loops) > source.size // _ENTRY:
        sizes = ", ".join(f"{axis} {count}" for axis, count in loops)
        raise InputError(
            f"{source.path}: claims more frames ({sizes}) than it holds; it is damaged"
        )
    return loops


def _frame_reader(
    opened: Any, source: common.GuardedFile, shared: common.SharedFile, shape: tuple[int, int, int]
) -> Callable[[int], np.ndarray]:
    """Frames [C, Y, X] by their number in the file."""

    @functools.lru_cache(maxsize=1)
    def kept(index: int) -> np.ndarray:
        before = source.reads
        frame = opened.read_frame(index)
        if source.reads == before:
            # The library gives zeros for a frame that is not in the file.
            raise InputError(
                f"{source.path}: lacks frame {index + 1}; the recording was cut short, save the "
                "part that is there"
            )
        return frame.reshape(shape)

    def read(index: int) -> np.ndarray:
        with shared.lock:
            return kept(index)

    return read


def _plane_reader(
    frame: Callable[[int], np.ndarray],
    loops: tuple[tuple[str, int], ...],
    position: int,
    dtype: np.dtype,
    path: Path,
) -> Callable[[int, int, int, slice, slice], np.ndarray]:
    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        index = _index(loops, {"T": t, "P": position, "Z": z})
        with common.refusals(path, _KIND):
            return common.as_pixels(frame(index)[c, rows, columns], dtype)

    return read


def _index(loops: tuple[tuple[str, int], ...], place: Mapping[str, int]) -> int:
    """A frame's number in the file."""
    index = 0
    for axis, count in loops:
        index = index * count + place.get(axis, 0)
    return index


def _emitted(opened: Any, channels: int) -> tuple[bool, ...] | None:
    """Of each channel whether the notes say fluorescence."""
    found = [
        was_emitted(
            {
                "ContrastMethod": _contrast(each),
                "EmissionWavelength": str(each.channel.emissionLambdaNm or 0),
            }
        )
        for each in opened.metadata.channels or ()
    ]
    return tuple(found) if len(found) == channels else None


def _contrast(channel: Any) -> str | None:
    """The way of seeing that its flags tell, if any."""
    flags = channel.microscope.modalityFlags or ()
    return next((_CONTRAST_FLAGS[flag] for flag in flags if flag in _CONTRAST_FLAGS), None)


def _channel_names(opened: Any) -> list[str | None]:
    """Names, with the way of seeing behind those whose notes tell it.

    A channel without a wavelength of emission among others that have one was not fluorescence.
    """
    channels: list[Any] = list(opened.metadata.channels or ())
    dark = [each for each in channels if not each.channel.emissionLambdaNm]
    names = []
    for each in channels:
        contrast = _contrast(each)
        if contrast is None and len(channels) > 1 and len(dark) == 1 and each is dark[0]:
            contrast = "Transmitted"
        names.append(common.name_with_contrast(each.channel.name, contrast))
    return names


def _exposures(opened: Any, channels: int) -> tuple[float | None, ...] | None:
    """Milliseconds of each channel, of the notes for people; None where they are silent."""
    try:
        notes = str((opened.text_info or {}).get("description", ""))
    except Exception:  # The library raises whatever it meets in damaged notes.
        return None
    planes = re.split(r"^Plane #\d+:", notes, flags=re.MULTILINE)
    planes = planes[1:] if len(planes) > 1 else planes
    found = [_EXPOSURE.search(plane) for plane in planes]
    if len(found) != channels or not any(found):
        return None
    return tuple(
        None if each is None else units.scaled(each[1].replace(",", "."), each[2], _MILLISECONDS)
        for each in found
    )


def _pixel_size(opened: Any, planes: int) -> PixelSize | None:
    channels = opened.metadata.channels or ()
    if not channels:
        return None
    volume = channels[0].volume
    x, y, z = (
        units.length(size) if calibrated else None
        for size, calibrated in zip(volume.axesCalibration, volume.axesCalibrated, strict=True)
    )
    steps = [loop.parameters.stepUm for loop in opened.experiment if loop.type == "ZStackLoop"]
    z = units.length(abs(steps[0])) if steps else z
    return units.pixel_size(y, x, z, planes)


def _times(
    opened: Any,
    loops: tuple[tuple[str, int], ...],
    position: int,
    taken: Mapping[int, float],
    path: Path,
) -> tuple[float | None, tuple[float, ...] | None]:
    """Minutes between frames as they were taken, else planned, and of each since the first.

    Args:
        opened: The file.
        loops: What its frames are stored by.
        position: Whose frames are meant.
        taken: Minutes of frames by their number, as `_taken` finds them.
        path: For warnings.
    """
    said = None
    for loop in opened.experiment:
        if loop.type == "TimeLoop":
            found = loop.parameters.periodDiff.avg if loop.parameters.periodDiff else None
            planned = units.length(loop.parameters.periodMs, 1 / 60000)
            said = units.length(found, 1 / 60000) or planned
    frames = [
        _index(loops, {"T": t, "P": position})
        for t in range(dict(loops).get("T", 1) if taken else 0)
    ]
    known = all(frame in taken for frame in frames)
    times = believed_times([taken[frame] for frame in frames], path) if known else None
    return believed_interval(said, times, path), times


def _taken(opened: Any) -> dict[int, float]:
    """Minutes at which frames were taken, by their number; empty where nothing can be read."""
    try:
        events = opened.events(orient="list")
        rows = zip(events["Index"], events["Time [s]"], strict=True)
        found = {int(frame): float(time) / 60 for frame, time in rows if frame is not None}
    except Exception:  # The library raises whatever it meets in damaged notes.
        return {}
    return found if all(map(math.isfinite, found.values())) else {}


def _points(opened: Any) -> list[Any]:
    for loop in opened.experiment:
        if loop.type == "XYPosLoop":
            return list(loop.parameters.points)
    return []


def _stage(opened: Any, points: list[Any], position: int) -> tuple[float, float] | None:
    if position < len(points):
        place = points[position].stagePositionUm
    else:
        found = opened.frame_metadata(0).channels
        if not found or found[0].position is None:
            return None
        place = found[0].position.stagePositionUm
    return units.position(place.y, place.x)
