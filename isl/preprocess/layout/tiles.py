"""Where the tiles of a field belong: their place in the grid, and their nominal positions."""

import csv
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isl.errors import InputError
from isl.preprocess.layout.config import LayoutConfig
from isl.preprocess.stages.orientation import Orientation

Position = tuple[float, float]
"""(y, x) of a tile's first pixel, in raw pixels."""


class TileKey(NamedTuple):
    """What distinguishes a tile from the others of its field; all None for the only one.

    Attributes:
        row: Its row, as its name says it (letters count from A = 0).
        column: Its column.
        number: Its number.
        text: What its name says, where that is no number.
    """

    row: int | None = None
    column: int | None = None
    number: int | None = None
    text: str | None = None

    @property
    def name(self) -> str:
        """E.g. "r0-c2", "7", or "tile" for the only one."""
        places = (("r", self.row), ("c", self.column))
        said = [f"{letter}{place}" for letter, place in places if place is not None]
        if said:
            return "-".join(said)
        if self.number is not None:
            return str(self.number)
        return self.text or "tile"


class Grid(NamedTuple):
    """The grid of a set.

    Attributes:
        places: Row and column of each tile, counted from the top left, from 0.
    """

    places: Mapping[TileKey, tuple[int, int]]


def tile_key(parts: Mapping[str, str], path: str) -> TileKey:
    """The tile that a path's parts mean.

    Raises:
        InputError: A row or column is neither a number nor letters.
    """
    row, column = (
        _place(parts[part], part, path) if parts.get(part) is not None else None
        for part in ("row", "col")
    )
    if row is not None or column is not None:
        return TileKey(row=row, column=column)
    text = parts.get("tile")
    if text is None:
        return TileKey()
    return TileKey(number=int(text)) if text.isdecimal() else TileKey(text=text)


def grid_of(config: LayoutConfig, keys: Collection[TileKey]) -> Grid:
    """The grid that all tiles which any field of the set should have lie on.

    Args:
        config: The layout.
        keys: Every tile that some field of the set has.

    Raises:
        InputError: A tile's name is no number, or more than the grid's.
    """
    if any(key.row is not None or key.column is not None for key in keys):
        return _named_grid(config, keys)
    if config.positions != "grid" or all(key == TileKey() for key in keys):
        return Grid(places={})
    return _numbered_grid(config, keys)


def nominal_positions(
    config: LayoutConfig, grid: Grid, size: tuple[int, int]
) -> dict[TileKey, Position]:
    """Positions of all tiles of a grid, from the tiles' size (Y, X) and overlap.

    Raises:
        InputError: Tiles would overlap wholly.
    """
    overlap = config.overlap or (0.0, 0.0)
    steps = []
    for length, shared in zip(size, overlap, strict=True):
        pixels = shared * length if shared < 1 else shared
        if pixels >= length:
            raise InputError(
                f"layout.overlap: {shared:g} pixels is all of a tile ({size[0]} x {size[1]})"
            )
        steps.append(length - pixels)
    return {key: (row * steps[0], column * steps[1]) for key, (row, column) in grid.places.items()}


def stage_position(
    config: LayoutConfig, stage: tuple[float, float], pixel_size: tuple[float, float] = (1, 1)
) -> Position:
    """Raw pixels of a position on the stage (y, x), up to what all tiles share.

    Args:
        config: Which way the stage's numbers run.
        stage: In micrometres, or in pixels.
        pixel_size: Micrometres along the image's rows and columns; 1 for pixels.
    """
    place = Orientation(swapped=config.stage_swapped, direction=config.stage_direction).applied(
        np.array(stage, np.float64)
    )
    return float(place[0] / pixel_size[0]), float(place[1] / pixel_size[1])


def _place(text: str, part: str, path: str) -> int:
    if text.isdecimal():
        return int(text)
    if re.fullmatch(r"[A-Za-z]{1,2}", text):
        value = 0
        for letter in text.upper():
            value = value * 26 + ord(letter) - ord("A") + 1
        return value - 1
    raise InputError(f"{path}: {part} '{text}' is neither a number nor letters; check the pattern")


def _named_grid(config: LayoutConfig, keys: Collection[TileKey]) -> Grid:
    rows, columns = ([getattr(key, axis) or 0 for key in keys] for axis in ("row", "column"))
    top, left = min(rows), min(columns)
    height = max(config.rows or 0, max(rows) - top + 1)
    width = max(config.columns or 0, max(columns) - left + 1)
    no_rows = all(key.row is None for key in keys)
    no_columns = all(key.column is None for key in keys)
    places = {
        TileKey(
            row=None if no_rows else row + top, column=None if no_columns else column + left
        ): _from_corner(config, row, column, height, width)
        for row in range(height)
        for column in range(width)
    }
    return Grid(places=places)


