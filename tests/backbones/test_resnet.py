"""Residual networks: sizes, padding, the place of strides and norms, and what training moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError

from isl.backbones.networks import Compute, draw_weights
from isl.backbones.resnet import (
    PaddedConv,
    PreactivationBlock,
    ResNet,
    ResNetConfig,
    abstract_resnet,
    max_pool,
)
from isl.model_folder import arrays_of


def small(**settings) -> ResNet:
    """The smallest network of its kind, in evaluation."""
    config = ResNetConfig(**{"depth": 10, "width": 2, "stem": "small", **settings})
    network = draw_weights(abstract_resnet(config, 2), nnx.Rngs(0))
    network.eval()
    return network


@nnx.jit
def features(network: ResNet, x: jax.Array) -> jax.Array:
    return network.features(x)


def noise(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("preactivation", [True, False])
@pytest.mark.parametrize(
    ("depth", "layers", "depth_out"), [(10, 9, 24), (18, 17, 24), (26, 25, 96), (50, 49, 96)]
)
def test_layers_and_features(depth: int, layers: int, depth_out: int, preactivation: bool) -> None:
    """The dense layer on top is the one that the depth counts beside these convolutions."""
    config = ResNetConfig(depth=depth, width=3, preactivation=preactivation)
    network = abstract_resnet(config, 1)
    flat = nnx.to_flat_state(nnx.state(network, nnx.Param))
    convolutions = [path for path, _ in flat if path[-1] == "kernel" and "shortcut" not in path]
    assert len(convolutions) == layers
    maps = nnx.eval_shape(ResNet.features, network, jnp.zeros((2, 65, 96, 1)))
    assert maps.shape == (2, 3, 3, depth_out)
    assert network.depth == config.depth_out == depth_out


@pytest.mark.parametrize(
    ("stem", "final_stride", "size", "expected"),
    [
        ("imagenet", 2, 512, 16),
        ("imagenet", 2, 33, 2),
        ("imagenet", 2, 32, 1),
        ("imagenet", 1, 128, 8),
        ("small", 2, 160, 10),
        ("small", 1, 160, 20),
    ],
)
def test_sizes_of_features(stem: str, final_stride: int, size: int, expected: int) -> None:
    config = ResNetConfig(depth=18, width=2, stem=stem, final_stride=final_stride)
    network = abstract_resnet(config, 1)
    maps = nnx.eval_shape(ResNet.features, network, jnp.zeros((1, size, 64, 1)))
    assert maps.shape[1] == expected


def test_parameters_of_resnet_50() -> None:
    """torchvision's resnet50 has 25,557,032 parameters, 2,049,000 of them in its dense layer."""
    network = abstract_resnet(ResNetConfig(preactivation=False), 3)
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    assert sum(int(np.prod(leaf.shape)) for leaf in leaves) == 25_557_032 - 2_049_000


