"""Heads: from a pixel's embedding to 256 logits for every label, and for every input plane."""

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones import layers
from isl.backbones.networks import Compute
from isl.labeling.bins import BINS

_ACTIVATIONS: tuple[layers.Activation, ...] = ("relu", "tanh")


class Head(nnx.Module):
    """Batch norm, relu and tanh side by side, and a 1 x 1 convolution with bias to 256 logits."""

    def __init__(self, depth: int, compute: Compute, rngs: nnx.Rngs) -> None:
        """A head on embeddings of `depth`."""
        self.norm = layers.batch_norm(depth, compute, rngs)
        self.linear = nnx.Linear(
            len(_ACTIVATIONS) * depth,
            BINS,
            kernel_init=nnx.initializers.zeros,
            dtype=compute.dtype,
            rngs=rngs,
        )

    def __call__(self, embedding: jax.Array) -> jax.Array:
        """[..., depth] to float32 logits [..., 256]."""
        activated = layers.activated(self.norm(embedding), _ACTIVATIONS)
        as_matrix = activated.reshape(-1, activated.shape[-1])
        return self.linear(as_matrix).astype(jnp.float32).reshape(*embedding.shape[:-1], BINS)
