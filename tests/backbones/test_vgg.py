"""VGG: published sizes, shapes, and what lies in its vector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones.networks import count_parameters, draw_weights
from isl.backbones.vgg import VGG, VGGConfig, abstract_vgg, averaged_cells

CLASSES = 1000


@pytest.mark.parametrize(
    ("depth", "published"),
    # torchvision's documentation of vgg11_bn, vgg13_bn, vgg16_bn and vgg19_bn.
    [(11, 132_868_840), (13, 133_053_736), (16, 138_365_992), (19, 143_678_248)],
)
def test_as_many_parameters_as_published(depth: int, published: int) -> None:
    config = VGGConfig(depth=depth, pooled=7, hidden=(4096, 4096))
    network = abstract_vgg(config, 3)
    last_layer = config.depth_out * CLASSES + CLASSES
    assert count_parameters(network) + last_layer == published


@pytest.mark.parametrize("size", [32, 45])
def test_vector_is_the_mean_of_the_maps(size: int) -> None:
    network = draw_weights(abstract_vgg(VGGConfig(depth=11, width=2), 1), nnx.Rngs(0))
    network.eval()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, size, 40, 1)), jnp.float32)
    maps = nnx.jit(VGG.features)(network, x)
    assert maps.shape == (2, size // 32, 40 // 32, 16)
    assert network.depth == 16
    np.testing.assert_allclose(
        nnx.jit(VGG.vector)(network, x), np.asarray(maps).mean((1, 2)), rtol=1e-5
    )


def test_fewer_blocks_for_small_pictures() -> None:
    network = abstract_vgg(VGGConfig(depth=13, width=4, blocks=3), 1)
    maps = nnx.eval_shape(VGG.features, network, jnp.zeros((1, 40, 40, 1)))
    assert maps.shape == (1, 5, 5, 16)


def test_cells_are_those_of_adaptive_pooling() -> None:
    maps = np.random.default_rng(0).normal(size=(1, 5, 8, 2)).astype(np.float32)
    expected = np.zeros((1, 3, 3, 2))
    for row in range(3):
        for column in range(3):
            rows = slice(int(np.floor(row * 5 / 3)), int(np.ceil((row + 1) * 5 / 3)))
            columns = slice(int(np.floor(column * 8 / 3)), int(np.ceil((column + 1) * 8 / 3)))
            expected[:, row, column] = maps[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(averaged_cells(jnp.asarray(maps), 3), expected, atol=1e-6)


def test_training_moves_every_parameter() -> None:
    config = VGGConfig(depth=11, width=2, pooled=2, hidden=(5,))
    network = draw_weights(abstract_vgg(config, 1), nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 64, 64, 1)), jnp.float32)
    gradients = nnx.jit(nnx.grad(lambda network: (network.vector(x) ** 2).sum()))(network)
    still = [
        path
        for path, leaf in nnx.to_flat_state(gradients)
        # Batch norm takes a convolution's bias away again.
        if not (path[0] == "convs" and path[-1] == "bias") and not np.any(leaf[...])
    ]
    assert still == []
    assert jax.tree.all(jax.tree.map(lambda g: bool(jnp.isfinite(g).all()), gradients))
