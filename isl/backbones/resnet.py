"""Residual networks: basic blocks or bottlenecks, batch norm before or after the convolutions.

He et al., "Deep residual learning for image recognition" (post-activation) and "Identity mappings
in deep residual networks" (pre-activation, "v2"); specification, section 3. Borders are padded with
equal widths on both sides, as PyTorch does, so that weights trained there fit.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.networks import Compute, batch_norm
from isl.config import Config

BATCH_NORM_EPSILON = 1e-5

Depth = Literal[10, 18, 26, 50]
DEPTHS: dict[Depth, tuple[int, ...]] = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
}
"""Blocks of every stage, by depth."""
_BASIC_DEPTHS = (10, 18)
_BOTTLENECK_EXPANSION = 4


class ResNetConfig(Config):
    """What a residual network is.

    Attributes:
        depth: Layers; 10 and 18 are made of basic blocks, 26 and 50 of bottlenecks.
        width: Depth of the stem's result; every stage after the first doubles it.
        preactivation: Batch norm and relu before each convolution, not after it.
        stem: imagenet: 7 x 7 convolution of stride 2, then maximum over 3 x 3 with stride 2; small:
            3 x 3 convolution of stride 2 alone.
        input_norm: Batch norm without scale and offset before everything else.
        final_stride: Of the last stage; 1 keeps the features, and class activation maps, twice as
            fine.
        stem_norm: Batch norm and relu right after the stem's convolution; only a pre-activation
            network can do without, as the one of timm does.
    """

    kind: Literal["resnet"] = "resnet"
    depth: Depth = 50
    width: int = pydantic.Field(default=64, ge=1)
    preactivation: bool = True
    stem: Literal["imagenet", "small"] = "imagenet"
    final_stride: Literal[1, 2] = 2
    input_norm: bool = True
    stem_norm: bool = True

    @pydantic.model_validator(mode="after")
    def _norms_fit(self) -> "ResNetConfig":
        if not self.preactivation and not self.stem_norm:
            raise ValueError("preactivation = false needs stem_norm = true")
        return self

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks of every stage."""
        return DEPTHS[self.depth]

    @property
    def strides(self) -> tuple[int, ...]:
        """By which the first block of every stage makes the size smaller."""
        return (1, *[2] * (len(self.stages) - 2), self.final_stride)

    @property
    def bottleneck(self) -> bool:
        """Whether blocks are bottlenecks."""
        return self.depth not in _BASIC_DEPTHS

    @property
    def depth_out(self) -> int:
        """Depth of the features."""
        return self.width * 2 ** (len(self.stages) - 1) * self.expansion

    @property
    def expansion(self) -> int:
        """Depth of a block's result, in depths of its 3 x 3 convolution."""
        return _BOTTLENECK_EXPANSION if self.bottleneck else 1


