"""All-in-focus fusion beside two ways of focus stacking: how near to the truth, how fast.

    python benchmarks/focus.py [quality|time]

Truth: textures that are seen through 9 planes, blurred by 1 pixel (standard deviation) for every
plane they lie away from focus. "dome" lies on a smooth surface; "steps" on discs at heights of
their own; "slabs" are clear cells in a volume whose light adds up, so that no plane shows any of
it alone. Peak signal-to-noise ratios in dB, of stacks stored with 8 bits; the depth's mean error in
planes, method by method.

Times: best of three, seconds passed and seconds of CPU, of random stacks. The dtcwt package is
timed on its transform alone: forward for every plane, and one inverse.
"""

import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from scipy import ndimage

from isl.polarity import focus
from isl.polarity.focus import AllInFocus, fuse
from isl.polarity.wavelet import LEVELS

# What fusion is compared with stands among the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "polarity"))
from dtcwt_numpy import numpy_transform
from stacking import stack_by_laplacian, stack_by_variance

SIZE, PLANES, ROUNDS = 256, 9, 3
STACKS = ((9, 512), (13, 1024))
METHODS: dict[str, Callable[[np.ndarray], AllInFocus]] = {
    "fused": fuse,
    "not reassigned": lambda planes: fuse(planes, reassign=False),
    "variance": stack_by_variance,
    "Laplacian": stack_by_laplacian,
}


def main() -> None:
    """Prints the tables asked for."""
    wanted = sys.argv[1:] or ["quality", "time"]
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if "quality" in wanted:
        quality()
    if "time" in wanted:
        times()


def quality() -> None:
    """Mean over three random stacks of each kind."""
    print(f"{SIZE} x {SIZE} x {PLANES}, dB: middle and best plane, then by method")
    print(f"{'stack':>6} {'noise':>6} {'middle':>7} {'best':>6}", end="")
    print(*(f"{name:>15}" for name in METHODS), f"{'error of depth':>20}")
    for kind, make in (("dome", dome), ("steps", steps), ("slabs", slabs)):
        for noise in (0.0, 0.01, 0.03):
            rows = [figures(*make(np.random.default_rng(seed)), noise, seed) for seed in range(3)]
            figured = np.mean(rows, axis=0)
            count = len(METHODS)
            print(f"{kind:>6} {noise:6.0%} {figured[0]:7.1f} {figured[1]:6.1f}", end="")
            print(*(f"{value:15.1f}" for value in figured[2 : 2 + count]), end=" ")
            errors = figured[2 + count :]
            print(*("   -" if np.isnan(error) else f"{error:4.2f}" for error in errors))


def figures(
    stack: np.ndarray, truth: np.ndarray, depth: np.ndarray | None, noise: float, seed: int
) -> list[float]:
    """PSNR of the middle and best plane and of every method, and every method's depth error."""
    rng = np.random.default_rng(100 + seed)
    noisy = np.clip(stack + rng.normal(0, noise, stack.shape), 0, 1)
    planes = np.rint(255 * noisy).astype(np.uint8)

    def psnr(image: np.ndarray) -> float:
        return float(-10 * np.log10(np.mean((image / 255.0 - truth) ** 2)))

    single = [psnr(plane) for plane in planes]
    results = [method(planes) for method in METHODS.values()]
    errors = [
        np.nan if depth is None else float(np.abs(result.depth - depth).mean())
        for result in results
    ]
    return [single[PLANES // 2], max(single), *(psnr(result.image) for result in results), *errors]


def texture(rng: np.random.Generator) -> np.ndarray:
    """Structure of all sizes, in [0, 1]."""
    values = sum(
        width * ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), width)
        for width in (0.7, 1.5, 3, 6, 12)
    )
    return (values - values.min()) / np.ptp(values)


