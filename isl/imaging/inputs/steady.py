"""What an input holds, as a hash; and that it does not change while it is read.

A microscope may still be writing it.
"""

import functools
import hashlib
from pathlib import Path

from isl.errors import InputError
from isl.files.provenance import sha256_of
from isl.imaging.inputs.containers import is_container, stored_path

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


def content_hash(path: Path) -> str:
    """sha256 of a file's bytes; of a folder, that of the names and hashes of the files in it.

    An image within a file is as its file; an OME-Zarr is as all files below its folder.

    Raises:
        InputError: It cannot be read.
    """
    path = stored_path(path)
    try:
        if not path.is_dir():
            return sha256_of(path)
        listing = hashlib.sha256()
        files = path.rglob("*") if is_container(path) else path.iterdir()
        for file in sorted(file for file in files if file.is_file()):
            listing.update(f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n".encode())
        return listing.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


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
