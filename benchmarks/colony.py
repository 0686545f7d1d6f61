"""What colonies cost: finding them, classing a thousand, and an update of teacher and student.

    python benchmarks/colony.py [--size 2908] [--repeats 3] [--colonies 64] [--torch]
        [--batches 16 64] [--update 224]

Finding is measured beside scikit-image's bare calls; classing (HRNet-W18, two scales, patches of
224) beside the same layers in PyTorch, with --torch, as tests/torch writes them down, and by
batches of some sizes, the first also with every batch norm folded into the convolution before it,
with --batches; an update (narrow HRNet, two scales) beside the sum of its parts run alone, with
--update. Prints CPU seconds of this process, which say the same however busy the machine is, the
least of the repeats, ratios, and the highest memory of the process while it finds colonies.
"""

import argparse
import functools
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.filters.rank import entropy
from skimage.morphology import disk, opening, remove_small_objects

from isl.backbones.hrnet import ConvNorm, HRNetConfig
from isl.backbones.resnet import PaddedConv, PostactivationBlock
from isl.colony.detection import as_bytes, detect
from isl.colony.model import ColonyConfig, ColonyModel
from isl.colony.network import ColonyNetwork, NetworkConfig, build_network
from isl.model_folder import arrays_of
from isl.phantom.colonies.well import ColonyWellConfig, make_well
from isl_train.colony.meta import (
    MetaConfig,
    Pair,
    Patches,
    meta_update,
    student_step,
    teacher_loss,
)
from isl_train.optimizer import OptimizerConfig, build_optimizer
from isl_train.parameters import Functional

BATCH = 32
# As many patches go through a network at a time.
AT_ONCE = 16


def best_of(repeats: int, function: Callable[[], object]) -> float:
    """CPU seconds of the cheapest of so many calls."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        taken.append(time.process_time() - began)
    return min(taken)


def bare(grey: np.ndarray) -> np.ndarray:
    """The paper's steps, each one call."""
    smooth = ndimage.gaussian_filter(grey, 0.8, radius=1)
    bits = entropy(smooth, disk(3))
    above = opening(bits > threshold_otsu(bits), disk(3))
    filled = np.asarray(ndimage.binary_fill_holes(above))
    labels = np.zeros(grey.shape, np.int32)
    ndimage.label(remove_small_objects(filled, max_size=1999), output=labels)
    return labels


def finding(size: int, repeats: int) -> None:
    """Colonies of one well."""
    config = ColonyWellConfig(size=size, light=0.1)
    well = make_well(config, np.random.default_rng(0))
    grey = as_bytes(well.image, 65535)
    whole = best_of(repeats, lambda: bare(grey))
    ours = best_of(repeats, lambda: detect(well.image))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"finding, {size} x {size}: bare calls {whole:.2f} s, isl {ours:.2f} s")
    print(f"ratio {ours / whole:.2f}; highest memory of the process {memory:.0f} MiB", flush=True)


def classing(colonies: int, repeats: int, torch: bool) -> None:
    """Patches through HRNet-W18 of two scales."""
    network = build_network(NetworkConfig(), 1, 4, rngs=nnx.Rngs(0))
    network.eval()
    model = ColonyModel(
        config=ColonyConfig(name="b", network=NetworkConfig(), classes=tuple("abcd"), patch=224),
        card="",
        directory=Path(),
        network=network,
    )
    patches = np.random.default_rng(0).integers(0, 255, (colonies, 224, 224, 1), np.uint8)
    model.logits(patches)
    seconds = best_of(repeats, lambda: model.logits(patches)) / colonies
    print(f"classing, HRNet-W18, two scales: {1000 * seconds:.0f} s of 1,000 colonies", flush=True)
    if torch:
        theirs = in_pytorch(network, colonies, repeats)
        print(f"the same layers in PyTorch: {1000 * theirs:.0f} s; isl {theirs / seconds:.2f} x")


