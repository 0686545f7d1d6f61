"""An embryo's film in memory to the chance of an outcome."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.imaging.image import Movie, ZStack
from isl.imaging.inputs.stated import as_movie
from isl.viability.assess import Assessment, assess
from isl.viability.model import ViabilityModel
from isl.viability.recording import Place, open_recording, recording_of


def predict(
    model: ViabilityModel,
    movie: Movie | ZStack | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    interval: float | None = None,
    start: float | None = None,
    hours: Sequence[float] | None = None,
    embryo: int | None = None,
) -> Assessment:
    """Gives the chance of an outcome from an embryo's film; research only, never to choose one.

    Args:
        model: A loaded ensemble.
        movie: Frames; an array of three dimensions is [T, Y, X] unless `axes` says more; or a path,
            read as `isl viability` does.
        axes: As in `isl.imaging.inputs.stated.as_movie`.
        channel: The transmitted channel, where a file has several.
        interval: Minutes between frames.
        start: Hours after insemination of the first frame.
        hours: Of every frame, in place of `interval` and `start`.
        embryo: Which of several in the picture, from 1; 0: one that fills it.

    Raises:
        InputError: The array is no image or one frame, nobody says when frames were taken, or as
            in `isl.viability.assess.assess`.
    """
    if isinstance(movie, str | Path) and hours is None:
        path = Path(movie)
        place = Place(
            name=path.stem,
            path=path,
            start=start,
            interval=interval,
            embryo=embryo,
            axes=axes,
            channel=channel,
        )
        return assess(open_recording(place), model)
    seen = as_movie(movie, axes=axes, channel=channel, interval=interval)
    return assess(recording_of(seen, start=start, hours=hours, embryo=embryo), model)
