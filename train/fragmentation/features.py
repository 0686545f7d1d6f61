"""Features of a frozen encoder, made once: what is trained then are the layers behind it alone.

On a CPU the encoder is most of an update. Where it never changes, every picture is turned and relit
a few times before training, and what the encoder says of these views is kept.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from isl.files.whole import written_whole
from isl.fragmentation.dataset import Ground

from .augment import augmented
from .config import AugmentationConfig

Maps = list[jax.Array]
_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CachedViews:
    """Changed views of pictures, as a frozen encoder sees them; M views.

    Attributes:
        maps: float16 [M, Y / s, X / s, D], one array a resolution of the encoder.
        labels: uint8 [M, S, S], moved as the views were.
        example: int64 [M], the picture that each view is of.
    """

    maps: tuple[np.ndarray, ...]
    labels: np.ndarray
    example: np.ndarray

    def names(self) -> tuple[str, ...]:
        """What the maps are called in a batch."""
        return tuple(f"C{2 + i}" for i in range(len(self.maps)))

    def averaged(self) -> "CachedViews":
        """The same with one place a map, its mean: enough for a regression of the share."""
        means = tuple(m.mean(axis=(1, 2), keepdims=True, dtype=np.float32) for m in self.maps)
        return dataclasses.replace(self, maps=means)


def cached_views(
    encode: Callable[[jax.Array], Maps],
    ground: Ground,
    counts: np.ndarray,
    config: AugmentationConfig,
    *,
    seed: int,
    folder: Path,
    weights: Sequence[jax.Array],
) -> CachedViews:
    """Makes views and their features, or reads those that an interrupted run left.

    Args:
        encode: The frozen encoder, float32 [B, S, S] in [0, 1] to maps.
        ground: The pictures.
        counts: int [N], how many views of each.
        config: How views are changed.
        seed: Of the changes.
        folder: Where they are kept, under a name that says what they were made from.
        weights: Of the encoder.
    """
    example = np.repeat(np.arange(len(ground)), counts)
    made_from = hashlib.sha256(f"{config.model_dump_json()} {seed}".encode())
    for array in (ground.images, ground.labels, example, *map(np.asarray, weights)):
        made_from.update(array.tobytes())
    path = folder / f"features_{made_from.hexdigest()[:16]}.npz"
    if not path.is_file():
        arrays = _made(encode, ground, example, config, seed)
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez(file, *arrays)
    with np.load(path) as stored:
        labels, *maps = (stored[name] for name in stored.files)
    return CachedViews(maps=tuple(maps), labels=labels, example=example)


def _made(
    encode: Callable[[jax.Array], Maps],
    ground: Ground,
    example: np.ndarray,
    config: AugmentationConfig,
    seed: int,
) -> list[np.ndarray]:
    """Labels, then the maps of every resolution."""

    @jax.jit
    def views(images: jax.Array, labels: jax.Array, key: jax.Array) -> tuple[jax.Array, Maps]:
        shown, moved = augmented(images.astype(jnp.float32) / 255, labels, config, key)
        return moved, [m.astype(jnp.float16) for m in encode(shown)]

    parts: list[list[np.ndarray]] = []
    key = jax.random.key(seed)
    for first in range(0, len(example), _AT_ONCE):
        chosen = example[first : first + _AT_ONCE]
        padded = np.resize(chosen, _AT_ONCE)
        moved, maps = views(
            jnp.asarray(ground.images[padded]),
            jnp.asarray(ground.labels[padded]),
            jax.random.fold_in(key, first),
        )
        parts.append([np.asarray(array)[: len(chosen)] for array in (moved, *maps)])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
