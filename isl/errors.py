"""The one error that is the person's to mend: a single line that names file, value and remedy.

Messages name arguments as Python does, between backticks: give `planes`, give `axes=ZYX`. Whoever
shows a message says how arguments are given there: the command line by `as_options`, an evaluation
by its own keys.
"""

import difflib
import re
from collections.abc import Callable, Iterable

_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")


def spelled(message: str, spelling: Callable[[str, str], str]) -> str:
    """A message with every argument that it names spelled in another way.

    Args:
        message: Names arguments between backticks.
        spelling: From an argument's name and its value, "" where there is none, to words.
    """
    return _ARGUMENT.sub(lambda found: spelling(found[1], found[2] or ""), message)


def as_options(message: object) -> str:
    """A message as the command line says it: `pixel_size=UM` becomes --pixel-size UM."""
    return spelled(str(message), lambda name, value: f"--{name.replace('_', '-')} {value}".rstrip())


class InputError(Exception):
    """What the person gave is wrong.

    Its text is one line: what is wrong, in which file, and what to do about it, with arguments
    between backticks. The command line prints that line, with options in their place, to stderr
    and exits with 2.
    """

    def __init__(self, message: str) -> None:
        """Keeps `message` on a single line, whatever a library put into it."""
        super().__init__(" ".join(str(message).split()))


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An InputError for a name that is not known, with the nearest known one.

    Args:
        kind: What the name stands for, e.g. "label".
        name: What the person gave.
        known: Every name that would have been accepted.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not near:
        folded = {known_name.casefold(): known_name for known_name in names}
        near = [folded[n] for n in difflib.get_close_matches(name.casefold(), folded, n=1)]
    if not near and name:
        # NFH for NFH_CONFOCAL: too short to be close, yet clearly meant.
        near = [n for n in names if n.casefold().startswith(name.casefold())][:1]
    suggestion = f"; did you mean '{near[0]}'?" if near else ""
    listing = ", ".join(names) if names else "none"
    return InputError(f"unknown {kind} '{name}'{suggestion} (known: {listing})")
