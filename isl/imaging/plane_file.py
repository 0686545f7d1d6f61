"""Planes in a file of their own while they are made: written by blocks, read by windows.

Plain reads and writes and no memory map: mapped pages would count as memory in use, and a disk that
fills would end the process instead of raising an error.
"""

import os
import tempfile
from pathlib import Path

import numpy as np


class PlaneFile:
    """Planes of one size and type on disk; to be used with `with`, from one thread at a time.

    Attributes:
        shape: Planes, Y, X.
        dtype: Of the pixels.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], dtype: np.dtype | str) -> None:
        """A new file without a name, so that nothing of it stays, whatever happens.

        Args:
            folder: On the disk that has room for it.
            shape: Planes, Y, X; pixels are 0 until they are written.
            dtype: Of the pixels.
        """
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)

    def write(self, plane: int, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        """Writes pixels of one plane.

        Args:
            plane: Its index.
            rows: int [n].
            columns: int [m], increasing; where some are left out, those keep what they hold.
            values: [n, m], converted to the file's type.
        """
        first, last = int(columns[0]), int(columns[-1])
        complete = last - first + 1 == len(columns)
        stored = np.ascontiguousarray(values, self.dtype)
        for row, pixels in zip(rows, stored, strict=True):
            line = pixels
            if not complete:
                line = self.read(plane, slice(row, row + 1), slice(first, last + 1))[0]
                line[columns - first] = pixels
            self._write_at(self._place(plane, int(row), first), line)

    def read(self, plane: int, rows: slice, columns: slice) -> np.ndarray:
        """A window [y, x] of one plane; slices of step 1."""
        top, bottom, _ = rows.indices(self.shape[1])
        left, right, _ = columns.indices(self.shape[2])
        window = np.zeros((bottom - top, right - left), self.dtype)
        if right - left == self.shape[2]:
            self._read_at(self._place(plane, top, 0), window)
        else:
            for row, line in enumerate(window, top):
                self._read_at(self._place(plane, row, left), line)
        return window

    def __enter__(self) -> "PlaneFile":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Lets go of the file, which is no more."""
        self._file.close()

    def _place(self, plane: int, row: int, column: int) -> int:
        return ((plane * self.shape[1] + row) * self.shape[2] + column) * self.dtype.itemsize

    def _write_at(self, place: int, line: np.ndarray) -> None:
        left = line.data.cast("B")
        while left:
            written = os.pwrite(self._file.fileno(), left, place)
            left, place = left[written:], place + written

    def _read_at(self, place: int, window: np.ndarray) -> None:
        """Fills `window`; what lies beyond the end of the file was never written and is 0."""
        left = window.data.cast("B")
        while left and (taken := os.preadv(self._file.fileno(), [left], place)):
            left, place = left[taken:], place + taken
