"""Which number in the names of a recording's files counts its frames."""

import datetime
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.table import field_name

logger = logging.getLogger(__name__)

# In a name alone, the number behind one of these words counts time.
_TIME = re.compile(r"(?:^|[^a-z])(?:t|time|frame|timepoint|tp)[ _=-]?(\d+)")

# 2021-03-05_23-50-00, 20210305T235000 and the like are one number, which grows over midnight.
_DATE_AND_TIME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)([01]\d)\2([0-3]\d)[-_T ]+([0-2]\d)([-_.h]?)([0-5]\d)"
    r"[-_.m]?([0-5]\d)(?!\d)"
)

# 01:00:00; smaller numbers are counts.
_AN_HOUR = 10_000

# Share of an interval by which frames that count as evenly apart may be early or late.
_EVEN = 0.1


def check_named_alike(names: Sequence[str], folder: object) -> None:
    """Refuses a file whose name, but for its numbers, differs from that of the others.

    Args:
        names: Of the files of one recording; without a number in any of them there is no rule.
        folder: Named in messages.

    Raises:
        InputError: There is one.
    """
    patterns = [_pattern(name) for name in names]
    if not patterns or not any("#" in pattern for pattern in patterns):
        return
    (usual, count), *others = Counter(patterns).most_common()
    if not others:
        return
    odd = names[next(i for i, pattern in enumerate(patterns) if pattern != usual)]
    example = names[patterns.index(usual)]
    if count == 1:
        raise InputError(
            f"{folder}: {odd} and {example} are named differently, so their order in time is not "
            "known; number all frames in the same way"
        )
    raise InputError(
        f"{folder}: {odd} is not named like the other frames ({example}); move it elsewhere, or "
        "name it like them"
    )


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", field_name(Path(name)).casefold())


def _numbers(name: str) -> list[str]:
    """All numbers in a name, a date with its time as one."""
    return re.findall(r"\d+", _DATE_AND_TIME.sub(r"\1\3\4\5\7\8", field_name(Path(name))))


def frame_steps(names: Sequence[str], where: object) -> tuple[float, ...]:
    """When each frame of a folder was taken, in frame intervals since the first.

    Steps follow the numbers that count frames (see `frame_numbers`) exactly: where these leave some
    out or lie unevenly apart, so do the steps. The smallest difference between two of them is one
    interval. Numbers that are more even as times of day (HHMMSS) or dates with times
    (YYYYMMDDHHMMSS) than as counts are these.

    Args:
        names: Of files in natural order.
        where: The folder, named in messages.

    Raises:
        InputError: As `frame_numbers`.
    """
    counted = frame_numbers(names, where)
    if counted is None or len(counted) < 2:
        return tuple(range(len(names)))
    clock = _seconds(counted)
    numbers = counted if clock is None else min(counted, clock, key=_unevenness)
    since = np.subtract(numbers, numbers[0])
    return tuple((since / _interval(np.diff(numbers))).tolist())


def _interval(gaps: np.ndarray) -> float:
    """What one interval is, of the differences of numbers.

    Clocks do not tick evenly: of several differences that are about the smallest, the middle one.
    """
    smallest = np.sort(gaps[np.rint(gaps / gaps.min()) == 1])
    return float(smallest[(len(smallest) - 1) // 2])


def _unevenness(numbers: Sequence[int]) -> tuple[int, float, float]:
    """Less where numbers are more evenly apart."""
    gaps = np.diff(numbers)
    apart = np.rint(gaps / gaps.min())
    late = gaps / _interval(gaps) - apart
    return len(set(apart)), float(apart.sum()), float(np.abs(late).sum())


def _seconds(numbers: Sequence[int]) -> list[int] | None:
    """Times of day, or dates with times, in seconds; None where numbers are none."""
    found = []
    if max(numbers) < _AN_HOUR:
        return None
    for number in numbers:
        date, clock = divmod(number, 1_000_000)
        hours, minutes, seconds = clock // 10_000, clock // 100 % 100, clock % 100
        if hours > 23 or minutes > 59 or seconds > 59:
            return None
        days = 0
        if date:
            try:
                days = datetime.date(date // 10_000, date // 100 % 100, date % 100).toordinal()
            except ValueError:
                return None
        found.append(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return found if min(np.diff(found)) > 0 else None


def warn_of_gaps(names: Sequence[str], steps: Sequence[float], folder: object) -> None:
    """Logs a warning where numbers in names say that frames are missing, or unevenly apart.

    It names two frames between which one interval lies, for numbers do not say what that is.

    Args:
        names: Of the files.
        steps: As `frame_steps` gives them.
        folder: Named in the message.
    """
    gaps = np.diff(steps)
    if not len(gaps):
        return
    missing = np.rint(gaps) - 1
    one = int(np.abs(gaps - 1).argmin())
    if (np.abs(gaps - np.rint(gaps)) > _EVEN).any():
        logger.warning(
            "%s: its frames are unevenly apart by the numbers in their names, and times follow "
            "these; one interval lies between %s and %s",
            folder,
            names[one],
            names[one + 1],
        )
    elif (missing > 0).any():
        first = int((missing > 0).argmax())
        count = int(missing.sum())
        logger.warning(
            "%s: %d frame%s missing by the numbers in their names, the first between %s and %s, if "
            "one interval lies between %s and %s; the time of what is missing is left out",
            folder,
            count,
            "s are" if count > 1 else " is",
            names[first],
            names[first + 1],
            names[one],
            names[one + 1],
        )


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
    found = [_numbers(name) for name in names]
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
