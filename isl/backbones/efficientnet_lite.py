"""EfficientNet-Lite0: inverted residual blocks without squeeze-and-excitation, relu6 throughout.

Tan & Le, "EfficientNet", 2019, in the "lite" form that TensorFlow published: borders are padded as
TensorFlow's "same" does, on the far side first where the two cannot be equal.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones.networks import Compute, batch_norm
from isl.backbones.portable import is_portable

BATCH_NORM_EPSILON = 1e-3
STEM = 32
HEAD = 1280
PYRAMID_STRIDES = (2, 4, 8, 16, 32)


class Group(NamedTuple):
    """Blocks of one width (Tan & Le, table 1).

    Attributes:
        blocks: How many.
        kernel: Of their depthwise convolutions.
        stride: Of the first.
        expansion: Depth within a block, in depths of its input.
        depth: Of their results.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    depth: int


GROUPS = (
    Group(1, 3, 1, 1, 16),
    Group(2, 3, 2, 6, 24),
    Group(2, 5, 2, 6, 40),
    Group(3, 3, 2, 6, 80),
    Group(3, 5, 1, 6, 112),
    Group(4, 5, 2, 6, 192),
    Group(1, 3, 1, 6, 320),
)
PYRAMID_DEPTHS = (16, 24, 40, 112, 320)
"""Depths of the last map of every resolution."""


def relu6(x: jax.Array) -> jax.Array:
    """[..., D]: what is below 0 or above 6 is cut."""
    return jnp.clip(x, 0, 6)


