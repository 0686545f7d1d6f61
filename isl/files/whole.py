"""Files as wholes: complete, or absent."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from isl.errors import InputError


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


def write_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    Raises:
        InputError: As of `written_whole`.
    """
    with written_whole(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Writes, one after the other, text files by name; those that are there are replaced.

    Raises:
        InputError: As of `written_whole`.
    """
    for name, text in texts.items():
        write_text(folder / name, text, overwrite=True)


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
