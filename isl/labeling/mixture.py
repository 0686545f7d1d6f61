"""Distributions averaged: of several models, of the eight turned images, or of both.

The mean of distributions is again one, from which every statistic is taken; a mean of medians would
be the median of nothing, and would say nothing of how sure the members are together.

A turned image is predicted as if it were the input: the network's grid begins at its own first
pixel. So the mixture over all symmetries is exactly as symmetric as arithmetic allows: the
prediction of a turned image is the turned prediction, whatever the image's size. The grids of a
flipped image and of the image as it is do not meet where a size is no multiple of the step, nor do
those of networks of different steps; tiles therefore read a little more than any one network sees
(`isl.tiling.geometry.joint_geometry`), and each network takes the window that fits its grid.

Probabilities of a tile would be 256 numbers a pixel and label. What is kept of every member is the
embedding that its heads read; distributions exist for a few rows at a time.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.errors import InputError
from isl.imaging.image import Movie, ZStack
from isl.labeling import bins
from isl.labeling.model import (
    LabelStatistics,
    Model,
    ModelConfig,
    at_temperatures,
    by_rows,
    load_model,
    read_model_config,
)
from isl.labeling.network import ArchitectureConfig, LabelingNetwork
from isl.labeling.options import Options
from isl.model_folder import bundled_models, model_directory
from isl.tiling.geometry import Geometry, joint_geometry
from isl.tiling.symmetries import IDENTITY, SYMMETRIES, Symmetry

_IMAGE_AXES = (1, 2)


class EnsembleConfig(ModelConfig):
    """What several models together expect and predict.

    Attributes:
        members: What each of them says.
    """

    members: tuple[ModelConfig, ...]

    @property
    def architectures(self) -> tuple[ArchitectureConfig, ...]:
        """Of all members."""
        return tuple(member.architecture for member in self.members)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """Several models whose distributions are averaged; it predicts as one model does.

    Attributes:
        config: What they expect together.
        members: The models.
    """

    config: EnsembleConfig
    members: tuple[Model, ...]

    @property
    def name(self) -> str:
        """The models' names."""
        return self.config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """What it predicts."""
        return self.config.labels

    @property
    def geometry(self) -> Geometry:
        """Sizes of the patches that all its networks can see."""
        return joint_geometry([member.geometry for member in self.members])

    @property
    def hash(self) -> str:
        """sha256 of its members' hashes, in their order."""
        return hashlib.sha256(json.dumps([m.hash for m in self.members]).encode()).hexdigest()

    def statistics(
        self, batch: jax.Array | np.ndarray, labels: tuple[str, ...], names: tuple[str, ...]
    ) -> dict[str, jax.Array]:
        """As `Model.statistics`, of the mean of the members' distributions."""
        return self._mixture.statistics(batch, labels, names)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """As `Model.logits`: logarithms of the mean of the members' distributions."""
        return self._mixture.logits(batch, labels)

    def predict(self, stack: ZStack | Movie, **options: Any) -> Any:
        """See `isl.labeling.predict.predict`, which takes the same options."""
        from isl.labeling.predict import predict

        return predict(self, stack, **options)

    @functools.cached_property
    def exact(self) -> "Ensemble":
        """As `Model.exact`."""
        return dataclasses.replace(self, members=tuple(member.exact for member in self.members))

    @property
    def _mixture(self) -> "Mixture":
        return Mixture(members=self.members, geometry=self.geometry)


