"""Classifiers: maps, their mean, two logits; a U-Net's way down as a backbone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.networks import Compute
from isl.backbones.resnet import ResNetConfig
from isl.backbones.unet import UNetConfig
from isl.labeling.network import build_network
from isl.model_folder import arrays_of, fill
from isl.polarity.classifier import (
    AFTER,
    CLASSES,
    Encoder,
    EncoderConfig,
    abstract_classifier,
    build_classifier,
)

TINY = ResNetConfig(depth=10, width=2, stem="small")
FRAMES = np.random.default_rng(0).normal(size=(3, 20, 24, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def classifier():
    network = build_classifier(TINY, 2, rngs=nnx.Rngs(0))
    network.dense.bias[...] = jnp.array([0.5, -0.25])
    network.eval()
    return network


def test_class_one_is_after_the_onset():
    assert CLASSES[AFTER] == "after onset"
    assert AFTER == 1


def test_activation_maps_add_up_to_the_logits(classifier):
    """Their mean over the frame is the logits but for the bias (global average pooling)."""
    (logits, maps), called = jax.jit(lambda x: (classifier.activation_maps(x), classifier(x)))(
        FRAMES
    )
    assert maps.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(logits, called, atol=1e-5)
    np.testing.assert_allclose(
        maps.mean(axis=(1, 2)) + np.array([[0.5, -0.25]]), logits, rtol=1e-4, atol=1e-5
    )


def test_a_fresh_classifier_knows_nothing():
    network = build_classifier(TINY, 2, rngs=nnx.Rngs(3))
    network.eval()
    after = jax.nn.softmax(jax.jit(lambda x: network(x))(FRAMES))[:, AFTER]
    np.testing.assert_allclose(after, 0.5, atol=0.25)


def test_weights_follow_from_the_seed():
    first, again, other = (
        arrays_of(build_classifier(TINY, 1, rngs=nnx.Rngs(seed))) for seed in (4, 4, 5)
    )
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    assert any((array != other[name]).any() for name, array in first.items())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "config", [TINY, EncoderConfig(unet=UNetConfig(levels=2, width=4, stem=2))]
)
def test_the_first_layer_takes_as_many_channels_as_there_are(config, channels):
    network = abstract_classifier(config, channels, auxiliary=True)
    frames = jax.ShapeDtypeStruct((5, 33, 33, channels), jnp.float32)
    assert nnx.eval_shape(lambda net, x: net(x), network, frames).shape == (5, 2)
    maps = nnx.eval_shape(lambda net, x: net.auxiliary(net.backbone.features(x)), network, frames)
    assert maps.shape[0] == 5
    assert maps.shape[-1] == 1


def takes(size: int, unet: UNetConfig) -> bool:
    """Whether a U-Net's way down can be walked with squares of a size."""
    if size % unet.stem:
        return False
    size //= unet.stem
    for _ in range(unet.levels - 1):
        if size <= 4 or (size - 4) % 2:
            return False
        size = (size - 4) // 2
    return size > 4


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("stem", [1, 2, 3])
def test_views_are_mirrored_to_the_next_size_that_the_way_down_takes(levels, stem):
    unet = UNetConfig(levels=levels, width=4, stem=stem)
    network = nnx.eval_shape(lambda: Encoder(EncoderConfig(unet=unet), 1, Compute()))
    for size in range(8, 80):
        assert network._fitting(size) == next(n for n in range(size, 999) if takes(n, unet))
    frames = jax.ShapeDtypeStruct((2, 31, 31, 1), jnp.float32)
    maps = nnx.eval_shape(lambda net, x: net.features(x), network, frames)
    assert maps.shape[-1] == network.depth == 4 * 2 ** (levels - 1)


def test_an_encoder_is_the_labeling_networks_way_down():
    """Standardized views are brought to the mean and deviation that the U-Net knows."""
    unet = UNetConfig(levels=2, width=4, stem=2)
    labeling = build_network(unet, planes=1, labels=("EZRIN",), rngs=nnx.Rngs(7))
    labeling.eval()
    encoder = nnx.eval_shape(lambda: Encoder(EncoderConfig(unet=unet), 1, Compute()))
    prefix = "body/down/"
    arrays = {
        f"down/{name.removeprefix(prefix)}": array
        for name, array in arrays_of(labeling).items()
        if name.startswith(prefix)
    }
    fill(encoder, arrays, source="test")
    encoder.eval()
    views = np.random.default_rng(1).normal(size=(1, 32, 32, 1)).astype(np.float32)
    assert encoder._fitting(32) == 32
    expected = jax.jit(lambda x: labeling.body.levels(x)[-1])(0.5 + 0.125 * views)
    found = jax.jit(lambda x: encoder.features(x))(views)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
