"""The network that says what a patch of a colony shows.

A backbone makes a vector of a patch; with two scales it makes one more of the patch's central half.
Batch norm over both, and a dense layer to the classes (Witmer and Bhanu 2024, figure 3).
"""

from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.hrnet import HRNet, HRNetConfig, TwoScaleHRNet, central_half
from isl.backbones.networks import NO_RANDOMNESS, Compute, draw_weights
from isl.backbones.resnet import ResNet, ResNetConfig
from isl.backbones.vgg import VGG, VGGConfig
from isl.config import Config

BackboneConfig = Annotated[
    VGGConfig | HRNetConfig | ResNetConfig, pydantic.Field(discriminator="kind")
]
Scales = Literal[1, 2]


class NetworkConfig(Config):
    """What a colony's network is.

    Attributes:
        backbone: What makes a vector of a patch.
        scales: 2: the patch and its central half. An HRNet shares its stem and first stage between
            them; other backbones are there twice.
        norm: Whether batch norm stands before the dense layer.
    """

    backbone: BackboneConfig = HRNetConfig(final=(512, 256, 128))
    scales: Scales = 2
    norm: bool = True


class ResNetVector(nnx.Module):
    """A residual network whose maps are averaged.

    Attributes:
        depth: Length of the vector.
    """

    def __init__(self, config: ResNetConfig, channels: int, compute: Compute) -> None:
        """A network with weights of 0."""
        self.body = ResNet(config, channels, compute)
        self.depth = self.body.depth

    def vector(self, x: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth]."""
        return self.body.features(x).astype(jnp.float32).mean(axis=(1, 2))


class Twice(nnx.Module):
    """Two networks of one kind, for a patch and for its central half.

    Attributes:
        depth: Length of both vectors together.
    """

    def __init__(self, large: Any, small: Any) -> None:
        """Keeps both."""
        self.large, self.small = large, small
        self.depth = large.depth + small.depth

    def vector(self, x: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth]."""
        return jnp.concatenate([self.large.vector(x), self.small.vector(central_half(x))], axis=-1)


class Dense(nnx.Module):
    """A dense layer over the last axis."""

    def __init__(self, depth_in: int, depth_out: int) -> None:
        """Weights of 0."""
        self.kernel = nnx.Param(jnp.zeros((depth_in, depth_out)))
        self.bias = nnx.Param(jnp.zeros(depth_out))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., depth_in] to float32 [..., depth_out]."""
        product = x @ self.kernel[...]
        return product + jnp.broadcast_to(self.bias[...], product.shape)


class ColonyNetwork(nnx.Module):
    """Patches to logits of the classes.

    Attributes:
        backbone: Makes a vector of a patch.
        norm: Batch norm over the vector, or None.
        dense: From there to the logits.
    """

    def __init__(
        self, config: NetworkConfig, channels: int, classes: int, compute: Compute | None = None
    ) -> None:
        """A network with weights of 0; see `build_network`."""
        compute = compute or Compute()
        self.backbone = _backbone(config, channels, compute)
        depth = self.backbone.depth
        self.norm = (
            nnx.BatchNorm(
                depth, momentum=compute.batch_norm_decay, epsilon=1e-5, rngs=NO_RANDOMNESS
            )
            if config.norm
            else None
        )
        self.dense = Dense(depth, classes)

    def vector(self, patches: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth], before the batch norm."""
        return self.backbone.vector(patches)

    def classify(self, vector: jax.Array) -> jax.Array:
        """Vectors float32 [B, depth] to logits float32 [B, classes]."""
        x = vector if self.norm is None else self.norm(vector)
        return self.dense(x)

    def __call__(self, patches: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to logits float32 [B, classes]."""
        return self.classify(self.vector(patches))


def abstract_network(
    config: NetworkConfig, channels: int, classes: int, compute: Compute | None = None
) -> ColonyNetwork:
    """A network with shapes in place of arrays."""
    return nnx.eval_shape(lambda: ColonyNetwork(config, channels, classes, compute))


def build_network(
    config: NetworkConfig,
    channels: int,
    classes: int,
    compute: Compute | None = None,
    *,
    rngs: nnx.Rngs,
) -> ColonyNetwork:
    """A network with fresh He-normal (Kaiming) weights.

    Args:
        config: What it is.
        channels: C, input channels.
        classes: How many it tells apart.
        compute: Precision and batch-norm decay.
        rngs: Source of the weights.
    """
    network = abstract_network(config, channels, classes, compute)
    draw_weights(network, rngs)
    # Nothing is said of any class at first: the dense layer's vector has as many terms as it is
    # long, each of size 1.
    network.dense.kernel[...] = network.dense.kernel[...] * 0.1
    return network


def with_more_classes(network: ColonyNetwork, classes: int, rngs: nnx.Rngs) -> None:
    """Adds classes to a network, in place; what it says of the old ones stays as it is.

    Args:
        network: Knows fewer classes.
        classes: How many it is to know.
        rngs: Source of the new ones' weights, a tenth of He-normal ones.
    """
    depth, known = network.dense.kernel.shape
    if classes <= known:
        raise ValueError(f"{classes} classes are no more than the {known} that are known")
    fresh = jax.random.normal(rngs.params(), (depth, classes - known)) * (0.1 * (2 / depth) ** 0.5)
    kernel = jnp.concatenate([network.dense.kernel[...], fresh], axis=1)
    bias = jnp.concatenate([network.dense.bias[...], jnp.zeros(classes - known)])
    network.dense = Dense(depth, classes)
    network.dense.kernel[...], network.dense.bias[...] = kernel, bias


def _backbone(config: NetworkConfig, channels: int, compute: Compute) -> Any:
    backbone = config.backbone
    if isinstance(backbone, HRNetConfig):
        return (HRNet if config.scales == 1 else TwoScaleHRNet)(backbone, channels, compute)
    if isinstance(backbone, VGGConfig):
        made = [VGG(backbone, channels, compute) for _ in range(config.scales)]
    else:
        made = [ResNetVector(backbone, channels, compute) for _ in range(config.scales)]
    return made[0] if config.scales == 1 else Twice(*made)
