"""The published network: its parameter counts, and its modules against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.labeling.layers import max_pool
from isl.labeling.network import abstract_network
from isl.labeling.towers import (
    LOWER_MODULES,
    UPPER_MODULES,
    ModulePlan,
    ResidualModule,
    Scaling,
    TowersConfig,
    plan_final_tower,
    plan_tower,
)
from isl.networks import Compute, count_parameters


def test_parameter_count_is_the_published_codes() -> None:
    """Specification, section 3: base depth 400, two labels, 13 planes, projection (measured)."""
    network = abstract_network(TowersConfig(), planes=13, labels=("A", "B"))
    assert count_parameters(network) == 8_179_068


def test_parameter_count_of_the_papers_network() -> None:
    """About 27 million at base depth 750 (paper, method details)."""
    network = abstract_network(TowersConfig(base_depth=750), planes=13, labels=tuple("ABCDEFGH"))
    assert count_parameters(network) == pytest.approx(27e6, rel=0.03)


def test_another_number_of_planes_changes_the_projection_alone() -> None:
    counts = [
        count_parameters(abstract_network(TowersConfig(base_depth=8), planes=z, labels=("A",)))
        for z in (1, 13)
    ]
    assert counts[1] - counts[0] == 12 * 16


def test_modules_stand_in_the_published_order() -> None:
    names = [plan.name for plan in plan_tower(2)]
    assert names[:4] == [
        "downscale_2_0",
        "downscale_2_0_in_scale",
        "downscale_2_1",
        "downscale_2_1_in_scale",
    ]
    assert names[4:14] == [f"lower_scale_2_recursion_{i}" for i in range(LOWER_MODULES - 8)]
    assert names[-1] == "upscale_2_1_in_scale"
    assert len(plan_final_tower()) == UPPER_MODULES


def test_a_module_that_changes_the_scale_costs_what_its_successor_does() -> None:
    assert [plan.cost_size for plan in plan_tower(1)[:2]] == [48, 48]
    assert [plan.cost_size for plan in plan_tower(1)[-2:]] == [36, 36]


def test_depth_never_shrinks_but_in_up_scale_modules() -> None:
    plan = ModulePlan(name="m", scaling="in", size=36, cost_size=36)
    assert plan.depths(400, depth_in=16) == (66, 16)
    up = ModulePlan(name="m", scaling="up", size=38, cost_size=36)
    assert up.depths(400, depth_in=66) == (60, 12)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (2, 2)])
def test_max_pooling_is_that_of_a_slow_loop(kernel: int, stride: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 10, 12, 3)).astype(np.float32)
    rows, columns = ((n - kernel) // stride + 1 for n in x.shape[1:3])
    expected = np.zeros((2, rows, columns, 3), np.float32)
    for y in range(rows):
        for column in range(columns):
            window = x[:, y * stride : y * stride + kernel, column * stride :][:, :, :kernel]
            expected[:, y, column] = window.max(axis=(1, 2))
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), kernel, stride), expected)


def _module(scaling: Scaling, depth_in: int) -> ResidualModule:
    """A module of random weights and statistics, ready to predict."""
    plan = ModulePlan(name="m", scaling=scaling, size=10, cost_size=10)
    module = nnx.eval_shape(lambda: ResidualModule(plan, 40, depth_in, Compute(), nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    flat = [
        (path, variable.replace(jnp.asarray(rng.uniform(0.2, 1, variable.shape), jnp.float32)))
        for path, variable in nnx.to_flat_state(nnx.state(module))
    ]
    nnx.update(module, nnx.from_flat_state(flat))
    module.eval()
    return module


def _normalized(norm: nnx.BatchNorm, x: np.ndarray) -> np.ndarray:
    mean, var, scale, bias = (
        np.asarray(v[...]) for v in (norm.mean, norm.var, norm.scale, norm.bias)
    )
    y = (x - mean) / np.sqrt(var + 1e-3) * scale + bias
    return np.concatenate([np.maximum(y, 0), np.tanh(y)], axis=-1)


def _loop(module: ResidualModule, x: np.ndarray) -> np.ndarray:
    """Specification, section 2, for one square example [N, N, D], position by position."""
    n, depth = x.shape[0], x.shape[-1]
    a, kernel = _normalized(module.expand_norm, x), np.asarray(module.expand.kernel[...])
    if module.scaling == "up":
        h = np.zeros((2 * n + 2, 2 * n + 2, kernel.shape[2]))
        for y in range(n):
            for c in range(n):
                h[2 * y : 2 * y + 4, 2 * c : 2 * c + 4] += np.einsum("ijod,d->ijo", kernel, a[y, c])
        skip = np.pad(x.repeat(2, 0).repeat(2, 1), ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    else:
        size, stride = (3, 1) if module.scaling == "in" else (4, 2)
        out = (n - size) // stride + 1
        h = np.zeros((out, out, kernel.shape[-1] + depth))
        for y in range(out):
            for c in range(out):
                rows, columns = (
                    slice(y * stride, y * stride + size),
                    slice(c * stride, c * stride + size),
                )
                convolved = np.einsum("ijd,ijdo->o", a[rows, columns], kernel)
                h[y, c] = np.concatenate([convolved, x[rows, columns].max(axis=(0, 1))])
        skip = x[1:-1, 1:-1]
        if module.scaling == "down":
            skip = (skip[::2, ::2] + skip[1::2, ::2] + skip[::2, 1::2] + skip[1::2, 1::2]) / 4
    reduced = _normalized(module.reduce_norm, h) @ np.asarray(module.reduce.kernel[0, 0])
    fitted = np.zeros_like(reduced)
    shared = min(depth, reduced.shape[-1])
    fitted[..., :shared] = skip[..., :shared]
    result = fitted + reduced
    return result[2:-2, 2:-2] if module.scaling == "up" else result


@pytest.mark.parametrize(("scaling", "size"), [("in", 5), ("down", 8), ("up", 4)])
@pytest.mark.parametrize("depth_in", [2, 8])
def test_a_module_computes_what_the_specification_says(
    scaling: Scaling, size: int, depth_in: int
) -> None:
    """With depths filled up with zeros (2 to 4), or cropped by up-scale modules (8 to 4)."""
    module = _module(scaling, depth_in)
    x = np.random.default_rng(1).normal(size=(size, size, depth_in)).astype(np.float32)
    given = jax.jit(lambda x: module(x))(x[None])[0]
    np.testing.assert_allclose(given, _loop(module, x), rtol=1e-4, atol=1e-4)
