"""The published network: its parameter counts, and its modules against loops in NumPy."""

import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest
import tomli_w
from flax import nnx

from isl.backbones.layers import Activation, max_pool
from isl.backbones.networks import Compute, count_parameters
from isl.labeling.network import abstract_network
from isl.labeling.towers import (
    LOWER_MODULES,
    SCALES,
    UPPER_MODULES,
    ModulePlan,
    ResidualModule,
    Scaling,
    TowersConfig,
    convolution_weights,
    module_depths,
    plan_final_tower,
    plan_tower,
)


def test_parameter_count_is_the_published_codes() -> None:
    """Specification, section 3: base depth 400, two labels, 13 planes, projection (measured)."""
    network = abstract_network(TowersConfig(), planes=13, labels=("A", "B"))
    assert count_parameters(network) == 8_179_068


def test_parameter_count_of_the_papers_network() -> None:
    """About 27 million at base depth 750 (paper, method details)."""
    network = abstract_network(TowersConfig(base_depth=750), planes=13, labels=tuple("ABCDEFGH"))
    assert count_parameters(network) == pytest.approx(27e6, rel=0.03)


@pytest.mark.parametrize("expansion", [0.5, 211 / 39])
def test_so_many_parameters_are_met_as_nearly_as_depths_allow(expansion: float) -> None:
    config = TowersConfig.model_validate(
        {"base_depth": 9, "parameters": 100_000, "expansion": expansion, "projection": 4}
    )
    found = {
        depth: convolution_weights(config.model_copy(update={"base_depth": depth}))
        for depth in range(5, 100)
    }
    distances = {depth: abs(weights - 100_000) for depth, weights in found.items()}
    assert distances[config.base_depth] == min(distances.values())
    assert min(found.values()) < 100_000 < max(found.values())
    network = abstract_network(config, planes=2, labels=("A",))
    kernels = [
        variable.shape
        for path, variable in nnx.to_flat_state(nnx.state(network.body, nnx.Param))
        if path[-1] == "kernel" and "projection" not in path
    ]
    assert sum(int(np.prod(shape)) for shape in kernels) == convolution_weights(config)


def test_parameters_of_no_network_are_refused() -> None:
    for wanted in (0, True, 1e6, "many"):
        with pytest.raises(pydantic.ValidationError, match="expected a whole number above 0"):
            TowersConfig.model_validate({"parameters": wanted})
    for wanted in (1, 10**13):
        with pytest.raises(pydantic.ValidationError, match="such towers have 624,800 to 11,"):
            TowersConfig.model_validate({"parameters": wanted})


