"""An embryo's time-lapse in memory to when it polarized."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from isl.imaging.image import Movie, ZStack
from isl.imaging.inputs.stated import as_movie, parse_modality
from isl.polarity.assess import Assessment, assess
from isl.polarity.model import PolarityModel
from isl.polarity.recording import read_recording, recording_of


def predict(
    model: PolarityModel,
    movie: Movie | ZStack | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    pixel_size: float | None = None,
    interval: float | None = None,
    modality: str | None = None,
    **asked: Any,
) -> Assessment:
    """Tells when an 8-cell embryo polarized; for research only.

    Args:
        model: A loaded ensemble.
        movie: Frames, all in focus or stacks; an array of three dimensions is [T, Y, X] unless
            `axes` says more; or a path, read as `isl polarity` does.
        axes: As in `isl.imaging.inputs.stated.as_movie`, as what follows.
        channel: The transmitted channel, where a file has several.
        pixel_size: Micrometres.
        interval: Minutes between frames.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
        **asked: `rule`, `activation`, `leave_out` and `progress` of `isl.polarity.assess.assess`.

    Raises:
        InputError: The array is no image or one frame, or as in `assess`.
    """
    if isinstance(movie, str | Path):
        recording = read_recording(
            Path(movie), interval=interval, axes=axes, channel=channel, pixel_size=pixel_size
        )
        if modality is not None:
            recording = dataclasses.replace(recording, modality=parse_modality(modality))
    else:
        said = {"axes": axes, "channel": channel, "modality": modality}
        recording = recording_of(as_movie(movie, pixel_size=pixel_size, interval=interval, **said))
    return assess(recording, model, model.ezrin_model(), **asked)
