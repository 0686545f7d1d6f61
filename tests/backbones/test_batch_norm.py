"""Batch norms set their running statistics, and do not make the tracing of deep networks slow."""

import sys
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.networks import Compute, batch_norm


def test_running_statistics_move_toward_those_of_a_batch() -> None:
    norm = batch_norm(3, Compute(batch_norm_decay=0.75), 1e-3)
    x = np.random.default_rng(0).normal(2, 3, (4, 5, 5, 3)).astype(np.float32)
    graph, state = nnx.split(norm)

    @jax.jit
    def after(state: nnx.State, x: jax.Array) -> nnx.State:
        norm = nnx.merge(graph, state, copy=True)
        norm(x)
        return nnx.state(norm, nnx.BatchStat)

    found = after(state, jnp.asarray(x))
    np.testing.assert_allclose(found["mean"][...], 0.25 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["var"][...], 0.75 + 0.25 * x.var((0, 1, 2)), rtol=1e-5)


def calls_to_trace(norms: int) -> int:
    """Calls of Python functions that it takes to trace so many batch norms in training."""
    network = nnx.List([batch_norm(2, Compute(), 1e-3) for _ in range(norms)])
    graph, state = nnx.split(network)

    def through(state: nnx.State, x: jax.Array) -> tuple[jax.Array, nnx.State]:
        network = nnx.merge(graph, state, copy=True)
        for norm in network:
            x = norm(x)
        return x, nnx.state(network)

    calls = 0

    def count(_frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        jax.make_jaxpr(through)(state, jnp.ones((2, 3, 3, 2)))
    finally:
        sys.setprofile(before)
    return calls


def test_the_last_of_many_is_traced_as_fast_as_the_first() -> None:
    calls_to_trace(5)
    few, more, many = map(calls_to_trace, (20, 40, 60))
    assert many - more < 1.1 * (more - few)