AnyModel = Model | Ensemble


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """The mean of the distributions of all models for all symmetries of an image.

    Attributes:
        members: The models.
        geometry: Of the tiles; see `joint_geometry`.
        symmetries: How the image is turned.
        size: Y, X of the whole output, which says where a turned image's grid begins; None if the
            image is not turned.
    """

    members: tuple[Model, ...]
    geometry: Geometry
    symmetries: tuple[Symmetry, ...] = (IDENTITY,)
    size: tuple[int, int] | None = None

    def statistics(
        self, batch: jax.Array | np.ndarray, labels: tuple[str, ...], names: tuple[str, ...]
    ) -> dict[str, jax.Array]:
        """As `Model.statistics`; a tile's output begins at a multiple of the geometry's step."""
        return _statistics(*self._seen(batch, labels), labels, names)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """As `Model.logits`: logarithms of the mean distribution."""
        return _logits(*self._seen(batch, labels), labels)

    def _seen(
        self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]
    ) -> tuple[tuple["_View", ...], tuple[Any, ...]]:
        """What is the same for all tiles, and of every view its state, temperatures, embedding."""
        patches = np.asarray(batch)
        views, seen = [], []
        for member in self.members:
            graph, state = member.parts
            for symmetry in self.symmetries:
                windows = tuple(
                    self._window(member.geometry, axis, patches.shape[1 + axis], reverse)
                    for axis, reverse in enumerate(symmetry[:2])
                )
                view = _View(graph=graph, symmetry=symmetry, windows=windows)
                # One after another: together they would need as many times the memory.
                embedding = _turned_back(view, member.embed(view.cut(patches)))
                views.append(view)
                seen.append((state, member.temperatures(labels), embedding))
        return tuple(views), tuple(seen)

    def _window(self, geometry: Geometry, axis: int, width: int, reverse: bool) -> "_Window":
        """The part of a patch's rows or columns that a network sees."""
        output = width - 2 * self.geometry.margin
        ahead = 0
        if reverse and self.size is not None:
            # Of the reversed image, pixels from where its grid has a line.
            ahead = (self.size[axis] - output) % geometry.step
        return _Window(
            first=self.geometry.margin - ahead - geometry.margin,
            width=geometry.input_size(output + ahead),
            ahead=ahead,
            output=output,
        )


class _Window(NamedTuple):
    """Rows or columns of a patch, counted in the direction that a network sees them in.

    Attributes:
        first: The first that it sees.
        width: How many.
        ahead: Of its results, the first that is used.
        output: How many are.
    """

    first: int
    width: int
    ahead: int
    output: int


class _View(NamedTuple):
    """How one network sees a patch.

    Attributes:
        graph: The network, without its weights.
        symmetry: How the patch is turned.
        windows: Of its rows and columns, once reversed.
    """

    graph: nnx.GraphDef[LabelingNetwork]
    symmetry: Symmetry
    windows: tuple[_Window, ...]

    def cut(self, patches: np.ndarray) -> np.ndarray:
        """From [B, Y, X, Z] what the network sees."""
        reverse, swap = self.symmetry.parts
        rows, columns = (slice(part.first, part.first + part.width) for part in self.windows)
        return swap.apply(reverse.apply(patches, _IMAGE_AXES)[:, rows, columns], _IMAGE_AXES)

    def back(self, embedding: jax.Array) -> jax.Array:
        """From what the network made of that [B, ., ., D], turned back: [B, y, x, D]."""
        reverse, swap = self.symmetry.parts
        rows, columns = (slice(part.ahead, part.ahead + part.output) for part in self.windows)
        return reverse.undo(swap.undo(embedding, _IMAGE_AXES)[:, rows, columns], _IMAGE_AXES)


def predictor(model: AnyModel, options: Options, size: tuple[int, int]) -> AnyModel | Mixture:
    """What gives the statistics of an image's tiles.

    Args:
        model: A loaded model, or several.
        options: What was asked for.
        size: Y, X of the whole output.
    """
    if options.stitch == "exact":
        return model.exact
    if not options.symmetries:
        return model
    return Mixture(
        members=model.members if isinstance(model, Ensemble) else (model,),
        geometry=joint_geometry(
            [architecture.geometry for architecture in model.config.architectures], turned=True
        ),
        symmetries=tuple(SYMMETRIES.values()),
        size=size,
    )


def load_models(names: str | Path | Sequence[str | Path]) -> AnyModel:
    """One model, or several to be averaged.

    Args:
        names: A name or folder, several of them, or several separated by commas.

    Raises:
        InputError: One cannot be loaded, or they do not go together.
    """
    found = model_names(names)
    if len(found) == 1:
        return load_model(found[0])
    return ensemble([load_model(name) for name in found])


def read_models_config(names: str | Path | Sequence[str | Path]) -> ModelConfig:
    """What `load_models` would have as its configuration; no weights are read."""
    found = model_names(names)
    configs = [read_model_config(model_directory(name)) for name in found]
    return configs[0] if len(configs) == 1 else joined(configs)