def test_parameters_between_two_depths_are_met_by_the_nearer_one() -> None:
    fewer, more = (convolution_weights(TowersConfig(base_depth=depth)) for depth in (396, 397))
    assert fewer == 7_967_824 < more
    step = more - fewer
    for beyond, weights in ((0, fewer), (step // 3, fewer), (2 * step // 3, more), (step, more)):
        config = TowersConfig.model_validate({"parameters": fewer + beyond})
        assert convolution_weights(config) == weights
    assert TowersConfig.model_validate({"parameters": 624_800}).base_depth < 10


def test_an_expansion_below_1_narrows_modules() -> None:
    """By half of their input's depth; from 1 on no module is narrower than its input."""
    depths = {
        share: module_depths(TowersConfig(base_depth=5, expansion=share), 16)[
            "lower_scale_0_recursion_0"
        ]
        for share in (0.5, 1.0, 211 / 39)
    }
    assert depths == {0.5: (8, 16), 1.0: (16, 16), 211 / 39: (16, 16)}


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
    assert plan.depths(TowersConfig(), depth_in=16) == (66, 16)
    up = ModulePlan(name="m", scaling="up", size=38, cost_size=36)
    assert up.depths(TowersConfig(), depth_in=66) == (60, 12)


def test_expansion_sets_the_depth_of_expand_convolutions_alone() -> None:
    plan = ModulePlan(name="m", scaling="in", size=36, cost_size=36)
    up = ModulePlan(name="m", scaling="up", size=38, cost_size=36)
    # ceil(400 / 36) = 12 and ceil(396 / 36) = 11, times the ratio, up to the next even number.
    for expansion, wide, up_wide in ((2.0, 24, 22), (9.5, 114, 106), (0.1, 2, 2)):
        config = TowersConfig(expansion=expansion)
        assert plan.depths(config, depth_in=16) == (wide, 16)
        assert up.depths(config, depth_in=66) == (up_wide, 12)
        assert config.geometry == TowersConfig().geometry
    reduced = [
        {name: reduce for name, (_, reduce) in module_depths(TowersConfig(**given), 16).items()}
        for given in ({}, {"expansion": 2.0}, {"activations": ("tanh",)})
    ]
    assert reduced[0] == reduced[1] == reduced[2]


@pytest.mark.parametrize("activations", [("tanh",), ("relu", "tanh", "mirror_relu")])
def test_convolutions_read_each_activation_once(activations: tuple[Activation, ...]) -> None:
    """A loop over the modules, their inputs counted once for every activation."""
    config = TowersConfig(base_depth=30, expansion=3.0, activations=activations)
    depths = module_depths(config, depth_in=16)
    times, expected, ends = len(activations), 0, []
    for plans in [*map(plan_tower, range(SCALES)), plan_final_tower()]:
        depth = sum(ends) if len(ends) == SCALES else 16
        for plan in plans:
            expand, reduce = depths[plan.name]
            read = expand if plan.scaling == "up" else expand + depth
            kernel = 3 if plan.scaling == "in" else 4
            expected += times * (kernel**2 * depth * expand + read * reduce) + 4 * (depth + read)
            depth = reduce
        ends.append(depth)
    # The planes' projection, and a head with both of its own activations.
    expected += 3 * 16 + 16 + 4 * ends[-1] + 2 * ends[-1] * 256 + 256
    network = abstract_network(config, planes=3, labels=("A",))
    stored = jax.tree.leaves(nnx.state(network))
    assert sum(leaf.size for leaf in stored) == expected


def test_settings_that_make_no_network_are_refused() -> None:
    for given, message in (
        ({"expansion": 0}, "greater than 0"),
        ({"expansion": float("nan")}, "finite"),
        ({"activations": ()}, "at least 1"),
        ({"activations": ("relu", "relu")}, "names one twice"),
        ({"activations": ("swish",)}, "'relu', 'tanh' or 'mirror_relu'"),
    ):
        with pytest.raises(pydantic.ValidationError, match=message):
            TowersConfig.model_validate(given)


def test_models_of_before_are_the_published_network() -> None:
    stated = {"kind": "towers", "base_depth": 400, "projection": 16}
    assert TowersConfig.model_validate(stated) == TowersConfig()
    # Checkpoints of before stay those of the same network.
    assert TowersConfig().model_dump() == stated
    assert TowersConfig().expansion == 211 / 39
    other = TowersConfig(expansion=1 / 3, activations=("tanh",))
    written = tomllib.loads(tomli_w.dumps(other.model_dump()))
    assert written.keys() == {*stated, "expansion", "activations"}
    assert TowersConfig.model_validate(written) == other


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


def _module(
    scaling: Scaling, depth_in: int, activations: tuple[Activation, ...] = ("relu", "tanh")
) -> ResidualModule:
    """A module of random weights and statistics, ready to predict."""
    plan = ModulePlan(name="m", scaling=scaling, size=10, cost_size=10)
    config = TowersConfig(base_depth=40, activations=activations)
    module = nnx.eval_shape(lambda: ResidualModule(plan, config, depth_in, Compute(), nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    flat = [
        (path, variable.replace(jnp.asarray(rng.uniform(0.2, 1, variable.shape), jnp.float32)))
        for path, variable in nnx.to_flat_state(nnx.state(module))
    ]
    nnx.update(module, nnx.from_flat_state(flat))
    module.eval()
    return module


def _normalized(
    norm: nnx.BatchNorm, x: np.ndarray, activations: tuple[Activation, ...]
) -> np.ndarray:
    mean, var, scale, bias = (
        np.asarray(v[...]) for v in (norm.mean, norm.var, norm.scale, norm.bias)
    )
    y = (x - mean) / np.sqrt(var + 1e-3) * scale + bias
    known = {"relu": np.maximum(y, 0), "tanh": np.tanh(y), "mirror_relu": np.minimum(y, 0)}
    return np.concatenate([known[name] for name in activations], axis=-1)


def _loop(module: ResidualModule, x: np.ndarray) -> np.ndarray:
    """Specification, section 2, for one square example [N, N, D], position by position."""
    n, depth = x.shape[0], x.shape[-1]
    a = _normalized(module.expand_norm, x, module.activations)
    kernel = np.asarray(module.expand.kernel[...])
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
    reduced = _normalized(module.reduce_norm, h, module.activations)
    reduced = reduced @ np.asarray(module.reduce.kernel[0, 0])
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
    _check_module(_module(scaling, depth_in), size, depth_in)


@pytest.mark.parametrize("activations", [("tanh",), ("mirror_relu", "relu")])
@pytest.mark.parametrize(("scaling", "size"), [("down", 6), ("up", 4)])
def test_a_module_with_other_activations(
    scaling: Scaling, size: int, activations: tuple[Activation, ...]
) -> None:
    _check_module(_module(scaling, 3, activations), size, 3)


def _check_module(module: ResidualModule, size: int, depth_in: int) -> None:
    x = np.random.default_rng(1).normal(size=(size, size, depth_in)).astype(np.float32)
    given = jax.jit(lambda x: module(x))(x[None])[0]
    np.testing.assert_allclose(given, _loop(module, x), rtol=1e-4, atol=1e-4)
