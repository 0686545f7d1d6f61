"""DeepLabV3+ on a residual network, under the same contract as the towers and the U-Net.

Chen et al., "Encoder-decoder with atrous separable convolution for semantic image segmentation",
2018; the paper compares with an earlier DeepLab (its Figure S6). A residual network makes the image
8 or 16 times smaller, convolutions with holes look at several distances around every place of that,
and a decoder brings the result back beside the finest features of the way down.

Two things differ from the published network:

- The pooling over the whole image beside the atrous convolutions is an option. With it a pixel
  depends on the tile it is predicted in; a field up to `isl.tiling.geometry.WHOLE` pixels wide is
  therefore predicted at once, where memory allows, and several tiles are warned of.
- The residual network pads its convolutions with zeros, as everywhere. What these zeros can reach
  is cut off, so that the output is that of valid convolutions and tiles fit together exactly.

As in the published network, the last enlargement is bilinear: the embedding is half as fine as the
image.
"""

import operator
from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones import layers
from isl.backbones.networks import Compute
from isl.backbones.resnet import Depth, ResNet, ResNetConfig
from isl.config import Config
from isl.tiling.geometry import WHOLE, Geometry

# The residual network's stem halves the image, and what its first stage gives is the finest the
# decoder sees.
_FINE = 2
_FINE_DEPTH = 48


