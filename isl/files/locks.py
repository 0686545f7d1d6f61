"""Locks on folders: held by one process at a time, and gone with it, however it ends."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import filelock

from isl.errors import InputError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(path: Path, *, refusal: str | None = None) -> Iterator[None]:
    """Holds a lock file, which is made for as long as the block lasts.

    Where a file system has no locks, that is warned about, and nothing is locked.

    Args:
        path: The lock file, in a folder that exists.
        refusal: What to say where another process, or this one, holds it; None: wait for it.

    Raises:
        InputError: It is held, with `refusal`.
        OSError: The file cannot be made.
    """
    lock = _lock(path)
    path.touch()
    try:
        lock.acquire(blocking=refusal is None)
    except filelock.Timeout as error:
        raise InputError(str(refusal)) from error
    except OSError as error:
        logger.warning(
            "%s: cannot be locked (%s); let no second run write to this folder",
            *(path.parent, error.strerror),
        )
    try:
        yield
    finally:
        # Whoever waits for it finds that it is gone, and makes another.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def alone_in(folder: Path, writer: str) -> Iterator[None]:
    """A folder of results, in which one run at a time writes; made if missing, gone if left empty.

    Args:
        folder: Where results go.
        writer: What writes there, such as "isl predict".

    Raises:
        InputError: Another run writes there, or nothing can be written there.
    """
    refusal = f"{folder}: another {writer} is writing there; wait for it, or give another `out`"
    fresh = [level for level in (folder, *folder.parents) if not level.exists()]
    try:
        with contextlib.ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(folder / ".lock", refusal=refusal))
            except OSError as error:
                raise InputError(
                    f"{folder}: results cannot be written there ({error.strerror or error})"
                ) from error
            yield
    finally:
        with contextlib.suppress(OSError):
            for level in fresh:
                level.rmdir()


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock file; where nobody can know, they are taken to.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path.stat()
    try:
        with _lock(path).acquire(blocking=False):
            return False
    except (filelock.Timeout, OSError):
        return True


def _lock(path: Path) -> filelock.BaseFileLock:
    # Another kind of lock outlives the process that holds it.
    return filelock.FileLock(path, fallback_to_soft=False)
