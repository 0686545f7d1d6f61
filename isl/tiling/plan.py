"""The one plan of tiles: what a tile reads, what is cropped from it, and where that lands.

Rows and columns are planned separately, because a valid network treats them so. Beyond the image's
border a tile reads the image reflected, computed by index, so no padded copy is ever made.

A network that is exact under shifts by `step` only gives a pixel the same value whatever the tiles,
since all of them lie on one grid of `step` pixels that starts at the output's pixel (0, 0).
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from isl.errors import InputError
from isl.tiling.geometry import Geometry

Border = Literal["reflect", "valid"]
Stitch = Literal["dense", "exact"]
BORDERS: tuple[str, ...] = get_args(Border)
STITCHES: tuple[str, ...] = get_args(Stitch)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """The rows of a tile, or its columns.

    Attributes:
        read: First row of the input that the tile reads; outside the image where it is reflected.
        kept: int [n], rows of the tile's output that are used.
        lands: int [n], the rows of the whole output that they become.
    """

    read: int
    kept: np.ndarray
    lands: np.ndarray


Tile = tuple[Strip, Strip]
Window = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Tiles that follow each other, and the window of the image that holds all they read.

    Attributes:
        window: First row and the row after the last; the same of columns.
        tiles: In the plan's order.
    """

    window: Window
    tiles: tuple[Tile, ...]

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the window's first pixel."""
        return self.window[0][0], self.window[1][0]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TilePlan:
    """How an image is cut into tiles of one shape, and the output put together.

    Attributes:
        image_size: Y, X of the input.
        output_size: Y, X of the output.
        tile_size: Y, X of what every tile reads: one compiled program serves all of them.
        offset: Row and column of the input at which the output's pixel (0, 0) lies.
        rows: Every strip of rows.
        columns: Every strip of columns; each pair of strips is a tile.
    """

    image_size: tuple[int, int]
    output_size: tuple[int, int]
    tile_size: tuple[int, int]
    offset: int
    rows: tuple[Strip, ...]
    columns: tuple[Strip, ...]

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    def tiles(self) -> Iterator[Tile]:
        """Every tile, as its rows and its columns."""
        return itertools.product(self.rows, self.columns)

    def blocks(self, at_most: int | None = None) -> Iterator[Block]:
        """All tiles in order, as many together as read no more than `at_most` pixels.

        Args:
            at_most: None: no limit. A tile that reads more is a block of its own.
        """
        rows, columns = (
            [self._reads(strip, axis) for strip in strips]
            for axis, strips in enumerate((self.rows, self.columns))
        )
        gathered: list[Tile] = []
        window: Window = ((0, 0), (0, 0))
        for tile, own in zip(self.tiles(), itertools.product(rows, columns), strict=True):
            joint = _joined(window, own) if gathered else own
            if gathered and at_most is not None and _pixels(joint) > at_most:
                yield Block(window=window, tiles=tuple(gathered))
                gathered, joint = [], own
            gathered.append(tile)
            window = joint
        yield Block(window=window, tiles=tuple(gathered))

    def read(self, planes: np.ndarray, tile: Tile, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
        """What a tile reads, of the plan's tile size.

        Args:
            planes: [Z, Y, X], the image or a block's window of it.
            tile: One of this plan's tiles.
            corner: Row and column of the image at which `planes` begins.

        Returns:
            [y, x, Z].
        """
        rows, columns = (
            self._indices(strip, axis) - corner[axis] for axis, strip in enumerate(tile)
        )
        return np.moveaxis(planes[:, rows[:, None], columns], 0, -1)

    def write(self, output: np.ndarray, tile: Tile, values: np.ndarray) -> None:
        """Puts a tile's values where they belong.

        Args:
            output: The whole output [L, Y, X], changed in place.
            tile: One of this plan's tiles.
            values: The network's output for that tile, [y, x, L].
        """
        rows, columns = tile
        output[:, rows.lands[:, None], columns.lands] = kept(tile, values)

    def _indices(self, strip: Strip, axis: int) -> np.ndarray:
        """Rows (axis 0) or columns (axis 1) of the image that a strip reads."""
        return reflected(strip.read + np.arange(self.tile_size[axis]), self.image_size[axis])

    def _reads(self, strip: Strip, axis: int) -> tuple[int, int]:
        """The range that holds them."""
        indices = self._indices(strip, axis)
        return int(indices.min()), int(indices.max()) + 1


def kept(tile: Tile, values: np.ndarray) -> np.ndarray:
    """Of the network's output for a tile, [y, x, L], what is used: [L, rows, columns]."""
    rows, columns = tile
    return np.moveaxis(values[rows.kept[:, None], columns.kept], -1, 0)


def _joined(one: Window, other: Window) -> Window:
    """The smallest window that holds both."""
    rows, columns = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(one, other, strict=True))
    return rows, columns


def _pixels(window: Window) -> int:
    (top, bottom), (left, right) = window
    return (bottom - top) * (right - left)


def plan_tiles(
    geometry: Geometry,
    image_size: tuple[int, int],
    *,
    tile: int,
    border: Border = "reflect",
) -> TilePlan:
    """Plans how an image is covered.

    Args:
        geometry: Of the network.
        image_size: Y, X of the input.
        tile: The largest output width of a tile, in pixels; tiles are evened out below it.
        border: "reflect": the output has the input's size. "valid": it is smaller by what the
            network sees on both sides; the image reflected is then read only where a grid
            overhangs the edges.

    Raises:
        InputError: The image is too small for "valid", or the tile too narrow for the grid.
    """
    seen = geometry.margin - geometry.overhang
    offset = seen if border == "valid" else 0
    rows, columns = (size - 2 * offset for size in image_size)
    if min(rows, columns) < 1:
        raise InputError(
            f"an image of {image_size[0]} x {image_size[1]} pixels has no valid area: the network "
            f"needs more than {2 * seen} each way (take `border=reflect`)"
        )
    row_width, row_strips = _strips(geometry, rows, tile=tile, offset=offset)
    column_width, column_strips = _strips(geometry, columns, tile=tile, offset=offset)
    return TilePlan(
        image_size=image_size,
        output_size=(rows, columns),
        tile_size=(row_width, column_width),
        offset=offset,
        rows=row_strips,
        columns=column_strips,
    )


def _strips(
    geometry: Geometry, length: int, *, tile: int, offset: int
) -> tuple[int, tuple[Strip, ...]]:
    """Input width of the tiles, and the strips that cover an output of `length` pixels once."""
    step = geometry.step
    narrowest = geometry.output_size(geometry.input_size(step))
    if tile < narrowest:
        raise InputError(f"`tile={tile}`: this network's tiles are at least {narrowest} wide")
    widest = narrowest + (tile - narrowest) // step * step

    groups = -(-length // step)
    groups_at_most = groups if length <= widest else widest // step
    tiles = -(-groups // groups_at_most)
    groups_a_tile = -(-groups // tiles)
    stride = groups_a_tile * step
    strips = []
    for origin in range(0, length, stride):
        kept = np.arange(min(stride, length - origin))
        read = origin + offset - geometry.margin
        strips.append(Strip(read=read, kept=kept, lands=origin + kept))
    return geometry.input_size(min(stride, length)), tuple(strips)


def reflected(indices: np.ndarray, size: int) -> np.ndarray:
    """Indices into an axis reflected at both ends without end, as np.pad's "reflect" continues it.

    Args:
        indices: int [n], of any sign and size.
        size: Length of the axis; an axis of one pixel repeats it.
    """
    period = max(2 * (size - 1), 1)
    folded = np.mod(indices, period)
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(indices)