class Offset(nnx.Module):
    """What is left of a batch norm whose scale the kernel before it has taken."""

    def __init__(self, norm: nnx.BatchNorm, conv: PaddedConv, bias: nnx.Param | None) -> None:
        """Scales the kernel in place; `bias` is what stood between the two."""
        assert norm.scale is not None
        assert norm.bias is not None
        scale = norm.scale[...] / jnp.sqrt(norm.var[...] + norm.epsilon)
        conv.kernel[...] = conv.kernel[...] * scale.reshape(1, 1, 1, -1)
        before = 0.0 if bias is None else bias[...]
        self.offset = nnx.Param(norm.bias[...] + (before - norm.mean[...]) * scale)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, Y, X, depth], moved."""
        return x + self.offset[...].reshape(1, 1, 1, -1)


def fold_norms(network: ColonyNetwork) -> None:
    """Folds batch norms into the convolutions before them, in place."""
    # All are listed first, since they are changed on the way.
    for part in [part for _, part in nnx.iter_modules(network.backbone)]:
        made: Any = part
        if isinstance(part, ConvNorm):
            made.norm, made.bias = Offset(part.norm, part.conv, part.bias), None
        elif isinstance(part, PostactivationBlock):
            pairs = zip(list(part.norms), list(part.convs), strict=True)
            made.norms = nnx.List([Offset(norm, conv, None) for norm, conv in pairs])
            if part.shortcut is not None and part.shortcut_norm is not None:
                made.shortcut_norm = Offset(part.shortcut_norm, part.shortcut, None)


def batched(sizes: list[int], repeats: int) -> None:
    """Classing by batches of several sizes, of the first also with folded norms."""
    network = build_network(NetworkConfig(), 1, 4, rngs=nnx.Rngs(0))
    network.eval()
    for size in sizes:
        seconds = _thousand(network, size, repeats)
        print(f"batches of {size}: {seconds:.0f} s of 1,000 colonies", flush=True)
    fold_norms(network)
    seconds = _thousand(network, sizes[0], repeats)
    print(f"batches of {sizes[0]}, norms folded: {seconds:.0f} s of 1,000 colonies", flush=True)


def _thousand(network: ColonyNetwork, size: int, repeats: int) -> float:
    graph, state = nnx.split(network)
    patches = jnp.asarray(np.random.default_rng(0).normal(size=(size, 224, 224, 1)), "f4")
    compiled = jax.jit(lambda state, x: nnx.merge(graph, state)(x)).lower(state, patches).compile()
    _run(compiled, (state, patches))
    return 1000 / size * best_of(repeats, functools.partial(_run, compiled, (state, patches)))


def in_pytorch(network: ColonyNetwork, colonies: int, repeats: int) -> float:
    """CPU seconds of a colony."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "torch"))
    import torch

    # Threads that wait for each other count as CPU seconds, however little they do.
    torch.set_num_threads(1)
    from test_vgg_hrnet_torch import (  # pyright: ignore[reportMissingImports]
        Layers,
        entered,
        hrnet_stem,
        hrnet_trunk,
    )

    class Ready(Layers):
        """The layers with kernels laid out once."""

        def __init__(self, arrays: dict[str, np.ndarray]) -> None:
            super().__init__(arrays)
            self.kernels = {
                name: torch.from_numpy(array.transpose(3, 2, 0, 1).copy())
                for name, array in arrays.items()
                if array.ndim == 4
            }

        def conv(self, name: str, x, stride: int = 1, bias: str = ""):
            kernel = self.kernels[f"{name}/kernel"]
            offset = self.tensor(bias) if bias in self.arrays else None
            pad = kernel.shape[-1] // 2
            return torch.nn.functional.conv2d(x, kernel, offset, stride, padding=pad)

    layers = Ready({name: np.array(a) for name, a in arrays_of(network.backbone).items()})
    config = network.backbone.config
    smaller = config.model_copy(update={"branches": tuple(max(1, b - 1) for b in config.branches)})
    whole = torch.rand(AT_ONCE, 1, 224, 224)
    rounds = colonies // AT_ONCE

    def run() -> None:
        with torch.no_grad():
            for _ in range(rounds):
                large, small = (hrnet_stem(layers, x) for x in (whole, whole[..., 56:168, 56:168]))
                hrnet_trunk(layers, "trunk", [large], config, 0)
                entrance = entered(layers, "trunk/transitions/0", [small], 1)
                hrnet_trunk(layers, "small", entrance, smaller, 1)

    run()
    return best_of(repeats, run) / (rounds * AT_ONCE)


