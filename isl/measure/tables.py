"""Tables of cells as files: CSV always, Parquet where it is asked for."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.files.records import as_csv
from isl.files.whole import write_text, written_whole
from isl.measure.record import columns_of
from isl.measure.wells import Row


def check_parquet() -> None:
    """Refuses Parquet where pyarrow is not installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError("Parquet is written by pyarrow: pip install 'isl[parquet]'")


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Writes rows as CSV, replacing what is there; cells of what is not known are empty.

    Args:
        path: The file.
        rows: By column.
        columns: Those of a table without rows.
    """
    names = columns_of(rows) or list(columns)
    shown = [{name: _text(row.get(name)) for name in names} for row in rows]
    write_text(path, as_csv(names, shown), overwrite=True)


def write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """The same as a Parquet file, with the columns' own types."""
    names = columns_of(rows) or list(columns)
    pyarrow = importlib.import_module("pyarrow")
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    with written_whole(path, overwrite=True) as temporary:
        importlib.import_module("pyarrow.parquet").write_table(table, temporary)


def _text(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