def at_depths(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The image through every plane, blurred by its distance from the depth there."""
    ladder = np.stack([ndimage.gaussian_filter(image, 0.25 * n) for n in range(4 * PLANES + 2)])
    rows, columns = np.indices(image.shape)
    return np.stack(
        [
            ndimage.map_coordinates(ladder, [4 * np.abs(z - depth), rows, columns], order=1)
            for z in range(PLANES)
        ]
    )


def dome(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A texture on a smooth surface: stack, truth, depth."""
    y, x = np.indices((SIZE, SIZE)) / SIZE - 0.5
    depth = (PLANES - 1) * (1 - np.minimum(1, 4 * (y**2 + x**2)))
    truth = texture(rng)
    return at_depths(truth, depth), truth, depth


def steps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A texture on discs at heights of their own: stack, truth, depth."""
    y, x = np.indices((SIZE, SIZE)) / SIZE - 0.5
    depth = np.zeros((SIZE, SIZE))
    for _ in range(14):
        cy, cx = rng.uniform(-0.4, 0.4, 2)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(0.08, 0.18) ** 2
        depth[disc] = rng.integers(0, PLANES)
    truth = texture(rng)
    return at_depths(truth, depth), truth, depth


def slabs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, None]:
    """Cells with granules, shaded as by DIC, in 9 slabs whose light adds up: stack, truth."""
    y, x = np.indices((SIZE, SIZE)) / SIZE - 0.5
    layers = np.zeros((PLANES, SIZE, SIZE))
    for _ in range(12):
        cy, cx = rng.uniform(-0.3, 0.3, 2)
        radius, z = rng.uniform(0.08, 0.16), rng.integers(0, PLANES)
        thickness = np.sqrt(np.maximum(radius**2 - (y - cy) ** 2 - (x - cx) ** 2, 0))
        granules = ndimage.gaussian_filter((rng.random((SIZE, SIZE)) < 0.02).astype(float), 1)
        layers[z] += 8 * thickness + 6 * granules * (thickness > 0)
    layers = ndimage.sobel(layers, 2) + 0.5 * ndimage.sobel(layers, 1)
    truth = layers.sum(axis=0)
    low, high = np.percentile(truth, (0.1, 99.9))
    stack = np.stack(
        [
            sum(ndimage.gaussian_filter(layer, abs(z - k)) for k, layer in enumerate(layers))
            for z in range(PLANES)
        ]
    )
    stack, truth = (
        np.clip(0.8 * (values - low) / (high - low) + 0.1, 0, 1) for values in (stack, truth)
    )
    return stack, truth, None


def times() -> None:
    """How long a stack takes, and how much memory."""
    transform = numpy_transform()

    def package(planes: np.ndarray) -> object:
        pyramids = [transform.forward(plane, LEVELS) for plane in planes]
        return transform.inverse(pyramids[0])

    for planes, size in STACKS:
        stack = np.random.default_rng(0).random((planes, size, size), np.float32)
        lowered = focus._fuse.lower(stack, levels=LEVELS)
        passed, spent = shortest(lambda _, lowered=lowered: lowered.compile(), stack, rounds=1)
        memory = lowered.compile().memory_analysis()
        print(
            f"{size} x {size} x {planes} float32, {jax.devices()[0].device_kind}; fusing needs "
            f"{memory.temp_size_in_bytes / 2**20:.0f} MiB besides the stack"
        )
        print(f"{'':>24} {'passed':>7} {'of CPU':>7}")
        print(f"{'compiling, once':>24} {passed:7.2f} {spent:7.2f}")
        methods = {"fused": fuse, "dtcwt, transform alone": package}
        methods |= {name: METHODS[name] for name in ("variance", "Laplacian")}
        for name, method in methods.items():
            passed, spent = shortest(method, stack, rounds=ROUNDS)
            print(f"{name:>24} {passed:7.2f} {spent:7.2f}")


def shortest(
    method: Callable[[np.ndarray], object], stack: np.ndarray, rounds: int
) -> tuple[float, float]:
    """Shortest time passed and of CPU, seconds."""
    measured = []
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        method(stack)
        measured.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(passed for passed, _ in measured), min(spent for _, spent in measured)


if __name__ == "__main__":
    main()
