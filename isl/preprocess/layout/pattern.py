"""Patterns with named parts, and the image files whose paths they match.

    {well}/{field}_{row}_{col}_z{z}_{channel}.tif

A part stands for any text without "/" that does not hold the literal text behind the part; a part
that appears twice stands for the same text. Outside of braces, "*" is any text without "/" and "?"
any one character but "/".
"""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from isl.errors import InputError
from isl.imaging.formats.table import ending_of
from isl.imaging.inputs.read import natural_order

_TOKEN = re.compile(r"\{(?P<part>[^{}]*)\}|(?P<any>\*+)|(?P<one>\?)|(?P<literal>[^{}*?]+|[{}])")
# So many names are looked at to say what a folder holds instead of what was expected.
_COUNTED = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern, ready to match.

    Attributes:
        text: As a person wrote it.
        parts: Names of its parts, in order of appearance.
        expression: What a path relative to the root must match as a whole.
    """

    text: str
    parts: tuple[str, ...]
    expression: re.Pattern[str]

    @property
    def depth(self) -> int:
        """Folders between the root and a file."""
        return self.text.count("/")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
    """A file and what its path says.

    Attributes:
        file: The file, or folder where the format is one.
        path: Relative to the root, with "/".
        parts: Text of each part.
    """

    file: Path
    path: str
    parts: dict[str, str]


def parse_pattern(text: str) -> Pattern:
    """A pattern from its text.

    Raises:
        ValueError: It has no part, or nobody could tell where one of its parts ends.
    """
    tokens = list(_TOKEN.finditer(text))
    parts: list[str] = []
    expression = ""
    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        if token["part"] is not None:
            name = token["part"]
            if not name.isidentifier():
                raise ValueError(f"'{{{name}}}' is no name; write parts like {{well}} or {{z}}")
            if following is not None and following["literal"] is None:
                raise ValueError(
                    f"'{{{name}}}{following[0]}': nothing says where '{name}' ends; put literal "
                    "text between them"
                )
            expression += f"(?P={name})" if name in parts else _named(name, following)
            parts += [name] if name not in parts else []
        elif token["any"]:
            expression += "[^/]*"
        elif token["one"]:
            expression += "[^/]"
        elif token["literal"] in "{}":
            raise ValueError("has a brace without its other half")
        else:
            expression += re.escape(token["literal"])
    if text.startswith("/") or ".." in text.split("/"):
        raise ValueError("must stay below 'root'; give what lies above it as 'root'")
    return Pattern(text=text, parts=tuple(parts), expression=re.compile(expression))


def find_matches(root: Path, patterns: Sequence[Pattern]) -> list[Match]:
    """Image files below `root`, each with the parts of the first pattern that it matches.

    Hidden files and files that are no images are passed over.

    Raises:
        InputError: The root is missing or cannot be read, or nothing matches.
    """
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder (layout.root)")
    matches = []
    for path in sorted(_entries(root, max(p.depth for p in patterns)), key=natural_order):
        found = (pattern.expression.fullmatch(path) for pattern in patterns)
        first = next(filter(None, found), None)
        if first is not None:
            matches.append(Match(file=root / path, path=path, parts=first.groupdict()))
    if not matches:
        raise _nothing(root, patterns)
    return matches


def _named(name: str, following: re.Match[str] | None) -> str:
    stop = following["literal"].split("/")[0] if following is not None else ""
    character = f"(?!{re.escape(stop)})[^/]" if stop else "[^/]"
    return f"(?P<{name}>(?:{character})+)"


def _entries(root: Path, depth: int, above: str = "") -> Iterator[str]:
    """Paths of images at most `depth` folders below the root; formats that are folders are one."""
    try:
        entries = [entry for entry in os.scandir(root) if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{root}: cannot be read ({error.strerror or error})") from error
    for entry in entries:
        path = f"{above}{entry.name}"
        is_image = ending_of(Path(entry.name)) is not None
        if is_image:
            yield path
        elif depth and entry.is_dir():
            yield from _entries(root / entry.name, depth - 1, f"{path}/")


def _nothing(root: Path, patterns: Sequence[Pattern]) -> InputError:
    wanted = " or ".join(f"'{pattern.text}'" for pattern in patterns)
    names = (
        os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
        for folder, _, names in os.walk(root)
        for name in names
    )
    seen = list(itertools.islice(names, _COUNTED))
    if not seen:
        return InputError(f"{root}: holds no files; layout.pattern {wanted} matches nothing")
    images = [name for name in seen if ending_of(Path(name)) is not None]
    count = f"{len(seen)}{' or more' if len(seen) == _COUNTED else ''}"
    return InputError(
        f"{root}: layout.pattern {wanted} matches none of its {count} files, e.g. "
        f"'{min(images or seen)}'"
    )
