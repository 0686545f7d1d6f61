"""What a 2048-pixel tile takes at each stage of preprocessing, and what a large field needs.

    python benchmarks/preprocess.py stages
    python benchmarks/preprocess.py tiles FOLDER
    python benchmarks/preprocess.py field FOLDER

`stages` measures each stage on one tile with shot noise, best of three. `tiles` writes 6 x 6 tiles
of 2048 pixels, 15 planes and 4 channels to FOLDER (a plane's file is linked for the others, so
1.3 GB; 12 GB more are needed for a while), and `field` runs the pipeline on them in two processes
and prints the largest resident memory of each kind of process. The median filter makes one pass
there: its time is measured by `stages`, and memory does not depend on it.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from isl.config import parse
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.image import ZStack
from isl.imaging.sharpness import sharpness
from isl.phantom.wells.damage import draw_flat_field
from isl.preprocess import pipeline
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.stages.additive_dust import estimate_additive_dust, subtract
from isl.preprocess.stages.canvas import blend_rows, plan_canvas
from isl.preprocess.stages.downscale import downscale
from isl.preprocess.stages.exposures import sum_exposures
from isl.preprocess.stages.flat_field import correct_flat_field, estimate_dust, estimate_flat_field
from isl.preprocess.stages.image_quality import content
from isl.preprocess.stages.medians import pixelwise_median
from isl.preprocess.stages.normalization import Moments, apply, plan_normalization
from isl.preprocess.stages.offsets import measure_offset
from isl.preprocess.stages.projection import project
from isl.preprocess.stages.registration import measure_shift
from isl.preprocess.stages.salt_and_pepper import remove_salt_and_pepper

SIZE, OVERLAP, ROUNDS = 2048, 300, 3
TILES, PLANES, LABELS = 6, 15, ("DAPI", "MAP2", "NFH")


class Quiet:
    """Shows nothing."""

    def begin(self, name: str) -> None:
        """Nothing."""

    def tiles(self, done: int, total: int) -> None:
        """Nothing."""

    def end(self, outcome: str) -> None:
        """Nothing."""


def ground(height: int, width: int, seed: int) -> np.ndarray:
    """Something to see, float32 [Y, X], mean 1000 and deviation 300."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width), np.float32)
    for blur in (2, 8, 30):
        part = scipy.ndimage.gaussian_filter(
            rng.standard_normal((height, width), np.float32), blur, mode="wrap"
        )
        image += part / part.std()
    return np.maximum(1000 + 300 / np.sqrt(3) * image, 0)


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """The least of some rounds, and what the last one gave."""
    best = np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        made = call()
        best = min(best, time.perf_counter() - start)
    return best, made


def stages() -> None:
    """Prints seconds of every stage."""
    rng = np.random.default_rng(0)
    light = ground(SIZE, SIZE, 0)
    raw = rng.poisson(light).astype(np.uint16)
    half = downscale(raw.astype(np.float32))
    flat = draw_flat_field(half.shape, 0.2, rng)
    sample = [half] * 20
    canvas = plan_canvas(np.array([[0, 0], [0, 874]]), half.shape)
    shifted = np.roll(half, -874, axis=1)
    dust = estimate_additive_dust(iter([raw] * 3), disk_diameter=160)
    estimate = seconds(lambda: estimate_additive_dust(iter([raw] * 3), disk_diameter=160))[0]
    moments = Moments.of(half)
    plan = plan_normalization(moments, mean=0.25, deviation=0.125)
    calls: dict[str, Callable[[], Any]] = {
        "exposures, 4 summed": lambda: sum_exposures([raw] * 4, source="tile"),
        "1 salt and pepper, to the end": lambda: remove_salt_and_pepper(raw),
        "1 salt and pepper, one pass": lambda: remove_salt_and_pepper(raw, most_passes=1),
        "2 additive dust": lambda: subtract(raw, dust),
        "3 downscale": lambda: downscale(raw.astype(np.float32)),
        "4 flat field": lambda: correct_flat_field(half, flat),
        "5 multiplicative dust": lambda: correct_flat_field(half, flat),
        "6 offset of a pair": lambda: measure_offset(half, shifted, (0.0, 874.0), search=30),
        "6 blend, a tile's share": lambda: blend_rows(
            canvas, slice(0, 1024), lambda tile, rows: (half, shifted)[tile][rows]
        ),
        "7 projection of 15 planes": lambda: project(np.stack([half] * PLANES)),
        "8 normalization": lambda: apply(half, plan),
        "8 moments": lambda: Moments.of(half),
        "9 sharpness": lambda: sharpness(half),
        "9 content": lambda: content(half),
        "9 registration": lambda: measure_shift(half, half),
        "set: median of 20 images": lambda: pixelwise_median(sample),
        "set: flat field": lambda: estimate_flat_field(half, divisor=16),
        "set: dust": lambda: estimate_dust(flat),
    }
    print(f"seconds for a tile of {SIZE} x {SIZE} pixels, one process, best of {ROUNDS}")
    for name, call in calls.items():
        print(f"{name:32} {seconds(call)[0]:8.3f}")
    print(f"{'set: additive dust of 3 images':32} {estimate:8.3f}")


def tiles(folder: Path) -> None:
    """Writes a large field."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    step = SIZE - OVERLAP
    extent = (TILES - 1) * step + SIZE
    for seed, channel in enumerate(("PHASE", *LABELS)):
        light = ground(extent, extent, seed)
        for row in range(TILES):
            for column in range(TILES):
                tile = light[row * step : row * step + SIZE, column * step : column * step + SIZE]
                image = rng.poisson(tile).astype(np.uint16)
                first = raw / f"B2_r{row}_c{column}_z0_{channel}.tif"
                write_stack(first, ZStack(name="B2", planes=image[None]), overwrite=True)
                for z in range(1, PLANES):
                    link = raw / f"B2_r{row}_c{column}_z{z}_{channel}.tif"
                    link.unlink(missing_ok=True)
                    link.hardlink_to(first)


def field(folder: Path) -> None:
    """Prints time and memory of a large field."""
    config = parse(
        {
            "transmitted": "PHASE",
            "salt_and_pepper": {"most_passes": 1},
            "additive_dust": {"disk_diameter": 50},
            "pixel_size": 0.3,
            "sample": {"images": 20},
            "layout": {
                "root": str(folder / "raw"),
                "pattern": "{well}_r{row}_c{col}_z{z}_{channel}.tif",
                "overlap": OVERLAP,
            },
        },
        PreprocessConfig,
        source="benchmark",
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    plan = pipeline.plan_run(config, folder)
    outcome = pipeline.preprocess(
        plan, config, folder / "out", workers=2, progress=Quiet(), say=print
    )
    passed = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    record = outcome.records[0]
    print(
        f"{TILES} x {TILES} tiles of {SIZE} x {SIZE}, {PLANES} planes, {1 + len(LABELS)} channels,"
    )
    print(f"canvas {record.size[0]} x {record.size[1]}: {passed:.0f} s in 2 processes")
    print(f"largest resident memory: main process {own / 2**20:.2f} GiB", end=" ")
    print(f"({before / 2**20:.2f} when it began), a worker {worker / 2**20:.2f} GiB;")
    print(f"{(own + 2 * worker) / 2**20:.2f} GiB together, if all were largest at once")


if __name__ == "__main__":
    what, *folders = sys.argv[1:]
    if what == "stages":
        stages()
    else:
        {"tiles": tiles, "field": field}[what](Path(folders[0]).resolve())
