"""Blocked against XLA's convolutions on a CPU, layer by layer of the bundled U-Net.

Prints GFLOP/s of the forward pass and of both gradients, in turns in one run, best of five,
and the rate of a plain matrix product in the same run.

    python benchmarks/convolution.py
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from isl.labeling.convolution import blocked_convolution, native_convolution

# Input width, channels in, channels out of a batch of 4 crops of 252 pixels.
LAYERS = [
    (252, 13, 32),
    (250, 32, 32),
    (124, 32, 64),
    (122, 64, 64),
    (60, 64, 128),
    (28, 128, 256),
    (26, 256, 256),
    (48, 256, 128),
    (88, 128, 64),
    (168, 64, 32),
]
BATCH, ROUNDS = 4, 5


def gradients(convolution: Callable) -> Callable:
    """Forward and backward of a convolution."""

    def run(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.grad(lambda x, kernel: jnp.sum(convolution(x, kernel) ** 2), (0, 1))(x, kernel)

    return run


def best_times(functions: list[Callable], *arguments: jax.Array) -> list[float]:
    """Seconds of each function, the best of several turns."""
    compiled = [jax.jit(function) for function in functions]
    for function in compiled:
        jax.block_until_ready(function(*arguments))
    times = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for i, function in enumerate(compiled):
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            times[i] = min(times[i], time.perf_counter() - start)
    return times


def main() -> None:
    """Prints the table."""
    square = jnp.ones((2048, 2048))
    (product,) = best_times([lambda a: a @ a], square)
    print(f"matrix product: {2 * 2048**3 / product / 1e9:.0f} GFLOP/s")
    print(f"{'layer':>16} {'forward':>17} {'with gradients':>17}   (XLA, blocked; GFLOP/s)")
    for width, depth_in, depth in LAYERS:
        keys = jax.random.split(jax.random.key(width), 2)
        x = jax.random.normal(keys[0], (BATCH, width, width, depth_in))
        kernel = jax.random.normal(keys[1], (3, 3, depth_in, depth))
        work = 2 * BATCH * (width - 2) ** 2 * 9 * depth_in * depth / 1e9
        forward = best_times([native_convolution, blocked_convolution], x, kernel)
        both = [gradients(native_convolution), gradients(blocked_convolution)]
        backward = best_times(both, x, kernel)
        rates = [work / seconds for seconds in forward] + [3 * work / s for s in backward]
        name = f"{width} {depth_in}->{depth}"
        print(f"{name:>16} {rates[0]:8.0f} {rates[1]:8.0f} {rates[2]:8.0f} {rates[3]:8.0f}")


if __name__ == "__main__":
    main()
