"""The network: embryo and fragments place by place, and the share of fragments of the whole.

After AttnRegDeepLab (Lee, arXiv 2511.18454, of which only summaries were at hand): DeepLabV3+ on an
encoder of output stride 16, attention gates on the skips to the decoder, a regression of the share
from the means of all resolutions, and its latent vector injected into the decoder. What those
summaries leave open is our choice and is marked so in the documentation.
"""

import dataclasses
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.aspp import AtrousPyramid, NormedConv
from isl.backbones.attention_gate import AttentionGate
from isl.backbones.dilated_resnet import DilatedResNet
from isl.backbones.efficientnet_lite import EfficientNetLite, dilate_last, imagenet_input
from isl.backbones.networks import Compute, draw_weights
from isl.backbones.resnet import Depth, ResNetConfig
from isl.config import Config

EMBRYO, FRAGMENT = 0, 1
"""Places of the two outputs of segmentation."""
OUTPUTS = 2


class ResNetEncoder(Config):
    """A residual network with an output stride of 16.

    Attributes:
        depth: Layers.
        width: Of its stem; C2 to C5 follow from it.
    """

    kind: Literal["resnet"] = "resnet"
    depth: Depth = 50
    width: int = pydantic.Field(default=64, ge=1)

    @property
    def resnet(self) -> ResNetConfig:
        """The network."""
        return ResNetConfig(
            depth=self.depth,
            width=self.width,
            preactivation=False,
            input_norm=False,
            final_stride=1,
        )


class EfficientNetEncoder(Config):
    """EfficientNet-Lite0 with an output stride of 16."""

    kind: Literal["efficientnet-lite0"] = "efficientnet-lite0"


