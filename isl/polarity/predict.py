"""An embryo's time-lapse in memory to when it polarized."""

from typing import Any

import numpy as np

from isl.imaging.image import Movie, ZStack
from isl.imaging.inputs.stated import as_movie
from isl.polarity.assess import Assessment, assess
from isl.polarity.model import PolarityModel
from isl.polarity.recording import recording_of


def predict(
    model: PolarityModel,
    movie: Movie | ZStack | np.ndarray,
    *,
    axes: str | None = None,
    pixel_size: float | None = None,
    interval: float | None = None,
    modality: str | None = None,
    **asked: Any,
) -> Assessment:
    """Tells when an 8-cell embryo polarized; for research only.

    Args:
        model: A loaded ensemble.
        movie: Frames, all in focus or stacks; an array of three dimensions is [T, Y, X] unless
            `axes` says more.
        axes: As in `isl.imaging.inputs.stated.as_movie`, as what follows.
        pixel_size: Micrometres.
        interval: Minutes between frames.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
        **asked: `rule`, `activation`, `leave_out` and `progress` of `isl.polarity.assess.assess`.

    Raises:
        InputError: The array is no image or one frame, or as in `assess`.
    """
    seen = as_movie(movie, axes=axes, pixel_size=pixel_size, interval=interval, modality=modality)
    return assess(recording_of(seen), model, model.ezrin_model(), **asked)
