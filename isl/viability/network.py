"""The networks that films are judged by: Video Swin, and what it has to beat.

Video Swin and `FilmCNN` take films float32 [B, T, Y, X, C]; `FrameSequence` takes what a frozen
encoder saw in each frame, [B, T, features + 1] (`isl.viability.frame_features`), and may convolve
that over neighbouring ones. All give logits [B, outputs]; a random key turns on what only training
does. `activation_maps` says when and where a film speaks for each output.
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
from isl.viability.frame_features import DEPTH

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


class FrameSequenceConfig(Config):
    """A frozen, pretrained encoder of every frame, and what is learned of their sequence.

    Attributes:
        encoder: A bundled encoder's name.
        side: Rows and columns that frames are enlarged to for it.
        width: Channels that its features become.
        pooling: Over time: "mean"; "attention", means with learned weights, one for each of
            `queries`; or "gru", a recurrent layer's last state. All of the frames that are seen.
        queries: Of attention.
        waves: Sines and cosines of the hour that stand beside it, with periods of 240 h, 120 h and
            so on: of the hour alone, which is 1 at 120 h, an event's is hardly learned.
        frames: Frames that a convolution over time looks at, before they are pooled; 1: each by
            itself. With the encoder's over space it makes one of both (Tran et al., R(2+1)D, CVPR
            2018).
        last_only: Whether nothing but the last frame that is seen is looked at.
        noise: Deviation of what training adds to features, in deviations of theirs.
        dropout: Of the channels, in training.
    """

    kind: Literal["frames"] = "frames"
    encoder: str = "efficientnet-lite0"
    side: int = pydantic.Field(default=96, ge=32)
    width: Positive = 32
    pooling: Literal["mean", "attention", "gru"] = "attention"
    queries: Positive = 8
    waves: int = pydantic.Field(default=0, ge=0, le=8)
    frames: Literal[1, 3, 5] = 1
    last_only: bool = False
    noise: float = pydantic.Field(default=0.3, ge=0)
    dropout: float = pydantic.Field(default=0.3, ge=0, lt=1)


NetworkConfig = Annotated[
    VideoSwinConfig | FilmCNNConfig | FrameSequenceConfig, pydantic.Field(discriminator="kind")
]


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
        self.gru = Recurrent(depth) if config.pooling == "gru" else None
        self.head = Linear(depth, outputs, Compute())

    def __call__(self, films: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """See the module."""
        pooled = self._pooled(self.features(films))
        if key is not None:
            pooled = _dropped(pooled, self.config.dropout, key, pooled.shape)
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
        return frames.mean(axis=1) if self.gru is None else self.gru(frames)


class FrameSequence(nnx.Module):
    """Features of frames, neighbours convolved, then a mean, attention or a GRU over time.

    Attributes:
        config: What it is.
        mean: Of the features of training's frames; with `deviation` not trained but measured.
        deviation: Of the same.
        head: From what is pooled to the outputs.
    """

    def __init__(self, config: FrameSequenceConfig, outputs: int) -> None:
        """Weights of 0; see `build_network`."""
        self.config = config
        self.mean = nnx.BatchStat(jnp.zeros(DEPTH))
        self.deviation = nnx.BatchStat(jnp.ones(DEPTH))
        self.embed = Linear(DEPTH + 1 + 2 * config.waves, config.width, Compute())
        convolves = config.frames > 1 and not config.last_only
        span = config.frames * config.width
        self.conv = Linear(span, config.width, Compute()) if convolves else None
        attends = config.pooling == "attention" and not config.last_only
        self.query = Linear(config.width, config.queries, Compute()) if attends else None
        recurs = config.pooling == "gru" and not config.last_only
        self.gru = Recurrent(config.width) if recurs else None
        self.head = Linear(config.width * (config.queries if attends else 1), outputs, Compute())

    def __call__(self, films: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """See the module.

        Args:
            films: float32 [B, T, features + 1], the hour last; it is below 0 where nothing is seen.
            key: Turns on noise and dropout.
        """
        return self._logits(self._standardized(films), films[..., -1:], key)

    def activation_maps(self, films: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Logits, and how each of the encoder's channels in each frame speaks for each output.

        Returns:
            Logits [B, outputs], and their gradients by the features [B, T, features, outputs].
        """
        hours = films[..., -1:]

        def of_features(features: jax.Array) -> jax.Array:
            whole = jnp.concatenate([features, hours], axis=-1)
            return self._logits(self._standardized(whole), hours, None)

        logits, pull_back = jax.vjp(of_features, films[..., :-1])
        ones = jnp.eye(logits.shape[-1])[:, None] * jnp.ones((1, len(films), 1))
        return logits, jnp.moveaxis(jax.vmap(pull_back)(ones)[0], 0, -1)

    def _standardized(self, films: jax.Array) -> jax.Array:
        """Features alone, of mean 0 and deviation 1 among training's frames."""
        mean, deviation = (part[...][None, None] for part in (self.mean, self.deviation))
        return (films[..., :-1] - mean) / deviation

    def _logits(self, features: jax.Array, hours: jax.Array, key: jax.Array | None) -> jax.Array:
        seen = hours[..., 0] >= 0
        if key is None:
            x = self._convolved(self._embedded(features, hours), seen)
            return self.head(self._pooled(x, seen))
        noise_key, film_key, last_key = jax.random.split(key, 3)
        features += self.config.noise * jax.random.normal(noise_key, features.shape)
        x = self._embedded(features, hours)
        # A channel is left out of all frames of a film, or of none.
        x = _dropped(x, self.config.dropout, film_key, (len(x), 1, x.shape[-1]))
        pooled = self._pooled(self._convolved(x, seen), seen)
        return self.head(_dropped(pooled, self.config.dropout, last_key, pooled.shape))

    def _embedded(self, features: jax.Array, hours: jax.Array) -> jax.Array:
        turns = hours * (np.pi * 2.0 ** np.arange(self.config.waves))[None, None]
        seen = [features, hours, jnp.sin(turns), jnp.cos(turns)]
        return jax.nn.gelu(self.embed(jnp.concatenate(seen, axis=-1)))

    def _convolved(self, x: jax.Array, seen: jax.Array) -> jax.Array:
        """What frames next to each other say together, added to what each says by itself."""
        if self.conv is None:
            return x
        reach, count = self.config.frames // 2, x.shape[1]
        known = jnp.where(seen[..., None], x, 0.0)
        padded = jnp.pad(known, ((0, 0), (reach, reach), (0, 0)))
        parts = [padded[:, first : first + count] for first in range(self.config.frames)]
        return x + jax.nn.gelu(self.conv(jnp.concatenate(parts, axis=-1)))

    def _pooled(self, x: jax.Array, seen: jax.Array) -> jax.Array:
        if self.config.last_only:
            last = jnp.max(jnp.where(seen, jnp.arange(x.shape[1])[None], 0), axis=1)
            return jnp.take_along_axis(x, last.reshape(-1, 1, 1), axis=1)[:, 0]
        if self.gru is not None:
            return self.gru(x, seen)
        if self.query is None:
            weights = jnp.where(seen, 1.0, 0.0)[..., None]
            return (x * weights).sum(axis=1) / jnp.maximum(weights.sum(axis=1), 1.0)
        logits = jnp.where(seen[..., None], self.query(x), -jnp.inf)
        return jnp.einsum("btq,btw->bqw", jax.nn.softmax(logits, axis=1), x).reshape(len(x), -1)