class PaddedConv(nnx.Module):
    """A convolution without bias that pads `kernel // 2` zeros on every side.

    [B, Y, X, depth_in] to [B, ceil(Y / stride), ceil(X / stride), depth_out]; kernels are odd.
    """

    def __init__(
        self, depth_in: int, depth_out: int, kernel: int, compute: Compute, *, stride: int = 1
    ) -> None:
        """Weights of 0, which `draw_weights` or stored ones replace."""
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, depth_in, depth_out)))
        self.stride = stride
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if kernel.shape[0] == 1:
            strides = (1, self.stride, self.stride, 1)
            return jax.lax.slice(x, (0, 0, 0, 0), x.shape, strides) @ kernel[0, 0]
        border = kernel.shape[0] // 2
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            [(border, border)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class _Block(nnx.Module):
    """Two or three convolutions, each with its batch norm, and a way past them.

    Attributes:
        depth: Depth of the result.
    """

    def __init__(
        self,
        depth_in: int,
        config: ResNetConfig,
        width: int,
        stride: int,
        compute: Compute,
        *,
        norm_first: bool,
    ) -> None:
        """A block whose 3 x 3 convolutions have the depth `width`."""
        self.depth = width * config.expansion
        self.convs = nnx.List(_block_convs(depth_in, config, width, stride, compute))
        depths = [conv.kernel.shape[2 if norm_first else 3] for conv in self.convs]
        self.norms = nnx.List(batch_norm(depth, compute, BATCH_NORM_EPSILON) for depth in depths)
        changes = stride != 1 or depth_in != self.depth
        self.shortcut = (
            PaddedConv(depth_in, self.depth, 1, compute, stride=stride) if changes else None
        )


class PreactivationBlock(_Block):
    """Batch norm, relu, convolution, two or three times, added to what came in."""

    def __init__(
        self, depth_in: int, config: ResNetConfig, width: int, stride: int, compute: Compute
    ) -> None:
        """See `_Block`."""
        super().__init__(depth_in, config, width, stride, compute, norm_first=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, y, x, depth]."""
        active = jax.nn.relu(self.norms[0](x))
        beside = x if self.shortcut is None else self.shortcut(active)
        h = self.convs[0](active)
        for norm, conv in zip(list(self.norms)[1:], list(self.convs)[1:], strict=True):
            h = conv(jax.nn.relu(norm(h)))
        return beside + h


class PostactivationBlock(_Block):
    """Convolution and batch norm, two or three times, relu between; relu after the addition."""

    def __init__(
        self, depth_in: int, config: ResNetConfig, width: int, stride: int, compute: Compute
    ) -> None:
        """See `_Block`."""
        super().__init__(depth_in, config, width, stride, compute, norm_first=False)
        changes = self.shortcut is not None
        self.shortcut_norm = (
            batch_norm(self.depth, compute, BATCH_NORM_EPSILON) if changes else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, y, x, depth]."""
        beside = x
        if self.shortcut is not None and self.shortcut_norm is not None:
            beside = self.shortcut_norm(self.shortcut(x))
        h = self.norms[0](self.convs[0](x))
        for norm, conv in zip(list(self.norms)[1:], list(self.convs)[1:], strict=True):
            h = norm(conv(jax.nn.relu(h)))
        return jax.nn.relu(beside + h)


class ResNet(nnx.Module):
    """A residual network up to the maps that enter global average pooling.

    Attributes:
        config: What it is.
        depth: Depth of the features.
    """

    def __init__(self, config: ResNetConfig, channels: int, compute: Compute | None = None) -> None:
        """A network for `channels` input channels, with weights of 0; see `draw_weights`."""
        compute = compute or Compute()
        self.config = config
        self.depth = config.depth_out
        self.input_norm = (
            batch_norm(channels, compute, BATCH_NORM_EPSILON, affine=False)
            if config.input_norm
            else None
        )
        kernel = 7 if config.stem == "imagenet" else 3
        self.stem = PaddedConv(channels, config.width, kernel, compute, stride=2)
        self.stem_norm = (
            batch_norm(config.width, compute, BATCH_NORM_EPSILON) if config.stem_norm else None
        )
        block = PreactivationBlock if config.preactivation else PostactivationBlock
        self.stages = nnx.List()
        depth = config.width
        for stage, (count, first) in enumerate(zip(config.stages, config.strides, strict=True)):
            blocks = nnx.List()
            for i in range(count):
                stride = 1 if i else first
                blocks.append(block(depth, config, config.width * 2**stage, stride, compute))
                depth = blocks[-1].depth
            self.stages.append(blocks)
        self.final_norm = (
            batch_norm(depth, compute, BATCH_NORM_EPSILON) if config.preactivation else None
        )

    def features(self, x: jax.Array) -> jax.Array:
        """The maps after the last batch norm and relu.

        Args:
            x: float32 [B, Y, X, C]; any size, and with `input_norm` any range in training.

        Returns:
            [B, y, x, depth], y = ceil(Y / 32) with the imagenet stem and ceil(Y / 16) with the
            small one; twice that with a final stride of 1.
        """
        x = x if self.input_norm is None else self.input_norm(x)
        x = self.stem(x)
        x = x if self.stem_norm is None else jax.nn.relu(self.stem_norm(x))
        x = max_pool(x) if self.config.stem == "imagenet" else x
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        return x if self.final_norm is None else jax.nn.relu(self.final_norm(x))


def abstract_resnet(config: ResNetConfig, channels: int, compute: Compute | None = None) -> ResNet:
    """A network with shapes in place of arrays."""
    return nnx.eval_shape(lambda: ResNet(config, channels, compute))


def max_pool(x: jax.Array) -> jax.Array:
    """Maximum over 3 x 3 with stride 2, one pixel beyond the border: [B, Y, X, C], halved.

    The maximum of shifted copies: on a CPU the gradient of `reduce_window` costs 2.5 times as much.
    """
    for axis in (1, 2):
        border = [(1, 1) if i == axis else (0, 0) for i in range(4)]
        padded = jnp.pad(x, border, constant_values=-jnp.inf)
        size = (x.shape[axis] + 1) // 2
        copies = [
            jax.lax.slice_in_dim(padded, offset, offset + 2 * size - 1, 2, axis)
            for offset in range(3)
        ]
        x = jnp.maximum(jnp.maximum(copies[0], copies[1]), copies[2])
    return x


def _block_convs(
    depth_in: int, config: ResNetConfig, width: int, stride: int, compute: Compute
) -> list[PaddedConv]:
    if config.bottleneck:
        return [
            PaddedConv(depth_in, width, 1, compute),
            PaddedConv(width, width, 3, compute, stride=stride),
            PaddedConv(width, width * config.expansion, 1, compute),
        ]
    return [
        PaddedConv(depth_in, width, 3, compute, stride=stride),
        PaddedConv(width, width, 3, compute),
    ]
