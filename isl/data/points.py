"""Points that people or other programs set at cells: tables of Fiji, napari and CellProfiler."""

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isl.errors import InputError, unknown

# Fiji's counter of a person who chose none.
_FIRST = "0"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Centres of objects that one person marked in one image.

    Attributes:
        yx: float64 [N, 2], pixels; the centre of the first pixel is (0, 0).
        kinds: N words, such as "dead"; "" where the person said nothing.
    """

    yx: np.ndarray
    kinds: tuple[str, ...]

    def of_kind(self, kind: str) -> "Points":
        """The points of one kind."""
        chosen = [number for number, each in enumerate(self.kinds) if each == kind]
        return Points(yx=self.yx[chosen], kinds=(kind,) * len(chosen))


def joined_points(parts: Mapping[Path, Points], kind: str) -> Points:
    """Points that are of one kind, or of none; what is something else is not.

    Args:
        parts: By the table that they were read from.
        kind: It, in small letters; tables may have it in capitals.

    Raises:
        InputError: A kind is a counter of Fiji's other than the first, which all points have unless
            the person chose: nothing says what it counts.
    """
    kept = []
    for path, points in parts.items():
        for yx, word in zip(points.yx, points.kinds, strict=True):
            if word.isdecimal() and word != _FIRST:
                raise InputError(
                    f"{path}: has points of counter {word}, and nothing says whether these are "
                    f"{kind}; keep those that are in a table of their own, or name their kind"
                )
            if word.casefold() in ("", _FIRST, kind):
                kept.append((yx, word))
    places = np.array([yx for yx, _ in kept], np.float64).reshape(-1, 2)
    return Points(yx=places, kinds=tuple(word for _, word in kept))


class _Layout(NamedTuple):
    """How a program names its columns.

    Attributes:
        program: It.
        y: The row.
        x: The column.
        kind: What a point is; "" where it has no such column.
        one: A column that must say the same in every row, as each of its values is an image.
    """

    program: str
    y: str
    x: str
    kind: str = ""
    one: tuple[str, ...] = ()


# The first whose columns are there counts.
_LAYOUTS = (
    _Layout("isl", "y", "x", "kind"),
    _Layout("Fiji", "Y", "X", "Counter", ("Slice", "Frame")),
    _Layout("napari", "axis-1", "axis-2", "kind", ("axis-0",)),
    _Layout("napari", "axis-0", "axis-1", "kind"),
    _Layout("CellProfiler", "Location_Center_Y", "Location_Center_X", "", ("ImageNumber",)),
    _Layout("CellProfiler", "AreaShape_Center_Y", "AreaShape_Center_X", "", ("ImageNumber",)),
)
# Columns of tables that hold something else, and what.
_NO_POINTS = {"axis-3": "points in four axes", "vertex-index": "corners of shapes"}
# By column; cells beyond the last one by None.
_Row = dict[Any, Any]


def read_points(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    pixel: tuple[float, float] = (1.0, 1.0),
) -> Points:
    """Reads a CSV of points: columns y and x (and kind), or as a program writes them.

    Fiji's results have X and Y (and Counter, the kind), in pixels unless the image had a scale
    there; napari's points axis-0 and axis-1; CellProfiler's objects Location_Center_X and _Y.

    Args:
        path: The table; its first line names the columns.
        size: Of the image (Y, X) that points have to lie in; None: anywhere.
        pixel: What rows and columns are divided by to be pixels, such as the size of a pixel.

    Raises:
        InputError: It cannot be read, lacks a column, is of several images, holds something else,
            or a point is no number, lies outside of the image, or is there twice.
    """
    path = Path(path)
    columns, rows = _rows(path)
    layout = _layout(columns, path)
    _check_columns(layout, columns, rows, path)
    _check_one(layout, rows, path)
    places: dict[tuple[int, int], int] = {}
    yx: list[tuple[float, float]] = []
    kinds: list[str] = []
    for line, row in rows:
        y, x = (
            _number(row[axis], axis, path, line) / step
            for axis, step in zip((layout.y, layout.x), pixel, strict=True)
        )
        at = round(y), round(x)
        if size is not None and not (0 <= at[0] < size[0] and 0 <= at[1] < size[1]):
            raise InputError(
                f"{path}: line {line} marks y {y:g}, x {x:g}, outside of the image of "
                f"{size[0]} x {size[1]} pixels; are these pixels of this image?"
            )
        if at in places:
            raise InputError(
                f"{path}: line {line} marks the pixel of line {places[at]} again; keep one"
            )
        places[at] = line
        yx.append((y, x))
        kinds.append((row.get(layout.kind) or "").strip() if layout.kind else "")
    return Points(yx=np.array(yx, np.float64).reshape(-1, 2), kinds=tuple(kinds))


def _layout(columns: Sequence[str], path: Path) -> _Layout:
    for layout in _LAYOUTS:
        if layout.y in columns and layout.x in columns:
            return layout
    missing = "y" if "y" not in columns else "x"
    raise InputError(
        f"{path}: {unknown('column', missing, [name for name in columns if name])}; its first line "
        "has y,x, or what Fiji (X,Y), napari (axis-0,axis-1) or CellProfiler "
        "(Location_Center_X,Location_Center_Y) write"
    )


def _check_columns(
    layout: _Layout, columns: Sequence[str], rows: Sequence[tuple[int, _Row]], path: Path
) -> None:
    """That every cell has a column of its own, and that no column is one of other tables."""
    for column, what in _NO_POINTS.items():
        if column in columns:
            raise InputError(f"{path}: has {what} (column '{column}'); give points in y and x")
    for name in (layout.y, layout.x, layout.kind):
        if name and columns.count(name) > 1:
            raise InputError(f"{path}: has two columns '{name}'; keep one")
    for line, row in rows:
        if any(cell.strip() for cell in row.get(None) or ()):
            raise InputError(
                f"{path}: line {line} has more cells than there are columns; write decimals with a "
                "point, not a comma"
            )


def _check_one(layout: _Layout, rows: Sequence[tuple[int, _Row]], path: Path) -> None:
    for column in layout.one:
        values = list(dict.fromkeys((row.get(column) or "").strip() for _, row in rows))
        if len(values) > 1:
            raise InputError(
                f"{path}: has points of several images ({column} {values[0]}, {values[1]}, ...); "
                "give a table for each"
            )


def _rows(path: Path) -> tuple[list[str], list[tuple[int, _Row]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file of points") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV of points ({error})") from error
    return columns, rows


def _number(text: str | None, axis: str, path: Path, line: int) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: line {line} has {axis} '{text or ''}'; expected a number")
    return value
