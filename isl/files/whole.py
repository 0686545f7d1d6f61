"""Files as wholes: read ones that exist and fit into memory, written ones complete or absent."""

import contextlib
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isl.errors import InputError

if TYPE_CHECKING:
    import numpy as np

# Deflate cannot shrink data further than 1032 times and LZW not further than 1365 times; a file
# that claims more pixels than that is damaged or malicious.
_STRONGEST_COMPRESSION = 1400


def check_readable_file(path: Path) -> int:
    """The size in bytes of a file that exists, is a file, is not empty and may be read.

    Raises:
        InputError: It does not, is not, is, or may not.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, not an image file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy or export it again")
    return size


def check_size(
    path: Path, shape: Sequence[int], dtype: "np.dtype", stored: int | None = None
) -> None:
    """Refuses, before anything is allocated, an image that cannot be in the file or in memory.

    Args:
        path: The file, for the message.
        shape: What the file's header claims.
        dtype: Its pixel type.
        stored: Bytes of Deflate or LZW data that should hold it all; None: not known.

    Raises:
        InputError: More is claimed than is there, or than this machine can hold.
    """
    if stored is not None:
        check_claim(path, shape, dtype, stored)
    claimed = _bytes(shape, dtype)
    memory = _physical_memory()
    if memory is not None and claimed > memory:
        raise InputError(
            f"{path}: {_sizes(shape)} pixels need {claimed / 2**30:.1f} GiB and this machine has "
            f"{memory / 2**30:.1f} GiB of memory; crop it, or save its fields one by one"
        )


def check_claim(path: Path, shape: Sequence[int], dtype: "np.dtype", stored: int) -> None:
    """As `check_size`, for an image of which only a part will be in memory.

    Raises:
        InputError: More is claimed than `stored` bytes of Deflate or LZW data can hold.
    """
    if _bytes(shape, dtype) > stored * _STRONGEST_COMPRESSION + 4096:
        raise InputError(
            f"{path}: claims {_sizes(shape)} pixels but holds only {stored} bytes of them; it is "
            "damaged, copy or export it again"
        )


def _bytes(shape: Sequence[int], dtype: "np.dtype") -> int:
    return math.prod(int(length) for length in shape) * dtype.itemsize


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


@contextlib.contextmanager
def written_whole(path: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it becomes `path` when the block succeeds.

    The temporary file lies in the same folder (made if missing), reaches the disk before it is
    renamed, and is removed when the block fails, so a reader sees the old file, the whole new one,
    or none.

    Args:
        path: Where the file belongs.
        overwrite: Whether a file already there may be replaced.

    Yields:
        The temporary path: an empty file to open and write.

    Raises:
        InputError: The file exists, or the folder cannot be written (full, read-only, ...).
    """
    path = Path(path)
    _check_free(path, overwrite)
    temporary = path.with_name(f".{secrets.token_hex(6)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb"):
            pass
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            _check_free(path, overwrite)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"{path.parent}: {path.name} cannot be written there ({error.strerror or error})"
        ) from error
    sync_folder(path.parent)


def check_output_folder(folder: Path, option: str) -> None:
    """Refuses a folder that cannot be made or written, before anything is computed.

    Args:
        folder: Where results are to go.
        option: What named it, e.g. "--out".

    Raises:
        InputError: It, or what it would lie in, is a file or may not be written.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"{option} {folder}: {nearest} is a file; name a folder")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{option} {folder}: {nearest} cannot be written; name another folder")


def _check_free(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; a file is to be written there")
    if not overwrite and path.exists():
        raise InputError(f"{path}: exists already; give `overwrite` to replace it")


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def settle(path: Path) -> None:
    """Makes a file, or a folder with all that is below it, durable.

    Raises:
        OSError: The disk is full, or fails.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return
    for parent, _, names in os.walk(path):
        for name in names:
            settle(Path(parent) / name)
        sync_folder(Path(parent))
