"""Stage 1 of the preprocessing beside scipy's median filter and NumPy's partition: how fast.

    python benchmarks/salt_and_pepper.py

The 5 x 5 median of images of 2048 x 2048 pixels, repeated until nothing changes, 32 times at most:

- "scipy" is one pass of scipy.ndimage.median_filter over the whole image;
- "where changed" makes such a pass, then looks only at windows in which the pass before changed a
  pixel, and finds their medians with np.partition;
- "network" is `isl.preprocess.stages.salt_and_pepper`; its one pass is the first, with all checks.

All give the same pixels, which is checked. Seconds of CPU on one core, of the network the best of
three rounds. "scipy" until done is its one pass times the passes. "share" is how many pixels change
in all.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.lib.stride_tricks import sliding_window_view

from isl.preprocess.stages.salt_and_pepper import MedianOf25, remove_salt_and_pepper

SIZE, WINDOW, MOST_PASSES, ROUNDS, PIXELS = 2048, 5, 32, 3, 1 << 16


def main() -> None:
    """Prints the table."""
    steps = len(MedianOf25((2, 5), np.dtype(np.uint16))._steps)
    print(f"{SIZE} x {SIZE} pixels; minima and maxima for each: {steps // 2}")
    print(f"{'':>49} {'one pass, s':>22} {'until done, s':>31}")
    print(f"{'image':>35} {'passes':>6} {'share':>6}", end=" ")
    print(f"{'scipy':>5} {'network':>7} {'ratio':>8}", end=" ")
    print(f"{'scipy':>8} {'where changed':>13} {'network':>8}")
    for name, image in images().items():
        scipys, expected = spent(lambda image=image: filtered_once(image))
        first, result = spent(
            lambda image=image: remove_salt_and_pepper(image, most_passes=1), ROUNDS
        )
        np.testing.assert_array_equal(result.image, expected)
        changed, expected = spent(lambda image=image: filtered_where_changed(image))
        network, result = spent(lambda image=image: remove_salt_and_pepper(image), ROUNDS)
        np.testing.assert_array_equal(result.image, expected)
        print(f"{name:>35} {result.passes:6d} {result.changed:6.1%}", end=" ")
        print(f"{scipys:5.2f} {first:7.3f} {scipys / first:8.0f}", end=" ")
        print(f"{scipys * result.passes:8.1f} {changed:13.2f} {network:8.2f}", flush=True)


def images() -> dict[str, np.ndarray]:
    """Images [Y, X] with a hot or dead pixel among a thousand."""
    rng = np.random.default_rng(0)
    clouds = scipy.ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 12)
    light = 200 + 800 * ((clouds - clouds.min()) / np.ptp(clouds)) ** 2
    spoiled = rng.random((SIZE, SIZE))

    def spoil(image: np.ndarray, hot: float = 65535) -> np.ndarray:
        return np.where(spoiled < 5e-4, hot, np.where(spoiled > 1 - 5e-4, 0, image))

    shot = spoil(rng.poisson(light)).astype(np.uint16)
    burst = spoil(rng.poisson(200 * light), 200 * 65535)
    flat = np.full((SIZE, SIZE), 1000)
    flat[8::31, 8::31] = 65535
    return {
        "shot noise, uint16": shot,
        "the same as float32": shot.astype(np.float32),
        "sum of 200 exposures, float32": burst.astype(np.float32),
        "flat, hot pixels apart, uint16": flat.astype(np.uint16),
        "flat, hot pixels at random, uint16": spoil(np.full((SIZE, SIZE), 1000)).astype(np.uint16),
    }


def filtered_once(image: np.ndarray) -> np.ndarray:
    """One pass over every pixel."""
    return scipy.ndimage.median_filter(image.astype(np.float32), WINDOW, mode="nearest")


def filtered_where_changed(image: np.ndarray) -> np.ndarray:
    """The image after the last pass."""
    before, after, middle = image.astype(np.float32), filtered_once(image), WINDOW**2 // 2
    passes = 1
    while (latest := after != before).any() and passes < MOST_PASSES:
        rows, columns = np.nonzero(scipy.ndimage.maximum_filter(latest, WINDOW))
        padded = np.pad(after, WINDOW // 2, mode="edge")
        windows = sliding_window_view(padded, (WINDOW, WINDOW))
        before, after = after, after.copy()
        for start in range(0, len(rows), PIXELS):
            at = rows[start : start + PIXELS], columns[start : start + PIXELS]
            values = windows[at].reshape(-1, WINDOW**2)
            after[at] = np.partition(values, middle, axis=1)[:, middle]
        passes += 1
    return after


def spent(work: Callable[[], Any], rounds: int = 1) -> tuple[float, Any]:
    """The least seconds of CPU, and what came out."""
    least, result = np.inf, None
    for _ in range(rounds):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result


if __name__ == "__main__":
    main()
