"""The U-Net: its size, and that what its geometry promises holds."""

import jax
import numpy as np
import pytest
from flax import nnx

from isl.labeling.layers import count_parameters
from isl.labeling.network import abstract_network, build_network
from isl.labeling.unet import UNetConfig


def test_the_default_has_the_size_of_the_network_it_is_compared_with() -> None:
    """About 1.9 million parameters without heads (specification, section 5b)."""
    network = abstract_network(UNetConfig(), planes=13, labels=("A", "B", "C"))
    assert count_parameters(network.body) == pytest.approx(1.9e6, rel=0.02)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_output_sizes_and_shifts_follow_the_geometry(levels: int) -> None:
    """A pass over a larger input gives, one step further, what a shifted pass gives."""
    config = UNetConfig(levels=levels, width=4)
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


def test_the_output_sees_exactly_the_margin() -> None:
    config = UNetConfig(levels=2, width=4)
    size = config.geometry.smallest
    network = build_network(config, planes=1, labels=("A",), rngs=nnx.Rngs(0))
    network.eval()
    x = np.random.default_rng(0).normal(size=(1, size, size, 1)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: network.embed(x).sum()))(x)
    rows, columns = np.nonzero(np.abs(gradient[0, :, :, 0]))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, size - 1, 0, size - 1)
