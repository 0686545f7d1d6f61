"""The networks that films are judged by: Video Swin, and what it has to beat.

Every one takes films float32 [B, T, Y, X, C] and gives logits [B, outputs]; a random key turns on
what only training does. `activation_maps` says when and where a film speaks for each output.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.backbones.networks import Compute
from isl.backbones.video_swin import (
    LayerNorm,
    Linear,
    VideoSwin,
    VideoSwinConfig,
    draw_truncated,
)
from isl.config import Config

Positive = pydantic.PositiveInt


class FilmCNNConfig(Config):
    """Convolutions over space and time, or over space alone.

    Attributes:
        widths: Channels of every stage; each makes rows and columns half as many.
        frames: Frames that a convolution looks at; 1: each frame by itself.
        pooling: Over time: "mean", or "gru", which is a recurrent layer's last state.
        last_only: Whether nothing but the last frame that is seen is looked at.
        dropout: Before the last layer, in training.
    """

    kind: Literal["film_cnn"] = "film_cnn"
    widths: tuple[Positive, ...] = pydantic.Field(default=(16, 32, 64), min_length=1)
    frames: Literal[1, 3, 5] = 3
    pooling: Literal["mean", "gru"] = "mean"
    last_only: bool = False
    dropout: float = pydantic.Field(default=0.5, ge=0, lt=1)


NetworkConfig = Annotated[VideoSwinConfig | FilmCNNConfig, pydantic.Field(discriminator="kind")]


class FilmCNN(nnx.Module):
    """Stages of convolution, layer norm and gelu, then a mean or a recurrent layer over time.

    Attributes:
        config: What it is.
        head: From the film's features to the outputs.
    """

    def __init__(
        self, config: FilmCNNConfig, channels: int, outputs: int, compute: Compute | None = None
    ) -> None:
        """Weights of 0; see `build_network`."""
        compute = compute or Compute()
        self.config = config
        self.convs = nnx.List()
        self.norms = nnx.List()
        depth = channels
        for width in config.widths:
            self.convs.append(Linear(config.frames * 9 * depth, width, compute))
            self.norms.append(LayerNorm(width))
            depth = width
        gates = [
            Linear(2 * depth, depth, Compute()) if config.pooling == "gru" else None
            for _ in range(3)
        ]
        self.update, self.reset, self.candidate = gates
        self.head = Linear(depth, outputs, Compute())

    def __call__(self, films: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """See the module."""
        pooled = self._pooled(self.features(films))
        share = self.config.dropout
        if key is not None and share:
            kept = jax.random.bernoulli(key, 1 - share, pooled.shape)
            pooled = jnp.where(kept, pooled / (1 - share), 0.0)
        return self.head(pooled)

    def features(self, films: jax.Array) -> jax.Array:
        """[B, T, Y, X, C] to [B, T, y, x, depth]; of the last frame that is seen alone: T = 1."""
        x = _last_seen(films) if self.config.last_only else films
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.gelu(norm(conv(_neighbourhoods(x, self.config.frames))))
        return x.astype(jnp.float32)

    def activation_maps(self, films: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Logits, and how every place and time speaks for each output: [B, T, y, x, outputs].

        With a recurrent layer, which has no such maps, the features as its head would weigh them.
        """
        maps = self.features(films)
        return self.head(self._pooled(maps)), maps @ self.head.kernel[...]

    def _pooled(self, maps: jax.Array) -> jax.Array:
        frames = maps.mean(axis=(2, 3))
        if self.update is None or self.reset is None or self.candidate is None:
            return frames.mean(axis=1)
        update, reset, candidate = self.update, self.reset, self.candidate

        def step(state: jax.Array, frame: jax.Array) -> tuple[jax.Array, None]:
            both = jnp.concatenate([state, frame], axis=-1)
            kept = jax.nn.sigmoid(update(both))
            open_ = jax.nn.sigmoid(reset(both))
            fresh = jnp.tanh(candidate(jnp.concatenate([open_ * state, frame], axis=-1)))
            return kept * state + (1 - kept) * fresh, None

        first = jnp.zeros((frames.shape[0], frames.shape[-1]))
        return jax.lax.scan(step, first, frames.transpose(1, 0, 2))[0]


def abstract_network(
    config: VideoSwinConfig | FilmCNNConfig,
    channels: int,
    outputs: int,
    compute: Compute | None = None,
    *,
    checkpoint: bool = False,
) -> VideoSwin | FilmCNN:
    """A network with shapes in place of arrays."""
    if isinstance(config, FilmCNNConfig):
        return nnx.eval_shape(lambda: FilmCNN(config, channels, outputs, compute))
    return nnx.eval_shape(
        lambda: VideoSwin(config, channels, outputs, compute, checkpoint=checkpoint)
    )


def build_network(
    config: VideoSwinConfig | FilmCNNConfig,
    channels: int,
    outputs: int,
    compute: Compute | None = None,
    *,
    checkpoint: bool = False,
    rngs: nnx.Rngs,
) -> VideoSwin | FilmCNN:
    """A network with fresh weights.

    Args:
        config: What it is.
        channels: C of the films.
        outputs: Logits for each film.
        compute: Precision.
        checkpoint: As in `VideoSwin`.
        rngs: Source of the weights.
    """
    network = abstract_network(config, channels, outputs, compute, checkpoint=checkpoint)
    draw_truncated(network, rngs)
    if isinstance(network, FilmCNN):
        _widen(network)
    return network


def _widen(network: FilmCNN) -> None:
    """Kernels of convolutions with the deviation that keeps a signal's size from layer to layer."""
    parts = [*network.convs, network.update, network.reset, network.candidate]
    for layer in [part for part in parts if part is not None]:
        kernel = layer.kernel[...]
        layer.kernel[...] = kernel * float(np.sqrt(2 / kernel.shape[0]) / 0.02)


def _neighbourhoods(x: jax.Array, frames: int) -> jax.Array:
    """Every second row and column with its 3 x 3 neighbours in so many frames; borders are 0."""
    reach = frames // 2
    padded = jnp.pad(x, ((0, 0), (reach, reach), (1, 1), (1, 1), (0, 0)))
    t, rows, columns = x.shape[1:4]
    parts = [
        padded[:, dt : dt + t, dy : dy + rows : 2, dx : dx + columns : 2]
        for dt in range(frames)
        for dy in range(3)
        for dx in range(3)
    ]
    return jnp.concatenate(parts, axis=-1)


def _last_seen(films: jax.Array) -> jax.Array:
    """The last frame whose hour is known (0 or more), [B, 1, Y, X, C]; hours are channel 1."""
    seen = films[:, :, 0, 0, 1] >= 0
    last = jnp.max(jnp.where(seen, jnp.arange(films.shape[1])[None], 0), axis=1)
    return jnp.take_along_axis(films, last.reshape(-1, 1, 1, 1, 1), axis=1)
