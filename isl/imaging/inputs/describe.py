"""What images hold, as facts to print: axes and who says them, sizes, names, times, bits in use."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.inputs.containers import is_container, open_picture
from isl.imaging.inputs.frame_numbers import frame_numbers
from isl.imaging.inputs.read import read_transmitted
from isl.imaging.inputs.stated import Stated
from isl.imaging.lazy import LazyPicture
from isl.imaging.normalize import PlaneNormalization, chosen, normalize

Facts = list[tuple[str, str]]
UNKNOWN = "not known"
_DONE = {
    "kept": "kept as they are",
    "scaled": "kept, with the largest number of the bits in use as full scale",
    "mapped": "mapped to mean 0.5 and deviation 0.125",
}


def describe_image(path: Path, stated: Stated) -> Facts:
    """What a file or a published folder holds, plane by plane.

    Where nobody can tell which channel is the transmitted one, or it is of color, what is known of
    all, and then that.
    """
    facts: Facts = [("image", str(path))]
    known: Facts = []
    if not path.is_dir() or is_container(path):
        with open_picture(path, axes=stated.axes, colors=True) as picture:
            facts += _describe_picture(picture)
            known = _sizes_and_times(stated.of(picture), movie=picture.shape[0] > 1)
    try:
        stack = read_transmitted(path, axes=stated.axes, channel=stated.channel)
    except InputError as error:
        return [*facts, *known, ("transmitted", str(error))]
    return facts + _describe_stack(stated.of_stack(stack))


def describe_folder(fields: Sequence[tuple[str, Path]], stated: Stated) -> Facts:
    """What a folder, or a file of several images, holds: one line a field, by its name."""
    facts: Facts = [("fields", f"{len(fields)}: files, images in files, published folders")]
    files = [path.name for _, path in fields]
    try:
        numbers = frame_numbers(files, fields[0][1].parent)
    except InputError:
        numbers = None
    if numbers is not None:
        facts.append(("numbers", f"{_ranges(numbers)}: what grows from name to name"))
    for name, path in fields:
        try:
            with open_picture(path, axes=stated.axes) as picture:
                line = f"{_sizes(picture)} {picture.dtype}, {_size(picture.pixel_size)} a pixel"
        except InputError as error:
            line = str(error)
        facts.append((name, line))
    return facts


def _ranges(numbers: Sequence[int]) -> str:
    """1 to 4, 6, 8 to 9."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]} to {p[-1]}" for p in parts)


def _sizes(picture: LazyPicture) -> str:
    times, channels, planes, rows, columns = picture.shape
    return f"{times} T x {channels} C x {planes} Z x {rows} Y x {columns} X"


def _describe_picture(picture: LazyPicture) -> Facts:
    channels = picture.shape[1]
    names = picture.channel_names or tuple(f"unnamed {n}" for n in range(1, channels + 1))
    return [
        ("stored", _sizes(picture)),
        ("axes", picture.told_by),
        ("pixels", str(picture.dtype)),
        ("channels", ", ".join(names)),
        ("exposure", _exposures(picture.exposures)),
    ]


def _exposures(exposures: Sequence[float | None] | None) -> str:
    """Milliseconds, channel by channel."""
    if exposures is None:
        return UNKNOWN
    return ", ".join(UNKNOWN if each is None else f"{each:g} ms" for each in exposures)


def _describe_stack(stack: ZStack | Movie) -> Facts:
    movie = isinstance(stack, Movie)
    pixels = stack.frames if movie else stack.planes
    shape = " x ".join(map(str, pixels.shape))
    facts = [
        ("transmitted", f"{'TZYX' if movie else 'ZYX'} {shape} {pixels.dtype}"),
        ("in use", _in_use(pixels)),
        ("modality", stack.modality or UNKNOWN),
        *_sizes_and_times(stack, movie=movie),
    ]
    return [*facts, *_describe_planes(pixels if movie else pixels[None])]


def _sizes_and_times(image: ZStack | Movie | LazyPicture, *, movie: bool) -> Facts:
    facts = [
        ("pixel size", _size(image.pixel_size)),
        ("z step", length(image.pixel_size.z if image.pixel_size else None)),
    ]
    if movie and not isinstance(image, ZStack):
        facts.append(("interval", f"{image.interval:g} min" if image.interval else UNKNOWN))
        facts.append(("times", _times(image.times)))
    return facts


def _times(times: Sequence[float] | None) -> str:
    """Minutes of frames that have times of their own."""
    if times is None:
        return "frames have none of their own"
    gaps = np.diff(times)
    apart = f"{gaps.min():.4g} to {gaps.max():.4g} min apart"
    return f"each frame's own, 0 to {times[-1]:.4g} min, {apart}"


def _in_use(pixels: np.ndarray) -> str:
    """How much of the pixel type is used."""
    largest = pixels.max()
    if pixels.dtype.kind == "f":
        return f"{pixels.min():g} to {largest:g}"
    return f"{int(largest).bit_length()} of {8 * pixels.dtype.itemsize} bits (up to {largest})"


def _describe_planes(frames: np.ndarray) -> Facts:
    """Every plane [T, Z, Y, X] of the first time point, and what is done to all of all of them."""
    records: list[PlaneNormalization | None] = []
    for plane in frames.reshape(-1, 1, *frames.shape[2:]):
        try:
            records += normalize(plane)[1]
        except InputError:
            records.append(None)
    known = chosen(record for record in records if record is not None)
    facts = []
    if known:
        facts.append(("normalization", f"all planes are {_DONE[known[0].done]}"))
    for index, (plane, record) in enumerate(zip(frames[0], records[: len(frames[0])], strict=True)):
        said = (
            "constant or not finite: nothing to predict from"
            if record is None
            else f"mean {record.mean:.4f}, deviation {record.standard_deviation:.4f} of full scale"
        )
        facts.append((f"plane {index}", f"{plane.min():g} to {plane.max():g}, {said}"))
    return facts


def _size(size: PixelSize | None) -> str:
    if size is None:
        return UNKNOWN
    return length(size.y) if size.y == size.x else f"{size.y:g} x {size.x:g} um (Y x X)"


def length(micrometres: float | None) -> str:
    """A length in words."""
    return UNKNOWN if micrometres is None else f"{micrometres:g} um"
