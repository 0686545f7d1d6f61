"""Seconds and FLOPs of Video Swin, forward and a train step; with --torch, torchvision's beside it.

    python benchmarks/video_swin_speed.py [--size T] [--frames 32] [--pixels 224] [--torch]

CPU seconds of this process, which say the same however busy the machine is; on a GPU give --wall.
The first call, which compiles, is left out; the least of the others counts.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.video_swin import VIDEO_SWIN_SIZES, abstract_video_swin, draw_truncated

Clock = Callable[[], float]


def least_seconds(call: Callable[[], object], repeats: int, clock: Clock) -> float:
    """The least time of a call, after one that is not counted."""
    call()
    seconds = []
    for _ in range(repeats):
        began = clock()
        call()
        seconds.append(clock() - began)
    return min(seconds)


def of_isl(
    size: str, shape: tuple[int, ...], repeats: int, clock: Clock, *, checkpoint: bool
) -> dict[str, float]:
    """Seconds of the forward pass and of the gradient, and FLOPs as XLA counts them."""
    network = draw_truncated(
        abstract_video_swin(VIDEO_SWIN_SIZES[size], 3, 400, checkpoint=checkpoint), nnx.Rngs(0)
    )
    graph, params = nnx.split(network)
    films = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

    def logits(params: nnx.State, films: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(films)

    forward = jax.jit(logits).lower(params, films).compile()
    gradient = jax.jit(jax.grad(lambda p, x: logits(p, x).sum())).lower(params, films).compile()
    return {
        "forward": least_seconds(
            lambda: jax.block_until_ready(forward(params, films)), repeats, clock
        ),
        "gradient": least_seconds(
            lambda: jax.block_until_ready(gradient(params, films)), repeats, clock
        ),
        "GFLOPs forward": float((forward.cost_analysis() or {}).get("flops", 0)) / 1e9,
        "MiB of the gradient": gradient.memory_analysis().temp_size_in_bytes / 2**20,
    }


def of_torchvision(
    size: str, shape: tuple[int, ...], repeats: int, clock: Clock
) -> dict[str, float]:
    """The same of torchvision's own network."""
    import torch
    from torchvision.models import video

    model = getattr(video, f"swin3d_{size.lower()}")(weights=None)
    films = torch.randn(shape[0], shape[4], *shape[1:4])

    def forward() -> None:
        with torch.no_grad():
            model(films)

    def gradient() -> None:
        model.zero_grad()
        model(films).sum().backward()

    model.eval()
    return {
        "forward": least_seconds(forward, repeats, clock),
        "gradient": least_seconds(gradient, repeats, clock),
    }


def main() -> None:
    """Prints seconds, and ratios where torchvision is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="T", choices=VIDEO_SWIN_SIZES)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--checkpoint", action="store_true")
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--wall", action="store_true")
    asked = parser.parse_args()
    shape = (1, asked.frames, asked.pixels, asked.pixels, 3)
    clock = time.perf_counter if asked.wall else time.process_time
    ours = of_isl(asked.size, shape, asked.repeats, clock, checkpoint=asked.checkpoint)
    for name, value in ours.items():
        print(f"isl {name}: {value:.3f}")
    if asked.torch:
        theirs = of_torchvision(asked.size, shape, asked.repeats, clock)
        for name, value in theirs.items():
            print(f"torchvision {name}: {value:.3f} ({ours[name] / value:.2f} x)")


if __name__ == "__main__":
    main()
