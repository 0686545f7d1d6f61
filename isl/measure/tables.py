"""Tables of cells as files: CSV always, Parquet where it is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isl.files.records import as_csv
from isl.files.whole import write_text, written_whole
from isl.measure.record import columns_of
from isl.measure.wells import Row
from isl.packages import needed


def arrow(part: str = "") -> Any:
    """The package pyarrow, or a module of it.

    Raises:
        InputError: It is not installed.
    """
    return needed(f"pyarrow{part}", extra="parquet", what="Parquet")


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
    table = arrow().table({name: [row.get(name) for row in rows] for name in names})
    with written_whole(path, overwrite=True) as temporary:
        arrow(".parquet").write_table(table, temporary)


def _text(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
