"""Image files before they are read: there, readable, and no larger than they or memory can be."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError

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
    path: Path, shape: Sequence[int], dtype: np.dtype, stored: int | None = None
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


def check_claim(path: Path, shape: Sequence[int], dtype: np.dtype, stored: int) -> None:
    """As `check_size`, for an image of which only a part will be in memory.

    Raises:
        InputError: More is claimed than `stored` bytes of Deflate or LZW data can hold.
    """
    if _bytes(shape, dtype) > stored * _STRONGEST_COMPRESSION + 4096:
        raise InputError(
            f"{path}: claims {_sizes(shape)} pixels but holds only {stored} bytes of them; it is "
            "damaged, copy or export it again"
        )


def _bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    return math.prod(int(length) for length in shape) * dtype.itemsize


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
