"""Does a network learn as much from a field that was cut into tiles and put together again?

The real field of condition B is cut into 3 x 3 overlapping tiles whose true places differ from the
grid by several pixels; every tile gets a gain of its own and light that falls off to the corners.
`isl preprocess` puts it together. Networks of three seeds are trained on the published field and on
that result, and compared by their Pearson correlations on the same block of validation ground.

    ISL_DATA=... python benchmarks/stitched_training.py FOLDER
"""

import csv
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from isl.config import parse
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.published import read_published
from isl.imaging.image import FluorescenceImage, ZStack
from isl.imaging.inputs.read import read_picture
from isl.labeling.dataset import Field, LabelFile, Manifest, write_manifest
from isl.phantom.wells.damage import draw_flat_field
from isl.preprocess import pipeline
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.record import read_record

OVERLAP, JITTER, GAIN, VIGNETTING = 300, 7, 0.1, 0.2
# Published validation ground, and the largest shift that the cut can make.
REGION = (645, 1008, 8, 380)
SEEDS = (0, 1, 2)
SETTINGS = [
    "network.levels=3",
    "network.width=12",
    "training.steps=150",
    "training.evaluate_every=150",
    "training.checkpoint_every=150",
    "training.crop=156",
]


class Quiet:
    """Shows nothing."""

    def begin(self, name: str) -> None:
        """Nothing."""

    def tiles(self, done: int, total: int) -> None:
        """Nothing."""

    def end(self, outcome: str) -> None:
        """Nothing."""


def cut(stack: ZStack, labels: FluorescenceImage, folder: Path) -> np.ndarray:
    """Writes the tiles, and returns where they truly lie: int [9, 2]."""
    rng = np.random.default_rng(0)
    extent = np.array(stack.planes.shape[1:]) - 2 * JITTER
    size = (extent + 2 * OVERLAP) // 3
    grid = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), axis=-1).reshape(9, 2)
    true = grid * (size - OVERLAP) + JITTER + rng.integers(-JITTER, JITTER + 1, (9, 2))
    channels = {"PHASE": stack.planes}
    channels |= {
        label.removesuffix("_CONFOCAL"): image[None]
        for label, image in zip(labels.labels, labels.channels, strict=True)
    }
    for channel, planes in channels.items():
        light = draw_flat_field(tuple(size), VIGNETTING, rng)
        for (row, column), (y, x) in zip(grid, true, strict=True):
            gain = rng.uniform(1 - GAIN, 1 + GAIN)
            for z, plane in enumerate(planes):
                lit = plane[y : y + size[0], x : x + size[1]] * (light * gain)
                image = np.clip(np.rint(lit), 0, 65535).astype(np.uint16)
                name = f"A4_r{row}_c{column}_z{z}_{channel}.tif"
                write_stack(folder / name, ZStack(name=name, planes=image[None]), overwrite=True)
    return true


def put_together(folder: Path) -> Path:
    """Runs `isl preprocess` on the tiles; where it wrote to."""
    config = parse(
        {
            "transmitted": "PHASE",
            "modality": "PHASE_CONTRAST",
            "pixel_size": 0.3,
            "stages": ["flat_field", "stitching", "normalization", "quality"],
            "stitching": {"equalize": "all"},
            "layout": {
                "root": str(folder / "tiles"),
                "pattern": "{well}_r{row}_c{col}_z{z}_{channel}.tif",
                "overlap": OVERLAP,
            },
        },
        PreprocessConfig,
        source="benchmark",
    )
    out = folder / "stitched"
    plan = pipeline.plan_run(config, folder)
    pipeline.preprocess(plan, config, out, workers=2, progress=Quiet(), say=print)
    return out


def manifest(
    folder: Path,
    stack_file: Path,
    labels_file: Path,
    mask: np.ndarray,
    labels: tuple[str, ...],
    origin: np.ndarray,
) -> Path:
    """A dataset of one field, whose pixel (0, 0) is at `origin` of the published one."""
    masks = {}
    for label, measured in zip(labels, mask, strict=True):
        file = folder / f"{label}.measured.tif"
        image = np.where(measured, np.uint8(255), np.uint8(0))
        write_stack(file, ZStack(name=label, planes=image[None]), overwrite=True)
        masks[label] = file
    y, x = (int(n) for n in origin)
    region = (REGION[0] - y, REGION[1] - y, REGION[2] - x, REGION[3] - x)
    field = Field(
        name="A4",
        group="A4",
        transmitted=(stack_file,),
        labels={label: LabelFile(file=labels_file, channel=label) for label in labels},
        masks=masks,
        pixel_size=0.3,
        modality="PHASE_CONTRAST",
        validation_region=region,
    )
    path = folder / "dataset.toml"
    write_manifest(path, Manifest(fields=(field,), root=str(folder)), overwrite=True)
    return path


