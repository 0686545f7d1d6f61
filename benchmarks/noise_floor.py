"""How well could any network do: what of measured labels is noise, by splitting their pixels.

    ISL_DATA=DATA python benchmarks/noise_floor.py

No field at hand was imaged twice. In its place every label is split: of each row every second pixel
is compared with the mean of its two neighbours, which share its signal and, where noise is of
single pixels, none of its noise. The correlation r of a noisy image with what is free of its noise
is at least that of the halves, and sqrt(r) of what is free of noise with the noisy image is about
the most a prediction can reach (Spearman's attenuation). Signal that differs from pixel to pixel
lowers both, noise that neighbours share (filtered, enlarged or compressed images) raises them:
where the split says 1.000, it says that single pixels hold no noise of their own, and no more.

EZRIN frames beside the next ones, which do show the same embryo again, say what may change between.
"""

import itertools
import os
from pathlib import Path

import numpy as np

from isl.imaging.agreement import pearson
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field

CONFIGS = Path(__file__).parents[1] / "configs" / "data"
FRAMES = 12


def main() -> None:
    """Prints a line a label."""
    if "ISL_DATA" not in os.environ:
        raise SystemExit("set ISL_DATA to the folder of real images")
    print(f"{'':>36} {'halves agree':>13} {'at most':>8}")
    for name in ("condition_b_A4_all", "sephace", "ai4embryo"):
        manifest = load_manifest(CONFIGS / f"{name}.toml")
        fields = manifest.fields[:: max(1, len(manifest.fields) // FRAMES)]
        found: dict[str, list[float]] = {}
        for field in fields:
            loaded = load_field(field, manifest.labels())
            measured = loaded.measured_for("train") | loaded.measured_for("validation")
            for label, image, mask in zip(
                loaded.labels.labels, loaded.labels.channels, measured, strict=True
            ):
                if mask.any():
                    found.setdefault(label, []).append(halves_agree(image, mask))
        for label, values in found.items():
            r = float(np.mean(values))
            print(f"{name + ', ' + label:>36} {r:>13.4f} {np.sqrt(r):>8.4f}")
    manifest = load_manifest(CONFIGS / "ai4embryo.toml")
    beside = []
    for lapse in manifest.time_lapses:
        frames = [field for field in manifest.fields if field.recording == lapse.name]
        images = [load_field(field, ("EZRIN",)).labels.channels[0] for field in frames[:FRAMES]]
        beside += [pearson(a, b) for a, b in itertools.pairwise(images)]
    print(f"{'ai4embryo, EZRIN and the next frame':>36} {np.mean(beside):>13.4f}")


def halves_agree(image: np.ndarray, mask: np.ndarray) -> float:
    """Correlation of every second pixel of a row with the mean of its two neighbours."""
    count = (image.shape[1] - 1) // 2

    def every_second(array: np.ndarray, first: int) -> np.ndarray:
        return array[:, first::2][:, :count]

    values = image.astype(np.float64)
    middle = every_second(values, 1)
    between = (every_second(values, 0) + every_second(values, 2)) / 2
    kept = every_second(mask, 0) & every_second(mask, 1) & every_second(mask, 2)
    return pearson(middle, between, kept)


if __name__ == "__main__":
    main()
