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
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.labeling import bins
from isl.labeling.autoencoding import PlaneLoss
from isl.labeling.distributions import at_temperatures, by_rows
from isl.labeling.model_config import ModelConfig
from isl.labeling.network import LabelingNetwork
from isl.labeling.options import Options
from isl.tiling.geometry import Geometry, joint_geometry
from isl.tiling.symmetries import IDENTITY, SYMMETRIES, Symmetry

_IMAGE_AXES = (1, 2)


class Member(Protocol):
    """One network, as a mixture sees it (`isl.labeling.model.Model`)."""

    @property
    def config(self) -> ModelConfig:
        """What its folder says."""
        ...

    @property
    def card(self) -> str:
        """Its card, Markdown."""
        ...

    @property
    def hash(self) -> str:
        """Of its weights."""
        ...

    @property
    def geometry(self) -> Geometry:
        """Sizes of its network."""
        ...

    @functools.cached_property
    def parts(self) -> tuple[nnx.GraphDef[LabelingNetwork], nnx.State]:
        """The network as compiled programs take it."""
        ...

    @functools.cached_property
    def plane_loss(self) -> PlaneLoss | None:
        """How well its autoencoding heads know an image; None: it has none."""
        ...

    def temperatures(self, labels: tuple[str, ...]) -> np.ndarray:
        """float32 [L], what the labels' logits are divided by."""
        ...

    def embed(self, batch: jax.Array | np.ndarray) -> jax.Array:
        """What the heads read: float32 [B, Y, X, Z] to [B, y, x, D]."""
        ...


class Distributions(Protocol):
    """What gives the distributions of tiles: a model, several, or a mixture of views."""

    @property
    def geometry(self) -> Geometry:
        """Sizes of the patches that it can see."""
        ...

    def statistics(
        self,
        batch: jax.Array | np.ndarray,
        labels: tuple[str, ...],
        names: tuple[str, ...],
        shares: np.ndarray | None = None,
    ) -> dict[str, jax.Array]:
        """For every name float32 [B, y, x, L]; see `isl.labeling.model.Model`."""
        ...

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """Logits [B, y, x, L, 256]."""
        ...


class AnyModel(Distributions, Protocol):
    """A loaded model, or several that predict as one."""

    @property
    def config(self) -> ModelConfig:
        """What it expects and predicts."""
        ...

    @property
    def name(self) -> str:
        """Its name, or its members' names."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """What it predicts."""
        ...

    @property
    def hash(self) -> str:
        """What tells it from other models."""
        ...

    @property
    def geometry(self) -> Geometry:
        """Sizes of the patches that it can see."""
        ...

    @property
    def members(self) -> tuple[Member, ...]:
        """The networks."""
        ...

    @functools.cached_property
    def exact(self) -> Self:
        """The same, giving what separate smallest patches do."""
        ...


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

    members: tuple[Member, ...]
    geometry: Geometry
    symmetries: tuple[Symmetry, ...] = (IDENTITY,)
    size: tuple[int, int] | None = None

    def statistics(
        self,
        batch: jax.Array | np.ndarray,
        labels: tuple[str, ...],
        names: tuple[str, ...],
        shares: np.ndarray | None = None,
    ) -> dict[str, jax.Array]:
        """Of the mean distribution; a tile's output begins at a multiple of the geometry's step."""
        drawn = None if shares is None else jnp.asarray(shares)
        return _statistics(*self._seen(batch, labels), drawn, labels, names)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """As `isl.labeling.model.Model.logits`: logarithms of the mean distribution."""
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


def predictor(model: AnyModel, options: Options, size: tuple[int, int]) -> Distributions:
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
        members=model.members,
        geometry=joint_geometry(
            [architecture.geometry for architecture in model.config.architectures], turned=True
        ),
        symmetries=tuple(SYMMETRIES.values()),
        size=size,
    )


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _statistics(
    views: tuple[_View, ...],
    seen: tuple[Any, ...],
    shares: jax.Array | None,
    labels: tuple[str, ...],
    names: tuple[str, ...],
) -> dict[str, jax.Array]:
    mean = _mean_distribution(views, seen, labels)
    embeddings = tuple(embedding for _, _, embedding in seen)

    def of_rows(given: tuple[tuple[jax.Array, ...], jax.Array | None]) -> dict[str, jax.Array]:
        rows, drawn = given
        return bins.statistics_of(mean(rows), names, drawn)

    return by_rows(of_rows, (embeddings, shares), len(labels))


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
