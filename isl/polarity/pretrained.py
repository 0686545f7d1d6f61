"""What a pretrained encoder sees of a frame, frozen, and the logistic regressions that read it.

No weight of the encoder is learned here: with eleven embryos there is little to learn from, and
what photographs taught carries. A frame becomes, for every depth of the encoder that is looked at,
the mean or the deviation over the frame of each of its maps, averaged over the frame and its half
turn. Every member of an ensemble is a logistic regression on one such look.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.backbones.efficientnet_lite import (
    PYRAMID_DEPTHS,
    PYRAMID_STRIDES,
    EfficientNetLite,
    imagenet_input,
)
from isl.backbones.efficientnet_weights import load_encoder
from isl.config import Config

CHANNELS = 3
"""Colours that the encoder knows; each of our images stands for all three."""
# Of some movies and channels, by their content.
_REMEMBERED: dict[str, list[np.ndarray]] = {}
_MOST_REMEMBERED = 256
# Frames at a time, always as many: one compiled program.
_AT_ONCE = 4


class Look(Config):
    """What one member reads.

    Attributes:
        stride: Of the encoder's maps.
        pool: What is taken of each map: its mean over the frame, or its deviation, which tells
            structures here and there from the same everywhere.
    """

    stride: Literal[2, 4, 8, 16, 32]
    pool: Literal["mean", "deviation"]

    def __str__(self) -> str:
        """For instance "mean at stride 16"."""
        return f"{self.pool} at stride {self.stride}"

    @property
    def depth(self) -> int:
        """Numbers for each image."""
        return PYRAMID_DEPTHS[PYRAMID_STRIDES.index(self.stride)]


LOOKS = (
    Look(stride=16, pool="mean"),
    Look(stride=32, pool="mean"),
    Look(stride=16, pool="deviation"),
    Look(stride=32, pool="deviation"),
)


class Reader(nnx.Module):
    """A logistic regression on what a frozen encoder sees, and what it was fitted on.

    Attributes:
        kernel: From features to the classes' logits.
        bias: Of these.
        mean: Of every feature over the frames it was fitted on.
        deviation: Of every feature there.
    """

    def __init__(self, depth: int, classes: int) -> None:
        """Weights of 0 for so many features."""
        self.kernel = nnx.Param(jnp.zeros((depth, classes)))
        self.bias = nnx.Param(jnp.zeros(classes))
        self.mean = nnx.Param(jnp.zeros(depth))
        self.deviation = nnx.Param(jnp.ones(depth))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Features float32 [T, F] to float32 [T, classes]."""
        return features @ np.asarray(self.kernel[...]) + np.asarray(self.bias[...])

    def novelty(self, features: np.ndarray) -> np.ndarray:
        """How far frames [T, F] are from those it was fitted on: float32 [T], 1 for one of them.

        Root mean square over features of the distance from their mean, in their deviations.
        """
        apart = (features - np.asarray(self.mean[...])) / np.asarray(self.deviation[...])
        return np.sqrt(np.mean(apart**2, axis=-1))


class PretrainedConfig(Config):
    """A frozen encoder, and what the members read of it.

    Attributes:
        encoder: The bundled encoder.
        looks: The members', in order.
    """

    kind: Literal["pretrained"] = "pretrained"
    encoder: str = "efficientnet-lite0"
    looks: tuple[Look, ...] = pydantic.Field(default=LOOKS, min_length=1)


