"""The classifier of one ensemble member: a frame in, before or after the onset out.

A residual network, the mean of its last maps over the frame, and a dense layer to two classes
(specification, section 3). An auxiliary head may predict EZRIN from the same maps while training.
"""

from typing import Annotated, Literal, cast

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.networks import NO_RANDOMNESS, Compute, draw_weights
from isl.backbones.resnet import ResNet, ResNetConfig
from isl.backbones.unet import UNet, UNetConfig
from isl.config import Config
from isl.polarity.pretrained import PretrainedConfig

CLASSES = ("before onset", "after onset")
AFTER = 1


class EncoderConfig(Config):
    """The way down of a labeling U-Net, so that what it learned of EZRIN can be gone on from.

    Attributes:
        unet: The U-Net.
    """

    kind: Literal["encoder"] = "encoder"
    unet: UNetConfig = UNetConfig()


BackboneConfig = Annotated[
    ResNetConfig | EncoderConfig | PretrainedConfig, pydantic.Field(discriminator="kind")
]


class Encoder(nnx.Module):
    """A U-Net without its way up.

    Attributes:
        depth: Depth of the maps of its coarsest level.
    """

    def __init__(self, config: EncoderConfig, channels: int, compute: Compute) -> None:
        """An encoder with weights of 0 for `channels` input channels."""
        unet = UNet(config.unet, channels, compute, NO_RANDOMNESS)
        self.depth = unet.depth * 2 ** (config.unet.levels - 1)
        self.stem = unet.stem
        self.down = unet.down

    def features(self, x: jax.Array) -> jax.Array:
        """[B, Y, X, C], standardized, to the maps of the coarsest level [B, y, x, depth].

        The labeling network knows planes of mean 0.5 and deviation 0.125. Its convolutions are
        valid ones, which need certain sizes on the way down: borders are reflected to the next.
        """
        size = self._fitting(x.shape[1])
        before = (size - x.shape[1]) // 2
        border = (before, size - x.shape[1] - before)
        x = jnp.pad(0.5 + 0.125 * x, ((0, 0), border, border, (0, 0)), mode="symmetric")
        return UNet.levels(cast(UNet, self), x)[-1]

    def _fitting(self, size: int) -> int:
        """The smallest width from `size` on that every level can take."""
        coarsest = 1
        while True:
            fitting = coarsest + 4
            for _ in range(len(self.down) - 1):
                fitting = 2 * fitting + 4
            if self.stem * fitting >= size:
                return self.stem * fitting
            coarsest += 1


class Classifier(nnx.Module):
    """Frames to logits of before and after.

    Attributes:
        backbone: What makes maps of a frame.
        dense: From their mean over the frame to the logits of `CLASSES`.
        auxiliary: From the maps to standardized EZRIN at their resolution; None after training.
    """

    def __init__(
        self,
        config: ResNetConfig | EncoderConfig,
        channels: int,
        compute: Compute | None = None,
        *,
        auxiliary: bool = False,
    ) -> None:
        """A classifier for `channels` input channels, with weights of 0; see `build_classifier`."""
        compute = compute or Compute()
        self.backbone = (
            ResNet(config, channels, compute)
            if isinstance(config, ResNetConfig)
            else Encoder(config, channels, compute)
        )
        self.dense = Dense(self.backbone.depth, len(CLASSES))
        self.auxiliary = Dense(self.backbone.depth, 1) if auxiliary else None

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Views float32 [B, Y, X, C] to logits float32 [B, 2] of before and after."""
        return self.classify(self.backbone.features(frames))

    def classify(self, maps: jax.Array) -> jax.Array:
        """The logits [B, 2] of maps [B, y, x, depth]."""
        return self.dense(jnp.mean(maps.astype(jnp.float32), axis=(1, 2)))

    def activation_maps(self, frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        """How every place of the maps speaks for each class (class activation mapping).

        Args:
            frames: Views float32 [B, Y, X, C].

        Returns:
            Logits [B, 2], and maps [B, y, x, 2] whose mean over y and x is the logits but for the
            dense layer's bias.
        """
        maps = self.backbone.features(frames).astype(jnp.float32)
        return self.classify(maps), maps @ self.dense.kernel[...]


class Dense(nnx.Module):
    """A dense layer over the last axis."""

    def __init__(self, depth_in: int, depth_out: int) -> None:
        """Weights of 0."""
        self.kernel = nnx.Param(jnp.zeros((depth_in, depth_out)))
        self.bias = nnx.Param(jnp.zeros(depth_out))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., depth_in] to float32 [..., depth_out]."""
        return jnp.dot(x, self.kernel[...]) + jnp.broadcast_to(
            self.bias[...], (*x.shape[:-1], self.bias.shape[0])
        )


def abstract_classifier(
    config: ResNetConfig | EncoderConfig,
    channels: int,
    compute: Compute | None = None,
    *,
    auxiliary: bool = False,
) -> Classifier:
    """A classifier with shapes in place of arrays; arguments as for `Classifier`."""
    return nnx.eval_shape(lambda: Classifier(config, channels, compute, auxiliary=auxiliary))


def build_classifier(
    config: ResNetConfig | EncoderConfig,
    channels: int,
    compute: Compute | None = None,
    *,
    auxiliary: bool = False,
    rngs: nnx.Rngs,
) -> Classifier:
    """A classifier with fresh weights, which says about 1/2 of every frame at first.

    Args:
        config: What its backbone is.
        channels: C, input channels.
        compute: Precision and batch-norm decay.
        auxiliary: Whether it also predicts EZRIN while training.
        rngs: Source of the weights.
    """
    network = abstract_classifier(config, channels, compute, auxiliary=auxiliary)
    draw_weights(network, rngs)
    for dense in filter(None, (network.dense, network.auxiliary)):
        dense.kernel[...] = dense.kernel[...] * 0.1
    return network
