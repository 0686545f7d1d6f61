"""A model: one folder that holds all that predicting needs.

`weights.safetensors` (arrays by their path in the network), `model.toml` (what the network is, its
labels and its input contract, and the hashes of the other files) and `card.md` (what it was trained
on, how well it does, and what it must not be used for). Loading one executes nothing.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.over_devices import over_devices
from isl.errors import InputError
from isl.imaging.image import Movie, ZStack
from isl.labeling import bins
from isl.labeling.autoencoding import PlaneLoss, plane_loss
from isl.labeling.distributions import at_temperatures, by_rows
from isl.labeling.mixture import AnyModel, Mixture
from isl.labeling.model_config import (
    EnsembleConfig,
    ModelConfig,
    joined,
    network_of,
    read_model_config,
)
from isl.labeling.network import LabelingNetwork
from isl.labeling.options import Asked
from isl.labeling.predict import Prediction, predict
from isl.model_folder import (
    WEIGHTS_FILE,
    LoadedModel,
    bundled_models,
    fill_from,
    model_directory,
    save_folder,
)
from isl.tiling.geometry import Geometry, joint_geometry
from isl.tiling.stream import Progress


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model(LoadedModel[ModelConfig]):
    """A loaded model.

    Attributes:
        network: The network in evaluation mode.
    """

    network: LabelingNetwork

    @property
    def labels(self) -> tuple[str, ...]:
        """What it predicts."""
        return self.config.labels

    @property
    def geometry(self) -> Geometry:
        """Sizes of its network."""
        return self.network.geometry

    @property
    def hash(self) -> str:
        """sha256 of its weights; with temperatures or scales, of these and the weights' sha256."""
        config, weights = self.config, self.config.sha256[WEIGHTS_FILE]
        if not (config.temperature or config.label_scale):
            return weights
        parts: list[Any] = [weights, sorted(config.temperature.items())]
        if config.label_scale:
            scales = config.label_scale.items()
            parts.append(sorted((label, scale.low, scale.high) for label, scale in scales))
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def members(self) -> tuple["Model", ...]:
        """Itself, as an ensemble of one."""
        return (self,)

    def statistics(
        self,
        batch: jax.Array | np.ndarray,
        labels: tuple[str, ...],
        names: tuple[str, ...],
        shares: np.ndarray | None = None,
    ) -> dict[str, jax.Array]:
        """Statistics of every pixel's distributions.

        Args:
            batch: float32 [B, Y, X, Z] in [0, 1]; Y and X fit the geometry.
            labels: Which labels, in which order.
            names: Which of those of `isl.labeling.bins`.
            shares: float32 [B, y, x, L], which quantile of each distribution `sample` shows.

        Returns:
            For every name float32 [B, y, x, L].
        """
        graph, state = self.parts
        temperatures = self.temperatures(labels)
        drawn = None if shares is None else jnp.asarray(shares)
        return _statistics(graph, state, jnp.asarray(batch), temperatures, drawn, labels, names)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """The distributions themselves: float32 [B, Y, X, Z] to logits [B, y, x, L, 256].

        They are divided by the labels' temperatures, as for `statistics`.
        """
        graph, state = self.parts
        return _logits(graph, state, jnp.asarray(batch), self.temperatures(labels), labels)

    def embed(self, batch: jax.Array | np.ndarray) -> jax.Array:
        """What the heads read: float32 [B, Y, X, Z] to [B, y, x, D]."""
        return _embed(*self.parts, jnp.asarray(batch))

    def predict(
        self,
        stack: ZStack | Movie | np.ndarray | str | Path,
        *,
        axes: str | None = None,
        channel: str | None = None,
        pixel_size: float | None = None,
        z_step: float | None = None,
        modality: str | None = None,
        progress: Progress | None = None,
        **asked: Unpack[Asked],
    ) -> Prediction:
        """See `isl.labeling.predict.predict`, which takes the same options."""
        said = {"axes": axes, "channel": channel, "z_step": z_step, "modality": modality}
        return predict(self, stack, pixel_size=pixel_size, progress=progress, **said, **asked)

    def temperatures(self, labels: tuple[str, ...]) -> np.ndarray:
        """float32 [L], those of the labels asked for."""
        return np.array([self.config.temperature.get(label, 1.0) for label in labels], np.float32)

    @functools.cached_property
    def exact(self) -> "Model":
        """The same, giving what separate smallest patches do (`isl.labeling.exact`)."""
        return dataclasses.replace(self, network=self.network.exactly())

    @functools.cached_property
    def plane_loss(self) -> PlaneLoss | None:
        """How well its autoencoding heads know an image; None: it has none."""
        return plane_loss(self.network)

    @functools.cached_property
    def parts(self) -> tuple[nnx.GraphDef[LabelingNetwork], nnx.State]:
        """The network as compiled programs take it."""
        graph, state = nnx.split(self.network)
        return graph, state


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
        self,
        batch: jax.Array | np.ndarray,
        labels: tuple[str, ...],
        names: tuple[str, ...],
        shares: np.ndarray | None = None,
    ) -> dict[str, jax.Array]:
        """As `Model.statistics`, of the mean of the members' distributions."""
        return self._mixture.statistics(batch, labels, names, shares)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """As `Model.logits`: logarithms of the mean of the members' distributions."""
        return self._mixture.logits(batch, labels)

    predict = predict

    @functools.cached_property
    def exact(self) -> "Ensemble":
        """As `Model.exact`."""
        return dataclasses.replace(self, members=tuple(member.exact for member in self.members))

    @property
    def _mixture(self) -> "Mixture":
        return Mixture(members=self.members, geometry=self.geometry)


