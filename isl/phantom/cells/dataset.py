"""Simulated fields as a dataset on disk: stacks, labels and the manifest that names them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isl.data.splits import Split
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.labeling.dataset import Field, LabelFile
from isl.phantom.cells.field import LABELS, PhantomConfig, make_phantom
from isl.phantom.dataset import write_dataset
from isl.phantom.kinds import PhantomKind


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

    Args:
        directory: Folder of the dataset, made if missing: phantom-000.tif (ZYX),
            phantom-000.labels.ome.tif (CYX) and so on, and dataset.toml.
        count: Number of fields.
        config: What is simulated.
        seed: A number from 0.
        validation: How many of the fields, the last ones, are for validation.
        overwrite: Whether files already there may be replaced.

    Returns:
        The manifest's path; see `isl.phantom.dataset.write_dataset`.
    """

    def make(number: int, rng: np.random.Generator, split: Split) -> Iterator[Field]:
        name = f"phantom-{number:03d}"
        stack, labels = make_phantom(config, rng, name)
        stack_file, labels_file = Path(f"{name}.tif"), Path(f"{name}.labels.ome.tif")
        write_stack(directory / stack_file, stack, overwrite=overwrite)
        write_ome_tiff(directory / labels_file, labels, overwrite=overwrite)
        yield Field(
            name=name,
            # Fields of another seed are other ground, whatever their names.
            group=f"phantom-{seed}-{number:03d}",
            transmitted=(stack_file,),
            labels={label: LabelFile(file=labels_file, channel=label) for label in LABELS},
            split=split,
            modality=config.modality,
        )

    return write_dataset(directory, count, seed, make, validation=validation, overwrite=overwrite)


KIND = PhantomKind(
    about="fields of a culture",
    config=PhantomConfig,
    write=lambda folder, count, config, seed, validation, overwrite: write_phantoms(
        folder, count, config, seed, validation=validation, overwrite=overwrite
    ),
)
