"""Additive attention gates on skip connections.

Oktay et al., "Attention U-Net: learning where to look for the pancreas", 2018, equations 1 and 2:
alpha = sigmoid(psi(relu(theta x + phi g))), one number a place, by which the skip x is weighed.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones.networks import Compute


class AttentionGate(nnx.Module):
    """Weighs a skip connection by what a coarser, wiser map says of every place."""

    def __init__(self, depth: int, depth_guide: int, inner: int, compute: Compute) -> None:
        """Weights of 0 for skips of `depth` and guides of `depth_guide` channels."""
        self.skip = nnx.Param(jnp.zeros((depth, inner)))
        self.guide = nnx.Param(jnp.zeros((depth_guide, inner)))
        self.bias = nnx.Param(jnp.zeros(inner))
        self.psi = nnx.Param(jnp.zeros((inner, 1)))
        # Open at first: a gate that is half shut would halve the skip.
        self.psi_bias = nnx.Param(jnp.zeros(1))
        self.dtype = compute.dtype

    def alpha(self, skip: jax.Array, guide: jax.Array) -> jax.Array:
        """Attention, [B, Y, X, 1] in (0, 1).

        Args:
            skip: [B, Y, X, depth].
            guide: [B, y, x, depth_guide], enlarged to the skip's size.
        """
        size = skip.shape[1:3]
        guided = (guide.astype(self.dtype) @ self.guide[...].astype(self.dtype)).astype(jnp.float32)
        # Both are linear: enlarging the product of fewer channels is the cheaper order.
        guided = jax.image.resize(
            guided, (guided.shape[0], *size, guided.shape[-1]), "linear", antialias=False
        )
        own = (skip.astype(self.dtype) @ self.skip[...].astype(self.dtype)).astype(jnp.float32)
        hidden = jax.nn.relu(own + guided + self.bias[...].reshape(1, 1, 1, -1))
        logits = hidden @ self.psi[...] + self.psi_bias[...].reshape(1, 1, 1, 1)
        return jax.nn.sigmoid(logits)

    def __call__(self, skip: jax.Array, guide: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The weighed skip, and the attention; see `alpha`."""
        alpha = self.alpha(skip, guide)
        return skip * alpha.astype(skip.dtype), alpha
