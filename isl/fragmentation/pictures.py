"""Pictures of embryos as grey values, from whatever holds them: stills, movies, colour or grey."""

import dataclasses
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.movie import read_movie
from isl.imaging.photo import PHOTOS, as_grey, photos_in, read_photo

_STORED = (".tif", ".tiff", ".nd2", ".czi", ".lif", ".zarr")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """One embryo's frames.

    Attributes:
        name: Of the file or folder.
        source: The same.
        images: float32 [T, Y, X] in [0, 1].
        names: T names.
        interval: Minutes between frames, or None.
    """

    name: str
    source: Path
    images: np.ndarray
    names: tuple[str, ...]
    interval: float | None = None


def read_frames(path: Path) -> Frames:
    """Reads a still, a movie, or a folder of stills as frames in the order of their numbers.

    Raises:
        InputError: It cannot be read, or frames differ in size.
    """
    if path.is_dir() and path.suffix != ".zarr":
        files = photos_in(path)
        if not files:
            raise InputError(f"{path}: holds no {', '.join(PHOTOS)} file")
        images = [read_photo(file) for file in files]
        for file, image in zip(files, images, strict=True):
            if image.shape != images[0].shape:
                raise InputError(
                    f"{file}: is {image.shape[1]} x {image.shape[0]}, but {files[0].name} is "
                    f"{images[0].shape[1]} x {images[0].shape[0]}; frames of one embryo are alike"
                )
        names = tuple(file.name for file in files)
        return Frames(name=path.name, source=path, images=np.stack(images), names=names)
    if path.suffix.lower() in PHOTOS:
        return Frames(
            name=path.stem, source=path, images=read_photo(path)[None], names=(path.name,)
        )
    movie = read_movie(path)
    images = np.stack([as_grey(frame.mean(axis=0), movie.frames.dtype) for frame in movie.frames])
    names = tuple(f"frame {t}" for t in range(len(images)))
    return Frames(
        name=path.name.split(".")[0],
        source=path,
        images=images,
        names=names,
        interval=movie.interval,
    )


def is_readable(path: Path) -> bool:
    """Whether a name looks like something `read_frames` reads."""
    return path.suffix.lower() in (*PHOTOS, *_STORED)
