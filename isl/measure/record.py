"""What is written of every field: its record, and the rows of the tables that are made from it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import as_options
from isl.files.provenance import made_by
from isl.imaging.outputs.results import ResultFiles
from isl.imaging.times import minutes_at
from isl.measure.objects import Columns
from isl.measure.sources import OpenedSource, Source
from isl.measure.wells import Row, Well

PURPOSE = "For research only. Predicted fluorescence is no measurement."
# Columns of lengths and areas in pixels, and what they are called in micrometres.
_LENGTHS = {
    "y": "y_um",
    "x": "x_um",
    "diameter": "diameter_um",
    "perimeter": "perimeter_um",
    "major_axis": "major_axis_um",
    "minor_axis": "minor_axis_um",
    "nearest": "nearest_um",
}
_AREAS = {name: f"{name}_um2" for name in ("area", "area_low", "area_high")}
_DIGITS = 6


def files_of(folder: Path, name: str) -> ResultFiles:
    """The files of a field: label image, outlines, record."""
    return ResultFiles(
        images={"cells": folder / f"{name}.ome.tif"},
        preview=folder / f"{name}.outlines.png",
        record=folder / f"{name}.json",
    )


def record(
    source: Source,
    opened: OpenedSource,
    columns: Columns,
    *,
    well: Well,
    nuclei: str,
    dead: str | None,
    settings: Mapping[str, Any],
    source_hash: str,
    files: ResultFiles,
    warnings: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    """Everything found out about one field, and how.

    Args:
        source: What was measured.
        opened: Its images.
        columns: Of all objects of all frames, with `time`; lengths in pixels.
        well: Where it was taken.
        nuclei: The label by which objects were found.
        dead: The label of dead cells, if there is one.
        settings: Everything that changes a result.
        source_hash: Of all images.
        files: Where it is written.
        warnings: What a person should know.
        seconds: What it took.
    """
    size = opened.pixel_size
    shape = [opened.frames, len(opened.labels), *opened.size]
    facts = {"sha256": source_hash, "shape": shape}
    made = made_by("isl measure", source=source.path, facts=facts, settings=settings)
    named = in_micrometres(columns, None if size is None else size.side)
    predicted = source.record
    return made | {
        "purpose": PURPOSE,
        "image": source.name,
        "well": well.well,
        "condition": well.condition,
        "frames": opened.frames,
        "size": list(opened.size),
        "pixel_size": None if size is None else [size.y, size.x],
        "interval_minutes": opened.interval,
        "minutes": [minutes_at(t, opened.interval, opened.times) for t in range(opened.frames)],
        "labels": list(opened.labels),
        "nuclei": nuclei,
        "dead": dead,
        "statistics": list(source.images),
        "intensity": source.intensity,
        "model": {
            "name": None if predicted is None else predicted["model"]["name"],
            "sha256": "" if predicted is None else predicted["model"]["sha256"],
        },
        "columns": list(named),
        "cells": [list(row) for row in zip(*map(_numbers, named.values()), strict=True)],
        "outputs": [path.name for path in files.all[:-1]],
        "warnings": [as_options(warning) for warning in warnings],
        "seconds": round(seconds, 3),
    }


def in_micrometres(columns: Columns, pixel: float | None) -> Columns:
    """Columns with lengths in micrometres beside those in pixels, where pixels have a size."""
    found: Columns = {}
    for name, values in columns.items():
        found[f"{name}_pixels" if name in _AREAS else name] = values
        if pixel is not None and name in _LENGTHS:
            found[_LENGTHS[name]] = values * pixel
        if pixel is not None and name in _AREAS:
            found[_AREAS[name]] = values * pixel**2
    return found


def _numbers(values: np.ndarray) -> list[Any]:
    if values.dtype.kind in "iub":
        return values.astype(int).tolist()
    rounded = [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
    return [value if math.isfinite(value) else None for value in rounded]


def cell_rows(made: Mapping[str, Any]) -> list[Row]:
    """A record's rows of cells.csv; None where something is not known."""
    shared = {"image": made["image"], "well": made["well"], "condition": made["condition"]}
    rows = []
    for numbers in made["cells"]:
        cell = dict(zip(made["columns"], numbers, strict=True))
        time = cell.pop("time")
        rows.append({**shared, "time": time, "minutes": _minutes(made, time), **cell})
    return rows


def field_rows(made: Mapping[str, Any]) -> list[Row]:
    """A record's fields: a row for every time point, cells or not."""
    size = made["pixel_size"]
    area = None if size is None else math.prod(made["size"]) * math.prod(size) / 1e6
    return [
        {
            "image": made["image"],
            "well": made["well"],
            "condition": made["condition"],
            "time": time,
            "minutes": _minutes(made, time),
            "mm2": area,
        }
        for time in range(made["frames"])
    ]


def track_rows(made: Mapping[str, Any]) -> list[Row]:
    """Of a movie, a row for each cell: when it was seen, and how it moved."""
    rows = []
    size = made["pixel_size"]
    pixel = None if size is None else math.sqrt(math.prod(size))
    tracks: dict[int, list[Row]] = {}
    for cell in cell_rows(made):
        tracks.setdefault(cell["cell"], []).append(cell)
    for number, seen in sorted(tracks.items()):
        places = np.array([(cell["y"], cell["x"]) for cell in seen])
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        path, net = float(steps.sum()), float(np.linalg.norm(places[-1] - places[0]))
        rows.append(
            {
                **{name: seen[0][name] for name in ("image", "well", "condition")},
                "cell": number,
                "first": seen[0]["time"],
                "last": seen[-1]["time"],
                "frames": len(seen),
                "path_pixels": round(path, 2),
                "net_pixels": round(net, 2),
                "path_um": None if pixel is None else round(path * pixel, 2),
                "net_um": None if pixel is None else round(net * pixel, 2),
                "area_mean_pixels": round(float(np.mean([c["area_pixels"] for c in seen])), 1),
            }
        )
    return rows


def _minutes(made: Mapping[str, Any], time: int) -> float | None:
    minutes = made["minutes"][time]
    return None if minutes is None else round(minutes, 6)


def columns_of(rows: Sequence[Row]) -> list[str]:
    """All columns that some row has, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def sentence(made: Mapping[str, Any]) -> str:
    """What was found, e.g. "43 cells, 3 of them dead"."""
    cells = cell_rows(made)
    numbers = len({cell["cell"] for cell in cells}) if made["frames"] > 1 else len(cells)
    text = f"{numbers} {'cell' if numbers == 1 else 'cells'}"
    if made["frames"] > 1:
        text += f" in {made['frames']} frames"
    if made["dead"] is not None and cells:
        dead = sum(bool(cell["dead"]) for cell in cells)
        text += f", {dead} of {len(cells)} dead" if made["frames"] == 1 else ""
    return text
