"""EfficientNet-Lite0: shapes, counts, the shipped weights, and a stride of 16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.efficientnet_lite import (
    DepthwiseConv,
    EfficientNetLite,
    abstract_efficientnet_lite,
    cut_after,
    dilate_last,
    imagenet_input,
    same_border,
)
from isl.backbones.efficientnet_weights import load_encoder, start_from_pretrained
from isl.backbones.networks import Compute, count_parameters, draw_weights
from isl.model_folder import abstract_arrays, model_directory
from isl.model_kinds import kind_of, load_model

pyramid = nnx.jit(EfficientNetLite.pyramid)


def test_count_of_parameters_is_the_published_one() -> None:
    # 4,652,008 with the layer of 1,000 classes (TensorFlow's table: 4.7 M).
    assert count_parameters(abstract_efficientnet_lite()) == 4_652_008 - 1280 * 1000 - 1000


@pytest.mark.parametrize(("rows", "columns"), [(32, 64), (33, 45)])
def test_pyramid_halves_five_times(rows: int, columns: int) -> None:
    network = abstract_efficientnet_lite()
    maps = nnx.eval_shape(lambda net, x: net.pyramid(x), network, jnp.zeros((2, rows, columns, 3)))
    sizes = [(2, -(-rows // s), -(-columns // s)) for s in (2, 4, 8, 16, 32)]
    assert [m.shape[:3] for m in maps] == sizes
    assert tuple(m.shape[3] for m in maps) == network.depths


@pytest.mark.parametrize("stride", [2, 4, 8, 16, 32])
def test_a_network_that_was_cut_ends_at_that_resolution(stride: int) -> None:
    network = abstract_efficientnet_lite()
    cut_after(network, stride)
    maps = nnx.eval_shape(lambda net, x: net.pyramid(x), network, jnp.zeros((1, 64, 64, 3)))
    kept = [s for s in (2, 4, 8, 16, 32) if s <= stride]
    assert [m.shape[1] for m in maps] == [64 // s for s in kept]
    assert [m.shape[3] for m in maps] == list(network.depths[: len(kept)])


@pytest.mark.parametrize(("stride", "rate", "kernel"), [(1, 1, 3), (2, 1, 5), (2, 1, 3), (1, 2, 3)])
def test_depthwise_convolution_is_the_one_of_xla(stride: int, rate: int, kernel: int) -> None:
    rng = np.random.default_rng(0)
    conv = DepthwiseConv(4, kernel, Compute(), stride=stride)
    conv.rate = rate
    conv.kernel = nnx.Param(jnp.asarray(rng.normal(size=(kernel, kernel, 1, 4)), jnp.float32))
    x = jnp.asarray(rng.normal(size=(2, 9, 12, 4)), jnp.float32)
    expected = jax.lax.conv_general_dilated(
        x,
        conv.kernel[...],
        (stride, stride),
        "SAME",
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=4,
    )
    np.testing.assert_allclose(conv(x), expected, atol=1e-5)


def test_borders_are_tensorflows() -> None:
    assert same_border(224, 3, 2, 1) == (0, 1)
    assert same_border(225, 3, 2, 1) == (1, 1)
    assert same_border(224, 5, 2, 1) == (1, 2)
    assert same_border(7, 5, 1, 1) == (2, 2)


def test_dilated_network_keeps_the_parameters_and_doubles_the_last_maps() -> None:
    plain = abstract_efficientnet_lite(with_head=False)
    dilated = abstract_efficientnet_lite(with_head=False)
    dilate_last(dilated)
    x = jnp.zeros((1, 64, 64, 3))
    maps = nnx.eval_shape(lambda net, x: net.pyramid(x), dilated, x)
    assert [m.shape[1] for m in maps] == [32, 16, 8, 4, 4]
    assert tuple(m.shape[-1] for m in maps) == plain.depths
    shapes = [{p: a.shape for p, a in abstract_arrays(n).items()} for n in (plain, dilated)]
    assert shapes[0] == shapes[1]


def test_shipped_weights_respond_to_pictures_and_are_small() -> None:
    network = load_encoder()
    assert (model_directory("efficientnet-lite0") / "weights.safetensors").stat().st_size < 7e6
    y, x = np.mgrid[:64, :64]
    stripes = np.stack([np.sin(y / 3), np.sin(x / 3)])[..., None].repeat(3, -1) / 2 + 0.5
    network.eval()
    maps = pyramid(network, imagenet_input(jnp.asarray(stripes, jnp.float32)))
    assert all(bool(jnp.isfinite(m).all()) for m in maps)
    assert float(jnp.abs(maps[2][0] - maps[2][1]).mean()) > 0.1
    assert kind_of(model_directory("efficientnet-lite0")).load("efficientnet-lite0").depths
    assert load_model("efficientnet-lite0").with_head is False


def test_grey_images_need_one_channel_only() -> None:
    grey = draw_weights(abstract_efficientnet_lite(1, with_head=False), nnx.Rngs(0))
    start_from_pretrained(grey)
    colors = load_encoder()
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 32, 32, 1)), jnp.float32)
    for network in (grey, colors):
        network.eval()
    found = pyramid(grey, imagenet_input(images))[0]
    expected = pyramid(colors, imagenet_input(images.repeat(3, axis=-1)))[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)
