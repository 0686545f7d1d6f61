"""The TOML table `layout`: where raw tiles are, what their names say, and where they belong.

[layout]
root = "${ISL_DATA}/plate7"
pattern = "{well}/{field}_{row}_{col}_z{z}_{channel}.tif"
channels = { w1 = "PHASE_CONTRAST", w2 = "DAPI" }
overlap = 0.1
"""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import pydantic

from isl.config import Config
from isl.errors import InputError
from isl.imaging.formats.axes import parse_axes
from isl.preprocess.layout.pattern import Pattern, parse_pattern

WITHIN_FIELD = ("row", "col", "tile", "z", "channel", "exposure")
"""Parts that name something within a field; every other part names the field."""

Order = Literal["grid", "row", "column", "snake_row", "snake_column"]


def _several(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _pair(given: Any) -> Any:
    return (given, given) if isinstance(given, int | float) else given


class LayoutConfig(Config):
    """Where the tiles of a set are.

    Attributes:
        root: Folder of the set, relative to the configuration's file; ${NAME} is an environment
            variable.
        pattern: Paths of the files below the root, see `isl.preprocess.layout.pattern`. Known parts
            are row, col (numbers or letters) or tile; z (a number), channel and exposure; all
            others name the field. Of several patterns the first that a file matches counts.
        axes: What the dimensions of the TIFFs are, e.g. "ZYX", where they do not say.
        field: Parts that together name a field; None: all that do not stand for something within.
        group: Parts that name the group, the unit that stays on one side of train, validation and
            test; None: the well, where the pattern has one, or else the field.
        channels: What the files say (the part {channel}, the name of a channel in a file, or its
            number, from "0") to our names; others are left out. Empty: all, as the files say.
        images: What the images of a file that holds several (.nd2, .czi, .lif) are.
        order: How tile numbers run over the grid, where there is no row and col.
        rows: Rows of the grid; None: as many as the names or numbers say.
        columns: Columns of the grid; None: as many as the names or numbers say.
        first_tile: The number of the first tile; None: 0 or 1, as the numbers say.
        start: Corner of the first tile, or of row and col 0.
        overlap: Of neighbouring tiles: below 1 a share of the tile, from 1 on raw pixels; one
            number, or one along y and one along x.
        positions: "grid"; "stage": where the files say that the stage stood; or the name of a CSV
            below the root with columns y_px and x_px, or y_um and x_um, and either file, or tile,
            or row and col; columns named like parts of the field distinguish fields.
        stage_direction: 1 where the stage's numbers, or the CSV's, grow with the image's rows
            (first) and columns (second), -1 where they shrink.
        stage_swapped: Whether what the stage or the CSV calls y runs along the image's columns.
        z_unit: What the numbers z are; None: micrometres where they have decimals.
    """

    root: str = "."
    pattern: Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)]
    axes: str | None = None
    field: tuple[str, ...] | None = None
    group: Annotated[tuple[str, ...] | None, pydantic.BeforeValidator(_several)] = None
    channels: dict[str, str] = pydantic.Field(default_factory=dict)
    images: Literal["tiles", "fields"] = "tiles"
    order: Order = "grid"
    rows: pydantic.PositiveInt | None = None
    columns: pydantic.PositiveInt | None = None
    first_tile: pydantic.NonNegativeInt | None = None
    start: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = "top_left"
    overlap: (
        Annotated[
            tuple[pydantic.NonNegativeFloat, pydantic.NonNegativeFloat],
            pydantic.BeforeValidator(_pair),
        ]
        | None
    ) = None
    positions: str = "grid"
    stage_direction: tuple[Literal[-1, 1], Literal[-1, 1]] = (1, 1)
    stage_swapped: bool = False
    z_unit: Literal["plane", "um"] | None = None

    @pydantic.field_validator("pattern")
    @classmethod
    def _patterns_parse(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not texts:
            raise ValueError('is empty; give e.g. "{well}_{row}_{col}_{channel}.tif"')
        for text in texts:
            parse_pattern(text)
        return texts

    @pydantic.field_validator("axes")
    @classmethod
    def _axes_parse(cls, axes: str | None) -> str | None:
        try:
            return None if axes is None else parse_axes(axes)
        except InputError as error:
            raise ValueError(f"{axes}: {str(error).partition(': ')[2]}") from error

    @pydantic.field_validator("positions")
    @classmethod
    def _positions_are_known(cls, positions: str) -> str:
        if positions not in ("grid", "stage") and PurePosixPath(positions).suffix != ".csv":
            raise ValueError('is neither "grid" nor "stage" nor a .csv file')
        return positions

    @pydantic.model_validator(mode="after")
    def _parts_fit(self) -> "LayoutConfig":
        for pattern in self.patterns():
            for part in self.field_parts():
                if part not in pattern.parts:
                    raise ValueError(
                        f"pattern '{pattern.text}' lacks {{{part}}}, which names the field"
                    )
            placing = set(pattern.parts) & {"row", "col", "tile"}
            if placing != self.placing_parts():
                raise ValueError("row, col and tile must stand in all patterns or in none")
            unused = set(pattern.parts) - {*WITHIN_FIELD, *self.field_parts()}
            if unused:
                raise ValueError(
                    f"part '{sorted(unused)[0]}' of the pattern is not among 'field'; add it, or "
                    "write * in its place"
                )
        for part in self.group or ():
            if part not in self.field_parts():
                raise ValueError(f"group: '{part}' is no part that names the field")
        return self

    @pydantic.model_validator(mode="after")
    def _grid_is_said_once(self) -> "LayoutConfig":
        placing = self.placing_parts()
        if "tile" in placing and len(placing) > 1:
            raise ValueError("the pattern has {tile} beside row or col; write * for one of them")
        if placing - {"tile"} and self.order != "grid":
            raise ValueError(f'order "{self.order}" is for patterns with {{tile}}')
        if placing == {"tile"} and self.positions == "grid":
            if self.order == "grid":
                raise ValueError('order is missing for {tile}: give e.g. order = "snake_row"')
            if self.rows is None and self.columns is None:
                raise ValueError("columns (or rows) is missing: how wide is the grid of tiles?")
        if placing and self.positions == "grid" and self.overlap is None:
            raise ValueError("overlap is missing; give e.g. overlap = 0.1, or 300 for pixels")
        return self

    def patterns(self) -> tuple[Pattern, ...]:
        """The patterns, ready to match."""
        return tuple(parse_pattern(text) for text in self.pattern)

    def field_parts(self) -> tuple[str, ...]:
        """Parts that together name a field."""
        if self.field is not None:
            return self.field
        first = parse_pattern(self.pattern[0])
        return tuple(part for part in first.parts if part not in WITHIN_FIELD)

    def group_parts(self) -> tuple[str, ...]:
        """Parts that name the group."""
        if self.group is not None:
            return self.group
        return ("well",) if "well" in self.field_parts() else self.field_parts()

    def placing_parts(self) -> set[str]:
        """Those of row, col and tile that the pattern has."""
        return set(parse_pattern(self.pattern[0]).parts) & {"row", "col", "tile"}
