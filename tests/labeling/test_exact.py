"""Patches shared: the same as patches one by one, whatever the tile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isl.backbones import layers
from isl.labeling.exact import embed_exactly, exact_geometry
from isl.labeling.network import abstract_network
from isl.labeling.towers import TowersConfig
from isl.tiling.geometry import Geometry

GEOMETRY = TowersConfig().geometry
BLOCK = 8


class Stage(nnx.Module):
    """In place of a tower: means of cells of a scale, on a grid that begins where the input does.

    It has the towers' sizes and, as they do, repeats with shifts by its scale only.
    """

    def __init__(self, scale: int, lost: int) -> None:
        self.scale = 2**scale
        self.lost = lost

    def __call__(self, x: jax.Array) -> jax.Array:
        cells = [n // self.scale for n in x.shape[1:3]]
        used = x[:, : cells[0] * self.scale, : cells[1] * self.scale]
        split = used.reshape(x.shape[0], cells[0], self.scale, cells[1], self.scale, x.shape[-1])
        mean = split.mean(axis=(2, 4)).repeat(self.scale, axis=1).repeat(self.scale, axis=2)
        inside = tuple(slice(self.lost, n - self.lost) for n in x.shape[1:3])
        return jnp.sin(3 * mean)[:, *inside] + x[:, *inside]


class Shrink(nnx.Module):
    """In place of an in-scale module of the final tower."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return (layers.crop(x, 1) + x[:, 2:, 2:, ::-1]) / 2


class Final(nnx.Module):
    def __init__(self) -> None:
        self.modules = nnx.List(Shrink() for _ in range(14))

    def __call__(self, x: jax.Array) -> jax.Array:
        for module in self.modules:
            x = module(x)
        return x


class FewLayers(nnx.Module):
    """The towers, but for what their modules compute."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        widths = (72, 102, 146, 202, 250)
        self.borders = tuple((250 - width) // 2 for width in widths)
        self.towers = nnx.List(
            Stage(scale, (width - 36) // 2) for scale, width in enumerate(widths)
        )
        self.final = Final()

    def project(self, transmitted: jax.Array) -> jax.Array:
        return transmitted

    def __call__(self, transmitted: jax.Array) -> jax.Array:
        embedded = [
            tower(layers.crop(transmitted, border))
            for tower, border in zip(self.towers, self.borders, strict=True)
        ]
        return self.final(jnp.concatenate(embedded, axis=-1))


def test_the_smallest_tile_is_a_block_of_every_phase() -> None:
    geometry = exact_geometry(GEOMETRY)
    assert (geometry.smallest, geometry.margin, geometry.step) == (258, 121, 16)
    assert geometry.output_size(258) == 16


@pytest.mark.parametrize("size", [(258, 258), (274, 306)])
def test_shared_patches_are_patches_one_by_one(size: tuple[int, int]) -> None:
    body = FewLayers(GEOMETRY)
    image = np.random.default_rng(0).random((2, *size, 2), dtype=np.float32)
    given = jax.jit(lambda x: embed_exactly(body, x))(image)
    rows, columns = (n - 2 * GEOMETRY.margin for n in size)
    expected = np.zeros((2, rows, columns, 10), np.float32)
    one = jax.jit(lambda x: body(x))
    for y in range(0, rows, BLOCK):
        for x in range(0, columns, BLOCK):
            patch = image[:, y : y + 250, x : x + 250]
            expected[:, y : y + BLOCK, x : x + BLOCK] = one(patch)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    # Otherwise this would show nothing: a dense pass is not the patches.
    dense = one(np.pad(image, ((0, 0), (0, 8), (0, 8), (0, 0))))[:, :rows, :columns]
    assert np.abs(dense - expected).max() > 1e-3


def test_a_network_has_an_exact_twin_with_the_same_weights() -> None:
    network = abstract_network(TowersConfig(base_depth=8), planes=1, labels=("A",))
    network.eval()
    twin = network.exactly()
    assert twin.geometry == exact_geometry(network.geometry)
    assert not network.exact
    assert twin.exact
    graph, state = nnx.split(twin)
    seen = jax.ShapeDtypeStruct((2, 274, 258, 1), np.float32)
    given = jax.eval_shape(lambda state, x: nnx.merge(graph, state).embed(x), state, seen)
    assert given.shape == (2, 32, 16, network.body.depth)
