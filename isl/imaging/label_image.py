"""Label images of any segmentation tool: one number an object, 0 between them.

Cellpose, StarDist and CellProfiler write them as TIFF, PNG or NumPy arrays, of 8, 16 or 32 bits.
"""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from isl.errors import InputError
from isl.imaging.regions import connected_regions

ENDINGS = (".tif", ".tiff", ".png", ".npy")
_HIGHEST = 2**31 - 1


def read_label_image(path: Path | str, shape: tuple[int, int, int]) -> np.ndarray:
    """A label image, or one for every frame.

    Args:
        path: A TIFF, a PNG, or a NumPy array that needs no pickle.
        shape: T, Y, X of the image whose objects they are.

    Returns:
        int32 [T, Y, X]. Where there is one number only, parts that do not touch are objects of
        their own.

    Raises:
        InputError: It cannot be read, has another size, or holds anything but whole numbers from 0.
    """
    path = Path(path)
    stored = np.squeeze(_stored(path))
    frames = stored[None] if stored.ndim == 2 else stored
    if frames.ndim != 3 or frames.shape[-1] != shape[-1] or frames.shape[:2] != shape[:2]:
        raise InputError(
            f"{path}: the label image has shape {_text(stored.shape)} and the image is "
            f"{_text(shape[1:])} (rows x columns)"
            + (f" with {shape[0]} frames" if shape[0] > 1 else "")
            + "; give one number an object, in one channel, for every pixel of every frame"
        )
    if frames.dtype.kind == "f" and (~np.isfinite(frames) | (frames != np.rint(frames))).any():
        raise InputError(f"{path}: a label image holds whole numbers; this one does not")
    if frames.dtype.kind not in "buif" or frames.min(initial=0) < 0:
        raise InputError(f"{path}: a label image holds whole numbers from 0; this one does not")
    if frames.max(initial=0) > _HIGHEST:
        raise InputError(f"{path}: holds numbers above {_HIGHEST}; number its objects from 1")
    labels = frames.astype(np.int32)
    values = np.unique(labels)
    if len(values[values > 0]) == 1:
        return np.stack([connected_regions(frame > 0) for frame in labels])
    return labels


def _stored(path: Path) -> np.ndarray:
    ending = path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if ending not in ENDINGS:
        raise InputError(f"{path}: a label image is one of {', '.join(ENDINGS)}")
    try:
        if ending == ".npy":
            return np.load(path, allow_pickle=False)
        if ending == ".png":
            with Image.open(path) as picture:
                return np.asarray(picture)
        return tifffile.imread(path)
    except (OSError, ValueError, tifffile.TiffFileError, UnidentifiedImageError) as error:
        remedy = "; save its masks as TIFF or PNG" if ending == ".npy" else ""
        raise InputError(f"{path}: cannot be read as a label image ({error}){remedy}") from error


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
