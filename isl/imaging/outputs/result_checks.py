"""What forbids results, before anything is computed: their names, inputs, and what is there."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from isl.errors import InputError
from isl.imaging.inputs.containers import zarr_root
from isl.imaging.outputs.results import ResultFiles


def check_files(
    folder: Path,
    fields: Sequence[tuple[Path, ResultFiles]],
    *,
    overwrite: bool,
    resume: bool | None = None,
    tables: Sequence[Path] = (),
    also_read: Sequence[Path] = (),
) -> None:
    """Refuses, before anything is computed, results that could not or must not be written.

    Args:
        folder: Where results go; it need not exist.
        fields: Every input with the files it becomes.
        overwrite: Whether results already there may be replaced.
        resume: Whether they may stay; None: that cannot be asked for.
        tables: Files that are written of all inputs together.
        also_read: What else is read and must stay, such as label images.

    Raises:
        InputError: Two results have one name, a result is an input, lies in one or exists, or the
            folder cannot be written.
    """
    _check_folder(folder)
    inputs = _Inputs([*(path for path, _ in fields), *also_read])
    owners: dict[Path, Path] = {}
    for source, files in fields:
        claims = dict.fromkeys(files.all, source)
        if files.like is not None:
            claims |= dict.fromkeys(files.plates, files.like)
        for path, claimant in claims.items():
            other = owners.setdefault(path, claimant)
            if other != claimant:
                raise InputError(
                    f"{claimant}: its result {path} would be that of {other} too; rename one of "
                    "them, or give each an `out` of its own"
                )
        for path in files.all:
            inputs.check(path, source)
            is_image = path in files.images.values()
            _check_free(path, overwrite, resume, folder=is_image and files.format == "ome-zarr")
    for path in tables:
        inputs.check(path)
        _check_free(path, overwrite, resume, folder=False)
    for plate, like in {plate: f.like for _, f in fields for plate in f.plates}.items():
        from isl.imaging.zarr.plate_writer import check_plate

        if like is not None and os.path.lexists(plate):
            check_plate(plate, like)


def _check_free(path: Path, overwrite: bool, resume: bool | None, *, folder: bool) -> None:
    """Refuses a result where something is that may not be replaced by it."""
    if path.is_dir():
        if not folder:
            raise InputError(f"{path}: is a folder; a result is to be written there")
        # A folder may hold anything, and it would all be gone.
        from isl.imaging.zarr.writer import is_image

        if not is_image(path):
            raise InputError(f"{path}: is a folder, but no OME-Zarr image; it is not replaced")
    elif path.exists() and folder:
        raise InputError(f"{path}: is a file; a folder is to be written there")
    if path.exists() and not (overwrite or resume):
        kept = "" if resume is None else ", or `resume` to keep what is done"
        raise InputError(f"{path}: exists already (give `overwrite` to replace it{kept})")


class _Inputs:
    """What no result may replace or lie in."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = {_identity(file) for path in paths for file in _files_within(path)}
        roots = {root for path in paths if (root := zarr_root(path)) is not None}
        self._roots = {_identity(root): root for root in roots}
        self._above = {
            _identity(folder) for root in roots for folder in root.absolute().resolve().parents
        }

    def check(self, path: Path, source: Path | None = None) -> None:
        """Refuses a result that is an input, or a part of one, or has one in it."""
        if _identity(path) in self._files:
            by = "" if source is None else f" by the result of {source}"
            raise InputError(f"{path}: is an input, and would be replaced{by}; give another `out`")
        for folder in (path, *path.absolute().parents):
            root = self._roots.get(_identity(folder))
            if root is not None:
                raise InputError(
                    f"{path}: is the input {root}, or lies in it, which is never changed; give "
                    "another `out`"
                )
        if path.is_dir() and _identity(path) in self._above:
            raise InputError(f"{path}: has an input in it, so it is not replaced")


def _check_folder(folder: Path) -> None:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"{existing}: is a file, not a folder to write results to (correct `out`)")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing}: may not be written to (give another `out`)")


def _files_within(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.iterdir() if file.is_file())
    else:
        yield path


def _identity(path: Path) -> tuple[int, int] | Path:
    """The same for two names of one file, links and letter case included."""
    try:
        status = path.stat()
    except OSError:
        return Path(os.path.realpath(path))
    return status.st_dev, status.st_ino
