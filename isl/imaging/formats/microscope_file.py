"""What readers of microscopes' own formats share: a guarded file, names, refusals in one line."""

import contextlib
import importlib
import logging
import os
import re
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from isl.errors import InputError
from isl.imaging.lazy import LazyPicture
from isl.imaging.names import is_transmitted, modality_of
from isl.imaging.readable import check_readable_file

# What microscopes' software calls ways to see without a label, in lower case without spaces or
# hyphens, and how a channel is called whose own name does not tell.
_CONTRASTS = {
    "brightfield": "Brightfield",
    "tlbf": "Brightfield",
    "phase": "Phase contrast",
    "phasecontrast": "Phase contrast",
    "tlph": "Phase contrast",
    "dic": "DIC",
    "dicontrast": "DIC",
    "differentialinterferencecontrast": "DIC",
    "tldic": "DIC",
    "transmitted": "Transmitted",
}

_QUIET = threading.RLock()


class GuardedFile:
    """A file that gives all the bytes it was asked for or none, and never allocates more.

    Libraries read sizes from headers and believe them; a damaged one may ask for terabytes. It is
    a plain object, so that no library maps it into memory: a mapped file that shrinks while it is
    read ends the process.

    Attributes:
        path: The file.
        size: Its bytes when it was opened.
        lock: Held by libraries while they seek and read.
        reads: How often `read` was called, to tell pixels that came from the file from filling.
    """

    def __init__(self, path: Path) -> None:
        """Opens `path`.

        Raises:
            InputError: It cannot be read, or is empty.
        """
        self.path = path
        self.size = check_readable_file(path)
        self._file = path.open("rb")
        self.mode = "rb"
        self.reads = 0
        self.lock = threading.RLock()

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes from where the file stands; all that are left where it is negative."""
        self.reads += 1
        start = self._file.tell()
        left = max(self.size - start, 0)
        wanted = left if size is None or size < 0 else int(size)
        if wanted > left:
            raise OSError(f"{wanted} bytes wanted at {start} of {self.size}")
        return self._file.read(wanted)

    def readinto(self, buffer: "bytearray | memoryview") -> int:
        """Fills a buffer, which liffile of Python 3.12 and newer asks for; or nothing of it."""
        view = memoryview(buffer).cast("B")
        view[:] = self.read(len(view))
        return len(view)

    def read_at(self, start: int, size: int) -> bytes:
        """`size` bytes from `start`; several threads may ask at once."""
        if start < 0 or size < 0 or start + size > self.size:
            raise OSError(f"{size} bytes wanted at {start} of {self.size}")
        parts = []
        while size:
            part = os.pread(self._file.fileno(), size, start)
            if not part:
                raise OSError("it has become shorter since it was opened")
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a place; one before the beginning or far behind the end is an error."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where the file stands."""
        return self._file.tell()

    def seekable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """True."""
        return True

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._file.closed

    def close(self) -> None:
        """Closes it."""
        self._file.close()


class SharedFile:
    """An open file that several pictures read: it is closed when the last of them is.

    Attributes:
        lock: Held while a library that keeps a place in the file reads.
    """

    def __init__(self, *close: Callable[[], None]) -> None:
        """Remembers what closes the file."""
        self.lock = threading.RLock()
        self._close = close
        self._users = 0

    def use(self) -> Callable[[], None]:
        """One more picture; what it gets lets go of the file, once."""
        self._users += 1
        held = [True]

        def release() -> None:
            with self.lock:
                if held:
                    held.clear()
                    self._users -= 1
                    for close in () if self._users else self._close:
                        close()

        return release


def open_guarded(
    path: Path | str,
    kind: str,
    package: str | None,
    pictures: Callable[[Any, GuardedFile], tuple[LazyPicture, ...]],
) -> tuple[LazyPicture, ...]:
    """The images of a file, which is closed again if it is refused.

    Args:
        path: The file.
        kind: What it is read as, e.g. "Nikon nd2".
        package: Name of the library that reads it, whose log is dropped; None if there is none.
        pictures: From the library and the open file to the images.

    Raises:
        InputError: The file is missing, damaged, has color or other pixels than uint8, uint16 and
            floats, or the package is not installed.
    """
    source = GuardedFile(Path(path))
    try:
        module = None if package is None else library(package, source.path)
        with refusals(source.path, kind), kept_quiet(package or "isl"):
            return pictures(module, source)
    except BaseException:
        source.close()
        raise


