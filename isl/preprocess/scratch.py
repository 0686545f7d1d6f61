"""Arrays of an unfinished run, kept on disk so that memory stays bounded and nothing is done twice.

They are NumPy files inside the run's folder, written whole, and go when they are no longer needed.
A file is mapped only while a part of it is copied, so that the system never counts it as ours.
"""

import contextlib
import json
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isl.files.whole import write_text, written_whole

FOLDER = "unfinished"
EVERYTHING = slice(None)


def save(path: Path, array: np.ndarray, notes: Mapping[str, Any] | None = None) -> None:
    """Writes an array, and before it what is worth knowing of it: where it is, both are.

    Raises:
        InputError: It cannot be written.
    """
    if notes is not None:
        write_text(path.with_suffix(".json"), json.dumps(notes), overwrite=True)
    with written_whole(path, overwrite=True) as unfinished, unfinished.open("wb") as file:
        array = np.ascontiguousarray(array)
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        # Not np.save: where the disk is full that does not say so.
        file.write(array.data)


@contextlib.contextmanager
def saved_in_bands(
    path: Path, shape: tuple[int, int, int]
) -> Iterator[Callable[[slice, np.ndarray], None]]:
    """A float32 array [Z, Y, X] that is written some rows at a time and is there when all are.

    Yields:
        Writes rows: (which, values [Z, y, X]).

    Raises:
        InputError: It cannot be written.
    """
    depth, height, width = shape
    # Plain writes, not a mapped file: where the disk is full these fail, that would kill us.
    with (
        written_whole(path, overwrite=True) as unfinished,
        unfinished.open("wb") as file,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()

        def write(rows: slice, values: np.ndarray) -> None:
            for z in range(depth):
                file.seek(start + 4 * (z * height + rows.start) * width)
                file.write(values[z].astype("<f4", order="C").tobytes())

        yield write


def is_saved(path: Path) -> bool:
    """Whether `save` finished."""
    return path.is_file()


def shape_of(path: Path) -> tuple[int, ...]:
    """Shape of a saved array."""
    return np.load(path, mmap_mode="r").shape


def load(path: Path, *, plane: int | None = None, rows: slice = EVERYTHING) -> np.ndarray:
    """A saved array [Z, Y, X], or some rows of it, or of one plane; the rest is not read."""
    array = np.load(path, mmap_mode="r")
    return np.array(array[:, rows] if plane is None else array[plane, rows])


def notes_of(path: Path) -> dict[str, Any]:
    """The notes that `save` wrote beside the array."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


_UNSAFE = re.compile(r"[^\w .+()-]")


def file_name_of(channel: str) -> str:
    """A channel's name as a part of file names: what those cannot hold is %-encoded."""
    return _UNSAFE.sub(lambda found: urllib.parse.quote(found[0], safe=""), channel)


def remove(folder: Path) -> None:
    """Removes a folder of arrays."""
    shutil.rmtree(folder, ignore_errors=True)