def trained(dataset: Path, folder: Path, seed: int) -> dict[str, float]:
    """Pearson of each label, of the mean image, on validation ground."""
    overrides = [*SETTINGS, f"seed={seed}", f"dataset={dataset}", "name=stitched-training"]
    words = [word for override in overrides for word in ("--set", override)]
    config = Path(__file__).parents[1] / "configs" / "neurons_cpu.toml"
    call = [str(Path(sys.executable).parent / "isl"), "train", str(config)]
    subprocess.run(
        [*call, "--workdir", str(folder), *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with (folder / "validation.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return {
        key.removeprefix("pearson_mean/"): float(value)
        for key, value in last.items()
        if key.startswith("pearson_mean/")
    }


def main() -> None:
    """Prints where the tiles came to lie, and what was learned."""
    folder = Path(sys.argv[1]).resolve()
    stack, labels = read_published(Path(os.environ["ISL_DATA"]) / "condition_b_A4")
    assert labels.measured is not None
    names = tuple(label.removesuffix("_CONFOCAL") for label in labels.labels)
    # The published images are blank where nothing was measured, which no microscope's are: a median
    # of nine tiles would take that for shade. Their mirror image stands there, and is masked.
    filled = np.where(labels.measured, labels.channels, labels.channels[:, :, ::-1])
    true = cut(stack, dataclasses.replace(labels, channels=filled), folder / "tiles")
    stitched = put_together(folder)
    record = read_record(stitched / "fields" / "A4.json")
    placed = np.array([tile.position for tile in record.tiles])
    apart = placed - (true - true.min(axis=0))
    print(f"9 tiles of {record.tile_size[0]} x {record.tile_size[1]}, overlap {OVERLAP}, jitter")
    print(f"{JITTER}, gain {GAIN:.0%}, vignetting {VIGNETTING:.0%}: placed within")
    print(f"{np.abs(apart).max():.3f} pixel of the truth; flat field and canvas in counts")
    y, x = true.min(axis=0)
    height, width = record.size
    part = np.s_[:, y : y + height, x : x + width]
    covered = read_picture(stitched / "fields" / "A4.measured.tif").array[0, 0, 0] > 0
    measured = labels.measured[part] & covered

    whole = folder / "published"
    whole.mkdir(exist_ok=True)
    write_stack(
        whole / "A4.tif",
        ZStack(name="A4", planes=stack.planes[part], modality="PHASE_CONTRAST"),
        overwrite=True,
    )
    write_ome_tiff(
        whole / "A4.labels.ome.tif",
        FluorescenceImage(name="A4", channels=labels.channels[part], labels=names),
        overwrite=True,
    )
    origin = np.array([y, x])
    again = folder / "again"
    again.mkdir(exist_ok=True)
    sets = {
        "published": manifest(
            whole, whole / "A4.tif", whole / "A4.labels.ome.tif", measured, names, origin
        ),
        "stitched": manifest(
            again,
            stitched / "fields" / "A4.tif",
            stitched / "fields" / "A4.labels.ome.tif",
            measured,
            names,
            origin,
        ),
    }
    means = {}
    print(f"\nPearson of the mean image on validation ground, {', '.join(names)}, by seed")
    for name, dataset in sets.items():
        runs = [trained(dataset, folder / f"run-{name}-{seed}", seed) for seed in SEEDS]
        for seed, run in zip(SEEDS, runs, strict=True):
            print(f"{name:10} seed {seed}  " + "  ".join(f"{run[label]:.3f}" for label in names))
        means[name] = np.array([[run[label] for label in names] for run in runs]).mean(axis=0)
        print(f"{name:10} mean    " + "  ".join(f"{value:.3f}" for value in means[name]))
    difference = means["stitched"] - means["published"]
    print("difference         " + "  ".join(f"{value:+.3f}" for value in difference))


if __name__ == "__main__":
    main()
