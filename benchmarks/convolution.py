"""Blocked against XLA's convolutions on a CPU, layer by layer of the bundled and the quick U-Net.

Prints GFLOP/s of the forward pass and of both gradients, in turns in one run, best of five,
and the rate of a plain matrix product in the same run.

    python benchmarks/convolution.py
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from isl.backbones.convolution import blocked_convolution, native_convolution

# Images, input width, channels in and out: of 4 crops of 252 pixels, and of 16 of 96 that a stem
# of 2 has halved.
LAYERS = [
    (4, 252, 13, 32),
    (4, 250, 32, 32),
    (4, 124, 32, 64),
    (4, 122, 64, 64),
    (4, 60, 64, 128),
    (4, 28, 128, 256),
    (4, 26, 256, 256),
    (4, 48, 256, 128),
    (4, 88, 128, 64),
    (4, 168, 64, 32),
    (16, 50, 52, 32),
    (16, 50, 32, 32),
    (16, 50, 64, 32),
    (16, 26, 64, 64),
    (16, 26, 128, 64),
    (16, 14, 128, 128),
]
ROUNDS = 5


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
    print(f"{'layer':>18} {'forward':>17} {'with gradients':>17}   (XLA, blocked; GFLOP/s)")
    for batch, width, depth_in, depth in LAYERS:
        keys = jax.random.split(jax.random.key(width), 2)
        x = jax.random.normal(keys[0], (batch, width, width, depth_in))
        kernel = jax.random.normal(keys[1], (3, 3, depth_in, depth))
        work = 2 * batch * (width - 2) ** 2 * 9 * depth_in * depth / 1e9
        forward = best_times([native_convolution, blocked_convolution], x, kernel)
        both = [gradients(native_convolution), gradients(blocked_convolution)]
        backward = best_times(both, x, kernel)
        rates = [work / seconds for seconds in forward] + [3 * work / s for s in backward]
        name = f"{batch} x {width} {depth_in}->{depth}"
        print(f"{name:>18} {rates[0]:8.0f} {rates[1]:8.0f} {rates[2]:8.0f} {rates[3]:8.0f}")


if __name__ == "__main__":
    main()
