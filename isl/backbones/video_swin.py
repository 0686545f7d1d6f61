"""Video Swin Transformer: attention within windows of space and time that shift every second block.

Liu et al., "Video Swin Transformer", CVPR 2022 (arXiv 2106.13230), laid out so that torchvision's
`swin3d_t`, `swin3d_s` and `swin3d_b` fit (`isl.backbones.video_swin_weights`). Names and sizes in
comments and docstrings: B films, T frames, Y rows, X columns, C channels; W windows of N positions.
"""

import itertools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx
from jax import lax

from isl.backbones.networks import Compute, Module, draw_weights
from isl.config import Config

LAYER_NORM_EPSILON = 1e-5
# Between positions of one window that come from regions which the shift brought together.
APART = -100.0
# Deviation of fresh weights; they are drawn again beyond two of them.
_DEVIATION = 0.02
_EVEN, _ODD = slice(0, None, 2), slice(1, None, 2)
# In the order that the weights of the next layer expect.
_NEIGHBOURS = ((_EVEN, _EVEN), (_ODD, _EVEN), (_EVEN, _ODD), (_ODD, _ODD))

Size = tuple[int, int, int]
"""Frames, rows, columns."""

Positive = pydantic.PositiveInt


class VideoSwinConfig(Config):
    """What a Video Swin Transformer is.

    Attributes:
        width: Channels of the first stage; every stage doubles them.
        depths: Blocks of every stage.
        heads: Attention heads of every stage.
        patch: Frames, rows and columns that become one position.
        window: Positions that attend to each other; clamped to films that have fewer.
        mlp_ratio: Width of a block's hidden layer, in channels.
        stochastic_depth: Chance that training leaves out the last block of a film; earlier blocks
            have less, in proportion.
        dropout: Before the last layer, in training.
    """

    kind: Literal["video_swin"] = "video_swin"
    width: Positive = 96
    depths: tuple[Positive, ...] = pydantic.Field(default=(2, 2, 6, 2), min_length=1)
    heads: tuple[Positive, ...] = (3, 6, 12, 24)
    patch: tuple[Positive, Positive, Positive] = (2, 4, 4)
    window: tuple[Positive, Positive, Positive] = (8, 7, 7)
    mlp_ratio: Positive = 4
    stochastic_depth: float = pydantic.Field(default=0.1, ge=0, lt=1)
    dropout: float = pydantic.Field(default=0.5, ge=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _heads_fit(self) -> "VideoSwinConfig":
        if len(self.heads) != len(self.depths):
            raise ValueError(
                f"{len(self.heads)} heads but {len(self.depths)} depths; give one of each a stage"
            )
        for stage, heads in enumerate(self.heads):
            if self.width_of(stage) % heads:
                raise ValueError(
                    f"stage {stage} has {self.width_of(stage)} channels, which {heads} heads "
                    "cannot share equally"
                )
        return self

    def width_of(self, stage: int) -> int:
        """Channels of a stage, counted from 0."""
        return self.width * 2**stage

    @property
    def depth_out(self) -> int:
        """Channels of the features."""
        return self.width_of(len(self.depths) - 1)


VIDEO_SWIN_SIZES = {
    "T": VideoSwinConfig(),
    "S": VideoSwinConfig(depths=(2, 2, 18, 2)),
    "B": VideoSwinConfig(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
}
"""The published sizes, by name."""


class LayerNorm(nnx.Module):
    """Mean 0 and deviation 1 over the last axis, then a scale and an offset; in float32."""

    def __init__(self, depth: int) -> None:
        """For `depth` channels; changes nothing more until trained."""
        self.scale = nnx.Param(jnp.ones(depth))
        self.bias = nnx.Param(jnp.zeros(depth))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., depth] to [..., depth], in the type that comes in."""
        wide = x.astype(jnp.float32)
        mean = wide.mean(axis=-1, keepdims=True)
        centered = wide - mean
        variance = jnp.square(centered).mean(axis=-1, keepdims=True)
        shape = (1,) * (x.ndim - 1) + (-1,)
        scale, bias = (part[...].reshape(shape) for part in (self.scale, self.bias))
        return (centered * lax.rsqrt(variance + LAYER_NORM_EPSILON) * scale + bias).astype(x.dtype)


class Linear(nnx.Module):
    """A dense layer over the last axis."""

    def __init__(
        self, depth_in: int, depth_out: int, compute: Compute, *, use_bias: bool = True
    ) -> None:
        """Weights of 0."""
        self.kernel = nnx.Param(jnp.zeros((depth_in, depth_out)))
        self.bias = nnx.Param(jnp.zeros(depth_out)) if use_bias else None
        self.dtype = compute.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., depth_in] to [..., depth_out]."""
        flat = x.reshape(-1, x.shape[-1]).astype(self.dtype)
        result = flat @ self.kernel[...].astype(self.dtype)
        if self.bias is not None:
            result = result + self.bias[...].astype(self.dtype)[None]
        return result.reshape(*x.shape[:-1], -1)


class WindowAttention(nnx.Module):
    """Attention among the positions of a window, with a learned bias by their distance."""

    def __init__(self, depth: int, heads: int, window: Size, compute: Compute) -> None:
        """Weights of 0; `window` is the largest that occurs."""
        self.heads = heads
        self.window = window
        self.qkv = Linear(depth, 3 * depth, compute)
        self.projection = Linear(depth, depth, compute)
        distances = int(np.prod([2 * size - 1 for size in window]))
        self.bias_table = nnx.Param(jnp.zeros((distances, heads)))

    def __call__(self, windows: jax.Array, regions: jax.Array | None) -> jax.Array:
        """Positions look at each other within their window.

        Args:
            windows: [B, W, N, C].
            regions: int32 [W, N], positions of different regions do not see each other; None: all
                of a window do.

        Returns:
            [B, W, N, C].
        """
        batch, count, positions, depth = windows.shape
        shape = (batch * count, positions, 3, self.heads, depth // self.heads)
        qkv = self.qkv(windows.reshape(batch * count, positions, depth)).reshape(shape)
        q, k, v = qkv.transpose(2, 3, 0, 1, 4)
        q = q * (depth // self.heads) ** -0.5
        apart = None
        if regions is not None:
            apart = jnp.where(regions[:, :, None] == regions[:, None, :], 0.0, APART)
            apart = jnp.tile(apart, (batch, 1, 1))
        mixed = _each(
            lambda head: _each(lambda one: _attention(*one, head[3]), (*head[:3], apart)),
            (q, k, v, self._bias(positions)),
        )
        return self.projection(mixed.transpose(1, 2, 0, 3).reshape(windows.shape))

    def _bias(self, positions: int) -> jax.Array:
        """The bias between the first `positions` of a window, float32 [heads, N, N].

        Of a window that was clamped, too, the first positions of the whole one are taken, whatever
        their distance is there: the published weights were trained like this.
        """
        index = relative_positions(self.window)[:positions, :positions]
        table = jnp.take(self.bias_table[...], index.reshape(-1), axis=0)
        return table.reshape(positions, positions, self.heads).transpose(2, 0, 1)


@jax.checkpoint
def _attention(
    q: jax.Array, k: jax.Array, v: jax.Array, apart: jax.Array | None, bias: jax.Array
) -> jax.Array:
    """One head in one window: three [N, D], two [N, N], to [N, D].

    What it weighs is computed once more for the gradient, which is faster than to store it: N is
    some hundreds, and N x N numbers of every head and window are most of the network's memory.
    """
    logits = (q @ k.T).astype(jnp.float32) + bias
    if apart is not None:
        logits = logits + apart
    return jax.nn.softmax(logits, axis=-1).astype(v.dtype) @ v


def _each(f: Callable[[Any], jax.Array], xs: Any) -> jax.Array:
    """`f` of each of the first axis' elements: on CPUs one by one, which then stay in the cache."""
    if jax.default_backend() == "cpu":
        return lax.map(f, xs)
    return jax.vmap(f)(xs)


class SwinBlock(nnx.Module):
    """Attention within windows, then two dense layers, each added to what came in."""

    def __init__(
        self,
        depth: int,
        heads: int,
        config: VideoSwinConfig,
        compute: Compute,
        *,
        shifted: bool,
        left_out: float,
    ) -> None:
        """Weights of 0.

        Args:
            depth: Channels C.
            heads: Attention heads.
            config: Of the network.
            compute: Precision.
            shifted: Whether windows are moved by half their size.
            left_out: Chance that each branch is left out of a film in training.
        """
        self.window = config.window
        a, b, c = config.window
        self.shift: Size = (a // 2, b // 2, c // 2) if shifted else (0, 0, 0)
        self.left_out = left_out
        self.norm1 = LayerNorm(depth)
        self.attention = WindowAttention(depth, heads, config.window, compute)
        self.norm2 = LayerNorm(depth)
        self.expand = Linear(depth, config.mlp_ratio * depth, compute)
        self.contract = Linear(config.mlp_ratio * depth, depth, compute)

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        """[B, t, y, x, C] to the same; without a key nothing is left out."""
        keys = (None, None) if key is None else jax.random.split(key)
        x = x + self._kept(self._attended(self.norm1(x)), keys[0])
        hidden = jax.nn.gelu(self.expand(self.norm2(x)), approximate=False)
        return x + self._kept(self.contract(hidden), keys[1])

    def _attended(self, x: jax.Array) -> jax.Array:
        t, rows, columns = x.shape[1:4]
        window, shift = clamped((t, rows, columns), self.window, self.shift)
        padding = [(0, -size % of) for size, of in zip(x.shape[1:4], window, strict=True)]
        padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        size: Size = padded.shape[1], padded.shape[2], padded.shape[3]
        regions = None
        if any(shift):
            padded = jnp.roll(padded, [-by for by in shift], axis=(1, 2, 3))
            regions = shifted_regions(size, window, shift)
        mixed = self.attention(to_windows(padded, window), regions)
        result = from_windows(mixed, size, window)
        if any(shift):
            result = jnp.roll(result, shift, axis=(1, 2, 3))
        return result[:, :t, :rows, :columns]

    def _kept(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        """A branch of every film, or 0 in its place; those kept are made up for the others."""
        if key is None or not self.left_out:
            return x
        kept = jax.random.bernoulli(key, 1 - self.left_out, (x.shape[0], 1, 1, 1, 1))
        return x * (kept / (1 - self.left_out)).astype(x.dtype)


class PatchMerging(nnx.Module):
    """Makes rows and columns half as many and channels twice as many; frames stay."""

    def __init__(self, depth: int, compute: Compute) -> None:
        """Weights of 0, for `depth` channels."""
        self.norm = LayerNorm(4 * depth)
        self.reduction = Linear(4 * depth, 2 * depth, compute, use_bias=False)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, t, y, x, C] to [B, t, ceil(y / 2), ceil(x / 2), 2 C]."""
        padding = [(0, size % 2) for size in x.shape[2:4]]
        x = jnp.pad(x, ((0, 0), (0, 0), *padding, (0, 0)))
        four = [x[:, :, rows, columns] for rows, columns in _NEIGHBOURS]
        return self.reduction(self.norm(jnp.concatenate(four, axis=-1)))


class VideoSwin(nnx.Module):
    """Films to logits.

    Attributes:
        config: What it is.
        depth: Channels of the features.
        head: From the features' mean over space and time to the outputs.
    """

    def __init__(
        self,
        config: VideoSwinConfig,
        channels: int,
        outputs: int,
        compute: Compute | None = None,
        *,
        checkpoint: bool = False,
    ) -> None:
        """A network with weights of 0; see `draw_truncated`.

        Args:
            config: What it is.
            channels: C of the films.
            outputs: Logits for each film.
            compute: Precision.
            checkpoint: Whether what lies within a block is computed once more for the gradient,
                which takes a third more time and the memory of about one block.
        """
        compute = compute or Compute()
        self.config = config
        self.depth = config.depth_out
        self.checkpoint = checkpoint
        self.patch = Linear(channels * int(np.prod(config.patch)), config.width, compute)
        self.patch_norm = LayerNorm(config.width)
        self.stages = nnx.List()
        self.merges = nnx.List()
        of_all, last = 0, max(1, sum(config.depths) - 1)
        for stage, (count, heads) in enumerate(zip(config.depths, config.heads, strict=True)):
            depth = config.width_of(stage)
            blocks = nnx.List()
            for index in range(count):
                left_out = config.stochastic_depth * of_all / last
                shifted = index % 2 == 1
                blocks.append(
                    SwinBlock(depth, heads, config, compute, shifted=shifted, left_out=left_out)
                )
                of_all += 1
            self.stages.append(blocks)
            if stage + 1 < len(config.depths):
                self.merges.append(PatchMerging(depth, compute))
        self.norm = LayerNorm(self.depth)
        self.head = Linear(self.depth, outputs, Compute())

    def __call__(self, films: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Films float32 [B, T, Y, X, C] to logits float32 [B, outputs]; with a key, training."""
        keys = (None, None) if key is None else jax.random.split(key)
        return self.classify(self.features(films, keys[0]), keys[1])

    def features(self, films: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """The maps after the last layer norm.

        Args:
            films: float32 [B, T, Y, X, C]; any size: what is missing to whole patches is 0.
            key: Which blocks are left out of which films; None: none, as in evaluation.

        Returns:
            [B, t, y, x, depth].
        """
        x = self.patch_norm(self.patch(to_patches(films, self.config.patch)))
        # One key a block, derived in order.
        numbers = itertools.count()
        for stage, blocks in enumerate(self.stages):
            for block in blocks:
                own = None if key is None else jax.random.fold_in(key, next(numbers))
                x = self._applied(block, x, own)
            if stage < len(self.merges):
                x = self.merges[stage](x)
        return self.norm(x)

    def classify(self, maps: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Logits float32 [B, outputs] of maps [B, t, y, x, depth]."""
        pooled = maps.astype(jnp.float32).mean(axis=(1, 2, 3))
        share = self.config.dropout
        if key is not None and share:
            kept = jax.random.bernoulli(key, 1 - share, pooled.shape)
            pooled = jnp.where(kept, pooled / (1 - share), 0.0)
        return self.head(pooled)

    def activation_maps(self, films: jax.Array) -> tuple[jax.Array, jax.Array]:
        """How every place and time speaks for each output.

        Args:
            films: float32 [B, T, Y, X, C].

        Returns:
            Logits [B, outputs], and maps [B, t, y, x, outputs] whose mean over t, y and x is the
            logits but for the last layer's bias.
        """
        maps = self.features(films).astype(jnp.float32)
        return self.classify(maps), maps @ self.head.kernel[...]

    def _applied(
        self,
        block: Callable[[jax.Array, jax.Array | None], jax.Array],
        x: jax.Array,
        key: jax.Array | None,
    ) -> jax.Array:
        if not self.checkpoint:
            return block(x, key)
        return jax.checkpoint(lambda x: block(x, key))(x)


def to_patches(films: jax.Array, patch: Size) -> jax.Array:
    """[B, T, Y, X, C] to [B, t, y, x, patch C], borders filled up with 0."""
    padding = [(0, -size % of) for size, of in zip(films.shape[1:4], patch, strict=True)]
    x = jnp.pad(films, ((0, 0), *padding, (0, 0)))
    batch, *size, channels = x.shape
    t, rows, columns = (length // of for length, of in zip(size, patch, strict=True))
    x = x.reshape(batch, t, patch[0], rows, patch[1], columns, patch[2], channels)
    return x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, t, rows, columns, -1)


def clamped(size: Size, window: Size, shift: Size) -> tuple[Size, Size]:
    """Window and shift for maps of a size; along an axis that fits in a window, nothing shifts."""
    pairs = [
        (length, 0) if length <= of else (of, by)
        for length, of, by in zip(size, window, shift, strict=True)
    ]
    (a, d), (b, e), (c, f) = pairs
    return (a, b, c), (d, e, f)


def to_windows(x: jax.Array, window: Size) -> jax.Array:
    """[B, t, y, x, C], whole windows each way, to [B, W, N, C]."""
    batch, t, rows, columns, depth = x.shape
    a, b, c = window
    x = x.reshape(batch, t // a, a, rows // b, b, columns // c, c, depth)
    return x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, -1, a * b * c, depth)


def from_windows(windows: jax.Array, size: Size, window: Size) -> jax.Array:
    """The inverse of `to_windows`, for maps of `size`."""
    batch, depth = windows.shape[0], windows.shape[-1]
    (t, rows, columns), (a, b, c) = size, window
    x = windows.reshape(batch, t // a, rows // b, columns // c, a, b, c, depth)
    return x.transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(batch, t, rows, columns, depth)


def shifted_regions(size: Size, window: Size, shift: Size) -> jax.Array:
    """Which region of the film each position of each window comes from, int32 [W, N].

    A shifted film is rolled; its last windows hold both of its ends, which are no neighbours.
    """
    numbers = jnp.zeros((1, 1, 1, 1, 1), jnp.int32)
    for axis, (length, of, by) in enumerate(zip(size, window, shift, strict=True)):
        place = jnp.arange(length)
        region = (place >= length - of).astype(jnp.int32) + (place >= length - by)
        own = jnp.where(by > 0, region, 0)
        shape = [1] * 5
        shape[1 + axis] = length
        numbers = jnp.broadcast_to(3 * numbers, (1, *size, 1)) + jnp.broadcast_to(
            own.reshape(shape), (1, *size, 1)
        )
    return to_windows(numbers, window)[0, :, :, 0]


def relative_positions(window: Size) -> np.ndarray:
    """Row of the bias table for each pair of positions of a window, int [N, N]."""
    places = np.stack(np.meshgrid(*map(np.arange, window), indexing="ij")).reshape(3, -1)
    apart = places[:, :, None] - places[:, None, :]
    index = np.zeros(apart.shape[1:], int)
    for axis, size in enumerate(window):
        index = index * (2 * size - 1) + apart[axis] + size - 1
    return index


def abstract_video_swin(
    config: VideoSwinConfig,
    channels: int,
    outputs: int,
    compute: Compute | None = None,
    *,
    checkpoint: bool = False,
) -> VideoSwin:
    """A network with shapes in place of arrays; arguments as for `VideoSwin`."""
    return nnx.eval_shape(
        lambda: VideoSwin(config, channels, outputs, compute, checkpoint=checkpoint)
    )


def draw_truncated(module: Module, rngs: nnx.Rngs) -> Module:
    """Gives a module of such layers truncated normal weights and norms that change nothing."""
    return draw_weights(module, rngs, _truncated_normal)


def _truncated_normal(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name in ("scale", "bias"):
        return np.full(shape, 1 if name == "scale" else 0, np.float32)
    drawn = rng.standard_normal(shape)
    while (beyond := np.abs(drawn) > 2).any():
        drawn[beyond] = rng.standard_normal(int(beyond.sum()))
    return (_DEVIATION * drawn).astype(np.float32)
