"""Hidden folders in which results are made; those that killed runs left are known, and removed."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from isl.files.locks import is_locked, locked

_PREFIX = ".isl-"
# Locked for as long as its folder is in use.
_IN_USE = "in-use"
# A folder without that file is either this young, or was left behind.
_SECONDS_TO_LOCK = 60


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder within `folder`, which is made if missing; removed whatever happens.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    try:
        with locked(staging / _IN_USE):
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_leftovers(folder: Path) -> int:
    """Removes hidden folders that killed runs left in `folder`; returns how many there were."""
    left = [path for path in folder.glob(f"{_PREFIX}*") if path.is_dir() and _is_left(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def _is_left(staging: Path) -> bool:
    try:
        return not is_locked(staging / _IN_USE)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            return time.time() - staging.stat().st_mtime > _SECONDS_TO_LOCK
        return False
