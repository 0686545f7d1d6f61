"""Pictures of embryos as grey values, from whatever holds them: stills, movies, colour or grey."""

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from isl.errors import InputError
from isl.imaging.movie import read_movie
from isl.imaging.read import natural_order

PHOTOS = (".jpg", ".jpeg", ".png", ".bmp")
_STORED = (".tif", ".tiff", ".nd2", ".czi", ".lif", ".zarr")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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


def read_photo(path: Path) -> np.ndarray:
    """A JPEG, PNG or BMP as grey, float32 [Y, X] in [0, 1], turned as its EXIF says.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with Image.open(path) as stored:
            turned = ImageOps.exif_transpose(stored)
            if turned.mode.startswith(("I", "F")):
                return as_grey(np.asarray(turned), np.dtype(np.uint16))
            return as_grey(np.asarray(turned.convert("RGB")), np.dtype(np.uint8))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from error


def as_grey(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """float32 [Y, X] in [0, 1] from [Y, X] or [Y, X, 3] of a stored type."""
    values = values.astype(np.float32)
    grey = values @ _LUMA if values.ndim == 3 else values
    if np.issubdtype(dtype, np.integer):
        return np.clip(grey / np.iinfo(dtype).max, 0, 1)
    return np.clip(grey, 0, 1)


def photos_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names; hidden ones left out."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTOS and not path.name.startswith(".")
    ]
    return sorted(found, key=lambda path: natural_order(path.name))


def is_readable(path: Path) -> bool:
    """Whether a name looks like something `read_frames` reads."""
    return path.suffix.lower() in (*PHOTOS, *_STORED)
