"""Learning to know images again: SimCLR, contrastive clustering, SimTriplet."""

import jax
import jax.numpy as jnp

from ..parameters import Functional
from ..task import Batch, Tree
from .config import ColonyExperiment
from .ground import Judge
from .losses import cluster_contrast, normalized_contrast, triplet_similarity


class Contrast:
    """The heads that vectors are compared by, and what is minimized."""

    def __init__(self, experiment: ColonyExperiment, judge: Judge) -> None:
        """Heads for the vectors of a network."""
        self._experiment = experiment
        self._judge = judge

    def initial(self, key: jax.Array) -> Tree:
        """Fresh heads: a projector, and what the method needs beside it."""
        depth = self._judge.network.depth
        wide = self._experiment.pretraining.projection
        sizes = {"projector": (depth, depth, wide)}
        if self._experiment.method == "clustering":
            sizes["clusters"] = (depth, depth, self._judge.classes)
        if self._experiment.method == "simtriplet":
            sizes["predictor"] = (wide, max(wide // 4, 2), wide)
        keys = jax.random.split(key, len(sizes))
        return {
            name: _layers(key, size) for (name, size), key in zip(sizes.items(), keys, strict=True)
        }

    def loss(
        self, params: Tree, state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Tree]:
        """The method's loss of a batch, and the new batch statistics."""
        method = self._experiment.method
        first, second = jax.random.split(key)
        judge = self._judge
        views = [judge.augmented(batch["patch"], key) for key in (first, second)]
        if method == "simtriplet":
            views.append(judge.augmented(batch["neighbour"], first))
        network = judge.functional.put_together(params["network"], state, training=not judge.frozen)
        vectors = jnp.split(network.vector(jnp.concatenate(views)), len(views))
        state = Functional.take_apart(network)[1]
        heads = params["heads"]
        projected = [_through(heads["projector"], vector) for vector in vectors]
        temperature = self._experiment.pretraining.temperature
        if method == "simtriplet":
            anchor, view, neighbour = (
                jnp.stack([_through(heads["predictor"], vector), vector]) for vector in projected
            )
            return triplet_similarity(anchor, neighbour, view), state
        value = normalized_contrast(projected[0], projected[1], temperature)
        if method == "clustering":
            shares = [jax.nn.softmax(_through(heads["clusters"], vector)) for vector in vectors]
            value = value + cluster_contrast(shares[0], shares[1])
        return value, state


def _layers(key: jax.Array, sizes: tuple[int, int, int]) -> Tree:
    first, second = jax.random.split(key)
    return {
        "first": jax.random.normal(first, sizes[:2]) * (2 / sizes[0]) ** 0.5,
        "bias": jnp.zeros(sizes[1]),
        "second": jax.random.normal(second, sizes[1:]) * (1 / sizes[1]) ** 0.5,
    }


def _through(head: Tree, vectors: jax.Array) -> jax.Array:
    """Vectors [B, D] through two layers with a relu between."""
    hidden = vectors @ head["first"]
    return jax.nn.relu(hidden + jnp.broadcast_to(head["bias"], hidden.shape)) @ head["second"]