class FrozenFeatures:
    """A pretrained encoder that is asked for what members read.

    Attributes:
        config: Which encoder, and what is read of it.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        """Loads the encoder.

        Raises:
            InputError: There is no such encoder, or it is damaged.
        """
        self.config = config
        self._graph, self._state = _encoder(config.encoder)

    def of_views(self, views: np.ndarray) -> list[np.ndarray]:
        """What the members read, look by look; what was asked lately is remembered.

        Args:
            views: float32 [T, Y, X, C] in [0, 1].

        Returns:
            For every look float32 [T, C * depth].
        """
        of_channels = [
            self._remembered(np.ascontiguousarray(views[..., channel], np.float32))
            for channel in range(views.shape[-1])
        ]
        return [np.concatenate(parts, axis=-1) for parts in zip(*of_channels, strict=True)]

    def of_images(self, images: jax.Array) -> list[jax.Array]:
        """The same within a program: float32 [T, Y, X] in [0, 1] to [T, depth], look by look."""
        return _pooled(self._graph, self._state, images, self.config.looks)

    def _remembered(self, images: np.ndarray) -> list[np.ndarray]:
        """Of images float32 [T, Y, X]; arms and folds of an evaluation look at the same ones."""
        named = hashlib.sha256(repr((self.config.model_dump(), images.shape)).encode())
        named.update(images.tobytes())
        key = named.hexdigest()
        if key not in _REMEMBERED:
            if len(_REMEMBERED) >= _MOST_REMEMBERED:
                _REMEMBERED.clear()
            _REMEMBERED[key] = _by_portions(self._graph, self._state, images, self.config.looks)
        return _REMEMBERED[key]

    def contributions(self, views: np.ndarray, kernels: Sequence[np.ndarray]) -> np.ndarray:
        """How every place of a view speaks for each class, by what the members read there.

        A mean is the mean of its places, and a deviation d that of (x - mean)^2 / d: so each
        member's map has the mean of what it says, but for its bias.

        Args:
            views: float32 [T, Y, X, C] in [0, 1]; they are not turned.
            kernels: Of every member, float32 [C * depth, classes].

        Returns:
            float32 [T, y, x, classes], the mean over members, at the finest stride looked at.
        """
        found = []
        for view in views:
            maps = _contributions(
                self._graph, self._state, jnp.asarray(view), self.config.looks, list(kernels)
            )
            size = max((each.shape[:2] for each in maps), key=lambda shape: shape[0])
            shapes = [(*size, each.shape[-1]) for each in maps]
            enlarged = [
                jax.image.resize(each, shape, "linear")
                for each, shape in zip(maps, shapes, strict=True)
            ]
            found.append(np.mean(enlarged, axis=0))
        return np.stack(found)


class _Parts(NamedTuple):
    graph: nnx.GraphDef[EfficientNetLite]
    state: nnx.State


@functools.lru_cache(maxsize=2)
def _encoder(name: str) -> _Parts:
    network = load_encoder(name)
    network.eval()
    graph, state = nnx.split(network)
    return _Parts(graph, state)


def _maps(
    graph: nnx.GraphDef[EfficientNetLite], state: nnx.State, images: jax.Array
) -> dict[int, jax.Array]:
    """[B, Y, X] in [0, 1] to the encoder's maps [B, y, x, depth] by stride."""
    colours = jnp.repeat(images[..., None], CHANNELS, axis=-1)
    maps = nnx.merge(graph, state).pyramid(imagenet_input(colours))
    return dict(zip(PYRAMID_STRIDES, maps, strict=True))


@functools.partial(jax.jit, static_argnums=(0, 3))
def _pooled(
    graph: nnx.GraphDef[EfficientNetLite],
    state: nnx.State,
    images: jax.Array,
    looks: tuple[Look, ...],
) -> list[jax.Array]:
    maps = _maps(graph, state, jnp.concatenate([images, jnp.flip(images, (1, 2))]))
    pool = {"mean": jnp.mean, "deviation": jnp.std}
    found = [pool[look.pool](maps[look.stride], axis=(1, 2)) for look in looks]
    return [each.reshape(2, images.shape[0], -1).mean(axis=0) for each in found]


def _by_portions(
    graph: nnx.GraphDef[EfficientNetLite],
    state: nnx.State,
    images: np.ndarray,
    looks: tuple[Look, ...],
) -> list[np.ndarray]:
    """`_pooled` of images float32 [T, Y, X], a few at a time."""
    found: list[list[jax.Array]] = []
    for start in range(0, len(images), _AT_ONCE):
        portion = images[start : start + _AT_ONCE]
        lacking = _AT_ONCE - len(portion)
        full = np.concatenate([portion, np.repeat(portion[-1:], lacking, axis=0)])
        found.append(_pooled(graph, state, jnp.asarray(full, jnp.float32), looks))
    return [np.concatenate(parts)[: len(images)] for parts in zip(*found, strict=True)]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _contributions(
    graph: nnx.GraphDef[EfficientNetLite],
    state: nnx.State,
    view: jax.Array,
    looks: tuple[Look, ...],
    kernels: list[np.ndarray],
) -> list[jax.Array]:
    """Of one view [Y, X, C], for every look [y, x, classes]."""
    maps = _maps(graph, state, jnp.moveaxis(view, -1, 0))
    found = []
    for look, kernel in zip(looks, kernels, strict=True):
        places = maps[look.stride]
        if look.pool == "deviation":
            squares = jnp.square(places - places.mean(axis=(1, 2), keepdims=True))
            deviations = jnp.sqrt(squares.mean(axis=(1, 2), keepdims=True))
            places = squares / jnp.maximum(deviations, 1e-9)
        side_by_side = jnp.moveaxis(places, 0, -2)
        found.append(side_by_side.reshape(*side_by_side.shape[:2], -1) @ kernel)
    return found
