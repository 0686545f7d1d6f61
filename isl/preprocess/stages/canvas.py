"""Tiles at their positions, blended into one picture, a band of rows at a time."""

import dataclasses
from collections.abc import Callable

import numpy as np

from isl.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """Where every tile goes.

    Attributes:
        size: Rows and columns of the whole.
        tile: Rows and columns of every tile.
        origins: int64 [n, 2], row and column of each tile's first pixel; the smallest are 0.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    origins: np.ndarray


def plan_canvas(positions: np.ndarray, size: tuple[int, int]) -> Canvas:
    """The smallest canvas that holds all tiles, each moved to the nearest whole pixel.

    Positions are known to a fraction of a pixel, yet a tile moved by a fraction would have to be
    interpolated, which blurs it and correlates its noise, by an amount that differs from tile to
    tile: a network would learn to recognize the tiles. Half a pixel of misfit is less than what
    the optics resolve, and the camera's pixels stay what they were.

    Args:
        positions: float [n, 2], row and column of each tile's first pixel, pixels.
        size: Rows and columns of every tile.

    Raises:
        InputError: There is no tile, or a position is not finite.
    """
    positions = np.asarray(positions, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
        raise InputError(
            f"positions have shape {positions.shape}; give [n, 2] of at least one tile"
        )
    if not np.isfinite(positions).all():
        tile = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise InputError(f"the position of tile {tile} is not finite; give its row and column")
    origins = np.rint(positions - positions.min(axis=0)).astype(np.int64)
    rows, columns = (int(extent) for extent in origins.max(axis=0) + size)
    return Canvas(size=(rows, columns), tile=size, origins=origins)


def blend_rows(
    canvas: Canvas, rows: slice, read: Callable[[int, slice], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of the canvas: where tiles overlap, their mean weighted by distance.

    A pixel's weight is its distance to the nearest edge of its tile, in pixels, 1 at the edge: a
    tile fades in from its edge, and one that ends does not leave a seam. Sums are float64 and
    weights whole numbers, so products and sums are exact: one tile alone comes back as it is,
    equal tiles give what they hold, and how the rows are cut into bands changes nothing.

    Args:
        canvas: Where the tiles go.
        rows: Which rows of the canvas; the memory taken is about 20 bytes a pixel and plane.
        read: Gives rows of a tile, [y, X] or [Z, y, X], by the tile's number and a slice of its
            rows; called once for every tile that has any of `rows`.

    Returns:
        float32 [rows, X] or [Z, rows, X], 0 where no tile lies, in the tiles' unit; and bool
        [rows, X], where one does.

    Raises:
        InputError: A tile gives another number of rows or columns than it should.
    """
    start, stop, _ = rows.indices(canvas.size[0])
    count = max(0, stop - start)
    height, width = canvas.tile
    weights = np.zeros((count, canvas.size[1]))
    values: np.ndarray | None = None
    for tile, (top, left) in enumerate(canvas.origins.tolist()):
        first, last = max(start, top), min(stop, top + height)
        if first >= last:
            continue
        part = slice(first - top, last - top)
        pixels = _checked(read(tile, part), tile, (last - first, width))
        if values is None:
            values = np.zeros((*pixels.shape[:-2], *weights.shape))
        weight = _distance(canvas.tile, part)
        here = (slice(first - start, last - start), slice(left, left + width))
        values[(..., *here)] += pixels * weight
        weights[here] += weight
    covered = weights > 0
    if values is None:
        # Only a tile knows how many planes there are.
        planes = np.shape(read(0, slice(0, 1)))[:-2] if len(canvas.origins) else ()
        return np.zeros((*planes, *weights.shape), np.float32), covered
    np.divide(values, weights, out=values, where=covered)
    return values.astype(np.float32), covered


def _distance(size: tuple[int, int], rows: slice) -> np.ndarray:
    """float64 [rows, X]: pixels to the nearest edge of a tile, counted from 1 at the edge."""
    down, right = (np.minimum(np.arange(n) + 1, np.arange(n, 0, -1)) for n in size)
    return np.minimum.outer(down[rows], right).astype(np.float64)


def _checked(pixels: np.ndarray, tile: int, size: tuple[int, int]) -> np.ndarray:
    """The pixels, if they are rows of a tile."""
    if pixels.ndim not in (2, 3) or pixels.shape[-2:] != size:
        raise InputError(
            f"tile {tile} gave pixels of shape {pixels.shape} where {size[0]} x {size[1]} belong; "
            "all tiles of a field have one size"
        )
    return pixels
