"""Which number in the names of a recording's files counts its frames."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.names import field_name

# In a name alone, the number behind one of these words counts time.
_TIME = re.compile(r"(?:^|[^a-z])(?:t|time|frame|timepoint|tp)[ _=-]?(\d+)")


def frame_numbers(names: Sequence[str], where: object) -> list[int] | None:
    """The number in each name that counts frames, of files in natural order.

    It is the one that grows from file to file; of several the one that grows most evenly, since
    names may hold the time of day as well. A name alone is searched for a number behind t, time or
    frame, or has one number.

    Args:
        names: Of files, alike but for their numbers.
        where: The folder, named in messages.

    Returns:
        One number a name; None where names have no number that differs, or not equally many.

    Raises:
        InputError: Numbers differ, and none of them grows from file to file.
    """
    found = [re.findall(r"\d+", field_name(Path(name))) for name in names]
    if len(found) == 1:
        (numbers,) = found
        told = _TIME.findall(field_name(Path(names[0])).casefold())
        chosen = numbers if len(numbers) == 1 else told if len(told) == 1 else None
        return None if chosen is None else [int(chosen[0])]
    if len({len(numbers) for numbers in found}) != 1:
        return None
    columns = list(zip(*(map(int, numbers) for numbers in found), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    growing = [column for column in varying if min(np.diff(column)) > 0]
    if not varying:
        return None
    if not growing:
        twins = [name for name, n in zip(names, varying[0], strict=True) if n == varying[0][0]]
        raise InputError(
            f"{where}: {', '.join(twins[:2])} and others count more than time points; save all "
            "planes of a time point in one TIFF, and one embryo's frames in a folder"
        )
    return list(min(growing, key=lambda column: len(set(np.diff(column)))))
