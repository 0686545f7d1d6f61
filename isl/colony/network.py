"""The network that says what a patch of a colony shows.

A backbone makes a vector of a patch; with two scales it makes one more of the patch's central half.
Batch norm over both, and a dense layer to the classes (Witmer and Bhanu 2024, figure 3).
"""

import operator
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.backbones.efficientnet_lite import (
    PYRAMID_DEPTHS,
    PYRAMID_STRIDES,
    EfficientNetLite,
    cut_after,
    imagenet_input,
)
from isl.backbones.efficientnet_weights import PRETRAINED, load_encoder
from isl.backbones.hrnet import HRNet, HRNetConfig, TwoScaleHRNet, central_half
from isl.backbones.networks import NO_RANDOMNESS, Compute, draw_weights
from isl.backbones.resnet import ResNet, ResNetConfig
from isl.backbones.vgg import VGG, VGGConfig
from isl.config import Config

Stride = Literal[2, 4, 8, 16, 32]
# Standardized pixels within this many deviations of the mean are told apart by a pretrained
# network, which knows pictures of limited contrast.
_REACH = 3.0


class EncoderConfig(Config):
    """EfficientNet-Lite0 as ImageNet left it, its maps averaged (Tan & Le 2019).

    Attributes:
        weights: What it starts from: a bundled encoder or a folder; "": fresh weights.
        size: Patches are enlarged to so many pixels a side; 0: they stay as they are.
        strides: Resolutions whose maps are averaged; the network ends at the last of them.
        spread: Whether the maps' deviations stand beside their averages.
        rings: Averages over so many rings about the middle stand beside those of whole maps, for
            pictures with one cell in their middle; 0: none.
        turns: Vectors are the mean over so many positions of the patch: 1; 4, the quarter turns;
            8, these and their mirror images.
    """

    kind: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    weights: str = PRETRAINED
    size: int = pydantic.Field(default=96, ge=0)
    strides: tuple[Stride, ...] = pydantic.Field(default=(2, 4, 8, 16, 32), min_length=1)
    spread: bool = False
    rings: int = pydantic.Field(default=0, ge=0)
    turns: Literal[1, 4, 8] = 4


BackboneConfig = Annotated[
    VGGConfig | HRNetConfig | ResNetConfig | EncoderConfig, pydantic.Field(discriminator="kind")
]
Scales = Literal[1, 2]


class NetworkConfig(Config):
    """What a colony's network is.

    Attributes:
        backbone: What makes a vector of a patch.
        scales: 2: the patch and its central half. An HRNet shares its stem and first stage between
            them; other backbones are there twice.
        norm: Whether batch norm stands before the dense layer, or layers.
        hidden: Length of a dense layer with relu between the two; 0: there is none.
    """

    backbone: BackboneConfig = HRNetConfig(final=(512, 256, 128))
    scales: Scales = 2
    norm: bool = True
    hidden: int = pydantic.Field(default=0, ge=0, exclude_if=operator.not_)


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


class EncoderVector(nnx.Module):
    """EfficientNet-Lite0 whose maps are averaged; every channel is seen as a grey picture.

    Attributes:
        depth: Length of the vector, the channels' one after the other.
    """

    def __init__(self, config: EncoderConfig, channels: int, compute: Compute) -> None:
        """A network with weights of 0."""
        self.config = config
        self.body = EfficientNetLite(3, compute, with_head=False)
        cut_after(self.body, max(config.strides))
        self._levels = tuple(
            sorted(PYRAMID_STRIDES.index(stride) for stride in set(config.strides))
        )
        depth = sum(PYRAMID_DEPTHS[level] for level in self._levels)
        self.depth = channels * depth * (1 + config.spread + config.rings)

    def vector(self, x: jax.Array) -> jax.Array:
        """Standardized patches float32 [B, Y, X, C] to float32 [B, depth]."""
        grey = jnp.clip(0.5 + x / (2 * _REACH), 0, 1)
        size = self.config.size
        if size and grey.shape[1:3] != (size, size):
            shape = (grey.shape[0], size, size, grey.shape[3])
            grey = jnp.clip(jax.image.resize(grey, shape, "cubic"), 0, 1)
        vectors = []
        for channel in range(grey.shape[3]):
            colours = imagenet_input(jnp.repeat(grey[..., channel : channel + 1], 3, axis=-1))
            turned = [
                self._of_maps(jnp.rot90(side, quarters, axes=(1, 2)))
                for side in (colours, colours[:, :, ::-1])[: 1 + (self.config.turns == 8)]
                for quarters in range(min(self.config.turns, 4))
            ]
            vectors.append(sum(turned[1:], turned[0]) / len(turned))
        return jnp.concatenate(vectors, axis=-1)

    def _of_maps(self, x: jax.Array) -> jax.Array:
        pyramid = self.body.pyramid(x)
        maps = [pyramid[level].astype(jnp.float32) for level in self._levels]
        parts = [each.mean(axis=(1, 2)) for each in maps]
        if self.config.spread:
            # The root's slope has no bound at 0, where a map is the same everywhere.
            parts += [jnp.sqrt(each.var(axis=(1, 2)) + 1e-6) for each in maps]
        for each in maps if self.config.rings else ():
            weights = jnp.asarray(_rings(each.shape[1], each.shape[2], self.config.rings))
            parts.append(jnp.einsum("byxd,yxr->brd", each, weights).reshape(each.shape[0], -1))
        return jnp.concatenate(parts, axis=-1)


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