def _numbered_grid(config: LayoutConfig, keys: Collection[TileKey]) -> Grid:
    for key in keys:
        if key.number is None:
            raise InputError(
                f"layout.pattern: tile '{key.name}' is no number; say where tiles lie with "
                "layout.positions"
            )
    numbers = [key.number for key in keys if key.number is not None]
    if config.order == "grid" or (config.rows is None and config.columns is None):
        raise InputError('layout: tiles have numbers; give order, e.g. "snake_row", and columns')
    if config.overlap is None:
        raise InputError("layout.overlap is missing; give e.g. overlap = 0.1, or 300 for pixels")
    first = config.first_tile
    if first is None:
        first = 0 if min(numbers) == 0 else 1
    count = max(numbers) - first + 1
    rows = config.rows or math.ceil(count / (config.columns or 1))
    columns = config.columns or math.ceil(count / rows)
    if count > rows * columns or min(numbers) < first:
        raise InputError(
            f"layout: tiles are numbered {min(numbers)} to {max(numbers)}, but the grid has "
            f"{rows} rows and {columns} columns from tile {first} on"
        )
    if config.rows is not None and config.columns is not None:
        count = rows * columns
    places = {}
    for index in range(count):
        row, column = _ordered(config.order, index, rows, columns)
        key = TileKey(number=first + index)
        places[key] = _from_corner(config, row, column, rows, columns)
    return Grid(places=places)


def _ordered(order: str, index: int, rows: int, columns: int) -> tuple[int, int]:
    """Row and column of the tile that comes `index` tiles after the first."""
    by_row = order.endswith("row")
    line, along = divmod(index, columns if by_row else rows)
    if order.startswith("snake") and line % 2:
        along = (columns if by_row else rows) - 1 - along
    return (line, along) if by_row else (along, line)


def _from_corner(
    config: LayoutConfig, row: int, column: int, rows: int, columns: int
) -> tuple[int, int]:
    if config.start.startswith("bottom"):
        row = rows - 1 - row
    if config.start.endswith("right"):
        column = columns - 1 - column
    return row, column


class _Row(NamedTuple):
    field: tuple[str, ...]
    tile: TileKey | None
    file: str | None


class PositionTable:
    """The CSV that says where tiles lie."""

    def __init__(self, path: Path, config: LayoutConfig) -> None:
        """Reads the table.

        Args:
            path: The CSV.
            config: The layout, for the names of the parts of a field.

        Raises:
            InputError: It cannot be read, lacks columns, or a number is none or there twice.
        """
        self.path = path
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, skipinitialspace=True)
                self._columns = tuple(name.strip() for name in reader.fieldnames or ())
                reader.fieldnames = list(self._columns)
                rows = list(reader)
        except FileNotFoundError as error:
            raise InputError(f"{path}: there is no such file (layout.positions)") from error
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: cannot be read as a CSV ({error})") from error
        self.in_micrometres = self._unit()
        parts = config.field_parts()
        self._field_parts = tuple(part for part in parts if part in self._columns)
        self._indices = [parts.index(part) for part in self._field_parts]
        self._positions: dict[_Row, Position] = {}
        for number, row in enumerate(rows, 2):
            key = self._key(row, number)
            if key in self._positions:
                raise InputError(f"{path}: line {number} says again where a tile lies")
            self._positions[key] = self._position(row, number)

    def position(
        self, field: tuple[str, ...], tile: TileKey, files: Collection[str]
    ) -> Position | None:
        """Where a tile lies, in the table's unit; None where no line says it.

        Args:
            field: Values of the parts that name the field.
            tile: The tile.
            files: Paths of its files, relative to the root.

        Raises:
            InputError: Lines about several of its files differ.
        """
        if "file" not in self._columns:
            said = tuple(_plain(field[index]) for index in self._indices)
            return self._positions.get(_Row(said, tile, None))
        found = {
            self._positions[key]
            for file in files
            if (key := _Row((), None, file)) in self._positions
        }
        if len(found) > 1:
            raise InputError(f"{self.path}: has several positions for the files of one tile")
        return next(iter(found), None)

    def _unit(self) -> bool:
        for unit in ("um", "px"):
            if {f"y_{unit}", f"x_{unit}"} <= set(self._columns):
                break
        else:
            raise InputError(
                f"{self.path}: lacks the columns y_px and x_px, or y_um and x_um (it has "
                f"{', '.join(self._columns) or 'none'})"
            )
        if not {"file", "tile", "row", "col"} & set(self._columns):
            raise InputError(
                f"{self.path}: lacks a column that names tiles: file, tile, or row, col"
            )
        return unit == "um"

    def _key(self, row: Mapping[str, str | None], number: int) -> _Row:
        said = {name: (row.get(name) or "").strip() for name in self._columns}
        if "file" in said:
            return _Row((), None, said["file"].replace("\\", "/").removeprefix("./"))
        where = f"{self.path}: line {number}"
        placing = {part: said[part] for part in ("row", "col", "tile") if part in said}
        field = tuple(_plain(said[part]) for part in self._field_parts)
        return _Row(field, tile_key(placing, where), None)

    def _position(self, row: Mapping[str, str | None], number: int) -> Position:
        unit = "um" if self.in_micrometres else "px"
        try:
            y, x = (float(row[f"{axis}_{unit}"] or "") for axis in "yx")
        except ValueError as error:
            raise InputError(f"{self.path}: line {number}: {error}") from error
        if not (math.isfinite(y) and math.isfinite(x)):
            raise InputError(f"{self.path}: line {number}: a position is not finite")
        return y, x


def _plain(text: str) -> str:
    """Numbers without leading zeros, so that a table saved by a spreadsheet still fits."""
    return str(int(text)) if text.isdecimal() else text