class DeepLabConfig(Config):
    """What a DeepLab is.

    Attributes:
        depth: Layers of the residual network; 10 and 18 are made of basic blocks.
        width: Depth of its first stage; every further one doubles it.
        output_stride: Pixels a side for each place of the coarsest features.
        rates: Distances, in such places, at which the atrous convolutions look around. The
            published ones, 6, 12 and 18 at a stride of 16, see 600 pixels; fields are small.
        context: Depth of the atrous convolutions' results.
        decoder: Depth of the decoder, and of the embedding.
        image_pooling: Whether the mean of all that is seen stands beside the atrous convolutions.
    """

    kind: Literal["deeplab"] = "deeplab"
    depth: Depth = 18
    width: int = pydantic.Field(default=32, ge=1)
    output_stride: Literal[8, 16] = 16
    rates: tuple[pydantic.PositiveInt, ...] = pydantic.Field(default=(1, 2, 4), min_length=1)
    context: int = pydantic.Field(default=128, ge=1)
    decoder: int = pydantic.Field(default=64, ge=1)
    image_pooling: bool = pydantic.Field(default=False, exclude_if=operator.not_)

    @property
    def geometry(self) -> Geometry:
        """Margin, step and smallest input; the margin is what the network sees, in whole steps."""
        step = self.output_stride
        margin = -(-self.reach // step) * step
        whole = WHOLE if self.image_pooling else 0
        return Geometry(margin=margin, step=step, smallest=2 * margin + step, whole=whole)

    @property
    def backbone(self) -> ResNetConfig:
        """The residual network."""
        return ResNetConfig(
            depth=self.depth,
            width=self.width,
            preactivation=False,
            stem="small",
            input_norm=False,
            final_stride=2 if self.output_stride == 16 else 1,
        )

    @property
    def reach(self) -> int:
        """Pixels on each side that an output pixel depends on."""
        coarse = self.output_stride * max(self.rates)
        decoded = 2 * _FINE
        # Between two places of a coarser grid the further one is up to a place away.
        enlarged = self.output_stride + _FINE
        return _reach(self.backbone) + coarse + enlarged + decoded


class DeepLab(nnx.Module):
    """The body of the network, up to the embedding that the heads read.

    Attributes:
        depth: Depth of the embedding.
        padded: Whether what lies beyond the border is made up and nothing cut off; see
            `isl.labeling.network.LabelingNetwork.padded`.
    """

    def __init__(
        self, config: DeepLabConfig, planes: int, compute: Compute, rngs: nnx.Rngs
    ) -> None:
        """A DeepLab for `planes` input planes."""
        self.config = config
        self.depth = config.decoder
        self.padded = False
        self.backbone = ResNet(config.backbone, planes, compute)
        coarse, context = self.backbone.depth, config.context
        fine = config.width * config.backbone.expansion
        self.direct = NormedConv(coarse, context, 1, compute, rngs)
        self.atrous = nnx.List(
            NormedConv(coarse, context, 3, compute, rngs, rate=rate) for rate in config.rates
        )
        self.pooled = (
            NormedConv(coarse, context, 1, compute, rngs) if config.image_pooling else None
        )
        looks = 1 + len(config.rates) + config.image_pooling
        self.projection = NormedConv(context * looks, context, 1, compute, rngs)
        self.fine = NormedConv(fine, _FINE_DEPTH, 1, compute, rngs)
        self.decoder = nnx.List(
            [
                NormedConv(context + _FINE_DEPTH, config.decoder, 3, compute, rngs),
                NormedConv(config.decoder, config.decoder, 3, compute, rngs),
            ]
        )

    def __call__(self, transmitted: jax.Array) -> jax.Array:
        """float32 [B, Y, X, Z] in [0, 1] to [B, y, x, depth]."""
        config = self.config
        fine, coarse = self._features(transmitted)
        if self.padded:
            return self._decoded_whole(fine, coarse)
        around = _enlarge(self._context(coarse), config.output_stride // _FINE)
        # On the fine grid: the output, one place more for the last enlargement, and two on each
        # side for the decoder's convolutions.
        sizes = [(n - 2 * config.geometry.margin) // _FINE + 5 for n in transmitted.shape[1:3]]
        first = config.geometry.margin // _FINE - 2
        around = _window(around, first - max(config.rates) * config.output_stride // _FINE, sizes)
        return self._decoded(around, _window(fine, first, sizes))

    def _decoded(self, around: jax.Array, fine: jax.Array) -> jax.Array:
        """The decoder on two windows of the fine grid, and the last enlargement."""
        x = jnp.concatenate([around, self.fine(fine)], axis=-1)
        for conv in self.decoder:
            x = conv(x)
        return _enlarge(x, _FINE)

    def _decoded_whole(self, fine: jax.Array, coarse: jax.Array) -> jax.Array:
        """The same for all that came in; an enlargement needs one place more than it gives."""
        context = layers.repeat_border(self._context(coarse), 0, 1)
        around = _enlarge(context, self.config.output_stride // _FINE)
        return self._decoded(*(layers.repeat_border(x, 0, 1) for x in (around, fine)))

    def _features(self, transmitted: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What the residual network's first stage and its last one give."""
        x = self.backbone.stem(transmitted)
        if self.backbone.stem_norm is not None:
            x = jax.nn.relu(self.backbone.stem_norm(x))
        first, *others = self.backbone.stages
        for block in first:
            x = block(x)
        fine = x
        for blocks in others:
            for block in blocks:
                x = block(x)
        return fine, x

    def _context(self, coarse: jax.Array) -> jax.Array:
        """Coarse features with what lies around them: [B, Y, X, D] to [B, y, x, context].

        The widest look takes its rate off each side, unless its convolution is padded.
        """
        widest = max(self.config.rates)
        border = 0 if self.padded else widest
        seen = [self.direct(layers.crop(coarse, border))]
        for conv, rate in zip(self.atrous, self.config.rates, strict=True):
            seen.append(conv(layers.crop(coarse, max(0, border - rate))))
        if self.pooled is not None:
            mean = self.pooled(jnp.mean(coarse, axis=(1, 2), keepdims=True))
            seen.append(jnp.broadcast_to(mean, seen[0].shape))
        return self.projection(jnp.concatenate(seen, axis=-1))


class NormedConv(nnx.Module):
    """A valid convolution, with holes or without, batch norm and relu."""

    def __init__(
        self,
        depth_in: int,
        depth_out: int,
        kernel: int,
        compute: Compute,
        rngs: nnx.Rngs,
        *,
        rate: int = 1,
    ) -> None:
        """Widths from `depth_in` to `depth_out`; `rate` is the distance of the kernel's places."""
        self.rate = rate
        self.conv = layers.ValidConv(
            depth_in, depth_out, kernel, compute, blocked=kernel > 1 and rate == 1
        )
        self.norm = layers.batch_norm(depth_out, compute, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, Y - 2 rate, X - 2 rate, depth_out] with a 3 x 3 kernel."""
        x = self.conv(x) if self.rate == 1 else _atrous(x, self.conv, self.rate)
        return jax.nn.relu(self.norm(x))


def _atrous(x: jax.Array, conv: layers.ValidConv, rate: int) -> jax.Array:
    """A 3 x 3 valid convolution whose places are `rate` apart, as one product of shifted copies.

    XLA's own convolution with holes is a plain loop on a CPU.
    """
    if conv.padded:
        x = layers.repeat_border(x, rate, rate)
    height, width = (n - 2 * rate for n in x.shape[1:3])
    copies = [
        x[:, row : row + height, column : column + width]
        for row in (0, rate, 2 * rate)
        for column in (0, rate, 2 * rate)
    ]
    kernel = conv.kernel[...].astype(conv.dtype)
    patches = jnp.concatenate(copies, axis=-1).astype(conv.dtype)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _enlarge(x: jax.Array, factor: int) -> jax.Array:
    """Bilinear: place i of [B, Y, X, C] becomes place factor * i; [B, f (Y - 1), f (X - 1), C]."""
    for axis in (1, 2):
        size = x.shape[axis] - 1
        here, next_ = (jax.lax.slice_in_dim(x, at, at + size, axis=axis) for at in (0, 1))
        between = [here + (step / factor) * (next_ - here) for step in range(factor)]
        shape = [factor * size if i == axis else n for i, n in enumerate(x.shape)]
        x = jnp.stack(between, axis=axis + 1).reshape(shape)
    return x


def _window(x: jax.Array, first: int, sizes: list[int]) -> jax.Array:
    """So many rows and columns of [B, Y, X, C] from the first on."""
    rows, columns = sizes
    return x[:, first : first + rows, first : first + columns]


def _reach(config: ResNetConfig) -> int:
    """Pixels on each side that a place of the residual network's features depends on."""
    reach, stride = 1, _FINE
    for count, first in zip(config.stages, config.strides, strict=True):
        for block in range(count):
            reach += stride
            stride *= first if block == 0 else 1
            # A basic block has a second 3 x 3 convolution, behind the one that changes the size.
            reach += 0 if config.bottleneck else stride
    return reach
