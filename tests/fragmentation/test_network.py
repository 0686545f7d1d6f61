"""The network's shapes, its gate and pyramid against plain loops, and what injection changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.aspp import AtrousPyramid
from isl.backbones.attention_gate import AttentionGate
from isl.backbones.dilated_resnet import DilatedResNet, atrous
from isl.backbones.networks import Compute, count_parameters, draw_weights
from isl.backbones.resnet import ResNet, ResNetConfig, abstract_resnet
from isl.config import parse
from isl.fragmentation.network import (
    NetworkConfig,
    ResNetEncoder,
    abstract_network,
    build_network,
    shares_of,
)
from isl.model_folder import arrays_of, fill

SMALL = NetworkConfig(
    encoder=ResNetEncoder(depth=10, width=4),
    context=8,
    rates=(1, 2),
    fine=4,
    decoded=8,
    hidden=(16, 8),
)


def small(**changes: object) -> NetworkConfig:
    return parse({**SMALL.model_dump(), **changes}, NetworkConfig, source="test")


def test_resnet_50_has_the_published_shapes() -> None:
    config = NetworkConfig()
    network = abstract_network(config)
    maps = nnx.eval_shape(lambda net, x: net.maps(x), network, jnp.zeros((2, 256, 256, 1)))
    assert [m.shape for m in maps] == [
        (2, 64, 64, 256),
        (2, 32, 32, 512),
        (2, 16, 16, 1024),
        (2, 16, 16, 2048),
    ]
    assert network.regression is not None
    assert network.regression.first.shape == (3840, 512)
    # torchvision's resnet50 without its classifier, with a stem of one channel.
    assert count_parameters(network.encoder) == 23_508_032 - 2 * 64 * 49
    pyramid = 256 * (2048 * 2 + 3 * 9 * 2048) + 256 * 5 * 256 + 6 * 2 * 256
    assert count_parameters(network.decoder.context) == pyramid
    seen = nnx.eval_shape(lambda net, x: net(x), network, jnp.zeros((2, 256, 256, 1)))
    assert seen.logits.shape == (2, 256, 256, 2)
    assert seen.share.shape == (2,)
    assert seen.attention.shape == (2, 64, 64, 1)


@pytest.mark.parametrize("gates", ["off", "C2", "C2+C3"])
@pytest.mark.parametrize("decoder", ["deeplab", "unet"])
def test_variants_give_maps_of_the_images_size(gates: str, decoder: str) -> None:
    network = abstract_network(small(gates=gates, decoder=decoder))
    seen = nnx.eval_shape(lambda net, x: net(x), network, jnp.zeros((1, 48, 64, 1)))
    assert seen.logits.shape == (1, 48, 64, 2)
    assert (seen.attention is None) == (gates == "off" or decoder == "unet")


def test_efficientnet_encoder_gives_the_maps_that_the_decoder_takes() -> None:
    network = abstract_network(small(encoder={"kind": "efficientnet-lite0"}))
    x = jnp.zeros((1, 64, 96, 1))
    maps = nnx.eval_shape(lambda net, x: net.maps(x), network, x)
    assert [m.shape[1:3] for m in maps] == [(16, 24), (8, 12), (4, 6), (4, 6)]
    seen = nnx.eval_shape(lambda net, x: net(x), network, x)
    assert seen.logits.shape == (1, 64, 96, 2)
    parts = nnx.eval_shape(lambda net, maps: net.from_maps(maps, (64, 96)), network, maps)
    assert parts.logits.shape == seen.logits.shape


@pytest.mark.parametrize("rate", [1, 2, 6])
def test_atrous_convolution_is_the_one_of_xla(rate: int) -> None:
    rng = np.random.default_rng(rate)
    x = jnp.asarray(rng.normal(size=(2, 5, 7, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 4)), jnp.float32)
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(rate, rate)] * 2,
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(atrous(x, kernel, rate), expected, atol=1e-5)


def test_dilated_stage_sees_what_a_stride_of_two_would() -> None:
    """Parameters are the plain network's, and every second place is its own value.

    With a stride of 2 in the first block, a 3 x 3 convolution sees places 2 apart of the finer
    grid: the dilated stage gives the same there, away from the border, and the places between.
    """
    config = ResNetConfig(depth=18, width=2, preactivation=False, input_norm=False)
    plain = draw_weights(abstract_resnet(config, 1), nnx.Rngs(0))
    dilated = nnx.eval_shape(
        lambda: DilatedResNet(config.model_copy(update={"final_stride": 1}), 1)
    )
    fill(dilated, arrays_of(plain), source="plain")
    for network in (plain, dilated):
        network.eval()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 256, 256, 1)), jnp.float32)
    fine = nnx.jit(DilatedResNet.pyramid)(dilated, x)[-1]
    coarse = nnx.jit(ResNet.features)(plain, x)
    assert fine.shape[1] == 2 * coarse.shape[1]
    np.testing.assert_allclose(fine[:, ::2, ::2][:, 2:-2, 2:-2], coarse[:, 2:-2, 2:-2], atol=1e-4)
    assert float(coarse.std()) > 0.01


def test_receptive_field_of_the_dilated_stage() -> None:
    """A place of C5 sees twice as far in C4 as without dilation."""
    config = ResNetConfig(depth=18, width=2, preactivation=False, input_norm=False, final_stride=1)
    network = nnx.eval_shape(lambda: DilatedResNet(config, 1))
    draw_weights(network, nnx.Rngs(0))
    network.eval()

    def middle(c4: jax.Array) -> jax.Array:
        for block in network.stages[-1]:
            c4 = block(c4)
        return jnp.abs(c4[0, 10, 10]).sum()

    c4 = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (1, 21, 21, 8)), jnp.float32)
    reached = np.abs(np.asarray(jax.jit(jax.grad(middle))(c4))).sum(axis=(0, 3)) > 0
    # One 3 x 3 convolution with places 1 apart, three with places 2 apart.
    rows = np.flatnonzero(reached.any(axis=1))
    assert (rows.min(), rows.max()) == (10 - 7, 10 + 7)


def test_gate_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    gate = AttentionGate(3, 2, 4, Compute())
    gate.skip = nnx.Param(jnp.asarray(rng.normal(size=(3, 4)), jnp.float32))
    gate.guide = nnx.Param(jnp.asarray(rng.normal(size=(2, 4)), jnp.float32))
    gate.bias = nnx.Param(jnp.asarray(rng.normal(size=4), jnp.float32))
    gate.psi = nnx.Param(jnp.asarray(rng.normal(size=(4, 1)), jnp.float32))
    gate.psi_bias = nnx.Param(jnp.asarray([0.3], jnp.float32))
    skip = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    guide = rng.normal(size=(2, 4, 4, 2)).astype(np.float32)
    weighed, alpha = gate(jnp.asarray(skip), jnp.asarray(guide))
    for b, y, x in np.ndindex(2, 4, 4):
        hidden = skip[b, y, x] @ np.asarray(gate.skip[...])
        hidden = hidden + guide[b, y, x] @ np.asarray(gate.guide[...]) + np.asarray(gate.bias[...])
        logit = float((np.maximum(hidden, 0) @ np.asarray(gate.psi[...]))[0] + 0.3)
        expected = 1 / (1 + np.exp(-logit))
        assert alpha[b, y, x, 0] == pytest.approx(expected, abs=1e-5)
        np.testing.assert_allclose(weighed[b, y, x], expected * skip[b, y, x], atol=1e-5)


def test_atrous_pyramid_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    pyramid = AtrousPyramid(2, 3, (2,), Compute(), dropout=0.0)
    draw_weights(pyramid, nnx.Rngs(0))
    pyramid.eval()
    x = rng.normal(size=(1, 6, 5, 2)).astype(np.float32)
    scale = 1 / np.sqrt(1 + 1e-5)

    def normed(values: np.ndarray) -> np.ndarray:
        return np.maximum(values * scale, 0)

    expected = np.zeros((6, 5, 3))
    around = np.asarray(pyramid.around[0].kernel[...])
    for row, column in np.ndindex(6, 5):
        total = np.zeros(3)
        for i, j in np.ndindex(3, 3):
            y, z = row + 2 * (i - 1), column + 2 * (j - 1)
            if 0 <= y < 6 and 0 <= z < 5:
                total += x[0, y, z] @ around[i, j]
        seen = [
            normed(x[0, row, column] @ np.asarray(pyramid.direct.kernel[0, 0])),
            normed(total),
            normed(x[0].mean(axis=(0, 1)) @ np.asarray(pyramid.image.kernel[0, 0])),
        ]
        expected[row, column] = normed(
            np.concatenate(seen) @ np.asarray(pyramid.projection.kernel[0, 0])
        )
    np.testing.assert_allclose(pyramid(jnp.asarray(x))[0], expected, atol=1e-5)


def test_injection_begins_as_the_plain_decoder_bit_for_bit() -> None:
    plain = build_network(SMALL, rngs=nnx.Rngs(0))
    injected = build_network(small(inject="second_stage"), rngs=nnx.Rngs(1))
    own = arrays_of(plain)
    fill(injected, {**arrays_of(injected), **own}, source="plain")
    for network in (plain, injected):
        network.eval()
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 32, 32, 1)), jnp.float32)
    np.testing.assert_array_equal(plain(x).logits, injected(x).logits)


def test_share_by_area_counts_fragments_within_the_embryo() -> None:
    probabilities = np.zeros((2, 4, 4, 2), np.float32)
    probabilities[0, :2, :, 0] = 0.9
    probabilities[0, 1:3, :, 1] = 0.8
    found = shares_of(jnp.asarray(probabilities))
    assert float(found[0]) == 0.5
    assert np.isnan(found[1])