def library(name: str, path: Path) -> ModuleType:
    """The package `name`, which reads `path`.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{path}: is in a format that needs one more package ({name}): pip install isl[formats]"
        ) from error


@contextlib.contextmanager
def refusals(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a library raises at damaged bytes into an InputError that names the file.

    Args:
        path: The file.
        kind: What it was read as, e.g. "Nikon nd2".
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory; crop it or split it") from error
    except Exception as error:
        text = textwrap.shorten(str(error) or type(error).__name__, 120, placeholder="...")
        raise InputError(
            f"{path}: cannot be read as {kind} ({text}); it is damaged or something else renamed"
        ) from error


@contextlib.contextmanager
def kept_quiet(logger: str) -> Iterator[None]:
    """Drops what a library would write to stderr while the block runs, in one thread at a time.

    Args:
        logger: The library's own logger: one that nobody else listens to.
    """
    source = logging.getLogger(logger)

    def drop(record: logging.LogRecord) -> bool:
        return False

    # Filters of warnings belong to all threads, and would not be restored in order.
    with _QUIET:
        source.addFilter(drop)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            source.removeFilter(drop)


def image_names(stem: str, names: Sequence[str | None]) -> list[str]:
    """Names of the fields in a file: its stem alone for one, else with the image's name behind it.

    Args:
        stem: The file's name without its ending.
        names: The images' own names; one that is None, empty or not unique becomes its number,
            counted from 1.
    """
    if len(names) == 1:
        return [stem]
    safe = [re.sub(r"[^\w.+-]+", "-", name or "").strip("-.") for name in names]
    return [
        f"{stem}_{name}" if name and safe.count(name) == 1 else f"{stem}_{number}"
        for number, name in enumerate(safe, start=1)
    ]


def pixel_type(stored: Any, path: Path) -> np.dtype:
    """The type that pixels are read as: uint8, uint16, or float32 for any float.

    Raises:
        InputError: They are of another type.
    """
    dtype = np.dtype(stored)
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.newbyteorder("=") in (np.uint8, np.uint16):
        return dtype.newbyteorder("=")
    raise InputError(
        f"{path}: has pixels of type {dtype}; save it as 8-bit, 16-bit or 32-bit float"
    )


def as_pixels(stored: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy of `stored` of its own, contiguous, as `dtype`."""
    with np.errstate(over="ignore"):
        return np.array(stored, dtype=dtype, order="C")


def check_shape(path: Path, shape: Sequence[int]) -> None:
    """Refuses images without pixels.

    Args:
        path: The file, for the message.
        shape: T, C, Z, Y, X.

    Raises:
        InputError: An axis has no length.
    """
    if any(length < 1 for length in shape):
        sizes = " x ".join(map(str, shape))
        raise InputError(f"{path}: holds no pixels (T x C x Z x Y x X is {sizes})")


def name_with_contrast(name: str | None, contrast: str | None) -> str | None:
    """A channel's name, with the way of seeing behind it where only the microscope's notes tell.

    Args:
        name: As the file has it, e.g. "Brigh"; None where it has none.
        contrast: The contrast method of its notes, e.g. "Brightfield" or "TL-PH"; None if none.

    Returns:
        E.g. "Brigh (Brightfield)"; `name` where it says itself that light was transmitted, or
        where the notes do not.
    """
    noted = _CONTRASTS.get(re.sub(r"[^a-z]", "", (contrast or "").casefold()))
    known = modality_of(name or "") or (is_transmitted(name or "") and noted == "Transmitted")
    if noted is None or known:
        return name or None
    return f"{name} ({noted})" if name else noted


def known_names(names: Sequence[str | None]) -> tuple[str, ...] | None:
    """Names of channels; None where one has none."""
    found = tuple((name or "").strip() for name in names)
    return found if found and all(found) else None


def common_modality(names: Sequence[str] | None) -> str | None:
    """The modality that the names of transmitted channels agree on, or None."""
    found = {modality_of(name) for name in names or () if is_transmitted(name)} - {None}
    return found.pop() if len(found) == 1 else None
