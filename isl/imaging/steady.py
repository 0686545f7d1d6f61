"""Inputs that must not change while they are read: a microscope may still be writing them."""

import functools
from pathlib import Path

from isl.errors import InputError
from isl.imaging.containers import is_container, stored_path
from isl.labeling.run.provenance import content_hash

# Name, size and time of change of every file.
_Fingerprint = tuple[tuple[str, int, int], ...]


class SteadyInput:
    """An input as it was before it was read; see `sha256`."""

    def __init__(self, path: Path) -> None:
        """Notes what there is."""
        self._path = path
        self._seen = _fingerprint(path)

    def sha256(self) -> str:
        """Its `content_hash`, once all has been read.

        A file of several images is hashed once for all of them, as long as it stays the same.

        Raises:
            InputError: It is another than it was, or cannot be read.
        """
        digest = _hash(stored_path(self._path), self._seen)
        if _fingerprint(self._path) != self._seen:
            raise InputError(
                f"{self._path}: changed while it was read; predict it again when it is written"
            )
        return digest


def _fingerprint(path: Path) -> _Fingerprint:
    """Empty where nothing can be read: those who open it say what is wrong."""
    path = stored_path(path)
    try:
        if not path.is_dir():
            files = [path]
        else:
            files = sorted(path.rglob("*") if is_container(path) else path.iterdir())
        found = [(file, file.stat()) for file in files if file.is_file()]
    except OSError:
        return ()
    return tuple((str(file), status.st_size, status.st_mtime_ns) for file, status in found)


@functools.lru_cache(maxsize=4)
def _hash(stored: Path, seen: _Fingerprint) -> str:
    del seen
    return content_hash(stored)