@pytest.mark.parametrize(
    ("kernel", "stride", "rows"), [(1, 1, 4), (1, 2, 5), (3, 1, 4), (3, 2, 4), (3, 2, 5), (7, 2, 6)]
)
def test_padded_convolution_is_a_plain_loop(kernel: int, stride: int, rows: int) -> None:
    conv = PaddedConv(2, 3, kernel, Compute(), stride=stride)
    draw_weights(conv, nnx.Rngs(0))
    x, weights = np.asarray(noise(2, rows, 7, 2)), np.asarray(conv.kernel[...])
    border = kernel // 2
    padded = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    expected = np.zeros((2, -(-rows // stride), -(-7 // stride), 3))
    for row in range(expected.shape[1]):
        for column in range(expected.shape[2]):
            top, left = row * stride, column * stride
            under = padded[:, top : top + kernel, left : left + kernel]
            expected[:, row, column] = np.einsum("byxc,yxcd->bd", under, weights)
    np.testing.assert_allclose(conv(jnp.asarray(x)), expected, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(6, 7), (1, 2)])
def test_max_pool_is_a_plain_loop(rows: int, columns: int) -> None:
    """Negative values too: what lies beyond the border is lower than any."""
    x = np.asarray(noise(2, rows, columns, 2)) - 5
    found = max_pool(jnp.asarray(x))
    assert found.shape == (2, (rows + 1) // 2, (columns + 1) // 2, 2)
    for row in range(found.shape[1]):
        for column in range(found.shape[2]):
            top, left = 2 * row - 1, 2 * column - 1
            under = x[:, max(top, 0) : top + 3, max(left, 0) : left + 3]
            np.testing.assert_array_equal(found[:, row, column], under.max(axis=(1, 2)))


def test_stride_is_on_the_3x3() -> None:
    """A stride on the 1 x 1 before it would never look at rows and columns of odd number."""
    config = ResNetConfig(depth=26, width=2)
    block = PreactivationBlock(3, config, width=2, stride=2, compute=Compute())
    draw_weights(block, nnx.Rngs(0))
    block.eval()
    for norm in block.norms:
        norm.bias[...] = jnp.full_like(norm.bias[...], 100)  # No relu hides a pixel.
    result, gradient_of = jax.vjp(jax.jit(block), noise(1, 6, 6, 3))
    (gradient,) = gradient_of(noise(1, 3, 3, 8))
    assert result.shape == (1, 3, 3, 8)
    assert np.all(np.asarray(gradient) != 0)


def test_preactivated_block_without_weights_is_a_skip() -> None:
    """Nothing stands on the skip path, so that a block whose convolutions are 0 changes nothing."""
    block = PreactivationBlock(4, ResNetConfig(depth=18), width=4, stride=1, compute=Compute())
    block.eval()
    x = noise(1, 5, 5, 4)
    np.testing.assert_array_equal(jax.jit(block)(x), x)


@pytest.mark.parametrize("preactivation", [True, False])
def test_features_are_those_after_the_last_relu(preactivation: bool) -> None:
    found = features(small(preactivation=preactivation), noise(1, 48, 48, 2))
    assert found.min() == 0
    assert found.max() > 0


def test_input_norm_has_no_scale_and_takes_any_range() -> None:
    network = small()
    assert network.input_norm is not None
    assert not jax.tree.leaves(nnx.state(network.input_norm, nnx.Param))
    network.train()
    x = noise(2, 32, 32, 2)
    expected = features(network, x)
    np.testing.assert_allclose(features(network, 128 + 42 * x), expected, rtol=1e-2, atol=1e-2)
    assert small(input_norm=False).input_norm is None


@pytest.mark.parametrize("decay", [0.9, 0.75])
def test_batch_statistics_move_in_training_only(decay: float) -> None:
    config = ResNetConfig(depth=10, width=2, stem="small")
    network = draw_weights(abstract_resnet(config, 2, Compute(batch_norm_decay=decay)), nnx.Rngs(0))
    norm = network.input_norm
    assert norm is not None
    x = 3 + 2 * noise(2, 32, 32, 2)
    mean, variance = np.mean(x, axis=(0, 1, 2)), np.var(x, axis=(0, 1, 2))
    features(network, x)
    np.testing.assert_allclose(norm.mean[...], (1 - decay) * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.var[...], decay + (1 - decay) * variance, rtol=1e-4)
    network.eval()
    features(network, x)
    np.testing.assert_allclose(norm.mean[...], (1 - decay) * mean, rtol=1e-5)


@pytest.mark.parametrize("preactivation", [True, False])
def test_every_parameter_has_a_gradient(preactivation: bool) -> None:
    network = small(preactivation=preactivation, stem="imagenet")
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    x, weights = noise(2, 64, 64, 2), noise(2, 2, 2, 16)

    @jax.jit
    def gradient_of(params):
        return jax.grad(
            lambda params: jnp.sum(weights * nnx.merge(graph, params, rest).features(x))
        )(params)

    for path, gradient in nnx.to_flat_state(gradient_of(params)):
        assert np.all(np.isfinite(gradient[...])), path
        assert np.any(gradient[...] != 0), path


def test_fresh_weights() -> None:
    """He-normal kernels, norms that change nothing, and the same from the same key."""
    config = ResNetConfig(depth=10, width=16)
    fresh, again, other = (
        arrays_of(draw_weights(abstract_resnet(config, 1), nnx.Rngs(seed))) for seed in (3, 3, 4)
    )
    name = "stages/3/0/convs/1/kernel"
    assert np.std(fresh[name]) == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.01)
    np.testing.assert_array_equal(fresh[name], again[name])
    assert np.all(fresh[name] != other[name])
    constants = {"scale": 1, "bias": 0, "mean": 0, "var": 1}
    for path, array in fresh.items():
        variable = path.rpartition("/")[2]
        if variable != "kernel":
            np.testing.assert_array_equal(array, constants[variable])


def test_bfloat16_computes_near_float32() -> None:
    config = ResNetConfig(depth=10, width=4, stem="small")
    found = {}
    for precision in ("float32", "bfloat16"):
        network = draw_weights(
            abstract_resnet(config, 1, Compute(precision=precision)), nnx.Rngs(0)
        )
        network.eval()
        found[precision] = features(network, noise(1, 32, 32, 1))
        assert found[precision].dtype == jnp.dtype(precision)
        assert network.stem.kernel[...].dtype == jnp.float32
    np.testing.assert_allclose(
        np.asarray(found["bfloat16"], np.float32),
        found["float32"],
        atol=0.05 * float(found["float32"].max()),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 34}, "10, 18, 26 or 50"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"preactivation": False, "stem_norm": False}, "needs stem_norm = true"),
        ({"layers": 18}, "Extra inputs"),
    ],
)
def test_configurations_that_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResNetConfig(**settings)