def save_model(
    directory: Path,
    network: LabelingNetwork,
    config: ModelConfig,
    card: str,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a model folder, whole or not at all; see `isl.model_folder.save_folder`."""
    save_folder(directory, network, config, card, overwrite=overwrite)


def load_model(name_or_directory: str | Path) -> Model:
    """Loads a bundled model by its name, or a model folder.

    Raises:
        InputError: There is none, or one of its files is missing, damaged or of another network.
    """
    directory = model_directory(name_or_directory)
    config = read_model_config(directory)
    network = network_of(config)
    card = fill_from(directory, config, network)
    network.eval()
    return Model(config=config, card=card, directory=directory, network=network)


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


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def _statistics(
    graph: nnx.GraphDef[LabelingNetwork],
    state: nnx.State,
    batch: jax.Array,
    temperatures: jax.Array | np.ndarray,
    shares: jax.Array | None,
    labels: tuple[str, ...],
    names: tuple[str, ...],
) -> dict[str, jax.Array]:
    network = nnx.merge(graph, state)

    def of_rows(seen: tuple[jax.Array, jax.Array | None]) -> dict[str, jax.Array]:
        rows, drawn = seen
        logits = network.label_logits(rows, labels)
        return bins.statistics(at_temperatures(temperatures, logits), names, drawn)

    def of_tiles(given: tuple[jax.Array, jax.Array | None]) -> dict[str, jax.Array]:
        tiles, drawn = given
        return by_rows(of_rows, (network.embed(tiles), drawn), len(labels))

    return over_devices(of_tiles, (batch, shares))


@functools.partial(jax.jit, static_argnums=0)
def _embed(graph: nnx.GraphDef[LabelingNetwork], state: nnx.State, batch: jax.Array) -> jax.Array:
    return over_devices(nnx.merge(graph, state).embed, batch)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _logits(
    graph: nnx.GraphDef[LabelingNetwork],
    state: nnx.State,
    batch: jax.Array,
    temperatures: jax.Array | np.ndarray,
    labels: tuple[str, ...],
) -> jax.Array:
    network = nnx.merge(graph, state)
    return at_temperatures(temperatures, network.label_logits(network.embed(batch), labels))
