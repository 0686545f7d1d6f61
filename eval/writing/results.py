"""What an evaluation leaves in its folder: a report, a record of every number, and tables."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from isl.files.records import as_csv, as_json
from isl.files.whole import write_texts

Rows = list[dict[str, str]]
REPORT = "report.html"


def texts(rows: Iterable[Mapping[str, Any]]) -> Rows:
    """Rows of a table as they are written: six digits of a number, "" where it is undefined."""
    return [{name: _cell(value) for name, value in row.items()} for row in rows]


def write_results(
    out: Path, *, page: str, record: Mapping[str, Mapping[str, Any]], tables: Mapping[str, Rows]
) -> None:
    """Writes the report, the record and the tables, each whole, replacing older ones.

    Args:
        out: The folder.
        page: The report.
        record: Every number, by the name of its file.
        tables: By the names of their files; one without rows is removed.
    """
    written = {name: as_json(values) for name, values in record.items()}
    for name, rows in tables.items():
        if rows:
            written[name] = as_csv(list(rows[0]), rows)
        else:
            (out / name).unlink(missing_ok=True)
    write_texts(out, {**written, REPORT: page})


def printer(console: Console) -> Callable[[str], None]:
    """What prints a line as it is."""

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    return say


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return str(value)
