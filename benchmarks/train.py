"""A training step of the bundled U-Net's size, in JAX and in PyTorch.

The same weights, the same 4 crops of 252 pixels of 13 planes, cross-entropy of 3 labels at every
pixel, Adam. Steps are taken in turns in one run; the table gives the best of five.

    python benchmarks/train.py [CROP] [BATCH]
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx
from torch_unet import TorchUNet

from isl.backbones.unet import UNetConfig
from isl.labeling.network import build_network

PLANES, LABELS, ROUNDS, RATE = 13, ("DAPI", "MAP2", "NFH"), 5, 1e-3


def main() -> None:
    """Prints the table."""
    crop, batch = (int(given) for given in (*sys.argv[1:], *("252", "4")[len(sys.argv) - 1 :]))
    network = build_network(UNetConfig(), planes=PLANES, labels=LABELS, rngs=nnx.Rngs(0))
    theirs = TorchUNet(network, PLANES)
    rng = np.random.default_rng(0)
    x = rng.random((batch, crop, crop, PLANES), dtype=np.float32)
    size = network.geometry.output_size(crop)
    y = rng.integers(0, 256, (batch, size, size, len(LABELS)))
    optimizer = optax.adam(RATE)
    graph, params, rest = nnx.split(network, nnx.Param, ...)

    @jax.jit
    def step(params, rest, state, x, y):
        def loss(params):
            whole = nnx.merge(graph, params, rest, copy=True)
            whole.train()
            logits = whole.label_logits(whole.embed(x))
            value = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return value, nnx.split(whole, nnx.Param, ...)[2]

        (value, rest), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, change), rest, state, value

    ours = [params, rest, optimizer.init(params)]
    adam = torch.optim.Adam(theirs.parameters(), RATE)
    seen = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
    truth = torch.from_numpy(y).permute(0, 3, 1, 2)

    def jax_step() -> float:
        ours[0], ours[1], ours[2], value = step(*ours, jnp.asarray(x), jnp.asarray(y))
        return float(value)

    def torch_step() -> float:
        adam.zero_grad()
        logits = theirs(seen)
        value = torch.nn.functional.cross_entropy(logits.transpose(1, 2), truth)
        value.backward()
        adam.step()
        return float(value.detach())

    product = jax.jit(lambda a: a @ a)
    square = jnp.ones((2048, 2048))
    ways = {
        "matrix product": lambda: float(product(square)[0, 0]),
        "isl": jax_step,
        "PyTorch": torch_step,
    }
    losses = {name: [run()] for name, run in ways.items()}
    best = dict.fromkeys(ways, (np.inf, np.inf))
    for _ in range(ROUNDS):
        for name, run in ways.items():
            start = time.perf_counter(), time.process_time()
            losses[name].append(run())
            passed = time.perf_counter() - start[0], time.process_time() - start[1]
            best[name] = tuple(map(min, passed, best[name]))
    print(f"{batch} crops of {crop} x {crop} x {PLANES}, {len(LABELS)} labels")
    print(f"matrix product: {2 * 2048**3 / best['matrix product'][0] / 1e9:.0f} GFLOP/s")
    print(
        f"{'':>10} {'a step, s':>10} {'of CPU, s':>10} {'to PyTorch':>11} "
        f"{'loss, first and last':>22}"
    )
    for name in ("isl", "PyTorch"):
        ratio = best[name][0] / best["PyTorch"][0]
        first, last = losses[name][0], losses[name][-1]
        print(
            f"{name:>10} {best[name][0]:>10.2f} {best[name][1]:>10.2f} {ratio:>11.2f} "
            f"{first:>12.4f} {last:>9.4f}"
        )


if __name__ == "__main__":
    main()
