"""Time-lapse files: what a file says of its time points, and movies of stacks or of frames."""

from pathlib import Path

from isl.errors import InputError
from isl.imaging.formats.table import image_ending, is_stack_file
from isl.imaging.formats.tiff_header import TiffHeader, opened_tiff
from isl.imaging.image import Movie
from isl.imaging.inputs.read import read_transmitted


def time_points(path: Path, *, axes: str | None = None) -> int | None:
    """How many time points an image file holds, as its head or `axes` says.

    Args:
        path: The file.
        axes: What its dimensions are, where the file does not say.

    Returns:
        1 for a picture or a z-stack; None where the file has several pages and does not say what
        they are, or cannot be read.
    """
    if image_ending(path) is not None and not is_stack_file(path):
        return 1
    found = _header(path, axes)
    return None if found is None or not found.says_axes else found.shape[0]


def read_movie(path: Path, *, axes: str | None = None, channel: str | None = None) -> Movie:
    """A file as a movie; a picture or z-stack becomes a movie of one time point.

    Pages of which the file does not say what they are, and that are a third dimension, are taken
    for time points: a movie was asked for.

    Args:
        path: The file.
        axes: As in `isl.imaging.inputs.read.read_transmitted`.
        channel: As there.

    Raises:
        InputError: As there.
    """
    stack = read_transmitted(path, axes=movie_axes(path, axes), channel=channel)
    if isinstance(stack, Movie):
        return stack
    return Movie(
        name=stack.name,
        frames=stack.planes[None],
        pixel_size=stack.pixel_size,
        modality=stack.modality,
        source=stack.source,
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
    silent = found is not None and len(found.lengths) == 3 and not found.says_axes
    return "TYX" if silent else None


def _header(path: Path, axes: str | None = None) -> TiffHeader | None:
    """What a TIFF says of its image; None for a file whose reader will say what is wrong."""
    try:
        with opened_tiff(path, axes=axes) as header:
            return header
    except InputError:
        return None
