"""One channel of a field put together on its canvas: stages 6 and 7, band of rows by band."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isl.preprocess import scratch
from isl.preprocess.canvas import Canvas, blend_rows
from isl.preprocess.projection import project

# Rows that are in memory at once: few enough for 15 planes of a wide canvas, and enough that tiles
# are not read over and over.
ROWS = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A channel to put together.

    Attributes:
        files: float32 [Z, y, x] of each tile.
        canvas: Where they belong.
        file: Where the result goes: float32 [Z, Y, X], or [1, Y, X] where it is projected.
        percentile: Of the intensities over z; None: all planes are kept.
    """

    files: tuple[Path, ...]
    canvas: Canvas
    file: Path
    percentile: float | None


def put_together(work: Work) -> None:
    """Blends the tiles of a channel and, where asked, projects them along z."""
    if scratch.is_saved(work.file):
        return
    height, width = work.canvas.size
    read = functools.partial(_read, work.files)
    planes = 1 if work.percentile is not None else scratch.shape_of(work.files[0])[0]
    with scratch.saved_in_bands(work.file, (planes, height, width)) as write:
        for rows in bands(height):
            values, _ = blend_rows(work.canvas, rows, read)
            if work.percentile is not None:
                values = project(values, work.percentile)[None]
            write(rows, values)


def _read(files: tuple[Path, ...], tile: int, rows: slice) -> np.ndarray:
    return scratch.load(files[tile], rows=rows)


def covered_by_tiles(canvas: Canvas) -> np.ndarray:
    """Where any tile lies: bool [Y, X]."""
    covered = np.zeros(canvas.size, bool)
    height, width = canvas.tile
    for y, x in canvas.origins:
        covered[y : y + height, x : x + width] = True
    return covered


def bands(height: int) -> Iterator[slice]:
    """Rows that are worked on at once, one band after the other."""
    for start in range(0, height, ROWS):
        yield slice(start, min(start + ROWS, height))
