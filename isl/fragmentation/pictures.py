"""Pictures of embryos as grey values, from whatever holds them: stills, movies, colour or grey."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.table import field_name
from isl.imaging.image import Movie
from isl.imaging.inputs.containers import is_container
from isl.imaging.inputs.frame_numbers import check_named_alike, frame_steps, warn_of_gaps
from isl.imaging.inputs.movie import read_movie
from isl.imaging.inputs.photo import PHOTOS, photos_in, read_photo, read_photos
from isl.imaging.normalize import largest_in_use
from isl.imaging.times import minutes_at

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """One embryo's frames.

    Attributes:
        name: Of the file or folder.
        source: The same.
        images: float32 [T, Y, X] in [0, 1].
        names: T names.
        interval: Minutes between frames, or None.
        steps: When each frame was taken, in intervals since the first; None: one after the other.
        times: Minutes of each frame since the first, or None.
    """

    name: str
    source: Path
    images: np.ndarray
    names: tuple[str, ...]
    interval: float | None = None
    steps: tuple[float, ...] | None = None
    times: tuple[float, ...] | None = None

    def minutes(self, t: int) -> float | None:
        """When frame `t` was taken, since the first; None: nobody knows."""
        step = t if self.steps is None else self.steps[t]
        return self.times[t] if self.times is not None else minutes_at(step, self.interval)


def read_frames(path: Path, *, axes: str | None = None, channel: str | None = None) -> Frames:
    """Reads a still, a movie, or a folder of stills as frames in the order of their numbers.

    Args:
        path: Where it lies.
        axes: What a TIFF's dimensions are, where it does not say.
        channel: The transmitted-light channel, where a file has several.

    Raises:
        InputError: It cannot be read, or frames differ in size.
    """
    if path.is_dir() and not is_container(path):
        files = photos_in(path)
        if not files:
            raise InputError(f"{path}: holds no {', '.join(PHOTOS)} file")
        check_named_alike([file.name for file in files], path)
        images = read_photos(files)
        for file, image in zip(files, images, strict=True):
            if image.shape != images[0].shape:
                raise InputError(
                    f"{file}: is {image.shape[1]} x {image.shape[0]}, but {files[0].name} is "
                    f"{images[0].shape[1]} x {images[0].shape[0]}; frames of one embryo are alike"
                )
        names = tuple(file.name for file in files)
        steps = frame_steps(names, path)
        warn_of_gaps(names, steps, path)
        return Frames(
            name=path.name, source=path, images=np.stack(images), names=names, steps=steps
        )
    if path.suffix.lower() in PHOTOS:
        return Frames(
            name=field_name(path), source=path, images=read_photo(path)[None], names=(path.name,)
        )
    return frames_of(read_movie(path, axes=axes, channel=channel, colors=True), path)


def frames_of(movie: Movie, path: Path | None = None) -> Frames:
    """A movie's frames; of those with several planes the mean.

    Args:
        movie: Integers or floats; floats beyond [0, 1] are brought there together.
        path: The file it comes from, or None.

    Raises:
        InputError: Some pixels are NaN or infinite.
    """
    path = path or movie.source or Path(movie.name)
    stored = movie.frames
    if stored.shape[1] > 1:
        logger.warning(
            "%s: has %d planes a frame, of which the mean is looked at", path, stored.shape[1]
        )
    if stored.dtype.kind == "f":
        stored = _within_one(stored, path)
    top = largest_in_use(float(stored.max(initial=0)), stored.dtype)
    images = np.stack(
        [np.clip(frame.mean(axis=0, dtype=np.float64) / top, 0, 1) for frame in stored]
    ).astype(np.float32)
    names = tuple(f"frame {t}" for t in range(len(images)))
    return Frames(
        name=movie.name,
        source=path,
        images=images,
        names=names,
        interval=movie.interval,
        times=movie.times,
    )


def _within_one(frames: np.ndarray, path: Path) -> np.ndarray:
    """Floats in [0, 1]: as they are, or between the lowest and highest of all frames.

    Raises:
        InputError: Some are NaN or infinite.
    """
    if not np.isfinite(frames).all():
        raise InputError(f"{path}: holds pixels that are NaN or infinite; replace them first")
    low, high = float(frames.min()), float(frames.max())
    if low >= 0 and high <= 1:
        return frames
    return (frames - low) / max(high - low, np.finfo(np.float32).tiny)
