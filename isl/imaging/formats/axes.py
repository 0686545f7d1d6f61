"""The order of an image's dimensions, as a person writes it."""

from isl.errors import InputError

ORDER = "TCZYX"


def parse_axes(axes: str) -> str:
    """`axes` in capitals.

    Raises:
        InputError: A letter is unknown or twice there, or Y or X is missing.
    """
    letters = axes.upper()
    if set(letters) - set(ORDER) or len(set(letters)) != len(letters):
        raise InputError(f"`axes={axes}`: give each of T, Z, C, Y, X at most once, e.g. ZYX")
    if not {"Y", "X"} <= set(letters):
        raise InputError(f"`axes={axes}`: Y and X are missing, e.g. ZYX")
    return letters
