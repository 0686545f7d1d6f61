"""The report on measured cells: wells and conditions, distributions, outlines of every field."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from isl.measure.record import PURPOSE, cell_rows, sentence
from isl.measure.wells import Row
from isl.report import (
    Block,
    Cell,
    facts,
    figure,
    folded,
    heading,
    notices,
    paragraph,
    records,
    results_page,
    table,
)

_HOW_TO_READ = (
    "Objects are parts of the nuclear label above Otsu's threshold, divided where they touch. "
    "Certainty is the share of an object's pixels that the predicted distributions expect to be "
    "foreground; areas have a range from what is foreground with 95 % to what is with 5 % "
    "probability. Intensities are shares of full scale. Means and distributions leave out cells "
    "that touch an edge; counts do not. Conditions compare wells, one well counting as one, as "
    "cells of a well are no repetitions of it."
)
_MOST_FIELDS = 24


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldPictures:
    """One field that was measured: its record, and its outlines as a PNG."""

    made: Mapping[str, Any]
    outlines: bytes


def measure_page(
    fields: Sequence[FieldPictures],
    failed: Mapping[str, str],
    *,
    wells: Sequence[Row],
    conditions: Sequence[Row],
    distributions: bytes | None,
) -> str:
    """The report as HTML.

    Args:
        fields: At least one, in order.
        failed: What was wrong with fields that could not be measured, by name.
        wells: Rows of wells.csv.
        conditions: Rows of conditions.csv.
        distributions: A PNG; None where there is no cell.
    """
    nuclei = fields[0].made["nuclei"]
    shown = fields[:_MOST_FIELDS]
    left = len(fields) - len(shown)
    return results_page(
        "Cells",
        [
            _population("Wells", "well", wells, nuclei, "mean"),
            _population("Conditions", "condition", conditions, nuclei, "mean")
            if any(row["condition"] for row in conditions)
            else paragraph(""),
            paragraph(_HOW_TO_READ),
            *([] if distributions is None else [_distributions(distributions)]),
            paragraph(
                f"{left} more fields are not shown here; their outlines are beside this report."
                if left
                else ""
            ),
        ],
        [block for field in shown for block in _of_field(field)],
        command="isl measure",
        purpose=PURPOSE,
        failed=failed,
        card="",
    )


def _distributions(png: bytes) -> Block:
    return figure(png, alt="Distributions of measures over cells", wide=True)


def _population(title: str, what: str, rows: Sequence[Row], nuclei: str, statistic: str) -> Block:
    """The last time point of every well, by its conditions, or of every condition."""
    last = {(row[what], row["condition"]): row for row in rows}
    area = "area_um2" if any(f"area_um2_{statistic}" in row for row in rows) else "area_pixels"
    columns = {
        title[:-1]: lambda row: row[what] or "(none)",
        **(
            {"Condition": lambda row: row["condition"] or "(none)"}
            if what == "well" and any(row["condition"] for row in rows)
            else {}
        ),
        "Images" if what == "well" else "Wells": lambda row: row.get("images", row.get("wells")),
        "Cells": lambda row: row["cells"],
        "Cells a mm2": lambda row: _shown(
            row.get("cells_per_mm2", row.get("cells_per_mm2_mean")), 1
        ),
        **(
            {"Dead": lambda row: _shown(row.get("dead_share", row.get("dead_share_mean")), 3)}
            if any("dead_share" in row or "dead_share_mean" in row for row in rows)
            else {}
        ),
        f"Mean area ({'um2' if area == 'area_um2' else 'pixels'})": lambda row: _with_interval(
            row, area, 1
        ),
        f"Mean {nuclei}": lambda row: _with_interval(row, nuclei, 3),
        "Mean certainty": lambda row: _with_interval(row, "certainty", 3),
    }
    return records(last.values(), columns, caption=f"{title}, last time point")


def _with_interval(row: Row, name: str, digits: int) -> str:
    text = _shown(row.get(f"{name}_mean"), digits)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    if low is None or high is None:
        return text
    return f"{text} ({_shown(low, digits)} to {_shown(high, digits)})"


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _of_field(field: FieldPictures) -> list[Block]:
    made = field.made
    name = made["image"]
    return [
        heading(name, anchor=name),
        paragraph(sentence(made).capitalize() + "."),
        notices(made["warnings"]),
        figure(field.outlines, alt=f"Outlines of the cells of {name}", wide=True),
        folded(f"How {name} was measured", [facts(_facts(made))]),
        folded(f"Least certain cells of {name}", [_least_certain(made)]),
    ]


def _least_certain(made: Mapping[str, Any]) -> Block:
    cells = [cell for cell in cell_rows(made) if cell.get("certainty") is not None]
    cells.sort(key=lambda cell: cell["certainty"])
    columns = ("time", "cell", "y", "x", "area_pixels", "certainty")
    rows: list[list[Cell]] = [[cell[column] for column in columns] for cell in cells[:10]]
    return table(columns, rows) if rows else paragraph("")


def _facts(made: Mapping[str, Any]) -> dict[str, Cell]:
    source, size = made["input"], made["pixel_size"]
    return {
        "Input": f"{source['path']} ({' x '.join(map(str, source['shape']))})",
        "Predicted by": made["model"]["name"] or "nothing: images as they are",
        "Images used": ", ".join(made["statistics"]),
        "Nuclei": made["nuclei"],
        "Dead cells": made["dead"] or "no label",
        "Pixel size": "not known" if size is None else f"{size[0]:g} um",
        "Settings": ", ".join(f"{key} {value}" for key, value in made["settings"].items()),
        "Computed": f"{made['finished']} in {made['seconds']:.1f} s",
        "Versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
    }
