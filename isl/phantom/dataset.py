"""Simulated datasets on disk, whatever is simulated: the numbers that make one, the manifest."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from isl.data.splits import Split
from isl.errors import InputError
from isl.labeling.dataset import Field, Manifest, write_manifest
from isl.labeling.timelapse import TimeLapse


def write_dataset(
    directory: Path,
    count: int,
    seed: int,
    make: Callable[[int, np.random.Generator, Split], Iterable[Field | TimeLapse]],
    *,
    validation: int = 0,
    overwrite: bool = False,
    tables: Callable[[], None] = lambda: None,
) -> Path:
    """Simulates a dataset of units, such as fields of view or embryos, one after the other.

    Unit number i depends on `seed` and i alone, not on `count`. The manifest comes last: where it
    is, all is there.

    Args:
        directory: Folder of the dataset, made if missing; the manifest is dataset.toml.
        count: Number of units.
        seed: A number from 0.
        make: Simulates a unit by its number, its own source of chance, and the side of the split
            it is on; writes its files and gives its fields or time-lapses, with paths relative to
            the folder.
        validation: How many of the units, the last ones, are for validation.
        overwrite: Whether files already there may be replaced.
        tables: Writes what is known of all units together, before the manifest.

    Returns:
        The manifest's path.

    Raises:
        InputError: The numbers make no dataset, or a file exists or cannot be written.
    """
    manifest_path = new_manifest(directory, count, seed, validation, overwrite)
    made: list[Field | TimeLapse] = []
    for number in range(count):
        split: Split = "validation" if number >= count - validation else "train"
        made += make(number, np.random.default_rng([seed, number]), split)
    tables()
    manifest = Manifest(
        fields=tuple(each for each in made if isinstance(each, Field)),
        time_lapses=tuple(each for each in made if isinstance(each, TimeLapse)),
    )
    write_manifest(manifest_path, manifest, overwrite=overwrite)
    return manifest_path


def new_manifest(directory: Path, count: int, seed: int, validation: int, overwrite: bool) -> Path:
    """Where the manifest of a simulated dataset will be.

    Raises:
        InputError: The numbers make no dataset, or there is a manifest already.
    """
    if count < 1:
        raise InputError(f"{directory}: {count} phantoms make no dataset; give 1 or more")
    if not 0 <= validation <= count:
        raise InputError(
            f"{directory}: {validation} of {count} phantoms cannot be for validation; "
            f"give 0 to {count}"
        )
    if seed < 0:
        raise InputError(f"{directory}: seed {seed} is negative; give 0 or more")
    manifest_path = directory / "dataset.toml"
    if manifest_path.exists() and not overwrite:
        raise InputError(f"{manifest_path}: exists already; give `overwrite` to replace it")
    return manifest_path
