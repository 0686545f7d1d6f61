"""What forbids results, before anything is computed: their names, inputs, and what is there."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from isl.errors import InputError
from isl.imaging.containers import place_in_plate, zarr_root
from isl.labeling.run.outputs import FieldFiles


def check_copy(into: Path, sources: Sequence[Path], border: str) -> None:
    """Refuses a copy for predicted channels that the inputs cannot have.

    Raises:
        InputError: It is no OME-Zarr, the inputs are neither one image nor of one plate, or the
            predicted image would not have the input's size.
    """
    if not into.name.endswith(".zarr") or into.name in (".zarr", ".ome.zarr"):
        raise InputError(
            f"`into={into}`: measured and predicted channels become an OME-Zarr; give a name that "
            "ends in .ome.zarr"
        )
    if border != "reflect":
        raise InputError(
            f"`into={into}`: with `border={border}` predicted channels are smaller than measured "
            "ones; take `border=reflect`"
        )
    plates = {place and place[0].resolve() for place in map(place_in_plate, sources)}
    if len(sources) > 1 and (None in plates or len(plates) > 1):
        raise InputError(
            f"`into={into}`: holds one image or one plate, and there are {len(sources)} inputs; "
            "predict them one by one"
        )


def check_files(
    folder: Path,
    fields: Sequence[tuple[Path, FieldFiles]],
    *,
    replace: bool,
) -> None:
    """Refuses, before anything is computed, results that could not or must not be written.

    Args:
        folder: Where results go; it need not exist.
        fields: Every input with the files it becomes.
        replace: Whether results already there may stay or be replaced.

    Raises:
        InputError: Two results have one name, a result is an input, lies in one or exists, or the
            folder cannot be written.
    """
    _check_folder(folder)
    inputs = _Inputs([path for path, _ in fields])
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
            _check_free(path, replace, folder=is_image and files.format == "ome-zarr")
    for plate, like in {plate: f.like for _, f in fields for plate in f.plates}.items():
        from isl.imaging.zarr.plate_writer import check_plate

        if like is not None and os.path.lexists(plate):
            check_plate(plate, like)


def _check_free(path: Path, replace: bool, *, folder: bool) -> None:
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
    if path.exists() and not replace:
        raise InputError(
            f"{path}: exists already (give `overwrite` to replace it, or `resume` to skip "
            "fields that are done)"
        )


class _Inputs:
    """What no result may replace or lie in."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = {_identity(file) for path in paths for file in _files_within(path)}
        roots = {root for path in paths if (root := zarr_root(path)) is not None}
        self._roots = {_identity(root): root for root in roots}
        self._above = {
            _identity(folder) for root in roots for folder in root.absolute().resolve().parents
        }

    def check(self, path: Path, source: Path) -> None:
        """Refuses a result that is an input, or a part of one, or has one in it."""
        if _identity(path) in self._files:
            raise InputError(
                f"{path}: is an input, and would be replaced by the result of {source}; give "
                "another `out`"
            )
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
        raise InputError(f"{existing}: is a file, not a folder to write results to (mend `out`)")
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
        return path.resolve()
    return status.st_dev, status.st_ino
