"""A U-Net whose way down is a pretrained encoder, for labels of which few images are at hand.

The encoder's maps at a half, a fourth, an eighth and a sixteenth of the resolution are joined on
the way up: each time the coarser ones are enlarged twofold, set beside the next finer, and looked
at by a 3 x 3 convolution. The enlargement is bilinear between centres of pixels, which treats both
pixels that come of one alike: a transposed convolution, or a depth that becomes pixels, leaves its
step in the image as a lattice.

The encoder's convolutions are padded, and what it looks at is wider than most fields, so the margin
of a valid network would be most of the work. A field up to `WHOLE` pixels wide is therefore seen
whole, with a narrow margin of reflected pixels; tiles of larger ones may differ near their seams by
what the zeros beyond a border do to pixels further inside than the margin.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones import layers
from isl.backbones.efficientnet_lite import GROUPS, PYRAMID_DEPTHS, EfficientNetLite
from isl.backbones.networks import Compute
from isl.config import Config
from isl.tiling.geometry import WHOLE, Geometry

_LEVELS = 4
_GROUPS_TO_STRIDE_16 = 5


class EncoderUNetConfig(Config):
    """What a U-Net on a pretrained encoder is.

    Attributes:
        encoder: The bundled encoder that it starts from.
        stem: Pixels a side whose mean becomes one before the encoder; the embedding is enlarged
            as much in the end.
        decoder: Depths on the way up, at an eighth, a fourth, a half, and all of the resolution.
        margin: Pixels on each side that are seen and not predicted, in steps.
    """

    kind: Literal["encoder_unet"] = "encoder_unet"
    encoder: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    stem: int = pydantic.Field(default=1, ge=1, le=4)
    decoder: tuple[
        pydantic.PositiveInt, pydantic.PositiveInt, pydantic.PositiveInt, pydantic.PositiveInt
    ] = (64, 48, 32, 24)
    margin: int = pydantic.Field(default=2, ge=0)

    @property
    def geometry(self) -> Geometry:
        """Margin, step (the stride of the coarsest maps) and smallest input."""
        step = self.stem * 2**_LEVELS
        margin = self.margin * step
        return Geometry(margin=margin, step=step, smallest=2 * margin + step, whole=WHOLE)


class EncoderUNet(nnx.Module):
    """The body of the network, up to the embedding that the heads read.

    Attributes:
        depth: Depth of the embedding.
        padded: Whether nothing is cut off; see `isl.labeling.network.LabelingNetwork.padded`.
        encoder: The way down.
    """

    def __init__(
        self, config: EncoderUNetConfig, planes: int, compute: Compute, rngs: nnx.Rngs
    ) -> None:
        """A network for `planes` input planes."""
        self.depth = config.decoder[-1]
        self.padded = False
        self.stem = config.stem
        self.margin = config.geometry.margin
        groups = GROUPS[:_GROUPS_TO_STRIDE_16]
        self.encoder = EfficientNetLite(planes, compute, with_head=False, groups=groups)
        # Beside the last enlargement stands the image itself.
        beside = [planes, *PYRAMID_DEPTHS[: _LEVELS - 1]][::-1]
        depths = [PYRAMID_DEPTHS[_LEVELS - 1], *config.decoder]
        self.up = nnx.List(
            Joined(coarse + fine, depth, compute, rngs)
            for coarse, fine, depth in zip(depths[:-1], beside, config.decoder, strict=True)
        )

    def __call__(self, transmitted: jax.Array) -> jax.Array:
        """float32 [B, Y, X, Z] in [0, 1] to [B, y, x, depth]."""
        image = encoder_input(means_of_blocks(transmitted, self.stem))
        *finer, x = [image, *self.encoder.pyramid(image)]
        for join, fine in zip(self.up, reversed(finer), strict=True):
            x = join(x, fine)
        x = enlarged(x, self.stem)
        return x if self.padded else layers.crop(x, self.margin)


class Joined(nnx.Module):
    """Coarse maps enlarged beside finer ones, a 3 x 3 convolution, batch norm and relu."""

    def __init__(self, depth_in: int, depth_out: int, compute: Compute, rngs: nnx.Rngs) -> None:
        """Widths from `depth_in`, of both together, to `depth_out`."""
        self.conv = layers.ValidConv(depth_in, depth_out, 3, compute, blocked=True)
        self.conv.padded = True
        self.norm = layers.batch_norm(depth_out, compute, rngs)

    def __call__(self, coarse: jax.Array, fine: jax.Array) -> jax.Array:
        """[B, Y, X, C] and [B, 2 Y, 2 X, D] to [B, 2 Y, 2 X, depth_out]."""
        x = jnp.concatenate([enlarged(coarse, 2), fine.astype(coarse.dtype)], axis=-1)
        return jax.nn.relu(self.norm(self.conv(x)))


def encoder_input(planes: jax.Array) -> jax.Array:
    """What an encoder of photographs expects, from normalized planes (mean 0.5, deviation 0.125).

    Photographs have mean 0 and deviation about 0.5, as it sees them.
    """
    return 4 * (planes - 0.5)


def means_of_blocks(x: jax.Array, block: int) -> jax.Array:
    """Mean of every block x block pixels of [B, Y, X, C]; Y and X are multiples of it."""
    if block == 1:
        return x
    batch, rows, columns, depth = x.shape
    blocks = x.reshape(batch, rows // block, block, columns // block, block, depth)
    return blocks.mean(axis=(2, 4))


def enlarged(x: jax.Array, factor: int) -> jax.Array:
    """Bilinear between centres of pixels: [B, Y, X, C] to [B, factor Y, factor X, C]."""
    if factor == 1:
        return x
    for axis in (1, 2):
        size = x.shape[axis]
        first, last = (jax.lax.slice_in_dim(x, at, at + 1, axis=axis) for at in (0, size - 1))
        inner = jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)
        before = jnp.concatenate([first, inner], axis=axis)
        inner = jax.lax.slice_in_dim(x, 1, size, axis=axis)
        after = jnp.concatenate([inner, last], axis=axis)
        parts = []
        for step in range(factor):
            # Centre of the new pixel, in old pixels from the centre of the old one.
            offset = (step + 0.5) / factor - 0.5
            other = before if offset < 0 else after
            parts.append((1 - abs(offset)) * x + abs(offset) * other)
        shape = [factor * n if i == axis else n for i, n in enumerate(x.shape)]
        x = jnp.stack(parts, axis=axis + 1).reshape(shape)
    return x
