"""Numbers, intervals and counts as a report's texts and tables show them."""

Number = float | int | None
"""None where it is undefined."""


def unbroken(text: str) -> str:
    """A text that is not broken into lines."""
    return text.replace(" ", "\u00a0")


def number(value: Number, digits: int = 3, *, undefined: str = "") -> str:
    """A number of so many decimals, e.g. "0.812"."""
    return undefined if value is None else f"{value:.{digits}f}"


def percent(share: Number, digits: int = 0, *, undefined: str = "") -> str:
    """A share from 0 to 1 in percent, e.g. "12.5 %"."""
    return undefined if share is None else unbroken(f"{100 * share:.{digits}f} %")


def plus_minus(mean: Number, deviation: Number, digits: int = 2, *, undefined: str = "") -> str:
    """A mean with its deviation, e.g. "1.50 ± 0.20"; without it, where only one is known."""
    if mean is None or deviation is None:
        return number(mean, digits, undefined=undefined)
    return unbroken(f"{mean:.{digits}f} ± {deviation:.{digits}f}")


def with_bounds(
    estimate: Number,
    low: Number,
    high: Number,
    digits: int = 3,
    *,
    signed: bool = False,
    undefined: str = "",
) -> str:
    """An estimate with its interval in brackets, e.g. "0.81 (0.75 to 0.86)".

    Args:
        estimate: What was found.
        low: Lower bound.
        high: Upper bound; where one is undefined, no interval is shown.
        digits: Decimals.
        signed: Whether positive numbers have a sign, as differences do.
        undefined: What is shown where there is no estimate.
    """
    if estimate is None:
        return undefined
    sign = "+" if signed else ""
    text = f"{estimate:{sign}.{digits}f}"
    if low is None or high is None:
        return text
    return f"{text} {unbroken(f'({low:{sign}.{digits}f} to {high:{sign}.{digits}f})')}"


def p_value(p: Number, *, undefined: str = "") -> str:
    """A p-value, e.g. "0.0312" or "< 0.0001"."""
    if p is None:
        return undefined
    return "< 0.0001" if p < 1e-4 else f"{p:.3g}"


def counted(count: int, noun: str) -> str:
    """A count with its noun, e.g. "1 field", "3 fields"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(text: str) -> str:
    """A text with a capital letter at its beginning and one full stop at its end."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
