"""A residual network with an output stride of 16: its last stage keeps its size and looks further.

Chen et al., "Rethinking atrous convolution", 2017; as torchvision's `replace_stride_with_dilation`
does it: the convolution that had the stride takes every place, and the 3 x 3 convolutions after it
have their places 2 apart. Every second place is then what the plain network gives. Parameters are
those of the plain network, so that its ImageNet weights fit.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones.networks import Compute
from isl.backbones.resnet import PaddedConv, ResNet, ResNetConfig, max_pool

RATE = 2


class AtrousConv(PaddedConv):
    """A 3 x 3 convolution whose places are `rate` apart, padded so that the size stays.

    One product of shifted copies: XLA's own convolution with holes is a plain loop on a CPU.
    """

    def __init__(self, depth_in: int, depth_out: int, compute: Compute, *, rate: int) -> None:
        """Weights of 0; [B, Y, X, depth_in] to [B, Y, X, depth_out]."""
        super().__init__(depth_in, depth_out, 3, compute)
        self.rate = rate

    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        return atrous(x.astype(self.dtype), self.kernel[...].astype(self.dtype), self.rate)


def atrous(x: jax.Array, kernel: jax.Array, rate: int) -> jax.Array:
    """Convolution of [B, Y, X, C] with zeros beyond the border; kernel [3, 3, C, D]."""
    rows, columns = x.shape[1:3]
    padded = jnp.pad(x, [(0, 0), (rate, rate), (rate, rate), (0, 0)])
    total = None
    for row in range(3):
        for column in range(3):
            top, left = row * rate, column * rate
            # At large rates a look may be at zeros alone.
            if abs(top - rate) >= rows or abs(left - rate) >= columns:
                continue
            part = padded[:, top : top + rows, left : left + columns] @ kernel[row, column]
            total = part if total is None else total + part
    return total if total is not None else jnp.zeros((*x.shape[:3], kernel.shape[-1]), x.dtype)


class DilatedResNet(ResNet):
    """See the module; post-activation networks with the imagenet stem alone.

    Attributes:
        depths: Depths of C2 to C5.
    """

    def __init__(self, config: ResNetConfig, channels: int, compute: Compute | None = None) -> None:
        """A network for `channels` input channels, with weights of 0."""
        if config.preactivation or config.stem != "imagenet" or config.final_stride != 1:
            raise ValueError(
                "an output stride of 16 needs preactivation = false, stem = 'imagenet' and "
                "final_stride = 1"
            )
        super().__init__(config, channels, compute)
        compute = compute or Compute()
        before = True
        for block in self.stages[-1]:
            convs = []
            for conv in block.convs:
                # The stage's first 3 x 3 convolution had the stride; those after it are coarser.
                is_wide = conv.kernel.shape[0] == 3
                convs.append(
                    AtrousConv(conv.kernel.shape[2], conv.kernel.shape[3], compute, rate=RATE)
                    if is_wide and not before
                    else conv
                )
                before = before and not is_wide
            block.convs = nnx.List(convs)
        self.depths = tuple(blocks[-1].depth for blocks in self.stages)

    def pyramid(self, x: jax.Array) -> list[jax.Array]:
        """C2 to C5 of [B, Y, X, C], Y and X multiples of 16: strides 4, 8, 16 and 16."""
        x = x if self.input_norm is None else self.input_norm(x)
        x = self.stem(x)
        x = max_pool(x if self.stem_norm is None else jax.nn.relu(self.stem_norm(x)))
        maps = []
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
            maps.append(x)
        return maps
