"""When the frames of a recording were taken: what is said, what is written, and which is used."""

import itertools
import logging
import math
import statistics
from collections.abc import Sequence

from isl.errors import InputError

# Frames whose gaps differ more than so many times from the usual one are not evenly apart.
_UNEVEN = 1.5
# Beyond this share two intervals contradict each other.
_DIFFERENT = 0.1

logger = logging.getLogger(__name__)


def believed_times(times: Sequence[float], source: object) -> tuple[float, ...] | None:
    """Minutes since the first frame, of the times that a file gives its frames.

    Args:
        times: Minutes, in the order of the frames.
        source: The file, for warnings.

    Returns:
        None where there are less than two, or all are alike, which says nothing; or where they run
        back or repeat, with a warning.
    """
    if len(times) < 2 or len(set(times)) == 1:
        return None
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    if min(gaps) <= 0:
        logger.warning(
            "%s: the times of its frames do not grow from frame %d to %d, and are not used",
            source,
            gaps.index(min(gaps)),
            gaps.index(min(gaps)) + 1,
        )
        return None
    return tuple(time - times[0] for time in times)


def believed_interval(
    said: float | None, times: Sequence[float] | None, source: object
) -> float | None:
    """Minutes between frames, of an interval that is said and the times when frames were taken.

    Args:
        said: What is written as the interval, or None.
        times: As `believed_times` gives them.
        source: The file, for warnings.

    Returns:
        What is said where the times agree with it to 10 %, else what lies between the times; None
        where nothing is known or frames lie unevenly apart, which no interval can say.
    """
    if times is None or len(times) < 2:
        return said
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    usual = statistics.median(gaps)
    if max(gaps) > _UNEVEN * usual or min(gaps) * _UNEVEN < usual:
        logger.warning(
            "%s: frames were taken %.4g to %.4g min apart, so there is no interval; each frame's "
            "own time is used",
            source,
            min(gaps),
            max(gaps),
        )
        return None
    mean = (times[-1] - times[0]) / len(gaps)
    if said is None:
        return mean
    if abs(said - usual) > _DIFFERENT * usual:
        logger.warning(
            "%s: says that frames are %.4g min apart, and they were taken %.4g min apart, "
            "which is believed",
            source,
            said,
            mean,
        )
        return mean
    return said


def stated_interval(
    stated: float | None,
    interval: float | None,
    times: Sequence[float] | None,
    source: object,
) -> tuple[float | None, tuple[float, ...] | None]:
    """The interval and the times to use, of what a person and a file say.

    What the person says counts, with a warning where the file says something else.

    Args:
        stated: Minutes between frames as a person gives them, or None.
        interval: Of the file, or None.
        times: Minutes of each frame since the first, as the file has them, or None.
        source: The file, for warnings.

    Returns:
        Minutes between frames, and minutes of each frame; either None where nobody knows.

    Raises:
        InputError: What the person says is no time.
    """
    if stated is None:
        return interval, None if times is None else tuple(times)
    if not 0 < stated < math.inf:
        raise InputError(
            f"{source}: frames are said to be {stated:g} minutes apart; give minutes above 0"
        )
    own = interval
    if own is None and times is not None and len(times) > 1:
        own = (times[-1] - times[0]) / (len(times) - 1)
    if own is not None and abs(stated - own) > _DIFFERENT * own:
        even = "" if interval is not None else " on average"
        logger.warning(
            "%s: says that frames are %.4g min apart%s; the %.4g min that are given are used",
            source,
            own,
            even,
            stated,
        )
    return stated, None


def known_times(minutes: Sequence[float | None]) -> tuple[float, ...] | None:
    """Minutes of several frames where each is known; None otherwise."""
    known = tuple(time for time in minutes if time is not None)
    return known if 1 < len(known) == len(minutes) else None


def minutes_at(
    step: float, interval: float | None, times: Sequence[float] | None = None
) -> float | None:
    """Minutes of a frame since the first; None: unknown.

    Args:
        step: When it was taken, in intervals since the first; with `times` its number.
        interval: Minutes between frames, or None.
        times: Minutes of every frame since the first, where each has a time of its own.
    """
    if times is not None:
        return times[int(step)]
    return None if interval is None else step * interval
