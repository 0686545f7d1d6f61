"""Frames in memory to embryos, with shares, grades and masks."""

import dataclasses
from pathlib import Path

import numpy as np

from isl.fragmentation.assess import Assessed, assess_frame
from isl.fragmentation.grades import GradeScale
from isl.fragmentation.model import FragmentationModel
from isl.fragmentation.pictures import frames_of, read_frames
from isl.imaging.image import Movie, ZStack
from isl.imaging.inputs.stated import as_movie
from isl.imaging.times import stated_interval


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Graded:
    """What was found in a recording of T frames.

    Attributes:
        embryos: In the order of the frames, from left to right; one with a reason where there is
            none.
        labels: uint8 [T, Y, X]: 0 background, 1 embryo, 2 fragment.
        minutes: T minutes since the first frame, None for those that nobody knows.
    """

    embryos: tuple[Assessed, ...]
    labels: np.ndarray
    minutes: tuple[float | None, ...]


def predict(
    model: FragmentationModel,
    movie: Movie | ZStack | np.ndarray | str | Path,
    *,
    axes: str | None = None,
    channel: str | None = None,
    interval: float | None = None,
    scale: GradeScale | None = None,
) -> Graded:
    """Finds the fragments of cleavage-stage embryos and their share; for research only.

    Args:
        model: A loaded model.
        movie: Frames, or one; an array of three dimensions is [T, Y, X] unless `axes` says more; or
            a path, read as `isl fragmentation` does.
        axes: As in `isl.imaging.inputs.stated.as_movie`, as what follows.
        channel: The transmitted channel, where a file has several.
        interval: Minutes between frames.
        scale: Grades to use; None: the model's.

    Raises:
        InputError: The array is no image.
    """
    if isinstance(movie, str | Path) and not (axes is not None and Path(movie).is_dir()):
        frames = read_frames(Path(movie), axes=axes, channel=channel)
        used, times = stated_interval(interval, frames.interval, frames.times, frames.source)
        frames = dataclasses.replace(frames, interval=used, times=times)
    else:
        frames = frames_of(as_movie(movie, axes=axes, channel=channel, interval=interval))
    embryos, labels = [], []
    for t, said in enumerate(model.look_along(frames.images)):
        found, mask = assess_frame(frames.images[t], said, model.config, frame=t, scale=scale)
        embryos += found
        labels.append(mask)
    return Graded(
        embryos=tuple(embryos),
        labels=np.stack(labels),
        minutes=tuple(map(frames.minutes, range(len(labels)))),
    )