def updating(size: int, repeats: int) -> None:
    """An update of teacher and student, and its parts run one after the other."""
    backbone = HRNetConfig(
        stem=16,
        first_blocks=1,
        width=8,
        modules=(1, 1, 1),
        blocks=1,
        head=(8, 8, 8, 8),
        final=(32,),
    )
    network = build_network(NetworkConfig(backbone=backbone), 1, 4, rngs=nnx.Rngs(0))
    functional: Functional[ColonyNetwork] = Functional(network)
    params, state = Functional.take_apart(network)
    optimizer = build_optimizer(OptimizerConfig(kind="sgd", learning_rate=0.01), params, steps=10)
    settings = MetaConfig()
    rng = np.random.default_rng(0)
    one, two, three = (jnp.asarray(rng.normal(size=(BATCH, size, size, 1)), "f4") for _ in range(3))
    patches = Patches(
        labelled=one, labels=jnp.asarray(rng.integers(0, 4, BATCH)), plain=two, augmented=three
    )

    def apply(params: Any, state: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        made = functional.put_together(params, state, training=True)
        logits = made(x)
        return logits, Functional.take_apart(made)[1]

    moments = optimizer.init(params)
    both = Pair(teacher=params, student=params), Pair(teacher=state, student=state)
    rates = Pair(teacher=jnp.asarray(0.01), student=jnp.asarray(0.01))
    calls, sure = jnp.zeros(BATCH, jnp.int32), jnp.ones(BATCH)
    step, benefit = jnp.asarray(3), jnp.asarray(0.1)

    def teaching(params: Any, state: Any, moments: Any) -> Any:
        slope = jax.value_and_grad(teacher_loss, argnums=1, has_aux=True)
        (_, (state, _)), gradient = slope(
            apply, params, state, patches, calls, sure, benefit, step, settings
        )
        return optimizer.update(gradient, moments, params, learning_rate=rates.teacher), state

    parts: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "teacher's calls": (
            lambda p, s: apply(p, s, jnp.concatenate([one, two, three]))[0],
            (params, state),
        ),
        "student's step": (
            lambda p, s, m: student_step(
                apply, optimizer, p, s, m, patches, calls, sure, rates.student
            ),
            (params, state, moments),
        ),
        "student judged": (
            lambda p, s: apply(p, s, jnp.concatenate([one, three]))[0],
            (params, state),
        ),
        "teacher's step": (teaching, (params, state, moments)),
        "update": (
            lambda p, s, m: meta_update(apply, optimizer, p, s, m, patches, step, rates, settings),
            (*both, Pair(teacher=moments, student=moments)),
        ),
    }
    seconds = {}
    for name, (function, given) in parts.items():
        compiled = jax.jit(function).lower(*given).compile()
        jax.block_until_ready(compiled(*given))
        seconds[name] = best_of(repeats, functools.partial(_run, compiled, given))
        print(f"{name}: {seconds[name]:.2f} s", flush=True)
    together = seconds.pop("update")
    whole = sum(seconds.values())
    print(
        f"{BATCH} patches of {size} + {size // 2}: parts {whole:.2f} s, update {together:.2f} s; "
        f"ratio {together / whole:.2f}"
    )


def _run(compiled: Callable[..., Any], given: tuple[Any, ...]) -> None:
    jax.block_until_ready(compiled(*given))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2908)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--colonies", type=int, default=64)
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--batches", type=int, nargs="*", default=[], help="sizes of batches")
    parser.add_argument("--update", type=int, default=0, help="pixels of a patch, such as 224")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    if given.size:
        finding(given.size, given.repeats)
    if given.colonies:
        classing(given.colonies, given.repeats, given.torch)
    if given.batches:
        batched(given.batches, given.repeats)
    if given.update:
        updating(given.update, given.repeats)


if __name__ == "__main__":
    main()
