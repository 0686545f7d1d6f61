"""What a still costs, and a network's forward pass and train step beside PyTorch's.

    python benchmarks/fragmentation.py [--model fragmentation] [--size 800] [--repeats 5] [--torch]

Prints seconds after compiling, of the clock and of all cores together; each is the best of the
repeats. On a machine that others use too, seconds of the cores say more. With --torch a ResNet-50
of an output stride of 16 with the same atrous pyramid and decoder, without gates, is timed in both.
"""

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.fragmentation.assess import assess_frame
from isl.fragmentation.model import load_fragmentation_model
from isl.fragmentation.network import NetworkConfig, build_network
from isl.phantom.cleavage.dataset import CleavageConfig, frames_of
from isl.workers import usable_cores

VIEW, BATCH = 256, 2
Taken = tuple[float, float]
"""Seconds of the clock, and of all cores together."""


def best_of(repeats: int, function: Callable[[], object]) -> Taken:
    """What the fastest of so many calls takes, after one that does not count."""
    function()
    clock, cores = [], []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - began[0])
        cores.append(time.process_time() - began[1])
    return min(clock), min(cores)


def still(model_name: str, size: int, repeats: int) -> Taken:
    """Seconds from a simulated frame in memory to its embryos."""
    model = load_fragmentation_model(model_name)
    picture, _ = frames_of(3, CleavageConfig(frames=1, size=size), 77, 2)[0]
    frame = picture.astype(np.float32) / 255

    def once() -> object:
        return assess_frame(frame, model.look(frame[None])[0], model.config, frame=0)

    return best_of(repeats, once)


def ours(repeats: int) -> tuple[Taken, Taken]:
    """Seconds of a forward pass and of a gradient of the plain decoder on ResNet-50."""
    network = build_network(NetworkConfig(gates="off", regression="off"), rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(BATCH, VIEW, VIEW, 1)), jnp.float32)

    @nnx.jit
    def forward(network: Any, images: jax.Array) -> jax.Array:
        return network(images).logits

    @nnx.jit
    def step(network: Any, images: jax.Array) -> Any:
        return nnx.grad(lambda n: (n(images).logits ** 2).mean())(network)

    network.eval()
    forth = best_of(repeats, lambda: jax.block_until_ready(forward(network, images)))
    network.train()
    return forth, best_of(repeats, lambda: jax.block_until_ready(step(network, images)))


def theirs(repeats: int) -> tuple[Taken, Taken]:
    """The same of PyTorch."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(usable_cores())

    def conv(a: int, b: int, k: int, rate: int = 1, stride: int = 1) -> nn.Module:
        pad = rate * (k // 2)
        layer = nn.Conv2d(a, b, k, stride, pad, dilation=rate, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(b), nn.ReLU())

    class Block(nn.Module):
        def __init__(self, a: int, b: int, stride: int, rate: int) -> None:
            super().__init__()
            middle = conv(b, b, 3, rate, stride)
            self.way = nn.Sequential(conv(a, b, 1), middle, conv(b, 4 * b, 1)[:2])
            self.short = nn.Sequential()
            if a != 4 * b:
                self.short = nn.Sequential(
                    nn.Conv2d(a, 4 * b, 1, stride, bias=False), nn.BatchNorm2d(4 * b)
                )

        def forward(self, x: Any) -> Any:
            return F.relu(self.way(x) + self.short(x))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(conv(1, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1))
            stages, a = [], 64
            plan = ((3, 64, 1, 1), (4, 128, 2, 1), (6, 256, 2, 1), (3, 512, 1, 2))
            for count, b, stride, rate in plan:
                blocks = []
                for i in range(count):
                    blocks.append(Block(a, b, stride if i == 0 else 1, rate if i else 1))
                    a = 4 * b
                stages.append(nn.Sequential(*blocks))
            self.stages = nn.ModuleList(stages)
            self.near = conv(2048, 256, 1)
            self.far = nn.ModuleList(conv(2048, 256, 3, rate) for rate in (6, 12, 18))
            self.whole = conv(2048, 256, 1)
            self.joined = conv(5 * 256, 256, 1)
            self.skip = conv(256, 48, 1)
            self.decoder = nn.Sequential(conv(304, 256, 3), conv(256, 256, 3), nn.Conv2d(256, 2, 1))

        def forward(self, x: Any) -> Any:
            size, maps, x = x.shape[2:], [], self.stem(x)
            for stage in self.stages:
                x = stage(x)
                maps.append(x)
            mean = self.whole(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
            x = self.joined(torch.cat([self.near(x), *(f(x) for f in self.far), mean], 1))
            x = F.interpolate(x, maps[0].shape[2:], mode="bilinear")
            x = self.decoder(torch.cat([x, self.skip(maps[0])], 1))
            return F.interpolate(x, size, mode="bilinear")

    network = Network()
    images = torch.rand(BATCH, 1, VIEW, VIEW)

    def forward() -> None:
        with torch.no_grad():
            network.eval()(images)

    def step() -> None:
        network.train().zero_grad()
        (network(images) ** 2).mean().backward()

    return best_of(repeats, forward), best_of(repeats, step)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fragmentation")
    parser.add_argument("--size", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--torch", action="store_true")
    given = parser.parse_args()
    print(f"{platform.machine()}, {usable_cores()} cores, JAX {jax.__version__}")
    clock, cores = still(given.model, given.size, given.repeats)
    print(
        f"a still of {given.size} x {given.size}, model {given.model}: {clock:.2f} s "
        f"({cores:.2f} s of the cores)"
    )
    if given.torch:
        print(f"ResNet-50 at an output stride of 16, {BATCH} x {VIEW} x {VIEW}:")
        for name, own, other in zip(
            ("forward", "gradient"), ours(given.repeats), theirs(given.repeats), strict=True
        ):
            for what, one, two in zip(("clock", "cores"), own, other, strict=True):
                print(f"  {name}, {what}: isl {one:.2f} s, PyTorch {two:.2f} s, {one / two:.2f} x")


if __name__ == "__main__":
    main()
