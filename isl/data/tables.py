"""Tables that people keep: CSV files whose first row names the columns."""

import csv
from collections.abc import Iterable
from pathlib import Path

from isl.config import not_there
from isl.errors import InputError, unknown


def read_table(
    path: Path, columns: Iterable[str] = (), *, ragged: bool = False
) -> list[dict[str, str]]:
    """The rows of a CSV, by column; spaces around cells are left out.

    Args:
        path: The table, UTF-8 with or without a byte order mark.
        columns: Those that must be there.
        ragged: Whether rows may differ in length; cells that a row lacks are empty then, those
            without a column are left out, and of columns of one name the last counts.

    Raises:
        InputError: It is not there, is no table, lacks a column or has one twice, or has rows of
            different lengths.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            names = [name.strip() for name in reader.fieldnames or ()]
    except FileNotFoundError as error:
        raise not_there(path) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV table ({error})") from error
    if ragged:
        rows = [{name: cell or "" for name, cell in row.items() if name} for row in rows]
    elif any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path}: a row is longer or shorter than the first, which names columns")
    elif twice := [name for name in names if name and names.count(name) > 1]:
        raise InputError(f"{path}: has two columns '{twice[0]}'; keep one")
    rows = [{name.strip(): cell.strip() for name, cell in row.items()} for row in rows]
    for column in columns:
        if rows and column not in rows[0]:
            raise InputError(f"{path}: {unknown('column', column, rows[0])}")
    return rows