class Recurrent(nnx.Module):
    """A gated recurrent unit (Cho et al., 2014) over time; its last state."""

    def __init__(self, depth: int) -> None:
        """Weights of 0."""
        self.update, self.reset, self.candidate = (
            Linear(2 * depth, depth, Compute()) for _ in range(3)
        )

    def __call__(self, frames: jax.Array, seen: jax.Array | None = None) -> jax.Array:
        """[B, T, depth] to [B, depth]; frames that are not seen, bool [B, T], change nothing."""
        if seen is None:
            seen = jnp.ones(frames.shape[:2], bool)

        def step(state: jax.Array, frame: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            now, is_seen = frame
            both = jnp.concatenate([state, now], axis=-1)
            kept = jax.nn.sigmoid(self.update(both))
            open_ = jax.nn.sigmoid(self.reset(both))
            fresh = jnp.tanh(self.candidate(jnp.concatenate([open_ * state, now], axis=-1)))
            changed = kept * state + (1 - kept) * fresh
            return jnp.where(is_seen[:, None], changed, state), None

        first = jnp.zeros((frames.shape[0], frames.shape[-1]))
        return jax.lax.scan(step, first, (frames.transpose(1, 0, 2), seen.T))[0]


Network = VideoSwin | FilmCNN | FrameSequence


def abstract_network(
    config: NetworkConfig,
    channels: int,
    outputs: int,
    compute: Compute | None = None,
    *,
    checkpoint: bool = False,
) -> Network:
    """A network with shapes in place of arrays."""
    if isinstance(config, FilmCNNConfig):
        return nnx.eval_shape(lambda: FilmCNN(config, channels, outputs, compute))
    if isinstance(config, FrameSequenceConfig):
        return nnx.eval_shape(lambda: FrameSequence(config, outputs))
    return nnx.eval_shape(
        lambda: VideoSwin(config, channels, outputs, compute, checkpoint=checkpoint)
    )


def build_network(
    config: NetworkConfig,
    channels: int,
    outputs: int,
    compute: Compute | None = None,
    *,
    checkpoint: bool = False,
    rngs: nnx.Rngs,
) -> Network:
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
        _widen(list(network.convs), network.gru)
    if isinstance(network, FrameSequence):
        _widen([network.embed, *([network.conv] if network.conv else [])], network.gru)
        measure(network, np.zeros((1, DEPTH)))
    return network


def measure(network: FrameSequence, features: np.ndarray) -> None:
    """Gives a network the mean and deviation of features float [N, features], in place.

    A feature that is always the same gets the deviation 1.
    """
    deviation = features.std(axis=0)
    network.mean[...] = jnp.asarray(features.mean(axis=0), jnp.float32)
    network.deviation[...] = jnp.asarray(np.where(deviation > 1e-4, deviation, 1), jnp.float32)


def _widen(layers: list[Linear], gru: Recurrent | None) -> None:
    """Kernels with the deviation that keeps a signal's size from layer to layer."""
    gates = [gru.update, gru.reset, gru.candidate] if gru is not None else []
    for layer in [*layers, *gates]:
        kernel = layer.kernel[...]
        layer.kernel[...] = kernel * float(np.sqrt(2 / kernel.shape[0]) / 0.02)


def _dropped(x: jax.Array, share: float, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Values of which a share became 0, drawn in a shape that x broadcasts with."""
    if not share:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - share, shape), x / (1 - share), 0.0)


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
