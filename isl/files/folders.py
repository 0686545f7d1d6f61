"""Folders as wholes: built under another name, complete or absent under their own."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from isl.errors import InputError
from isl.files.locks import locked
from isl.files.whole import settle, sync_folder


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
        keep: Whether the hidden folder stays when the block fails, to be continued. What is in
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
    discarded, replaced = (
        path.with_name(f".{path.name}.{why}") for why in ("discarded", "replaced")
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(
            path.with_name(f".{path.name}.lock"),
            refusal=f"{path}: another run is writing it; wait for it, or give another name",
        ):
            if replaced.exists() and not os.path.lexists(path):
                # A process was killed between the two renames.
                replaced.rename(path)
                _check_free(path, replaceable)
            for left in (discarded, replaced):
                _remove(left)
            partial.mkdir(exist_ok=True)
            try:
                yield partial
                settle(_without_leftovers(partial))
                _check_free(path, replaceable)
                put_in_place(partial, path, replaced)
            except BaseException:
                if not keep:
                    # Threads that still write find the folder gone rather than half removed.
                    with contextlib.suppress(OSError):
                        partial.rename(discarded)
                raise
            finally:
                # What cannot be removed now is so when the name is written next.
                for left in (discarded, replaced):
                    with contextlib.suppress(OSError):
                        _remove(left)
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


def put_in_place(partial: Path, path: Path, replaced: Path) -> None:
    """Renames `partial` to `path`, and what is there, if anything, to `replaced`.

    All three are on one file system.

    Raises:
        OSError: It cannot be renamed; then what was there still is.
    """
    there = path.exists()
    if there:
        path.rename(replaced)
    try:
        partial.rename(path)
    except OSError:
        if there:
            replaced.rename(path)
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


def _without_leftovers(folder: Path) -> Path:
    """The folder, its temporary files removed."""
    for left in list(folder.rglob(".*.partial")):
        if left.is_file():
            left.unlink()
    return folder


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