class Given(nnx.Module):
    """Stands in for a backbone where vectors were made before: they are what is given.

    Attributes:
        depth: Length of the vectors.
    """

    def __init__(self, depth: int) -> None:
        """Knows how long vectors are."""
        self.depth = depth

    def vector(self, x: jax.Array) -> jax.Array:
        """Vectors float32 [B, depth], as they are."""
        return x


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
        hidden: A dense layer behind it, or None.
        dense: From there to the logits.
        depth: Length of what `vector` gives.
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
        self.hidden = Dense(depth, config.hidden) if config.hidden else None
        self.depth = config.hidden or depth
        self.dense = Dense(self.depth, classes)

    def vector(self, patches: jax.Array) -> jax.Array:
        """Patches float32 [B, Y, X, C] to float32 [B, depth].

        They are the backbone's, before the batch norm; or the hidden layer's where there is one.
        """
        x = self.backbone.vector(patches)
        return x if self.hidden is None else jax.nn.relu(self.hidden(self._normal(x)))

    def classify(self, vector: jax.Array) -> jax.Array:
        """Vectors float32 [B, depth] to logits float32 [B, classes]."""
        return self.dense(self._normal(vector) if self.hidden is None else vector)

    def _normal(self, vector: jax.Array) -> jax.Array:
        return vector if self.norm is None else self.norm(vector)

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
    draw_first(network, rngs)
    if isinstance(config.backbone, EncoderConfig) and config.backbone.weights:
        for _, part in nnx.iter_modules(network.backbone):
            if isinstance(part, EncoderVector):
                part.body = _pretrained(config.backbone)
    return network


def draw_first(network: ColonyNetwork, rngs: nnx.Rngs) -> None:
    """Gives a network, which may hold shapes, fresh weights; in place."""
    draw_weights(network, rngs)
    # Nothing is said of any class at first: the dense layer's vector has as many terms as it is
    # long, each of size 1.
    network.dense.kernel[...] = network.dense.kernel[...] * 0.1


def without_backbone(network: ColonyNetwork) -> ColonyNetwork:
    """The same network, in place of whose backbone vectors are given; changed in place."""
    network.backbone = Given(network.backbone.depth)
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


def _rings(rows: int, columns: int, rings: int) -> np.ndarray:
    """Weights of places in concentric rings, soft-edged, float32 [rows, columns, rings].

    Those of a ring add up to 1. The last ring passes through the middles of the sides.
    """
    y, x = (2 * (np.arange(side) - (side - 1) / 2) / side for side in (rows, columns))
    distance = np.hypot(y[:, None], x[None])[..., None]
    step = 1 / max(1, rings - 1)
    weights = np.exp(-0.5 * ((distance - step * np.arange(rings)) / (0.6 * step)) ** 2) + 1e-6
    return (weights / weights.sum(axis=(0, 1))).astype(np.float32)


def _pretrained(config: EncoderConfig) -> EfficientNetLite:
    network = load_encoder(config.weights)
    cut_after(network, max(config.strides))
    return network


def _backbone(config: NetworkConfig, channels: int, compute: Compute) -> Any:
    backbone = config.backbone
    if isinstance(backbone, HRNetConfig):
        return (HRNet if config.scales == 1 else TwoScaleHRNet)(backbone, channels, compute)
    if isinstance(backbone, VGGConfig):
        made = [VGG(backbone, channels, compute) for _ in range(config.scales)]
    elif isinstance(backbone, EncoderConfig):
        made = [EncoderVector(backbone, channels, compute) for _ in range(config.scales)]
    else:
        made = [ResNetVector(backbone, channels, compute) for _ in range(config.scales)]
    return made[0] if config.scales == 1 else Twice(*made)
