"""Label images of any segmentation tool: one number an object, 0 between them.

Cellpose, StarDist and CellProfiler write them as TIFF, PNG or NumPy arrays, of 8, 16 or 32 bits.
"""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError
from skimage.measure import label
from tifffile import PHOTOMETRIC

from isl.errors import InputError
from isl.imaging.formats.table import is_photo
from isl.imaging.inputs.read import read_picture
from isl.imaging.regions import connected_regions

ENDINGS = (".tif", ".tiff", ".png", ".npy")
_HIGHEST = 2**31 - 1


def read_label_image(path: Path | str) -> np.ndarray:
    """A label image as it is stored, [T, Y, X] of any type of numbers.

    Args:
        path: A NumPy array that needs no pickle, or any image that isl opens; besides those also
            TIFFs of integers that no camera writes. Numbers are those stored, whatever colors a
            palette gives them, and where 0 is shown as white.

    Raises:
        InputError: It cannot be read, or has several channels.
    """
    path = Path(path)
    refuse_photo(path)
    stored = stored_numbers(path)
    if stored is None:
        array = read_picture(path).array
        if array.shape[1] > 1 or (array.shape[0] > 1 and array.shape[2] > 1):
            raise InputError(
                f"{path}: a label image has one channel and one plane; this one has "
                f"{array.shape[1]} and {array.shape[2]}"
            )
        return array.reshape(-1, *array.shape[-2:])
    squeezed = np.squeeze(stored)
    frames = squeezed[None] if squeezed.ndim == 2 else squeezed
    if frames.ndim != 3:
        raise InputError(
            f"{path}: a label image has one number an object, in one channel, for every pixel of "
            f"every frame; this one has shape {' x '.join(map(str, stored.shape))}"
        )
    return frames


def refuse_photo(path: Path) -> None:
    """Refuses a label image or mask that is a photograph.

    Raises:
        InputError: It is a JPEG, which holds other numbers than were drawn, or a BMP.
    """
    if is_photo(path):
        raise InputError(
            f"{path}: JPEG and BMP do not keep an object's number; save the label image as TIFF or "
            "PNG"
        )


def checked_labels(
    stored: np.ndarray,
    shape: tuple[int, int, int],
    *,
    source: object,
    highest: int = _HIGHEST,
    one_for_all: bool = False,
) -> tuple[np.ndarray, bool]:
    """A label image of a picture, and whether its objects had to be numbered.

    Args:
        stored: [T, Y, X], or one frame for all.
        shape: T, Y, X of the picture.
        source: Its file, for messages.
        highest: The largest number that can be.
        one_for_all: Whether one frame may stand for all.

    Returns:
        int32 [T, Y, X], or one frame for all; and whether there was one number only, so that parts
        that do not touch were numbered, each frame from 1.

    Raises:
        InputError: It does not fit the picture, or holds anything but whole numbers from 0.
    """
    frames = (1, shape[0]) if one_for_all else (shape[0],)
    if stored.shape[1:] != shape[1:] or stored.shape[0] not in frames:
        raise InputError(
            f"{source}: the label image is {_size(stored.shape)} and the picture {_size(shape)}; "
            f"give one of the picture's size, with {'one frame or ' if one_for_all else ''}as many "
            "frames as the picture"
        )
    if stored.dtype.kind == "f" and (~np.isfinite(stored) | (stored != np.rint(stored))).any():
        raise InputError(f"{source}: a label image holds whole numbers; this one does not")
    if stored.dtype.kind not in "buif" or stored.min(initial=0) < 0:
        raise InputError(f"{source}: a label image holds numbers from 0; this one goes below")
    if (largest := int(stored.max(initial=0))) > highest:
        raise InputError(
            f"{source}: holds numbers up to {largest}; give one whose numbers go up to {highest}"
        )
    labels = stored.astype(np.int32)
    values = np.unique(labels)
    if len(values[values > 0]) == 1:
        return np.stack([connected_regions(frame > 0) for frame in labels]), True
    return labels, False


def remarks_on(labels: np.ndarray, numbered: bool, *, what: str) -> list[str]:
    """What a person should know of how a label image was read.

    Args:
        labels: Integers [T, Y, X], as `checked_labels` gives them.
        numbered: Likewise.
        what: What an object is, such as "colony".
    """
    if numbered:
        several = labels.max(initial=0) > 1
        said = "the label image holds one number only; parts that do not touch were numbered"
        return [said] if several else []
    parted: set[int] = set()
    for frame in labels:
        regions = np.asarray(label(frame, background=0, connectivity=2))
        _, first = np.unique(regions, return_index=True)
        numbers, places = np.unique(frame.flat[first], return_counts=True)
        parted.update(numbers[(numbers > 0) & (places > 1)].tolist())
    if not parted:
        return []
    listed = ", ".join(map(str, sorted(parted)[:8])) + (", ..." if len(parted) > 8 else "")
    return [f"in several places, each taken for one {what}: {listed}"]


def stored_numbers(path: Path) -> np.ndarray | None:
    """Pixels as they are stored where isl's readers of light would refuse or turn them; else None.

    Raises:
        InputError: The file is missing or damaged.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        return None
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        if ending == ".npy":
            return np.load(path, allow_pickle=False)
        if ending == ".png":
            with Image.open(path) as picture:
                return np.asarray(picture) if picture.mode == "P" else None
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            light = series.dtype in ("uint8", "uint16", "float32")
            # Binary masks of ImageJ show 0 as white, and label images have palettes: numbers count.
            shown = series.keyframe.photometric in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE)
            return None if light and not shown else series.asarray()
    except (OSError, ValueError, tifffile.TiffFileError, UnidentifiedImageError) as error:
        remedy = "; save its masks as TIFF or PNG" if ending == ".npy" else ""
        raise InputError(f"{path}: cannot be read as a label image ({error}){remedy}") from error


def _size(shape: tuple[int, ...]) -> str:
    frames, height, width = shape
    return f"{width} x {height} pixels" + (f" and {frames} frames" if frames > 1 else "")
