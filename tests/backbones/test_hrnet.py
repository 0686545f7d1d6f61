"""HRNet: published sizes, resolutions, what two scales share."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError

from isl.backbones.hrnet import (
    HRNet,
    HRNetConfig,
    Stem,
    TwoScaleHRNet,
    abstract_hrnet,
    central_half,
    enlarged,
)
from isl.backbones.networks import Compute, count_parameters, draw_weights

CLASSES = 1000
PAPER = HRNetConfig(final=(512, 256, 128))


def small(**settings) -> HRNetConfig:
    values = {
        "stem": 2,
        "first_blocks": 1,
        "width": 2,
        "branches": (2, 3),
        "modules": (1, 1),
        "blocks": 1,
        "head": (1, 2, 3),
        "final": (5,),
    }
    return HRNetConfig(**{**values, **settings})


@pytest.mark.parametrize(
    ("width", "published"),
    # The models' own publication (HRNet-Image-Classification): 21.3 M, 37.7 M and 41.2 M.
    [(18, 21_299_004), (30, 37_712_220), (32, 41_232_680)],
)
def test_as_many_parameters_as_published(width: int, published: int) -> None:
    network = abstract_hrnet(HRNetConfig(width=width), 3)
    assert count_parameters(network) + 2048 * CLASSES + CLASSES == published


def test_two_scales_have_22_million_parameters() -> None:
    """The published variant, with its batch norm and its dense layer over four classes.

    Its code also holds a first stage and a transition of the smaller scale that nothing is ever
    sent through. With them it has 22.5 million.
    """
    network = nnx.eval_shape(lambda: TwoScaleHRNet(PAPER, 1))
    head = 2 * 256 + (256 * 4 + 4)
    used = count_parameters(network) + head
    assert used == 22_259_480
    assert round(used / 1e6, 1) == 22.3
    idle_stage = nnx.eval_shape(lambda: Stem(HRNetConfig(first_blocks=3), 1, Compute()).blocks)
    idle_transition = 256 * 18 * 9 + 2 * 18
    assert used + count_parameters(idle_stage) + idle_transition == 22_516_796


@pytest.mark.parametrize(("size", "expected"), [(64, 4), (50, 4), (33, 3)])
def test_sizes_need_not_be_multiples(size: int, expected: int) -> None:
    network = abstract_hrnet(small(), 1)
    maps = nnx.eval_shape(HRNet.features, network, jnp.zeros((2, size, 64, 1)))
    assert maps.shape == (2, expected, 4, 5)


def test_every_resolution_reaches_every_other() -> None:
    """A change of one branch's last block changes the maps of all, and so the vector."""
    network = draw_weights(abstract_hrnet(small(), 1), nnx.Rngs(0))
    network.eval()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 48, 48, 1)), jnp.float32)
    stem = nnx.jit(network.stem)(x)
    second = nnx.jit(network.trunk.stages[0][0])
    finest = second([jnp.ones((1, 8, 8, 2)), jnp.ones((1, 4, 4, 4))])
    changed = second([jnp.ones((1, 8, 8, 2)), 2 * jnp.ones((1, 4, 4, 4))])
    assert np.abs(finest[0] - changed[0]).max() > 0
    changed = second([2 * jnp.ones((1, 8, 8, 2)), jnp.ones((1, 4, 4, 4))])
    assert np.abs(finest[1] - changed[1]).max() > 0
    assert stem.shape == (2, 12, 12, 8)


def test_two_scales_share_the_stem_and_the_entrance() -> None:
    """Moving pixels outside the central half leaves the smaller scale's part as it is."""
    network = nnx.eval_shape(lambda: TwoScaleHRNet(small(), 1))
    draw_weights(network, nnx.Rngs(0))
    network.eval()
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 1)).astype(np.float32)
    moved = x.copy()
    moved[:, :10] += 1
    vector = nnx.jit(TwoScaleHRNet.vector)
    first, second = (vector(network, jnp.asarray(each)) for each in (x, moved))
    assert first.shape == (1, 10)
    np.testing.assert_array_equal(first[:, 5:], second[:, 5:])
    assert np.abs(first[:, :5] - second[:, :5]).max() > 0
    shared = set(map(id, (network.stem, network.trunk.transitions[0])))
    assert len(network.small.transitions) == len(network.trunk.transitions) - 1
    assert len(shared) == 2


def test_central_half() -> None:
    x = jnp.arange(8.0)[None, :, None, None] + 10 * jnp.arange(8.0)[None, None, :, None]
    assert central_half(x).shape == (1, 4, 4, 1)
    np.testing.assert_array_equal(central_half(x)[0, :, 0, 0], [22, 23, 24, 25])


def test_enlarged_repeats_pixels() -> None:
    x = jnp.asarray([[1.0, 2.0], [3.0, 4.0]])[None, ..., None]
    np.testing.assert_array_equal(
        enlarged(x, 2, (4, 3))[0, ..., 0], [[1, 1, 2], [1, 1, 2], [3, 3, 4], [3, 3, 4]]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modules": (1,)}, "2 stages of branches but 1 of modules"),
        ({"branches": (3, 4), "head": (1, 1, 1, 1)}, "beginning at 1 or 2"),
        ({"head": (1, 2)}, "give one depth for each"),
    ],
)
def test_stages_that_do_not_fit(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        small(**settings)
