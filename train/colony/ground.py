"""What a colony task draws from and is judged by: images, their split, and patches of them."""

import dataclasses
import functools

import grain
import jax
import jax.numpy as jnp
import numpy as np

from isl.backbones.networks import Compute
from isl.colony.model import softmax
from isl.colony.network import ColonyNetwork, abstract_network, without_backbone
from isl.colony.patches import place_patch

from ..parameters import Functional
from ..task import Tree
from .augment import augmented, seen
from .config import ColonyExperiment
from .images import Images
from .split import Split

# As many examples as nobody draws; grain's own endless repetition cannot be cut into batches of 1.
ENDLESS = 2**53
_AT_ONCE, _VECTORS_AT_ONCE = 64, 1024


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """Images and what may be learned of them.

    Attributes:
        images: All.
        split: Which are labelled, for validation, unlabelled.
        patch: Side of a patch.
        balance: Whether labelled images are drawn equally often by class.
    """

    images: Images
    split: Split
    patch: int
    balance: bool = True

    def cut(self, index: int, place: tuple[int, int]) -> np.ndarray:
        """A patch of an image, uint8 [patch, patch, C]; or its vectors [1 + views, D]."""
        top, left = place
        if self.images.vectors is not None:
            return self.images.vectors[index, top]
        pixels = self.images.images[index].pixels
        return pixels[top : top + self.patch, left : left + self.patch]

    def place(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """Where a patch of an image is cut; of vectors, which of its patches, and 0."""
        if self.images.vectors is not None:
            return int(rng.integers(self.images.vectors.shape[1])), 0
        return place_patch(self.images.images[index].mask, self.patch, rng)

    def many_places(self, which: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Where a patch of each of N images is cut, as by `place`: int [N, 2]."""
        if self.images.vectors is not None:
            first = rng.integers(self.places, size=len(which))
            return np.stack([first, np.zeros_like(first)], axis=1)
        return np.array([self.place(int(index), rng) for index in which])

    def many_plain(self, which: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Patches of N images cut at N places: uint8 [N, patch, patch, C].

        Of vectors, those of the patches as they are: float32 [N, 1, D].
        """
        if self.images.vectors is not None:
            return self.images.vectors[which, places[:, 0], :1]
        pairs = zip(which.tolist(), places.tolist(), strict=True)
        return np.stack([self.cut(index, (top, left)) for index, (top, left) in pairs])

    def drawn(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """A patch of an image, placed anew."""
        return self.cut(index, self.place(index, rng))

    def labelled(self, rng: np.random.Generator, which: np.ndarray) -> int:
        """One of some labelled images, by class first if classes are balanced."""
        if not self.balance:
            return int(rng.choice(which))
        labels = self.images.labels[which]
        wanted = rng.choice(np.unique(labels))
        return int(rng.choice(which[labels == wanted]))

    def many_labelled(
        self, rng: np.random.Generator, which: np.ndarray, size: tuple[int, ...]
    ) -> np.ndarray:
        """So many of some labelled images, each drawn as by `labelled`; int [*size]."""
        if not self.balance:
            return rng.choice(which, size)
        labels = self.images.labels[which]
        by_class = np.argsort(labels, kind="stable")
        _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
        kinds = rng.integers(0, len(counts), size)
        return which[by_class[starts[kinds] + rng.integers(0, counts[kinds])]]

    @property
    def places(self) -> int:
        """How many patches of each image have vectors."""
        return 0 if self.images.vectors is None else self.images.vectors.shape[1]

    def fixed(self, which: np.ndarray, count: int) -> np.ndarray:
        """The same patches of images whenever asked: uint8 [N * count, patch, patch, C].

        Of vectors, those of these patches as they are: float32 [N * count, 1, D].
        """
        if self.images.vectors is not None:
            plain = self.images.vectors[which, :count, :1]
            return plain.reshape(-1, *plain.shape[2:])
        patches = [
            self.drawn(int(index), np.random.default_rng([int(index), number]))
            for index in which
            for number in range(count)
        ]
        channels = len(self.images.channels)
        return np.stack(patches) if patches else np.zeros((0, *[self.patch] * 2, channels), "u1")


def endless(draw, seed: int) -> grain.MapDataset:
    """An endless dataset of what `draw(number, rng)` gives."""
    return grain.MapDataset.range(ENDLESS).random_map(draw, seed=seed)


class Judge:
    """A network of an experiment, taken apart and put together, and what it says of patches.

    Attributes:
        network: Its structure; behind vectors alone where the backbone is frozen.
        frozen: Whether it is.
    """

    def __init__(self, experiment: ColonyExperiment, channels: int, classes: int) -> None:
        """Knows the network's structure; holds no weights."""
        training = experiment.training
        compute = Compute(precision=training.precision, batch_norm_decay=training.batch_norm_decay)
        self.network = abstract_network(experiment.network, channels, classes, compute)
        self.frozen = experiment.frozen is not None
        self._augment = experiment.augment
        if self.frozen:
            without_backbone(self.network)
        self.functional: Functional[ColonyNetwork] = Functional(self.network)
        self.classes = classes

    def plain(self, patches: np.ndarray | jax.Array) -> jax.Array:
        """Patches of a batch as they are, for the network.

        Args:
            patches: uint8 [B, Y, X, C]; or vectors float32 [B, 1 + views, D].
        """
        patches = jnp.asarray(patches)
        return patches[:, 0] if self.frozen else seen(patches)

    def augmented(self, patches: np.ndarray | jax.Array, key: jax.Array) -> jax.Array:
        """The same, augmented or not: any of their views where they are vectors."""
        patches = jnp.asarray(patches)
        if not self.frozen:
            return augmented(seen(patches), self._augment, key)
        count, views = patches.shape[:2]
        which = jax.random.randint(key, (count,), 0, views)
        return jnp.take_along_axis(patches, which[:, None, None], axis=1)[:, 0]

    def apply(self, params: Tree, state: Tree, patches: jax.Array) -> tuple[jax.Array, Tree]:
        """Logits in training, and the new batch statistics; see `isl_train.colony.meta.Apply`."""
        network = self.functional.put_together(params, state, training=not self.frozen)
        logits = network(patches)
        return logits, Functional.take_apart(network)[1]

    @functools.partial(jax.jit, static_argnums=0)
    def _logits(self, params: Tree, state: Tree, patches: jax.Array) -> jax.Array:
        return self.functional.put_together(params, state, training=False)(self.plain(patches))

    def logits(self, params: Tree, state: Tree, patches: np.ndarray) -> np.ndarray:
        """What the network says of patches, as `Ground.fixed` gives them: float32 [N, K]."""
        results = [np.zeros((0, self.classes), np.float32)]
        at_once = _VECTORS_AT_ONCE if self.frozen else _AT_ONCE
        for first in range(0, len(patches), at_once):
            portion = patches[first : first + at_once]
            lacking = at_once - len(portion)
            padded = np.concatenate([portion, np.repeat(portion[-1:], lacking, axis=0)])
            said = self._logits(params, state, jnp.asarray(padded))
            results.append(np.asarray(said)[: len(portion)])
        return np.concatenate(results)

    def of_images(
        self, params: Tree, state: Tree, ground: Ground, which: np.ndarray, count: int
    ) -> np.ndarray:
        """Logits of images, of the mean probability over `count` patches each: float64 [N, K]."""
        said = self.logits(params, state, ground.fixed(which, count))
        mean = softmax(said).reshape(len(which), count, self.classes).mean(axis=1)
        return said.reshape(len(which), self.classes) if count == 1 else np.log(mean + 1e-12)
