"""Intervals as the tables of a report show them."""

from isl.report.words import unbroken, with_bounds

from ..statistics.bootstrap import Interval


def interval_cell(value: Interval | None, digits: int = 3, *, undefined: str = "") -> str:
    """An estimate with its bounds in brackets."""
    if value is None:
        return undefined
    return with_bounds(value.estimate, value.low, value.high, digits, undefined=undefined)


def difference_cell(value: Interval | None, digits: int = 3, *, undefined: str = "") -> str:
    """A difference with its bounds, and a star where these leave out zero."""
    if value is None:
        return undefined
    text = with_bounds(
        value.estimate, value.low, value.high, digits, signed=True, undefined=undefined
    )
    return text + unbroken(" *") if value.excludes(0.0) else text
