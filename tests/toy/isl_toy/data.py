"""Images whose brightness is known: a CSV with the columns `image` and `brightness`."""

import csv
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.read import read_picture


def load_image(path: Path) -> np.ndarray:
    """float32 [Y, X] in [0, 1]."""
    stored = read_picture(path).array.squeeze()
    return (stored / np.iinfo(stored.dtype).max).astype(np.float32)


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, Y, X] and how bright each is [N]."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    images = np.stack([load_image(path.parent / row["image"]) for row in rows])
    return images, np.array([row["brightness"] for row in rows], np.float32)
