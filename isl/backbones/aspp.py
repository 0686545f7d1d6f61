"""Atrous spatial pyramid pooling: several distances around every place, and the whole image.

Chen et al., "Encoder-decoder with atrous separable convolution", 2018.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from isl.backbones.dilated_resnet import atrous
from isl.backbones.networks import Compute, batch_norm

BATCH_NORM_EPSILON = 1e-5


class NormedConv(nnx.Module):
    """Convolution, batch norm, relu: [B, Y, X, depth_in] to [B, Y, X, depth_out]."""

    def __init__(
        self, depth_in: int, depth_out: int, kernel: int, compute: Compute, *, rate: int = 1
    ) -> None:
        """Weights of 0; `kernel` is 1 or 3."""
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, depth_in, depth_out)))
        self.norm = batch_norm(depth_out, compute, BATCH_NORM_EPSILON)
        self.rate = rate
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """See the class."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if kernel.shape[0] == 1:
            return jax.nn.relu(self.norm(x @ kernel[0, 0]))
        if self.rate > 1:
            return jax.nn.relu(self.norm(atrous(x, kernel, self.rate)))
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(self.norm(x))


class AtrousPyramid(nnx.Module):
    """1 x 1, 3 x 3 at every rate, and the image's mean, side by side; then 1 x 1 and dropout."""

    def __init__(
        self,
        depth_in: int,
        depth: int,
        rates: Sequence[int],
        compute: Compute,
        *,
        dropout: float = 0.1,
    ) -> None:
        """From depth_in to depth channels."""
        self.direct = NormedConv(depth_in, depth, 1, compute)
        self.around = nnx.List(NormedConv(depth_in, depth, 3, compute, rate=rate) for rate in rates)
        self.image = NormedConv(depth_in, depth, 1, compute)
        self.projection = NormedConv(depth * (2 + len(rates)), depth, 1, compute)
        self.dropout = dropout

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """[B, Y, X, depth_in] to [B, Y, X, depth].

        Args:
            x: The coarsest features.
            key: Of the dropout, in training; None: nothing is dropped.
        """
        mean = self.image(x.mean(axis=(1, 2), keepdims=True))
        seen = [self.direct(x), *(conv(x) for conv in self.around)]
        seen.append(jnp.broadcast_to(mean, seen[0].shape))
        x = self.projection(jnp.concatenate(seen, axis=-1))
        if key is None or not self.dropout:
            return x
        kept = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
        return jnp.where(kept, x / (1 - self.dropout), 0)
