"""Time-lapse files: what a file says of its time points, and movies of stacks or of frames."""

from pathlib import Path

import tifffile

from isl.imaging.formats.axes import parse_axes
from isl.imaging.formats.table import image_ending
from isl.imaging.formats.tiff_header import PAGES, messages_of_tifffile, only_series
from isl.imaging.image import Movie
from isl.imaging.read import read_transmitted


def time_points(path: Path, *, axes: str | None = None) -> int | None:
    """How many time points an image file holds, as its head or `axes` says.

    Args:
        path: The file.
        axes: What its dimensions are, where the file does not say.

    Returns:
        1 for a picture or a z-stack; None where the file has several pages and does not say what
        they are, or cannot be read.
    """
    if image_ending(path) == ".png":
        return 1
    found = _stored_axes(path)
    if found is None:
        return None
    stored, shape = found
    order = stored if axes is None else parse_axes(axes)
    if len(order) != len(shape) or (axes is None and any(page in order for page in PAGES)):
        return None
    return shape[order.index("T")] if "T" in order else 1


def read_movie(path: Path, *, axes: str | None = None, channel: str | None = None) -> Movie:
    """A file as a movie; a picture or z-stack becomes a movie of one time point.

    Pages of which the file does not say what they are, and that are a third dimension, are taken
    for time points: a movie was asked for.

    Args:
        path: The file.
        axes: As in `isl.imaging.read.read_transmitted`.
        channel: As there.

    Raises:
        InputError: As there.
    """
    if axes is None and image_ending(path) != ".png":
        found = _stored_axes(path)
        if found is not None and len(found[1]) == 3 and found[0][0] in PAGES:
            axes = "TYX"
    stack = read_transmitted(path, axes=axes, channel=channel)
    if isinstance(stack, Movie):
        return stack
    return Movie(
        name=stack.name,
        frames=stack.planes[None],
        pixel_size=stack.pixel_size,
        modality=stack.modality,
        source=stack.source,
    )


def _stored_axes(path: Path) -> tuple[str, tuple[int, ...]] | None:
    """Axes and shape of a TIFF's image; None for a file whose reader will say what is wrong."""
    try:
        with messages_of_tifffile([]), tifffile.TiffFile(path) as tiff:
            series = only_series(tiff, path)
            return series.axes, tuple(int(length) for length in series.shape)
    except Exception:  # tifffile raises whatever its parsers meet in damaged bytes.
        return None
