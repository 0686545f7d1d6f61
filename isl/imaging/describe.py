"""What an image holds, as facts to print."""

from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.containers import is_container
from isl.imaging.image import Movie, Picture, PixelSize, ZStack
from isl.imaging.normalize import normalize
from isl.imaging.read import read_picture, read_transmitted

Facts = list[tuple[str, str]]
UNKNOWN = "not known"


def describe_image(path: Path, *, axes: str | None = None, channel: str | None = None) -> Facts:
    """What a file or a published folder holds, plane by plane."""
    facts: Facts = [("image", str(path))]
    if not path.is_dir() or is_container(path):
        facts += _describe_picture(read_picture(path, axes=axes))
    try:
        stack = read_transmitted(path, axes=axes, channel=channel)
    except InputError as error:
        return [*facts, ("transmitted", str(error))]
    return facts + _describe_stack(stack)


def _describe_picture(picture: Picture) -> Facts:
    times, channels, planes, rows, columns = picture.array.shape
    names = picture.channel_names or tuple(f"unnamed {n}" for n in range(1, channels + 1))
    return [
        ("stored", f"{times} T x {channels} C x {planes} Z x {rows} Y x {columns} X"),
        ("pixels", str(picture.array.dtype)),
        ("channels", ", ".join(names)),
    ]


def _describe_stack(stack: ZStack | Movie) -> Facts:
    movie = isinstance(stack, Movie)
    pixels = stack.frames if movie else stack.planes
    shape = " x ".join(map(str, pixels.shape))
    facts = [
        ("transmitted", f"{'TZYX' if movie else 'ZYX'} {shape} {pixels.dtype}"),
        ("modality", stack.modality or UNKNOWN),
        ("pixel size", _size(stack.pixel_size)),
        ("z step", length(stack.pixel_size.z if stack.pixel_size else None)),
    ]
    if isinstance(stack, Movie):
        facts.append(("interval", f"{stack.interval:g} min" if stack.interval else UNKNOWN))
    first = stack.stack(0) if isinstance(stack, Movie) else stack
    for index, plane in enumerate(first.planes):
        facts.append((f"plane {index}", _describe_plane(plane)))
    return facts


def _describe_plane(plane: np.ndarray) -> str:
    text = f"{plane.min():g} to {plane.max():g}"
    try:
        record = normalize(plane[None])[1][0]
    except InputError:
        return f"{text}, constant or not finite: nothing to predict from"
    unchanged = record.scale == 1.0 and record.offset == 0.0
    return (
        f"{text}, mean {record.mean:.4f} and deviation {record.standard_deviation:.4f} of full "
        f"scale, {'kept as it is' if unchanged else 'to be normalized'}"
    )


def _size(size: PixelSize | None) -> str:
    if size is None:
        return UNKNOWN
    return length(size.y) if size.y == size.x else f"{size.y:g} x {size.x:g} um (Y x X)"


def length(micrometres: float | None) -> str:
    """A length in words."""
    return UNKNOWN if micrometres is None else f"{micrometres:g} um"
