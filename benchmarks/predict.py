"""What predicting a field takes: speed, arithmetic and memory, by network and by way.

    python benchmarks/predict.py [--size 1024] [--base-depth 400] [--width 32] [--rounds 3]

Every way runs in a process of its own, all of them once a round, in turns; the best round counts.
Before and after a way, the same process multiplies matrices: the share is of the best of five such
products. Memory is the process's peak above that of an idle JAX process.

Patches are 250 pixels wide (for the U-Net 252, the next width that fits) and laid edge to edge. A
whole field takes up to 16384 of them; a few are timed, and the figure is for each pixel of output.
Operations are those of convolutions and matrix products, counted in the traced program.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones import layers
from isl.backbones.convolution import native_convolution
from isl.backbones.unet import UNetConfig
from isl.imaging.image import ZStack
from isl.labeling.model import Model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import ArchitectureConfig, build_network
from isl.labeling.options import check_options
from isl.labeling.plan import plan_field
from isl.labeling.predict import predict
from isl.labeling.source import field_of
from isl.labeling.towers import TowersConfig
from isl_train.cost import operations

PLANES, LABELS, BATCH = 13, ("DAPI", "MAP2", "NFH"), 16
STATISTICS = ("median",)
WAYS = {
    "towers": ("one patch", "patches in batches", "exact", "dense"),
    "unet": ("one patch", "patches in batches", "dense", "PyTorch", "PyTorch, one number a label"),
    "default": ("patches in batches", "dense"),
}
# That of the model that predicts unless one names another.
DEFAULT = UNetConfig(levels=4, width=32, stem=2)


def main() -> None:
    """Measures, or prints the table of what others measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--base-depth", type=int, default=400)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(*given.measure, given)))
        return
    tasks = [("idle", "idle"), *((kind, way) for kind in given.kinds for way in WAYS[kind])]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {task: [] for task in tasks}
    for _ in range(given.rounds):
        for task in tasks:
            command = [sys.executable, *sys.argv, "--measure", *task]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[task].append(json.loads(done.stdout.splitlines()[-1]))
    print_table(found, given)


def print_table(found: dict[tuple[str, str], list[dict[str, Any]]], given: Any) -> None:
    """One line a way."""
    rounds = [one for runs in found.values() for one in runs if "product" in one]
    product = max(one["product"] for one in rounds)
    idle = found["idle", "idle"][0]["memory"]
    print(
        f"{given.size} x {given.size} x {PLANES}, median of {len(LABELS)} labels; towers of base "
        f"depth {given.base_depth}, unet of width {given.width}; tiles {given.tile}\n"
        f"matrix product: {product:.0f} GFLOP/s; patches: a few timed, for each pixel of output\n"
        f"{'':>26} {'pixels/s':>9} {'MFLOP/pixel':>12} {'GFLOP/s':>8} {'share':>6} "
        f"{'to batches':>11} {'of CPU':>7} {'memory, GiB':>12}"
    )
    for kind in given.kinds:
        best = {way: min(found[kind, way], key=lambda one: one["seconds"]) for way in WAYS[kind]}
        batches = best["patches in batches"]
        for way, one in best.items():
            name, work = f"{kind}, {way}", one["operations"] / 1e6
            rate = work / one["seconds"] / 1e3
            print(
                f"{name:>26} {1 / one['seconds']:>9.0f} {work:>12.1f} "
                f"{rate:>8.1f} {rate / one['product']:>6.0%} "
                f"{batches['seconds'] / one['seconds']:>11.2f} {batches['cpu'] / one['cpu']:>7.2f} "
                f"{(one['memory'] - idle) / 2**20:>12.2f}"
            )


