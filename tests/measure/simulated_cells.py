"""Predictions of round nuclei, as `isl predict` leaves them, and how `isl measure` is called."""

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np

from isl import cli
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, PixelSize

SIZE = (110, 140)
# Center and radius; the last two touch, the first touches the image's edge.
DISCS = [((5, 60), 8), ((30, 30), 9), ((60, 110), 9), ((85, 40), 9), ((85, 57), 9)]
PIXEL = 0.5


def disc(center, radius):
    y, x = np.indices(SIZE)
    return 1 / (1 + np.exp(2 * (np.hypot(y - center[0], x - center[1]) - radius)))


def nuclei(shift=0, discs=DISCS):
    image = np.full(SIZE, 0.1)
    for (y, x), radius in discs:
        image = np.maximum(image, 0.1 + 0.5 * disc((y + shift, x + shift), radius))
    rng = np.random.default_rng(0)
    return (image + 0.002 * rng.standard_normal(SIZE)).astype(np.float32)


def dead():
    """Only the disc at (60, 110) is."""
    return (0.05 + 0.6 * disc((60, 110), 8)).astype(np.float32)


def predicted(folder: Path, name: str, images: dict[str, np.ndarray], labels=("DAPI", "DEAD")):
    """What `isl predict` leaves: images [C, Y, X] by statistic, and the record that names them."""
    folder.mkdir(exist_ok=True, parents=True)
    outputs = {}
    for statistic, channels in images.items():
        ending = "" if statistic == next(iter(images)) else f".{statistic}"
        outputs[statistic] = f"{name}{ending}.ome.tif"
        image = FluorescenceImage(
            name=name,
            channels=channels.astype(np.float32),
            labels=labels,
            pixel_size=PixelSize(y=PIXEL, x=PIXEL),
            interval=10.0 if channels.ndim == 4 else None,
        )
        write_ome_tiff(folder / outputs[statistic], image)
    record = {
        "made_by": "isl predict",
        "input": {"path": f"/data/{name}.tif"},
        "settings": {"into": False, "dtype": "float32"},
        "labels": list(labels),
        "statistics": list(images),
        "model": {"name": "small", "sha256": "0" * 64},
        "outputs": {"images": outputs},
        "warnings": [],
    }
    (folder / f"{name}.json").write_text(json.dumps(record))


def write_plate(folder: Path) -> Path:
    """Two wells, predicted; one nucleus is as doubtful as can be."""
    deviation = np.full((2, *SIZE), 0.05)
    deviation[0, 20:42, 20:42] = 0.9
    for name in ("A1", "A2"):
        images = {"mean": np.stack([nuclei(), dead()]), "standard_deviation": deviation}
        predicted(folder, name, images)
    return folder


def isl(*words: object) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        code = cli.main([str(word) for word in words])
    return code, printed.getvalue()


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))
