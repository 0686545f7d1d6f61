"""Simulated fields as a dataset on disk: stacks, labels and the manifest that names them."""

from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.labeling.dataset import Field, LabelFile, Manifest, write_manifest
from isl.phantom.cells.field import LABELS, PhantomConfig, make_phantom


def write_phantoms(
    directory: Path,
    count: int,
    config: PhantomConfig,
    seed: int,
    *,
    validation: int = 0,
    overwrite: bool = False,
) -> Path:
    """Simulates fields, each a group of its own, and writes them as a dataset.

    Field number i depends on `seed`, `config` and i alone, not on `count`. The manifest comes last:
    where it is, all is there.

    Args:
        directory: Folder of the dataset, made if missing: phantom-000.tif (ZYX),
            phantom-000.labels.ome.tif (CYX) and so on, and dataset.toml.
        count: Number of fields.
        config: What is simulated.
        seed: A number from 0.
        validation: How many of the fields, the last ones, are for validation.
        overwrite: Whether files already there may be replaced.

    Returns:
        The manifest's path.

    Raises:
        InputError: The numbers make no dataset, or a file exists or cannot be written.
    """
    manifest_path = new_manifest(directory, count, seed, validation, overwrite)
    fields = []
    for number in range(count):
        name = f"phantom-{number:03d}"
        stack, labels = make_phantom(config, np.random.default_rng([seed, number]), name)
        stack_file, labels_file = Path(f"{name}.tif"), Path(f"{name}.labels.ome.tif")
        write_stack(directory / stack_file, stack, overwrite=overwrite)
        write_ome_tiff(directory / labels_file, labels, overwrite=overwrite)
        fields.append(
            Field(
                name=name,
                # Fields of another seed are other ground, whatever their names.
                group=f"phantom-{seed}-{number:03d}",
                transmitted=(stack_file,),
                labels={label: LabelFile(file=labels_file, channel=label) for label in LABELS},
                split="validation" if number >= count - validation else "train",
                modality=config.modality,
            )
        )
    write_manifest(manifest_path, Manifest(fields=tuple(fields)), overwrite=overwrite)
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