def measured(kind: str, way: str, given: Any) -> dict[str, Any]:
    """Seconds and operations for each pixel of output, the product's rate, and the peak memory."""
    multiply, square = jax.jit(lambda a: a @ a), jnp.ones((2048, 2048))
    multiply(square).block_until_ready()
    if kind == "idle":
        return {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    products = [timed(lambda: multiply(square).block_until_ready())[0] for _ in range(3)]
    run, pixels, operations = prepared(kind, way, given)
    run()
    seconds, cpu = timed(run)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    products += [timed(lambda: multiply(square).block_until_ready())[0] for _ in range(2)]
    return {
        "seconds": seconds / pixels,
        "cpu": cpu / pixels,
        "operations": operations / pixels,
        "product": 2 * 2048**3 / min(products) / 1e9,
        "memory": memory,
    }


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds passed, and seconds of the CPU."""
    start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def prepared(kind: str, way: str, given: Any) -> tuple[Callable[[], Any], int, float]:
    """What is to be timed, its pixels of output, and its operations."""
    architectures: dict[str, ArchitectureConfig] = {
        "towers": TowersConfig(base_depth=given.base_depth),
        "unet": UNetConfig(width=given.width),
        "default": DEFAULT,
    }
    model = model_of(architectures[kind])
    rng = np.random.default_rng(0)
    if "patch" in way:
        width = model.geometry.input_size(model.geometry.output_size(model.geometry.smallest))
        while width < 250:
            width += model.geometry.step
        batch = 1 if way == "one patch" else BATCH
        patches = rng.random((batch, width, width, PLANES), dtype=np.float32)
        times = 8 if batch == 1 else 2

        def run() -> None:
            for _ in range(times):
                jax.block_until_ready(model.statistics(patches, LABELS, STATISTICS))

        pixels = times * batch * model.geometry.output_size(width) ** 2
        return run, pixels, times * operations_of(model, patches.shape)
    planes = rng.normal(0.5, 0.125, (PLANES, given.size, given.size)).clip(0, 1)
    stack = ZStack(name="random", planes=planes.astype(np.float32))
    if way.startswith("PyTorch"):
        return in_torch(model, stack, plain=way != "PyTorch")
    stitch = "exact" if way == "exact" else "dense"
    chosen: Any = {
        "stitch": stitch,
        "tile": given.tile if given.tile == "auto" else int(given.tile),
    }
    options = check_options(model.config, **chosen)
    plan = plan_field(model.config, field_of(stack), options)
    shape = (len(plan.tiles), *plan.tiles.tile_size, PLANES)
    counted = operations_of(model.exact if stitch == "exact" else model, shape)
    return lambda: predict(model, stack, **chosen), given.size**2, counted


def model_of(architecture: ArchitectureConfig) -> Model:
    """A model with fresh weights."""
    network = build_network(architecture, planes=PLANES, labels=LABELS, rngs=nnx.Rngs(0))
    network.eval()
    config = ModelConfig(
        name="fresh",
        labels=LABELS,
        architecture=architecture,
        input=InputContract(planes=PLANES, normalization="off"),
    )
    # No folder: nothing of it is read.
    return Model(config=config, card="", directory=sys.argv[0], network=network)  # pyright: ignore


def in_torch(model: Model, stack: ZStack, *, plain: bool) -> tuple[Callable[[], Any], int, float]:
    """The same network in PyTorch over a whole field, and whether it agrees; or without heads.

    Plain, it is what people compare with: a 1 x 1 convolution to a number a label in their place.
    """
    import torch
    from torch_unet import TorchUNet

    theirs = TorchUNet(model.network, PLANES).eval()
    margin, size = model.geometry.margin, stack.planes.shape[-1]
    wide = model.geometry.input_size(size) - size - margin
    padding = ((0, 0), (margin, wide), (margin, wide))
    seen = np.pad(stack.planes, padding, mode="reflect")[None]
    intensities = 255
    numbers = torch.nn.Conv2d(model.network.body.depth, len(LABELS), 1)

    def run_plain() -> Any:
        with torch.inference_mode():
            return numbers(theirs.embed(torch.from_numpy(seen)))

    def run(x: np.ndarray = seen) -> Any:
        with torch.inference_mode():
            logits = theirs(torch.from_numpy(x))
            running = logits.softmax(dim=2).cumsum(dim=2)
            return logits, (running < 0.5).sum(dim=2) / intensities

    small = seen[..., : model.geometry.smallest + 32, : model.geometry.smallest + 32]
    ours = np.moveaxis(np.asarray(model.logits(np.moveaxis(small, 1, -1), LABELS)), (3, 4), (1, 2))
    np.testing.assert_allclose(run(small)[0].numpy(), ours, atol=1e-4 * np.abs(ours).max())
    return run_plain if plain else run, size**2, operations_of(model, (1, *seen.shape[2:], PLANES))


def operations_of(model: Model, shape: tuple[int, ...]) -> float:
    """Floating-point operations of convolutions and products for a batch."""
    graph, state = model.parts

    def whole(state: Any, x: jax.Array) -> jax.Array:
        network = nnx.merge(graph, state)
        return network.label_logits(network.embed(x), LABELS)

    # Without loops, in which an operation that is traced once is carried out many times.
    with (
        mock.patch.object(layers, "_BAND_NUMBERS", 2**62),
        mock.patch.object(layers, "blocked_convolution", native_convolution),
    ):
        program = jax.make_jaxpr(whole)(state, jax.ShapeDtypeStruct(shape, np.float32))
    return operations(program.jaxpr)


if __name__ == "__main__":
    main()
