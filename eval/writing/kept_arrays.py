"""Arrays of an evaluation kept on disk, so that it can be resumed, and no two are mixed up.

`DIR/settings.json` says what they depend on; a folder of other settings is refused, since its
arrays would be taken for these.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from isl.errors import InputError
from isl.files.whole import write_text, written_whole

SETTINGS = "settings.json"
_PREFIX = "of/"


class KeptArrays:
    """The folder of one evaluation's arrays.

    Attributes:
        folder: Where they lie.
        key: Hash of all that they depend on.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        """Opens the folder of an evaluation; nothing is written yet.

        Args:
            out: Folder for results.
            settings: All that the arrays depend on; JSON can hold it.

        Raises:
            InputError: The folder holds arrays of other settings.
        """
        self._settings = json.dumps(settings, indent=1, sort_keys=True)
        self._place = out / SETTINGS
        self.folder = out / "predictions"
        self.key = hashlib.sha256(self._settings.encode()).hexdigest()
        if self._place.exists():
            _check_same(self._place, json.loads(self._settings))

    def read(self, path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """What was written to a file: facts, and arrays by name; None: nothing was.

        Raises:
            InputError: The file is damaged, or was made under other settings.
        """
        if not path.is_file():
            return None
        try:
            # Opened here, so that it is closed whatever NumPy makes of it.
            with path.open("rb") as file, np.load(file) as stored:
                made = json.loads(str(stored["made"]))
                arrays = {
                    name.removeprefix(_PREFIX): stored[name]
                    for name in stored.files
                    if name.startswith(_PREFIX)
                }
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
            raise InputError(f"{path}: cannot be read ({error}); remove it") from error
        if made.get("settings") != self.key:
            raise InputError(
                f"{path}: was made under other settings; remove it or name another `out`"
            )
        return made, arrays

    def begin(self) -> None:
        """Says in the folder what its arrays will depend on, before there are any."""
        if not self._place.exists():
            write_text(self._place, self._settings + "\n")

    @contextlib.contextmanager
    def once_there(self, sign: Path) -> Iterator[None]:
        """As `begin`, once this ends in whatever way and has left a file: else it never began."""
        try:
            yield
        finally:
            if sign.exists():
                self.begin()

    def write(self, path: Path, made: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Writes facts, which JSON can hold, and arrays by name; whole or not at all."""
        self.begin()
        text = json.dumps({**made, "settings": self.key})
        named: dict[str, Any] = {f"{_PREFIX}{name}": array for name, array in arrays.items()}
        with written_whole(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, made=np.array(text), **named)


def file_name(name: str) -> str:
    """Stands for a name, and for no other, in a file's: signs but -, _ and + by their codes."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "-_+") else f"%{ord(c):x}%" for c in name
    )


def _check_same(path: Path, settings: Mapping[str, Any]) -> None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); name another `out`") from error
    if kept == settings:
        return
    before, now = dict(_leaves(kept)), dict(_leaves(settings))
    absent = "absent"
    changed = min(
        name
        for name in before.keys() | now.keys()
        if before.get(name, absent) != now.get(name, absent)
    )
    raise InputError(
        f"{path.parent}: holds an evaluation of other settings ({changed} is "
        f"{now.get(changed, absent)!r} now, and was {before.get(changed, absent)!r}); name another "
        "`out`"
    )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Everything within nested tables, by its dotted name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value
