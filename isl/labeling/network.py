"""The labeling network: a body (towers, one of the U-Nets, deeplab) and a head a label."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx

from isl.backbones.deeplab import DeepLab, DeepLabConfig
from isl.backbones.encoder_unet import EncoderUNet, EncoderUNetConfig
from isl.backbones.layers import ValidConv
from isl.backbones.networks import NO_RANDOMNESS, Compute, draw_weights
from isl.backbones.unet import UNet, UNetConfig
from isl.labeling.exact import embed_exactly, exact_geometry
from isl.labeling.heads import Head
from isl.labeling.towers import IN_SCALE_KERNEL, ResidualModule, Towers, TowersConfig
from isl.tiling.geometry import Geometry, padded_geometry

Architecture = TowersConfig | UNetConfig | DeepLabConfig | EncoderUNetConfig
ArchitectureConfig = Annotated[Architecture, pydantic.Field(discriminator="kind")]
_BODIES: dict[str, Any] = {
    "towers": Towers,
    "unet": UNet,
    "deeplab": DeepLab,
    "encoder_unet": EncoderUNet,
}


class LabelingNetwork(nnx.Module):
    """Transmitted light in, logits over 256 intensities out, for every label and pixel.

    Attributes:
        geometry: Which input widths fit and what comes out of them.
        exact: Whether it gives what separate smallest patches do; see `exactly`.
        labels: What it predicts, in order.
        body: `Towers`, `UNet`, `DeepLab` or `EncoderUNet`.
        label_heads: One head a label, by name.
        plane_heads: One autoencoding head an input plane; empty if there is no autoencoding.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        planes: int,
        labels: Sequence[str],
        autoencode: bool,
        compute: Compute,
        rngs: nnx.Rngs,
    ) -> None:
        """See `build_network`."""
        self.geometry: Geometry = architecture.geometry
        self.exact = False
        self.labels = tuple(labels)
        self.body = _BODIES[architecture.kind](architecture, planes, compute, rngs)
        depth = self.body.depth
        self.label_heads = nnx.Dict({label: Head(depth, compute, rngs) for label in labels})
        self.plane_heads = nnx.List(
            Head(depth, compute, rngs) for _ in range(planes if autoencode else 0)
        )

    def embed(self, transmitted: jax.Array) -> jax.Array:
        """float32 [B, Y, X, Z] in [0, 1] to an embedding [B, y, x, D] of the valid output area."""
        if self.exact:
            return embed_exactly(self.body, transmitted)
        return self.body(transmitted)

    def exactly(self) -> Self:
        """The same weights, giving what separate smallest patches do (`isl.labeling.exact`)."""
        network: Self = nnx.merge(*nnx.split(self))
        network.geometry, network.exact = exact_geometry(self.geometry), True
        return network

    def padded(self) -> "LabelingNetwork":
        """The same weights with padded convolutions: as many pixels come out as go in.

        For training. Margins of valid convolutions are most of a small crop and teach nothing;
        pixels that miss their context at a crop's border do little harm. Only the border differs:
        further inside than the margin, both give the same.
        """
        network = nnx.merge(*nnx.split(self))
        # Modules of towers pad what all their layers see; their convolutions stay valid.
        towers = isinstance(self.body, Towers)
        for _, module in nnx.iter_modules(network):
            if isinstance(module, Towers | ResidualModule | DeepLab | EncoderUNet):
                module.padded = True
            if not isinstance(module, ValidConv):
                continue
            module.padded = not towers
            if towers and module.kernel.shape[0] == IN_SCALE_KERNEL:
                # Whole crops and their gradients are twice as fast so; prediction runs in bands.
                module.blocked = True
        network.geometry = padded_geometry(self.geometry)
        return network

    def label_logits(self, embedding: jax.Array, labels: Sequence[str] | None = None) -> jax.Array:
        """[..., D] to float32 [..., L, 256], for all labels or the named ones."""
        chosen = self.labels if labels is None else labels
        return jnp.stack([self.label_heads[label](embedding) for label in chosen], axis=-2)

    def plane_logits(self, embedding: jax.Array) -> jax.Array:
        """[..., D] to float32 [..., Z, 256]: distributions of the input's own planes."""
        return jnp.stack([head(embedding) for head in self.plane_heads], axis=-2)


def abstract_network(
    architecture: Architecture,
    *,
    planes: int,
    labels: Sequence[str],
    autoencode: bool = False,
    compute: Compute | None = None,
) -> LabelingNetwork:
    """A network with shapes in place of arrays.

    Args:
        architecture: What the body is.
        planes: Z, the number of input planes, at least 1.
        labels: Names of the labels, one head each.
        autoencode: Whether to add a head for every input plane.
        compute: Precision and batch-norm decay.
    """
    return nnx.eval_shape(
        lambda: LabelingNetwork(
            architecture,
            planes=planes,
            labels=labels,
            autoencode=autoencode,
            compute=compute or Compute(),
            rngs=NO_RANDOMNESS,
        )
    )


def build_network(
    architecture: Architecture,
    *,
    planes: int,
    labels: Sequence[str],
    autoencode: bool = False,
    compute: Compute | None = None,
    rngs: nnx.Rngs,
) -> LabelingNetwork:
    """A network with fresh weights; see `isl.backbones.networks.draw_weights`.

    Args:
        architecture: What the body is.
        planes: Z, the number of input planes, at least 1.
        labels: Names of the labels, one head each.
        autoencode: Whether to add a head for every input plane.
        compute: Precision and batch-norm decay.
        rngs: Source of the fresh weights.
    """
    network = abstract_network(
        architecture, planes=planes, labels=labels, autoencode=autoencode, compute=compute
    )
    draw_weights(network, rngs)
    return network
