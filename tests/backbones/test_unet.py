"""The U-Net: its size, and that what its geometry promises holds."""

import jax
import numpy as np
import pytest
from flax import nnx

from isl.backbones.layers import depth_from_pixels, pixels_from_depth
from isl.backbones.networks import count_parameters
from isl.backbones.unet import UNetConfig
from isl.labeling.network import abstract_network, build_network


def test_the_default_has_the_size_of_the_network_it_is_compared_with() -> None:
    """About 1.9 million parameters without heads (specification, section 5b)."""
    network = abstract_network(UNetConfig(), planes=13, labels=("A", "B", "C"))
    assert count_parameters(network.body) == pytest.approx(1.9e6, rel=0.02)


@pytest.mark.parametrize(("levels", "stem"), [(1, 1), (2, 1), (3, 1), (1, 3), (2, 2)])
def test_output_sizes_and_shifts_follow_the_geometry(levels: int, stem: int) -> None:
    """A pass over a larger input gives, one step further, what a shifted pass gives."""
    config = UNetConfig(levels=levels, width=4, stem=stem)
    geometry = config.geometry
    network = build_network(config, planes=2, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    embed = jax.jit(lambda x: network.embed(x))
    rows, columns = geometry.smallest + 2 * geometry.step, geometry.smallest + geometry.step
    x = np.random.default_rng(0).normal(size=(1, rows, columns, 2)).astype(np.float32)
    whole = embed(x)
    assert whole.shape[1:3] == (geometry.output_size(rows), geometry.output_size(columns))
    step = geometry.step
    part = embed(x[:, step : step + geometry.smallest, : geometry.smallest])
    size = geometry.output_size(geometry.smallest)
    np.testing.assert_allclose(part, whole[:, step : step + size, :size], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stem", [1, 2])
def test_the_output_sees_exactly_the_margin(stem: int) -> None:
    config = UNetConfig(levels=2, width=4, stem=stem)
    size = config.geometry.smallest
    network = build_network(config, planes=1, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    x = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: network.embed(x).sum()))(x)
    rows, columns = np.nonzero(np.abs(gradient[0, :, :, 0]))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, size - 1, 0, size - 1)


def test_a_stem_multiplies_the_geometry() -> None:
    plain, seen = (UNetConfig(levels=3, width=4, stem=stem).geometry for stem in (1, 4))
    assert (seen.margin, seen.step, seen.smallest) == (
        4 * plain.margin,
        4 * plain.step,
        4 * plain.smallest,
    )
    assert plain.margin == 2 * 2 * (1 + 2) + 2 * 4


def test_a_stem_adds_one_layer_and_widens_the_first() -> None:
    """Without one the names of weights are what they were before there were stems."""
    plain, seen = (
        abstract_network(UNetConfig(levels=2, width=4, stem=stem), planes=3, labels=("A",)).body
        for stem in (1, 2)
    )
    assert plain.pixels is None
    assert seen.pixels.kernel.shape == (1, 1, 4, 4 * 4)
    assert plain.down[0].first.kernel.shape == (3, 3, 3, 4)
    assert seen.down[0].first.kernel.shape == (3, 3, 4 * 3, 4)
    for stage in range(2):
        shapes = [body.down[stage].second.kernel.shape for body in (plain, seen)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("block", [1, 2, 3])
def test_pixels_become_depth_and_pixels_again(block: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 2 * block, 3 * block, 5)).astype(np.float32)
    deep = np.asarray(depth_from_pixels(x, block))
    assert deep.shape == (2, 2, 3, block**2 * 5)
    for y in range(2 * block):
        for column in range(3 * block):
            place = (y % block) * block + column % block
            found = deep[:, y // block, column // block, place * 5 : (place + 1) * 5]
            np.testing.assert_array_equal(found, x[:, y, column])
    np.testing.assert_array_equal(pixels_from_depth(deep, block), x)
