"""VGG with batch norm: 3 x 3 convolutions in five blocks, each followed by maximum pooling.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition"; batch
norm between every convolution and its relu, as in Witmer and Bhanu (2024), figure 3. Convolutions
have a bias although batch norm follows, as torchvision's do, so that sizes agree.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.layers import max_pool
from isl.backbones.networks import NO_RANDOMNESS, Compute, batch_norm
from isl.config import Config

BATCH_NORM_EPSILON = 1e-5

Depth = Literal[11, 13, 16, 19]
BLOCKS: dict[Depth, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions of every block, by depth."""
# The depth doubles from block to block, up to this many times the first.
_WIDEST = 8


class VGGConfig(Config):
    """What a VGG is.

    Attributes:
        depth: Layers, the three dense ones of the published classifier included.
        width: Depth of the first block's maps; the published networks have 64.
        blocks: How many of the five blocks there are, for pictures too small to be halved so often.
        pooled: Maps are averaged over so many cells a side before they become a vector.
        hidden: Dense layers with relu on top of them; the published classifier has (4096, 4096) on
            7 cells a side. None of them: the averaged maps are the vector.
    """

    kind: Literal["vgg"] = "vgg"
    depth: Depth = 19
    width: int = pydantic.Field(default=64, ge=1)
    blocks: int = pydantic.Field(default=5, ge=1, le=5)
    pooled: int = pydantic.Field(default=1, ge=1)
    hidden: tuple[int, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Depth of the maps of every block."""
        return tuple(self.width * min(2**block, _WIDEST) for block in range(self.blocks))

    @property
    def depth_out(self) -> int:
        """Length of the vector."""
        return self.hidden[-1] if self.hidden else self.widths[-1] * self.pooled**2


class BiasedConv(nnx.Module):
    """A 3 x 3 convolution with bias and a border of zeros: [B, Y, X, C] to [B, Y, X, D]."""

    def __init__(self, depth_in: int, depth_out: int, compute: Compute) -> None:
        """Weights of 0, which `draw_weights` or stored ones replace."""
        self.kernel = nnx.Param(jnp.zeros((3, 3, depth_in, depth_out)))
        self.bias = nnx.Param(jnp.zeros(depth_out))
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        mapped = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (1, 1),
            [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return mapped + self.bias[...].astype(self.dtype).reshape(1, 1, 1, -1)


class VGG(nnx.Module):
    """A VGG up to the vector that a classifier's last layer reads.

    Attributes:
        config: What it is.
        depth: Length of the vector.
    """

    def __init__(self, config: VGGConfig, channels: int, compute: Compute | None = None) -> None:
        """A network for `channels` input channels, with weights of 0; see `draw_weights`."""
        compute = compute or Compute()
        self.config = config
        self.depth = config.depth_out
        self.convs, self.norms = nnx.List(), nnx.List()
        depth_in = channels
        counts = BLOCKS[config.depth][: config.blocks]
        for count, depth in zip(counts, config.widths, strict=True):
            convs, norms = nnx.List(), nnx.List()
            for _ in range(count):
                convs.append(BiasedConv(depth_in, depth, compute))
                norms.append(batch_norm(depth, compute, BATCH_NORM_EPSILON))
                depth_in = depth
            self.convs.append(convs)
            self.norms.append(norms)
        self.hidden = nnx.List()
        length = depth_in * config.pooled**2
        for wide in config.hidden:
            self.hidden.append(
                nnx.Linear(length, wide, kernel_init=nnx.initializers.zeros, rngs=NO_RANDOMNESS)
            )
            length = wide

    def features(self, x: jax.Array) -> jax.Array:
        """The maps after the last pooling.

        Args:
            x: float32 [B, Y, X, C]; Y and X at least 2 ** blocks.

        Returns:
            [B, floor(Y / 2 ** blocks), floor(X / 2 ** blocks), widths[-1]].
        """
        for convs, norms in zip(self.convs, self.norms, strict=True):
            for conv, norm in zip(convs, norms, strict=True):
                x = jax.nn.relu(norm(conv(x)))
            x = max_pool(x, 2, 2)
        return x

    def vector(self, x: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth]."""
        maps = self.features(x).astype(jnp.float32)
        if self.config.pooled == 1:
            result = maps.mean(axis=(1, 2))
        else:
            # Channels before pixels, as weights trained in PyTorch expect them.
            result = averaged_cells(maps, self.config.pooled).transpose(0, 3, 1, 2)
            result = result.reshape(result.shape[0], -1)
        for layer in self.hidden:
            product = result @ layer.kernel[...]
            result = jax.nn.relu(product + jnp.broadcast_to(layer.bias[...], product.shape))
        return result


def averaged_cells(maps: jax.Array, cells: int) -> jax.Array:
    """Means over `cells` x `cells` cells, which overlap where the size is no multiple of it.

    Args:
        maps: [B, Y, X, C].
        cells: How many there are a side; from floor(i Y / cells) to ceil((i + 1) Y / cells).

    Returns:
        [B, cells, cells, C].
    """
    for axis in (1, 2):
        length = maps.shape[axis]
        parts = [
            jax.lax.slice_in_dim(
                maps, i * length // cells, -(-(i + 1) * length // cells), axis=axis
            ).mean(axis=axis, keepdims=True)
            for i in range(cells)
        ]
        maps = jnp.concatenate(parts, axis=axis)
    return maps


def abstract_vgg(config: VGGConfig, channels: int, compute: Compute | None = None) -> VGG:
    """A network with shapes in place of arrays."""
    return nnx.eval_shape(lambda: VGG(config, channels, compute))
