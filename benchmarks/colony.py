"""What colonies cost: finding them beside scikit-image's bare calls, and classing a thousand.

    python benchmarks/colony.py [--size 2908] [--repeats 3]

Prints seconds, the highest memory of the process, and ratios; times are the best of the repeats.
"""

import argparse
import platform
import resource
import time
from collections.abc import Callable

import numpy as np
from flax import nnx
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.filters.rank import entropy
from skimage.morphology import disk, opening, remove_small_objects

from isl.colony.detection import as_bytes, detect
from isl.colony.model import ColonyConfig, ColonyModel
from isl.colony.network import NetworkConfig, build_network
from isl.phantom.colonies.well import ColonyWellConfig, make_well


def best_of(repeats: int, function: Callable[[], object]) -> float:
    """Seconds of the fastest of so many calls."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return min(taken)


def bare(grey: np.ndarray) -> np.ndarray:
    """The paper's steps, each one call."""
    smooth = ndimage.gaussian_filter(grey, 0.8, radius=1)
    bits = entropy(smooth, disk(3))
    above = opening(bits > threshold_otsu(bits), disk(3))
    filled = np.asarray(ndimage.binary_fill_holes(above))
    return np.asarray(ndimage.label(remove_small_objects(filled, max_size=1999)))[0]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2908)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--colonies", type=int, default=1000)
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    config = ColonyWellConfig(size=given.size, light=0.1)
    well = make_well(config, np.random.default_rng(0))
    grey = as_bytes(well.image, 65535)
    whole = best_of(given.repeats, lambda: bare(grey))
    ours = best_of(given.repeats, lambda: detect(well.image))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"finding, {given.size} x {given.size}: bare calls {whole:.2f} s, isl {ours:.2f} s")
    print(f"ratio {ours / whole:.2f}; highest memory of the process {memory:.0f} MiB")
    network = build_network(NetworkConfig(), 1, 4, rngs=nnx.Rngs(0))
    network.eval()
    model = ColonyModel(
        config=ColonyConfig(name="b", network=NetworkConfig(), classes=tuple("abcd"), patch=224),
        card="",
        directory=None,  # pyright: ignore[reportArgumentType]
        network=network,
    )
    patches = np.random.default_rng(0).integers(0, 255, (given.colonies, 224, 224, 1), np.uint8)
    model.logits(patches[:64])
    seconds = best_of(1, lambda: model.logits(patches[: given.colonies // 64 * 64]))
    each = given.colonies / max(given.colonies // 64 * 64, 1)
    print(f"classing {given.colonies} colonies, HRNet-W18, two scales: {seconds * each:.1f} s")


if __name__ == "__main__":
    main()
