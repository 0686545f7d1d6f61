"""A U-Net of valid convolutions under the same contract as the towers (specification, section 5b).

At small budgets it learns far more per second than the towers. Going down, every level is two
3 x 3 convolutions and a 2 x 2 maximum; going up, a 2 x 2 up-scaling, the same level's pixels from
the way down beside it, and two 3 x 3 convolutions again.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones import layers
from isl.backbones.networks import Compute
from isl.config import Config
from isl.tiling.geometry import Geometry


class UNetConfig(Config):
    """What a U-Net is.

    Attributes:
        levels: Resolutions, the finest included.
        width: Depth of the finest level; every coarser one has twice the depth of the one above.
        stem: Pixels a side that become one before the finest level, and many again after it. With
            2 the network sees twice as far for a quarter of the arithmetic, and gives up detail
            that a blurred label does not have.
    """

    kind: Literal["unet"] = "unet"
    levels: int = pydantic.Field(default=4, ge=1, le=8)
    width: int = pydantic.Field(default=32, ge=1)
    stem: int = pydantic.Field(default=1, ge=1, le=8)

    @property
    def geometry(self) -> Geometry:
        """Margin, step and smallest input, from the losses of every level.

        Two 3 x 3 convolutions take 2 pixels off each side of their level, 2 * 2^level pixels of
        the input; every level but the coarsest has two such pairs.
        """
        step = 2 ** (self.levels - 1)
        margin = sum(2 * 2 * 2**level for level in range(self.levels - 1)) + 2 * step
        output = next(size for size in range(1, 2 * step + 1) if self._all_levels_fit(size))
        return Geometry(
            margin=self.stem * margin,
            step=self.stem * step,
            smallest=self.stem * (output + 2 * margin),
        )

    def _all_levels_fit(self, output: int) -> bool:
        size = output
        for _ in range(self.levels - 1):
            size, remainder = divmod(size + 4, 2)
            if remainder or size < 1:
                return False
        return True


class ConvolutionPair(nnx.Module):
    """Two 3 x 3 valid convolutions, each followed by batch norm and relu."""

    def __init__(self, depth_in: int, depth_out: int, compute: Compute, rngs: nnx.Rngs) -> None:
        """Widths from `depth_in` to `depth_out`."""
        self.first = layers.ValidConv(depth_in, depth_out, 3, compute, blocked=True)
        self.first_norm = layers.batch_norm(depth_out, compute, rngs)
        self.second = layers.ValidConv(depth_out, depth_out, 3, compute, blocked=True)
        self.second_norm = layers.batch_norm(depth_out, compute, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, depth_in] to [B, Y - 4, X - 4, depth_out]."""
        x = jax.nn.relu(self.first_norm(self.first(x)))
        return jax.nn.relu(self.second_norm(self.second(x)))


class UNet(nnx.Module):
    """The body of the network, up to the embedding that the heads read.

    Attributes:
        depth: Depth of the embedding.
    """

    def __init__(self, config: UNetConfig, planes: int, compute: Compute, rngs: nnx.Rngs) -> None:
        """A U-Net for `planes` input planes."""
        depths = [config.width * 2**level for level in range(config.levels)]
        depths_in = [config.stem**2 * planes, *depths[:-1]]
        self.depth = depths[0]
        self.stem = config.stem
        self.down = nnx.List(
            ConvolutionPair(depth_in, depth, compute, rngs)
            for depth_in, depth in zip(depths_in, depths, strict=True)
        )
        self.upscale = nnx.List(
            layers.ValidConv(2 * depth, 4 * depth, 1, compute) for depth in depths[:-1]
        )
        self.up = nnx.List(
            ConvolutionPair(2 * depth, depth, compute, rngs) for depth in depths[:-1]
        )
        self.pixels = (
            layers.ValidConv(self.depth, config.stem**2 * self.depth, 1, compute)
            if config.stem > 1
            else None
        )

    def __call__(self, transmitted: jax.Array) -> jax.Array:
        """float32 [B, Y, X, Z] in [0, 1] to [B, y, x, depth]."""
        passed = self.levels(transmitted)
        x = passed[-1]
        for level in reversed(range(len(self.up))):
            # A 2 x 2 transposed convolution of stride 2 is a 1 x 1 convolution to four pixels.
            x = layers.pixels_from_depth(self.upscale[level](x))
            beside = layers.crop(passed[level], (passed[level].shape[1] - x.shape[1]) // 2)
            x = self.up[level](jnp.concatenate([beside, x], axis=-1))
        if self.pixels is None:
            return x
        return jax.nn.relu(layers.pixels_from_depth(self.pixels(x), self.stem))

    def levels(self, transmitted: jax.Array) -> list[jax.Array]:
        """The way down alone: what every level sees, finest first; see `__call__`."""
        x = layers.depth_from_pixels(transmitted, self.stem) if self.stem > 1 else transmitted
        x = self.down[0](x)
        passed = [x]
        for pair in self.down[1:]:
            x = pair(layers.max_pool(x, kernel=2, stride=2))
            passed.append(x)
        return passed
