"""One channel of a field put together on its canvas: stages 6 and 7, band of rows by band."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from isl.preprocess import scratch
from isl.preprocess.stages.canvas import Canvas, blend_rows
from isl.preprocess.stages.gains import overlap_ratio, solve_gains
from isl.preprocess.stages.projection import project

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
        gains: What each tile is divided by.
    """

    files: tuple[Path, ...]
    canvas: Canvas
    file: Path
    percentile: float | None
    gains: tuple[float, ...]


def put_together(work: Work) -> None:
    """Blends the tiles of a channel and, where asked, projects them along z."""
    if scratch.is_saved(work.file):
        return
    height, width = work.canvas.size
    read = functools.partial(_read, work)
    planes = 1 if work.percentile is not None else scratch.shape_of(work.files[0])[0]
    with scratch.saved_in_bands(work.file, (planes, height, width)) as write:
        for rows in bands(height):
            values, _ = blend_rows(work.canvas, rows, read)
            if work.percentile is not None:
                values = project(values, work.percentile)[None]
            write(rows, values)


def _read(work: Work, tile: int, rows: slice) -> np.ndarray:
    counts = scratch.load(work.files[tile], rows=rows)
    return counts if work.gains[tile] == 1 else counts / np.float32(work.gains[tile])


def measure_gains(
    files: Sequence[Path],
    canvas: Canvas,
    pairs: Sequence[tuple[int, int]],
    *,
    fluorescence: bool,
) -> tuple[float, ...]:
    """How much brighter than the others each tile of a channel is, by its middle plane.

    Args:
        files: float32 [Z, y, x] of each tile.
        canvas: Where they lie.
        pairs: Neighbours.
        fluorescence: Whether the channel is fluorescence.
    """
    middle = scratch.shape_of(files[0])[0] // 2
    ratios = []
    for i, j in pairs:
        y, x = (int(n) for n in canvas.origins[j] - canvas.origins[i])
        first, second = (scratch.load(files[tile], plane=middle) for tile in (i, j))
        ratios.append(overlap_ratio(first, second, (y, x), pair=(i, j), fluorescence=fluorescence))
    return tuple(float(gain) for gain in solve_gains(len(files), ratios))


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