class DenseConv(nnx.Module):
    """A convolution of all channels, padded as TensorFlow's "same", without bias."""

    def __init__(
        self, depth_in: int, depth_out: int, kernel: int, compute: Compute, *, stride: int = 1
    ) -> None:
        """Weights of 0, which `draw_weights` or stored ones replace."""
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, depth_in, depth_out)))
        self.stride = stride
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, ceil(Y / stride), ceil(X / stride), depth_out]."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if kernel.shape[0] == 1 and self.stride == 1:
            return x @ kernel[0, 0]
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            [same_border(n, kernel.shape[0], self.stride, 1) for n in x.shape[1:3]],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class DepthwiseConv(nnx.Module):
    """A convolution of every channel by itself, padded as TensorFlow's "same", without bias.

    A sum of shifted copies: on a CPU XLA's own, and its gradient above all, is a plain loop.

    Attributes:
        rate: Distance of its places, 1 unless somebody looks further.
    """

    def __init__(self, depth: int, kernel: int, compute: Compute, *, stride: int = 1) -> None:
        """Weights of 0, which `draw_weights` or stored ones replace."""
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, 1, depth)))
        self.stride = stride
        self.rate = 1
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth] to [B, ceil(Y / stride), ceil(X / stride), depth]."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        size = kernel.shape[0]
        rows, columns = (-(-n // self.stride) for n in x.shape[1:3])
        borders = [same_border(n, size, self.stride, self.rate) for n in x.shape[1:3]]
        if is_portable():
            return jax.lax.conv_general_dilated(
                x,
                kernel,
                (self.stride, self.stride),
                borders,
                rhs_dilation=(self.rate, self.rate),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=x.shape[-1],
            )
        x = jnp.pad(x, [(0, 0), *borders, (0, 0)])
        total = None
        for row in range(size):
            for column in range(size):
                part = _taken(x, row * self.rate, rows, self.stride, axis=1)
                part = _taken(part, column * self.rate, columns, self.stride, axis=2)
                part = part * kernel[row, column].reshape(1, 1, 1, -1)
                total = part if total is None else total + part
        assert total is not None
        return total


class InvertedResidual(nnx.Module):
    """Widen, look around channel by channel, narrow; added to the input where shapes agree."""

    def __init__(self, depth_in: int, group: Group, stride: int, compute: Compute) -> None:
        """One block of a group."""
        inner = depth_in * group.expansion
        self.expand = DenseConv(depth_in, inner, 1, compute) if group.expansion > 1 else None
        self.expand_norm = (
            batch_norm(inner, compute, BATCH_NORM_EPSILON) if group.expansion > 1 else None
        )
        self.depthwise = DepthwiseConv(inner, group.kernel, compute, stride=stride)
        self.depthwise_norm = batch_norm(inner, compute, BATCH_NORM_EPSILON)
        self.project = DenseConv(inner, group.depth, 1, compute)
        self.project_norm = batch_norm(group.depth, compute, BATCH_NORM_EPSILON)
        self.adds = stride == 1 and depth_in == group.depth

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, y, x, depth]."""
        h = x
        if self.expand is not None and self.expand_norm is not None:
            h = relu6(self.expand_norm(self.expand(h)))
        h = relu6(self.depthwise_norm(self.depthwise(h)))
        h = self.project_norm(self.project(h))
        return x + h if self.adds else h


class EfficientNetLite(nnx.Module):
    """EfficientNet-Lite0 without the layer that tells classes.

    Attributes:
        depths: Depths of the pyramid's maps.
        coarser: Places of the blocks that begin a new resolution.
        with_head: Whether the last 1 x 1 convolution, to 1,280 channels, is there.
    """

    depths = PYRAMID_DEPTHS

    def __init__(
        self,
        channels: int = 3,
        compute: Compute | None = None,
        *,
        with_head: bool = True,
        groups: Sequence[Group] = GROUPS,
    ) -> None:
        """A network for `channels` input channels, with weights of 0.

        With fewer `groups`, it ends at a finer resolution; a head needs them all.
        """
        compute = compute or Compute()
        self.with_head = with_head
        self.stem = DenseConv(channels, STEM, 3, compute, stride=2)
        self.stem_norm = batch_norm(STEM, compute, BATCH_NORM_EPSILON)
        self.blocks = nnx.List()
        self.coarser: tuple[int, ...] = ()
        depth = STEM
        for group in groups:
            for index in range(group.blocks):
                stride = 1 if index else group.stride
                if stride > 1:
                    self.coarser = (*self.coarser, len(self.blocks))
                self.blocks.append(InvertedResidual(depth, group, stride, compute))
                depth = group.depth
        self.head = DenseConv(depth, HEAD, 1, compute) if with_head else None
        self.head_norm = batch_norm(HEAD, compute, BATCH_NORM_EPSILON) if with_head else None

    def pyramid(self, x: jax.Array) -> list[jax.Array]:
        """The last map of every resolution, finest first.

        Args:
            x: float32 [B, Y, X, channels], as `imagenet_input` makes it for ImageNet's weights.

        Returns:
            Five maps [B, ceil(Y / s), ceil(X / s), depth], s = 2, 4, 8, 16, 32; 16 once more in
            place of 32 after `dilate_last`, and fewer where there are fewer groups.
        """
        x = relu6(self.stem_norm(self.stem(x)))
        maps = []
        for index, block in enumerate(self.blocks):
            if index in self.coarser:
                maps.append(x)
            x = block(x)
        return [*maps, x]

    def features(self, x: jax.Array) -> jax.Array:
        """What enters global average pooling: [B, ceil(Y / 32), ceil(X / 32), 1280 or 320]."""
        x = self.pyramid(x)[-1]
        if self.head is None or self.head_norm is None:
            return x
        return relu6(self.head_norm(self.head(x)))


def dilate_last(network: EfficientNetLite) -> None:
    """Makes the output stride 16: the last resolution keeps its size and looks twice as far.

    In place. The first block of the last resolution takes every place where it took every second
    one, and the convolutions after it have their places 2 apart.
    """
    last = network.coarser[-1]
    network.blocks[last].depthwise.stride = 1
    for block in list(network.blocks)[last + 1 :]:
        block.depthwise.rate = 2


def cut_after(network: EfficientNetLite, stride: int) -> None:
    """Takes off, in place, what stands behind the last map of a resolution: the pyramid ends there.

    Args:
        network: Without its head, or with one that is taken off as well.
        stride: One of `PYRAMID_STRIDES`.
    """
    beyond = (i for i, block in enumerate(network.blocks) if block.depthwise.stride > 1)
    # Block 0 already stands at stride 2.
    ends = [*beyond, len(network.blocks)]
    network.blocks = nnx.List(list(network.blocks)[: ends[PYRAMID_STRIDES.index(stride)]])
    network.with_head, network.head, network.head_norm = False, None, None


def abstract_efficientnet_lite(
    channels: int = 3, compute: Compute | None = None, *, with_head: bool = True
) -> EfficientNetLite:
    """A network with shapes in place of arrays."""
    return nnx.eval_shape(lambda: EfficientNetLite(channels, compute, with_head=with_head))


def imagenet_input(images: jax.Array) -> jax.Array:
    """What ImageNet's weights expect, from colours in [0, 1]: (255 v - 127) / 128."""
    return (255 * images - 127) / 128


def same_border(size: int, kernel: int, stride: int, rate: int) -> tuple[int, int]:
    """Zeros before and behind, as TensorFlow's "same" has them."""
    reach = (kernel - 1) * rate + 1
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def _taken(x: jax.Array, first: int, count: int, stride: int, axis: int) -> jax.Array:
    return jax.lax.slice_in_dim(x, first, first + stride * (count - 1) + 1, stride, axis)
