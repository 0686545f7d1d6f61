"""Which well and condition a field belongs to, and what its cells are like together."""

import dataclasses
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from isl.data.tables import read_table
from isl.errors import InputError
from isl.labeling.dataset import load_manifest

Row = dict[str, Any]

# Of columns of cells, those that describe a population; others are places and numbers.
_PLACES = frozenset(
    "image well condition time minutes cell y x y_um x_um top left bottom right border "
    "orientation dead".split()
)
# Fewer wells give no interval.
_FEWEST_WELLS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Well:
    """Where a field was taken; "" where nothing says."""

    well: str = ""
    condition: str = ""


def read_wells(path: Path, names: Iterable[str]) -> dict[str, Well]:
    """Wells and conditions of fields.

    Args:
        path: A CSV with the columns `image` or `well`, and `well`, `condition` or both: a row a
            field, or a row a well. Or a dataset's manifest, whose groups are the wells.
        names: Of all fields that are measured.

    Returns:
        By field; by well, in a table of wells, see `well_of`.

    Raises:
        InputError: It cannot be read, names something twice, or a field is not in it.
    """
    if path.suffix == ".toml":
        groups = {
            field.name: Well(well=field.group, condition=field.condition)
            for field in load_manifest(path).fields
        }
        _check_all(path, names, groups)
        return groups
    rows = read_table(path)
    columns = list(rows[0]) if rows else []
    keys = [name for name in ("image", "well") if name in columns]
    if not keys or not {"well", "condition"} & set(columns):
        raise InputError(
            f"{path}: has the columns {', '.join(columns) or '(none)'}; give 'image' and 'well', "
            "with 'condition' if wanted, or 'well' and 'condition'"
        )
    key = keys[0]
    found: dict[str, Well] = {}
    for row in rows:
        if row[key] in found:
            raise InputError(f"{path}: {key} '{row[key]}' has two rows; keep one")
        found[row[key]] = Well(well=row.get("well", ""), condition=row.get("condition", ""))
    if key == "image":
        _check_all(path, names, found)
    return found


def _check_all(path: Path, names: Iterable[str], found: Mapping[str, Well]) -> None:
    for name in names:
        if name not in found:
            raise InputError(f"{path}: has no image '{name}'; add a row for it")


def well_of(name: str, place: str | None, table: Mapping[str, Well], source: Path | None) -> Well:
    """The well of a field: by its own name, by its place in a plate, or itself.

    Raises:
        InputError: A table of wells lacks the field's.
    """
    if name in table:
        return dataclasses.replace(table[name], well=table[name].well or place or name)
    if table:
        if place is None or place not in table:
            raise InputError(
                f"{source}: has no well '{place or name}', where the image {name} lies; add a row "
                "for it, or give a table with a column 'image'"
            )
        return table[place]
    return Well(well=place or name)


def described(columns: Sequence[str]) -> list[str]:
    """Of columns of cells, those whose distribution says something of a population.

    Where lengths and areas are known in micrometres, those in pixels are left out.
    """
    doubled = {name.removesuffix("_um") for name in columns if name.endswith("_um")}
    doubled |= {f"{name.removesuffix('_um2')}_pixels" for name in columns if name.endswith("_um2")}
    return [name for name in columns if name not in _PLACES | doubled]


def well_rows(cells: Sequence[Row], fields: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """One row a well, condition and time point.

    Args:
        cells: Rows of cells.
        fields: One row a field and time point, with `image`, `well`, `condition`, `time`,
            `minutes`, and its `mm2`; fields without cells, too.
        columns: Of the rows of cells.

    Returns:
        `cells` counts all; means and quartiles are of those that do not touch an edge.
    """
    rows = []
    place = operator.itemgetter("well", "condition", "time")
    by_well: dict[tuple[str, str, int], list[Row]] = {}
    for cell in cells:
        by_well.setdefault(place(cell), []).append(cell)
    own_fields: dict[tuple[str, str, int], list[Row]] = {}
    for field in fields:
        own_fields.setdefault(place(field), []).append(field)
    for (well, condition, time), own in own_fields.items():
        found = by_well.get((well, condition, time), [])
        areas = [field["mm2"] for field in own]
        area = None if None in areas else sum(areas)
        row: Row = {
            "well": well,
            "condition": condition,
            "time": time,
            "minutes": own[0]["minutes"],
            "images": len(own),
            "cells": len(found),
            "cells_per_mm2": len(found) / area if area else None,
        }
        if "dead" in columns:
            row["dead_share"] = np.mean([c["dead"] for c in found]) if found else None
        whole = [cell for cell in found if not cell["border"]]
        for name in described(columns):
            values = _known(cell[name] for cell in whole)
            row[f"{name}_mean"] = float(np.mean(values)) if len(values) else None
            for part, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75)):
                row[f"{name}_{part}"] = float(np.quantile(values, share)) if len(values) else None
        rows.append(row)
    return rows


def condition_rows(wells: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """One row a condition and time point: what wells have in common, a well counting as one.

    Args:
        wells: From `well_rows`.
        columns: Of the rows of cells.

    Returns:
        For each measure the mean of the wells' means, their deviation, and from three wells on the
        95 % interval of the mean by Student's t. Cells of one well are no repetitions of it.
    """
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in wells:
        groups.setdefault((row["condition"], row["time"]), []).append(row)
    rows = []
    for (condition, time), own in groups.items():
        row: Row = {
            "condition": condition,
            "time": time,
            "minutes": own[0]["minutes"],
            "wells": len(own),
            "cells": sum(each["cells"] for each in own),
        }
        measures = {"cells_per_mm2": "cells_per_mm2"}
        if "dead" in columns:
            measures["dead_share"] = "dead_share"
        measures |= {name: f"{name}_mean" for name in described(columns)}
        for name, column in measures.items():
            row |= _spread(name, _known(each[column] for each in own))
        rows.append(row)
    return rows


def _spread(name: str, values: np.ndarray) -> Row:
    count = len(values)
    mean = float(np.mean(values)) if count else None
    deviation = float(np.std(values, ddof=1)) if count > 1 else None
    low = high = None
    if mean is not None and deviation is not None and count >= _FEWEST_WELLS:
        half = float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
        low, high = mean - half, mean + half
    return {
        f"{name}_mean": mean,
        f"{name}_sd": deviation,
        f"{name}_low": low,
        f"{name}_high": high,
    }


def _known(values: Iterable[Any]) -> np.ndarray:
    return np.array([v for v in values if v is not None and math.isfinite(v)], float)
