"""A well in memory to its colonies, followed and classed."""

from pathlib import Path

import numpy as np

from isl.colony.assess import Assessment, Settings, assess
from isl.colony.masks import read_mask
from isl.colony.model import ColonyModel
from isl.errors import InputError
from isl.imaging.image import Movie, ZStack
from isl.imaging.inputs.stated import as_movie, as_picture


def predict(
    model: ColonyModel,
    movie: Movie | ZStack | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
    interval: float | None = None,
    mask: np.ndarray | None = None,
    settings: Settings | None = None,
) -> Assessment:
    """Finds colonies in a well, follows them over time and classes them; for research only.

    Args:
        model: A loaded model of colonies that looks at one channel.
        movie: Frames, or one; an array of three dimensions is [T, Y, X] unless `axes` says more; or
            the path of a file or folder of frames.
        axes: As in `isl.imaging.inputs.stated.as_movie`, as what follows.
        channel: The transmitted channel, where a file has several.
        pixel_size: Micrometres.
        interval: Minutes between frames.
        mask: Integers [T, Y, X] or [Y, X], one number a colony, in place of detection.
        settings: How; None: as the command does it.

    Raises:
        InputError: The array is no image, does not fit the mask, or the model is of another sort.
    """
    if model.config.subject == "cell" or len(model.config.channels) > 1:
        raise InputError(
            f"model '{model.name}' classes {model.config.subject} pictures of "
            f"{len(model.config.channels)} channels; `predict` takes wells of one channel, "
            "`probabilities` takes patches"
        )
    seen = as_movie(movie, axes=axes, channel=channel, pixel_size=pixel_size, interval=interval)
    picture = as_picture(seen)
    given = None
    if mask is not None:
        frames, _, _, height, width = picture.shape
        stored = mask[None] if mask.ndim == 2 else mask
        given = read_mask(stored, (frames, height, width), source="mask")
    return assess(picture, (0,), model, settings or Settings(), mask=given)
