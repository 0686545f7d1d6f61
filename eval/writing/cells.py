"""Numbers and intervals as the tables of a report show them."""

from ..statistics.bootstrap import Interval


def interval_cell(value: Interval | None, digits: int = 3) -> str:
    """An estimate with its bounds in brackets; "" where it is undefined."""
    if value is None or value.estimate is None:
        return ""
    text = f"{value.estimate:.{digits}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ({whole(f'{value.low:.{digits}f} to {value.high:.{digits}f}')})"


def difference_cell(value: Interval | None, digits: int) -> str:
    """A difference with its bounds, and a star where these leave out zero."""
    if value is None or value.estimate is None:
        return ""
    text = f"{value.estimate:+.{digits}f}"
    if value.low is None or value.high is None:
        return text
    star = " *" if value.excludes(0.0) else ""
    return f"{text} {whole(f'({value.low:+.{digits}f} to {value.high:+.{digits}f}){star}')}"


def whole(text: str) -> str:
    """A text that is not broken into lines."""
    return text.replace(" ", "\u00a0")


def number_cell(value: float | None, digits: int = 3) -> str:
    """A number; "" where it is undefined."""
    return "" if value is None else f"{value:.{digits}f}"


def p_cell(value: float | None) -> str:
    """A p-value."""
    if value is None:
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.3g}"