class NetworkConfig(Config):
    """What a fragmentation network is.

    Attributes:
        encoder: What makes the features.
        decoder: deeplab: as published; unet: every resolution joined on the way up, without atrous
            pyramid and gates (a baseline).
        context: Depth of the atrous pyramid.
        rates: Distances of its convolutions, in places of the coarsest map.
        dropout: Behind the pyramid.
        gates: Which skips have an attention gate; C3 then is a second skip.
        fine: Depth of a skip as the decoder sees it.
        decoded: Depth of the decoder.
        regression: Which means the share is read from; off: there is no regression.
        hidden: Depths of the regression's two hidden layers; the second is the latent vector.
        inject: Whether the latent vector is injected into the decoder, and in which stage that is
            learned.
    """

    encoder: Annotated[
        ResNetEncoder | EfficientNetEncoder, pydantic.Field(discriminator="kind")
    ] = ResNetEncoder()
    decoder: Literal["deeplab", "unet"] = "deeplab"
    context: int = pydantic.Field(default=256, ge=1)
    rates: tuple[pydantic.PositiveInt, ...] = (6, 12, 18)
    dropout: float = pydantic.Field(default=0.1, ge=0, lt=1)
    gates: Literal["off", "C2", "C2+C3"] = "C2"
    fine: int = pydantic.Field(default=48, ge=1)
    decoded: int = pydantic.Field(default=256, ge=1)
    regression: Literal["multiscale", "C5", "off"] = "multiscale"
    hidden: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = (512, 128)
    inject: Literal["off", "joint", "second_stage"] = "off"

    @pydantic.model_validator(mode="after")
    def _parts_fit(self) -> "NetworkConfig":
        if self.inject != "off" and self.regression == "off":
            raise ValueError("inject needs a regression, whose latent vector it injects")
        return self


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a network says of a batch.

    Attributes:
        logits: float32 [B, Y, X, 2], of embryo and of fragment.
        share: float32 [B] in (0, 1), as the regression has it; None without regression.
        attention: float32 [B, Y / 4, X / 4, 1] of the gate on C2; None without.
        means: float32 [B, D], of the encoder's maps over all places.
    """

    logits: jax.Array
    share: jax.Array | None
    attention: jax.Array | None
    means: jax.Array | None = None


jax.tree_util.register_dataclass(Seen, ["logits", "share", "attention", "means"], [])


class Decoder(nnx.Module):
    """From the pyramid back to a quarter of the image's resolution."""

    def __init__(self, config: NetworkConfig, depths: tuple[int, ...], compute: Compute) -> None:
        """For maps of so many channels, C2 to C5."""
        c2, c3, _, c5 = depths
        context, fine, decoded = config.context, config.fine, config.decoded
        self.is_unet = config.decoder == "unet"
        two_skips = self.is_unet or config.gates == "C2+C3"
        self.context = (
            NormedConv(c5, context, 1, compute)
            if self.is_unet
            else AtrousPyramid(c5, context, config.rates, compute, dropout=config.dropout)
        )
        gated = config.gates != "off" and not self.is_unet
        inner = max(1, c2 // 2)
        self.gate = AttentionGate(c2, context, inner, compute) if gated else None
        self.gate3 = AttentionGate(c3, context, inner, compute) if gated and two_skips else None
        self.skip = NormedConv(c2, fine, 1, compute)
        self.skip3 = NormedConv(c3, fine, 1, compute) if two_skips else None
        self.up = NormedConv(context + fine, context, 3, compute) if two_skips else None
        self.first = NormedConv(context + fine, decoded, 3, compute)
        self.second = NormedConv(decoded, decoded, 3, compute)

    def __call__(
        self, maps: list[jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, jax.Array | None]:
        """C2 to C5 to [B, Y / 4, X / 4, decoded], and the attention on C2."""
        c2, c3, _, c5 = maps
        if isinstance(self.context, AtrousPyramid):
            context = self.context(c5, key)
        else:
            context = self.context(c5)
        x = context
        if self.skip3 is not None and self.up is not None:
            weighed = c3 if self.gate3 is None else self.gate3(c3, context)[0]
            x = self.up(jnp.concatenate([enlarged(x, c3), self.skip3(weighed)], axis=-1))
        attention = None
        if self.gate is not None:
            c2, attention = self.gate(c2, context)
        x = jnp.concatenate([enlarged(x, c2), self.skip(c2)], axis=-1)
        return self.second(self.first(x)), attention


class Regression(nnx.Module):
    """Means of the maps to a latent vector, and that to the share."""

    def __init__(self, depth_in: int, hidden: tuple[int, int]) -> None:
        """Weights of 0."""
        first, second = hidden
        self.first = nnx.Param(jnp.zeros((depth_in, first)))
        self.first_bias = nnx.Param(jnp.zeros(first))
        self.second = nnx.Param(jnp.zeros((first, second)))
        self.second_bias = nnx.Param(jnp.zeros(second))
        self.last = nnx.Param(jnp.zeros((second, 1)))
        self.last_bias = nnx.Param(jnp.zeros(1))

    def __call__(self, means: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, depth_in] to the latent vector [B, D] and the share [B] in (0, 1)."""
        h = jax.nn.relu(means @ self.first[...] + self.first_bias[...].reshape(1, -1))
        latent = jax.nn.relu(h @ self.second[...] + self.second_bias[...].reshape(1, -1))
        logits = latent @ self.last[...] + self.last_bias[...].reshape(1, -1)
        return latent, jax.nn.sigmoid(logits[:, 0])


class Injection(nnx.Module):
    """The latent vector at every place beside the decoder's features; what it adds to them.

    The last layer starts at zero, so that the decoder at first is what it was without.
    """

    def __init__(self, depth: int, latent: int, compute: Compute) -> None:
        """Weights of 0."""
        self.mix = NormedConv(depth + latent, depth, 3, compute)
        self.out = nnx.Param(jnp.zeros((depth, depth)))

    def __call__(self, x: jax.Array, latent: jax.Array) -> jax.Array:
        """[B, Y, X, D] and [B, L] to [B, Y, X, D]."""
        tiled = jnp.broadcast_to(latent[:, None, None, :], (*x.shape[:3], latent.shape[-1]))
        mixed = self.mix(jnp.concatenate([x, tiled.astype(x.dtype)], axis=-1))
        return x + mixed @ self.out[...].astype(x.dtype)


class FragmentationNetwork(nnx.Module):
    """See the module.

    Attributes:
        config: What it is.
        channels: Of its input.
        features: Of its encoder: depths of the maps C2 to C5 together.
    """

    def __init__(self, config: NetworkConfig, compute: Compute | None = None) -> None:
        """Weights of 0; see `build_network`."""
        compute = compute or Compute()
        self.config = config
        self.channels = 1
        if isinstance(config.encoder, EfficientNetEncoder):
            self.encoder = EfficientNetLite(1, compute, with_head=False)
            dilate_last(self.encoder)
            depths = self.encoder.depths[1:]
        else:
            self.encoder = DilatedResNet(config.encoder.resnet, 1, compute)
            depths = self.encoder.depths
        self.features = sum(depths)
        self.decoder = Decoder(config, depths, compute)
        self.classes = nnx.Param(jnp.zeros((config.decoded, OUTPUTS)))
        self.classes_bias = nnx.Param(jnp.zeros(OUTPUTS))
        depth_in = self.features if config.regression == "multiscale" else depths[-1]
        self.regression = (
            Regression(depth_in, config.hidden) if config.regression != "off" else None
        )
        self.injection = (
            Injection(config.decoded, config.hidden[1], compute) if config.inject != "off" else None
        )

    def maps(self, images: jax.Array) -> list[jax.Array]:
        """C2 to C5 of grey images float32 [B, Y, X, 1] in [0, 1]; Y and X multiples of 16."""
        if isinstance(self.encoder, EfficientNetLite):
            return self.encoder.pyramid(imagenet_input(images))[1:]
        return self.encoder.pyramid(2 * images - 1)

    def __call__(
        self, images: jax.Array, *, key: jax.Array | None = None, apart: bool = False
    ) -> Seen:
        """Everything at once.

        Args:
            images: float32 [B, Y, X, 1] in [0, 1], Y and X multiples of 16.
            key: Of the dropout in training.
            apart: Whether the regression sends no gradient into the encoder.
        """
        size = (images.shape[1], images.shape[2])
        return self.from_maps(self.maps(images), size, key=key, apart=apart)

    def from_maps(
        self,
        maps: list[jax.Array],
        size: tuple[int, int],
        *,
        key: jax.Array | None = None,
        apart: bool = False,
    ) -> Seen:
        """What it says of images of a size (Y, X) from what the encoder made of them."""
        x, attention = self.decoder(maps, key)
        means = means_of(maps)
        latent, share = self.regressed(means, apart=apart)
        if self.injection is not None and latent is not None:
            x = self.injection(x, latent)
        logits = x.astype(jnp.float32) @ self.classes[...]
        logits = logits + self.classes_bias[...].reshape(1, 1, 1, -1)
        shape = (logits.shape[0], *size, OUTPUTS)
        logits = jax.image.resize(logits, shape, "linear", antialias=False)
        return Seen(logits, share, attention, jnp.concatenate(means, axis=-1))

    def regressed(
        self, means: list[jax.Array], *, apart: bool = False
    ) -> tuple[jax.Array | None, jax.Array | None]:
        """The latent vector [B, L] and the share [B], from means [B, D] of C2 to C5.

        With `apart` no gradient goes into the means; both are None without regression.
        """
        if self.regression is None:
            return None, None
        used = means if self.config.regression == "multiscale" else means[-1:]
        given = jnp.concatenate(used, axis=-1)
        return self.regression(jax.lax.stop_gradient(given) if apart else given)


def build_network(
    config: NetworkConfig, compute: Compute | None = None, *, rngs: nnx.Rngs
) -> FragmentationNetwork:
    """A network with fresh weights; the injection adds nothing yet.

    The regression and everything after a convolution draws from He's distribution; the class layer
    starts small, and its bias at the odds of a fragment being rare.
    """
    network = abstract_network(config, compute)
    draw_weights(network, rngs)
    _draw_matrices(network, rngs)
    return network


def abstract_network(config: NetworkConfig, compute: Compute | None = None) -> FragmentationNetwork:
    """A network with shapes in place of arrays."""
    return nnx.eval_shape(lambda: FragmentationNetwork(config, compute))


_MATRICES = ("first", "second", "last", "skip", "guide", "psi", "classes")


def _draw_matrices(network: FragmentationNetwork, rngs: nnx.Rngs) -> None:
    """Weights of the products that are no convolutions, which `draw_weights` leaves at zero."""
    changed = []
    for path, variable in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        name, shape = str(path[-1]), variable.shape
        if name in _MATRICES and len(shape) == 2:
            deviation = (2 / shape[0]) ** 0.5 * (0.1 if name in ("last", "classes") else 1)
            value = deviation * jax.random.normal(rngs.params(), shape)
            changed.append((path, variable.replace(value)))
        elif name == "psi_bias":
            changed.append((path, variable.replace(jnp.full(shape, 2.0))))
        elif name == "classes_bias":
            changed.append((path, variable.replace(jnp.asarray([-1.0, -3.0]))))
        elif name == "last_bias":
            changed.append((path, variable.replace(jnp.full(shape, -2.0))))
    nnx.update(network, nnx.from_flat_state(changed))


def means_of(maps: list[jax.Array]) -> list[jax.Array]:
    """Means over all places of maps [B, Y, X, D], each float32 [B, D]."""
    return [m.astype(jnp.float32).mean(axis=(1, 2)) for m in maps]


def enlarged(x: jax.Array, like: jax.Array) -> jax.Array:
    """[B, y, x, C] by linear interpolation to the size of [B, Y, X, D]."""
    size = (x.shape[0], *like.shape[1:3], x.shape[-1])
    return jax.image.resize(x, size, "linear", antialias=False)


def shares_of(probabilities: jax.Array) -> jax.Array:
    """The share by area of [..., Y, X, 2] probabilities: fragment over embryo, NaN without embryo.

    Fragments lie within the embryo: a place is a fragment where both are more likely than not.
    """
    embryo = probabilities[..., EMBRYO] > 0.5
    fragment = embryo & (probabilities[..., FRAGMENT] > 0.5)
    area = embryo.sum(axis=(-2, -1))
    return jnp.where(area > 0, fragment.sum(axis=(-2, -1)) / jnp.maximum(area, 1), jnp.nan)
