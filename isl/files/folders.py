"""Folders as wholes: built under another name, complete or absent under their own."""

import contextlib
import ctypes
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from isl.errors import InputError
from isl.files.whole import settle, sync_folder

# Of Linux's renameat2: paths are relative to the working folder; the two names are exchanged.
_WORKING_FOLDER = -100
_EXCHANGE = 2


@contextlib.contextmanager
def folder_written_whole(
    path: Path | str,
    *,
    replaceable: Callable[[Path], bool] | None = None,
    keep: bool = False,
) -> Iterator[Path]:
    """A hidden folder beside `path` to fill; it becomes `path` when the block succeeds.

    It is called `.NAME.partial`, always, so that a later run finds what a killed one left there,
    and is locked: a second run that wants to fill it is refused. All in it has reached the disk
    when it is renamed; temporary files that a killed process left (`.ANYTHING.partial`) are gone.

    Args:
        path: Where the folder belongs.
        replaceable: Says of a folder already there whether it may be replaced; None: it may not.
        keep: Whether the hidden folder stays when the block fails, to be gone on with. What is in
            it when the block begins is up to the caller in either case; see `emptied`.

    Yields:
        The hidden folder: new, or as a killed run left it.

    Raises:
        InputError: The folder exists and may not be replaced, another run is filling it, or it
            cannot be written (full, read-only, ...).
    """
    path = Path(path)
    _check_free(path, replaceable)
    partial = path.with_name(f".{path.name}.partial")
    discarded = path.with_name(f".{path.name}.discarded")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _locked(partial, path):
            _remove(discarded)
            try:
                yield partial
                settle(_without_leftovers(partial))
                _check_free(path, replaceable)
                put_in_place(partial, path, discarded)
            except BaseException:
                if not keep:
                    # Threads that still write find the folder gone rather than half removed.
                    with contextlib.suppress(OSError):
                        partial.rename(discarded)
                raise
            finally:
                # What cannot be removed now is so when the name is written next.
                with contextlib.suppress(OSError):
                    _remove(discarded)
    except OSError as error:
        raise InputError(
            f"{path.parent}: {path.name} cannot be written there ({error.strerror or error})"
        ) from error
    sync_folder(path.parent)


def emptied(folder: Path) -> Path:
    """The folder itself, all that was in it removed."""
    for path in folder.iterdir():
        _remove(path)
    return folder


def put_in_place(partial: Path, path: Path, discarded: Path) -> None:
    """Renames `partial` to `path`, and what is there to `discarded`: without a gap if possible.

    All three are on one file system.

    Raises:
        OSError: It cannot be renamed; then what was there still is.
    """
    if not path.exists():
        partial.rename(path)
    elif _exchanged(partial, path):
        partial.rename(discarded)
    else:
        path.rename(discarded)
        try:
            partial.rename(path)
        except OSError:
            discarded.rename(path)
            raise


def _check_free(path: Path, replaceable: Callable[[Path], bool] | None) -> None:
    if not os.path.lexists(path):
        return
    if replaceable is None:
        raise InputError(f"{path}: exists already; give `overwrite` to replace it")
    if path.is_symlink() or not path.is_dir() or not replaceable(path):
        raise InputError(
            f"{path}: exists and is something else than what is to be written, so it is not "
            "replaced; remove it, or give another name"
        )


@contextlib.contextmanager
def _locked(partial: Path, path: Path) -> Iterator[None]:
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have finished, and renamed it, since it was opened.
            ours = os.path.samestat(os.fstat(descriptor), partial.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise InputError(
                f"{path}: another run is writing it; wait for it, or give another name"
            )
        yield
    finally:
        os.close(descriptor)


def _without_leftovers(folder: Path) -> Path:
    """The folder, its temporary files removed."""
    for left in list(folder.rglob(".*.partial")):
        if left.is_file():
            left.unlink()
    return folder


def _exchanged(one: Path, other: Path) -> bool:
    """Whether the system could exchange two names at once: Linux, on most file systems."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call is None:
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return call(_WORKING_FOLDER, names[0], _WORKING_FOLDER, names[1], _EXCHANGE) == 0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
