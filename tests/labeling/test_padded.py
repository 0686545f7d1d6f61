"""Networks whose convolutions are padded: for training, with the weights of the valid ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.deeplab import DeepLabConfig
from isl.backbones.layers import repeat_border
from isl.backbones.unet import UNetConfig
from isl.labeling.network import (
    Architecture,
    LabelingNetwork,
    build_network,
)
from isl.labeling.towers import TowersConfig
from isl.tiling.geometry import Geometry

DEEPLAB = DeepLabConfig(depth=10, width=4, output_stride=8, rates=(1, 2, 4), context=8, decoder=8)
TOWERS = TowersConfig(base_depth=5, projection=2)

# One program in place of one an operation: a tenth of the compiling.
_embed = nnx.jit(LabelingNetwork.embed)


def _of_this_place(network, image: np.ndarray, first: int, size: int) -> np.ndarray:
    window = image[:, first : first + size, first : first + size]
    return np.asarray(_embed(network, window))


@pytest.mark.parametrize(
    ("config", "first"),
    # The first window of the valid network whose coarse grid is that of the whole image.
    [
        (UNetConfig(levels=3, width=4), 2),
        (UNetConfig(levels=3, width=4, stem=2), 4),
        (DEEPLAB, 0),
        (TOWERS, 3),
    ],
)
def test_inside_the_margin_padded_and_valid_networks_agree(
    config: Architecture, first: int
) -> None:
    network = build_network(config, planes=2, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    margin, step = config.geometry.margin, config.geometry.step
    side = -(-(2 * margin) // step) * step + 6 * step
    image = np.random.default_rng(0).random((1, side, side, 2), np.float32)
    padded = network.padded()
    assert padded.geometry == Geometry(margin=0, step=step, smallest=step)
    whole = np.asarray(_embed(padded, image))
    assert whole.shape[1:3] == (side, side)
    valid = _of_this_place(network, image, first, config.geometry.input_size(3 * step))
    here = slice(first + margin, first + margin + valid.shape[1])
    # Fresh towers, not normalized by a batch, give embeddings in the thousands.
    largest = max(1.0, float(np.abs(valid).max()))
    np.testing.assert_allclose(valid / largest, whole[:, here, here] / largest, atol=1e-5)
    assert network.geometry == config.geometry, "the network itself stays valid"


@pytest.mark.parametrize("config", [UNetConfig(levels=2, width=4), DEEPLAB, TOWERS])
def test_every_pixel_of_a_padded_crop_counts(config: Architecture) -> None:
    """The border is learned from: its pixels have gradients like others."""
    network = build_network(config, planes=1, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    padded = network.padded()
    side = 4 * config.geometry.step
    image = np.random.default_rng(0).random((1, side, side, 1), np.float32)
    gradient = jax.jit(jax.grad(lambda x: padded.embed(x)[:, 0, 0].sum()))(image)
    assert np.abs(gradient[0, 0, 0]).max() > 0


@pytest.mark.parametrize(("before", "after"), [(1, 1), (0, 1), (2, 3), (0, 0)])
def test_borders_are_repeated_with_the_gradients_of_jax(before: int, after: int) -> None:
    def padded(x: jax.Array) -> jax.Array:
        beyond = (before, after)
        return jnp.pad(x, ((0, 0), beyond, beyond, (0, 0)), mode="edge")

    random = np.random.default_rng(0)
    x = random.random((2, 4, 5, 3), np.float32)
    expected, pull_expected = jax.vjp(padded, x)
    given, pull = jax.vjp(lambda x: repeat_border(x, before, after), x)
    np.testing.assert_array_equal(given, expected)
    gradient = random.random(expected.shape, np.float32)
    np.testing.assert_allclose(pull(gradient)[0], pull_expected(gradient)[0], rtol=1e-5)