def ensemble(members: Sequence[Model]) -> Ensemble:
    """Models that are to be averaged.

    Raises:
        InputError: They do not predict the same labels from the same input.
    """
    config = joined([member.config for member in members])
    return Ensemble(config=config, members=tuple(members))


def model_names(names: str | Path | Sequence[str | Path]) -> tuple[str | Path, ...]:
    """The models named, in order; a folder may have a comma in its name.

    Raises:
        InputError: Nothing is named, or one model twice.
    """
    if not isinstance(names, str | Path):
        found = tuple(names)
    elif isinstance(names, Path) or names in bundled_models() or Path(names).is_dir():
        found = (names,)
    else:
        found = tuple(part.strip() for part in names.split(",") if part.strip())
    if not found:
        raise InputError(f"`model` '{names}': names no model")
    directories = [model_directory(name).resolve() for name in found]
    for name, directory in zip(found, directories, strict=True):
        if directories.count(directory) > 1:
            raise InputError(f"`model={names}`: names '{name}' twice")
    return found


def joined(configs: Sequence[ModelConfig]) -> EnsembleConfig:
    """What several models expect and predict together.

    Labels are in the first one's order; statistics of training labels are kept where all agree, and
    a group that any of them saw was seen. What training ground looks like is each member's own.

    Raises:
        InputError: They do not predict the same labels from the same input.
    """
    first = configs[0]
    for other in configs[1:]:
        if set(other.labels) != set(first.labels):
            raise InputError(
                f"models '{first.name}' and '{other.name}' cannot be averaged: they predict "
                f"{', '.join(first.labels)} and {', '.join(other.labels)}"
            )
        if other.input != first.input:
            key = next(
                key
                for key in type(first.input).model_fields
                if getattr(first.input, key) != getattr(other.input, key)
            )
            raise InputError(
                f"models '{first.name}' and '{other.name}' cannot be averaged: they expect another "
                f"{key}, {getattr(first.input, key)} and {getattr(other.input, key)}"
            )
    agreed: dict[str, LabelStatistics] = {
        label: known
        for label, known in first.label_statistics.items()
        if all(config.label_statistics.get(label) == known for config in configs)
    }
    trained = [config.trained_on for config in configs]
    return EnsembleConfig(
        name=",".join(config.name for config in configs),
        labels=first.labels,
        architecture=first.architecture,
        input=first.input,
        label_statistics=agreed,
        trained_on=None
        if None in trained
        else tuple(sorted({g for t in trained for g in t or ()})),
        chosen_on=tuple(sorted({group for config in configs for group in config.chosen_on})),
        members=tuple(configs),
    )


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _statistics(
    views: tuple[_View, ...], seen: tuple[Any, ...], labels: tuple[str, ...], names: tuple[str, ...]
) -> dict[str, jax.Array]:
    mean = _mean_distribution(views, seen, labels)
    embeddings = tuple(embedding for _, _, embedding in seen)
    return by_rows(lambda rows: bins.statistics_of(mean(rows), names), embeddings, len(labels))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _logits(views: tuple[_View, ...], seen: tuple[Any, ...], labels: tuple[str, ...]) -> jax.Array:
    embeddings = tuple(embedding for _, _, embedding in seen)
    mean = _mean_distribution(views, seen, labels)(embeddings)
    # Where every member says 0, the logarithm of the smallest number there is.
    return jnp.log(jnp.maximum(mean, jnp.finfo(mean.dtype).tiny))


@functools.partial(jax.jit, static_argnums=0)
def _turned_back(view: _View, embedding: jax.Array) -> jax.Array:
    return view.back(embedding)


def _mean_distribution(
    views: tuple[_View, ...], seen: tuple[Any, ...], labels: tuple[str, ...]
) -> Callable[[tuple[jax.Array, ...]], jax.Array]:
    """From every view's embedding [..., D] to the mean of their probabilities [..., L, 256]."""
    networks = [nnx.merge(v.graph, state) for v, (state, _, _) in zip(views, seen, strict=True)]

    def mean(embeddings: tuple[jax.Array, ...]) -> jax.Array:
        total = jnp.zeros((), jnp.float32)
        for network, (_, temperatures, _), rows in zip(networks, seen, embeddings, strict=True):
            logits = at_temperatures(temperatures, network.label_logits(rows, labels))
            total = total + jax.nn.softmax(logits.astype(jnp.float32))
        return total / len(views)

    return mean
