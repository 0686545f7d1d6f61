"""Tiny simulated fields on disk: blobs that fluoresce, and bend light out of focus."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.ndimage
import tifffile

from isl.labeling.dataset import Field, LabelFile, Manifest, write_manifest


def simulate(seed: int, *, size: int = 64, planes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """uint16 transmitted [Z, Y, X] and one uint16 label [Y, X] that it determines."""
    rng = np.random.default_rng(seed)
    seeds = (rng.random((size, size)) < 12 / size**2).astype(np.float64)
    blobs = scipy.ndimage.gaussian_filter(seeds, 4, mode="wrap")
    blobs /= blobs.max()
    edges = scipy.ndimage.gaussian_laplace(blobs, 1.5, mode="wrap")
    edges /= np.abs(edges).max()
    stack = [0.5 + 0.3 * (z - 1) * edges - 0.25 * blobs for z in range(planes)]
    noisy = np.stack(stack) + 0.01 * rng.normal(size=(planes, size, size))
    full = np.iinfo(np.uint16).max
    return (np.clip(noisy, 0, 1) * full).astype(np.uint16), (0.8 * blobs * full).astype(np.uint16)


def write_dataset(
    folder: Path,
    labels: Mapping[str, Sequence[str]],
    *,
    size: int = 64,
    validation_region: tuple[int, int, int, int] | None = None,
    splits: Mapping[str, str] | None = None,
    planes: int | Mapping[str, int] = 3,
) -> Path:
    """A manifest of simulated fields.

    Args:
        folder: Where everything is written.
        labels: The labels of every field, by its name.
        size: Width of the fields.
        validation_region: Held out in every field.
        splits: Split of single fields.
        planes: Of every field, or of single ones; 3 unless given.
    """
    fields = []
    for seed, (name, of_field) in enumerate(labels.items()):
        depth = planes if isinstance(planes, int) else planes.get(name, 3)
        transmitted, label = simulate(seed, size=size, planes=depth)
        tifffile.imwrite(
            folder / f"{name}.tif", transmitted, photometric="minisblack", metadata={"axes": "ZYX"}
        )
        for label_name in of_field:
            tifffile.imwrite(folder / f"{name}-{label_name}.tif", label)
        field = Field.model_validate(
            {
                "name": name,
                "transmitted": f"{name}.tif",
                "axes": "ZYX",
                "labels": {n: LabelFile(file=Path(f"{name}-{n}.tif")) for n in of_field},
                "validation_region": validation_region,
                "split": (splits or {}).get(name, "train"),
            }
        )
        fields.append(field)
    write_manifest(folder / "manifest.toml", Manifest(fields=tuple(fields)))
    return folder / "manifest.toml"
