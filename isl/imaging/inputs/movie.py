"""Time-lapse files: what a file says of its time points, and movies of stacks or of frames."""

import itertools
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.table import format_of, is_stack_file
from isl.imaging.formats.tiff_header import TiffHeader, opened_tiff
from isl.imaging.image import FluorescenceImage, Movie, ZStack
from isl.imaging.inputs.containers import open_picture
from isl.imaging.inputs.read import open_transmitted, read_transmitted
from isl.imaging.lazy import LazyPicture
from isl.imaging.names import modality_of


def time_points(path: Path, *, axes: str | None = None) -> int | None:
    """How many time points an image file holds, as its head or `axes` says.

    Args:
        path: The file.
        axes: What its dimensions are, where the file does not say.

    Returns:
        1 for a picture or a z-stack; None where the file has several pages and does not say what
        they are, or cannot be read.
    """
    kind = format_of(path)
    if kind is not None and not kind.container and not kind.stack:
        return 1
    found = _header(path, axes)
    return None if found is None or found.teller is None else found.shape[0]


def read_movie(
    path: Path, *, axes: str | None = None, channel: str | None = None, colors: bool = False
) -> Movie:
    """A file as a movie; a picture or z-stack becomes a movie of one time point.

    Pages of which the file does not say what they are, and that are a third dimension, are taken
    for time points: a movie was asked for.

    Args:
        path: The file.
        axes: As in `isl.imaging.inputs.read.read_transmitted`.
        channel: As there.
        colors: As there.

    Raises:
        InputError: As there.
    """
    stack = read_transmitted(path, axes=movie_axes(path, axes), channel=channel, colors=colors)
    if isinstance(stack, Movie):
        return stack
    return Movie(
        name=stack.name,
        frames=stack.planes[None],
        pixel_size=stack.pixel_size,
        modality=stack.modality,
        source=stack.source,
    )


def read_time_point(
    path: Path, t: int, *, axes: str | None = None, channel: str | None = None
) -> ZStack:
    """The transmitted z-stack of one time point of a movie; no other is read.

    Args:
        path: The file.
        t: The time point, from 0.
        axes: As in `isl.imaging.inputs.read.read_transmitted`.
        channel: As there.

    Raises:
        InputError: As there, or there is no such time point.
    """
    picture, index = open_transmitted(path, axes=axes, channel=channel)
    names = picture.channel_names
    with picture:
        _check_time(picture, t)
        planes = [picture.read(t=t, c=index, z=z) for z in range(picture.shape[2])]
    return ZStack(
        name=picture.name,
        planes=np.stack(planes),
        pixel_size=picture.pixel_size,
        modality=picture.modality if names is None else modality_of(names[index]),
        source=path,
    )


def read_fluorescence_at(path: Path, t: int, *, axes: str | None = None) -> FluorescenceImage:
    """All channels of one time point of a movie, each the maximum over its planes.

    Args:
        path: The file; channels that it does not name are called channel_1, channel_2, ...
        t: The time point, from 0.
        axes: What the dimensions of a TIFF are, where the file does not say.

    Raises:
        InputError: The file cannot be read, or there is no such time point.
    """
    with open_picture(path, axes=axes) as picture:
        _check_time(picture, t)
        _, count, depth, rows, columns = picture.shape
        channels = np.zeros((count, rows, columns), picture.dtype)
        for c, z in itertools.product(range(count), range(depth)):
            plane = picture.read(t=t, c=c, z=z)
            channels[c] = plane if z == 0 else np.maximum(channels[c], plane)
    unnamed = tuple(f"channel_{number}" for number in range(1, count + 1))
    return FluorescenceImage(
        name=picture.name,
        channels=channels,
        labels=picture.channel_names or unnamed,
        pixel_size=picture.pixel_size,
        exposures=picture.exposures,
        source=path,
    )


def _check_time(picture: LazyPicture, t: int) -> None:
    if t >= picture.shape[0]:
        raise InputError(
            f"{picture.source}: has time points 0 to {picture.shape[0] - 1}, and no {t}"
        )


def movie_axes(path: Path, axes: str | None = None) -> str | None:
    """What a movie's dimensions are: `axes`, where given; None: as the file says; see `read_movie`.

    Args:
        path: The file.
        axes: What a person said.
    """
    if axes is not None or not is_stack_file(path):
        return axes
    found = _header(path)
    silent = found is not None and len(found.lengths) == 3 and found.teller is None
    return "TYX" if silent else None


def _header(path: Path, axes: str | None = None) -> TiffHeader | None:
    """What a TIFF says of its image; None for a file whose reader will say what is wrong."""
    try:
        with opened_tiff(path, axes=axes) as header:
            return header
    except InputError:
        return None
