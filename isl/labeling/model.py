"""A model: one folder that holds all that predicting needs.

`weights.safetensors` (arrays by their path in the network), `model.toml` (what the network is, its
labels and its input contract, and the hashes of the other files) and `card.md` (what it was trained
on, how well it does, and what it must not be used for). Loading one executes nothing.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.backbones.networks import Compute
from isl.backbones.over_devices import over_devices
from isl.config import Config
from isl.imaging.image import Movie, ZStack
from isl.labeling import bins
from isl.labeling.autoencoding import PlaneLoss, plane_loss
from isl.labeling.familiarity import Familiarity, statistic_names
from isl.labeling.network import ArchitectureConfig, LabelingNetwork, abstract_network
from isl.model_folder import (
    WEIGHTS_FILE,
    FolderConfig,
    check_folder,
    fill,
    model_directory,
    read_folder_config,
    read_weights,
    save_folder,
)
from isl.tiling.geometry import Geometry


class InputContract(Config):
    """What the network was trained on, and so expects; None where it is not known.

    Attributes:
        planes: Z, the number of planes.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
        pixel_size: Micrometres.
        z_step: Micrometres between planes.
        normalization: "auto" or "off", see `isl.imaging.normalize`.
    """

    planes: int = pydantic.Field(ge=1)
    modality: str | None = None
    pixel_size: float | None = pydantic.Field(default=None, gt=0)
    z_step: float | None = pydantic.Field(default=None, gt=0)
    normalization: Literal["auto", "off"] = "auto"


class LabelStatistics(Config):
    """Mean and deviation of a label's training intensities, in [0, 1], where it was measured."""

    mean: float
    standard_deviation: float


Temperature = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class ModelConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        labels: What it predicts.
        autoencode: Whether it holds heads for the input planes as well.
        architecture: What its body is.
        input: What it expects.
        label_statistics: By label, for re-normalization; may be empty.
        temperature: By label, what its logits are divided by; labels not named have 1. Above 1,
            distributions are wider than the network gives them (`isl calibrate` fits it).
        familiarity: What its training ground looks like; None: it does not say.
        trained_on: Groups (wells, embryos, patients) that it learned from, those of the model it
            started from included; None: it does not say.
        chosen_on: Groups that chose which of its weights were kept, or fitted its temperatures.
    """

    kind: Literal["labeling"] = "labeling"  # pyright: ignore[reportIncompatibleVariableOverride]
    labels: tuple[str, ...]
    autoencode: bool = False
    architecture: ArchitectureConfig
    input: InputContract
    label_statistics: Mapping[str, LabelStatistics] = pydantic.Field(default_factory=dict)
    temperature: Mapping[str, Temperature] = pydantic.Field(default_factory=dict)
    familiarity: Familiarity | None = None
    trained_on: tuple[str, ...] | None = None
    chosen_on: tuple[str, ...] = ()

    @property
    def architectures(self) -> tuple[ArchitectureConfig, ...]:
        """Of all networks that predict together: this one's."""
        return (self.architecture,)

    @pydantic.model_validator(mode="after")
    def _temperatures_are_of_labels(self) -> "ModelConfig":
        for label in self.temperature:
            if label not in self.labels:
                raise ValueError(f"temperature is given for '{label}', which is no label")
        return self

    @pydantic.model_validator(mode="after")
    def _familiarity_is_of_its_planes(self) -> "ModelConfig":
        names = statistic_names(self.input.planes)
        if self.familiarity is not None and tuple(self.familiarity.statistics) != names:
            raise ValueError(f"familiarity.statistics are not those of {self.input.planes} planes")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A loaded model.

    Attributes:
        config: What its `model.toml` says.
        card: Its card, in Markdown.
        directory: Its folder.
        network: The network in evaluation mode.
    """

    config: ModelConfig
    card: str
    directory: Path
    network: LabelingNetwork

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

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
        """sha256 of its weights; of a model with temperatures, of these and the weights' sha256."""
        weights = self.config.sha256[WEIGHTS_FILE]
        if not self.config.temperature:
            return weights
        temperatures = sorted(self.config.temperature.items())
        return hashlib.sha256(json.dumps([weights, temperatures]).encode()).hexdigest()

    def statistics(
        self, batch: jax.Array | np.ndarray, labels: tuple[str, ...], names: tuple[str, ...]
    ) -> dict[str, jax.Array]:
        """Statistics of every pixel's distributions.

        Args:
            batch: float32 [B, Y, X, Z] in [0, 1]; Y and X fit the geometry.
            labels: Which labels, in which order.
            names: Which of those of `isl.labeling.bins`.

        Returns:
            For every name float32 [B, y, x, L].
        """
        graph, state = self.parts
        temperatures = self.temperatures(labels)
        return _statistics(graph, state, jnp.asarray(batch), temperatures, labels, names)

    def logits(self, batch: jax.Array | np.ndarray, labels: tuple[str, ...]) -> jax.Array:
        """The distributions themselves: float32 [B, Y, X, Z] to logits [B, y, x, L, 256].

        They are divided by the labels' temperatures, as for `statistics`.
        """
        graph, state = self.parts
        return _logits(graph, state, jnp.asarray(batch), self.temperatures(labels), labels)

    def embed(self, batch: jax.Array | np.ndarray) -> jax.Array:
        """What the heads read: float32 [B, Y, X, Z] to [B, y, x, D]."""
        return _embed(*self.parts, jnp.asarray(batch))

    def predict(self, stack: ZStack | Movie, **options: Any) -> Any:
        """See `isl.labeling.predict.predict`, which takes the same options."""
        from isl.labeling.predict import predict

        return predict(self, stack, **options)

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


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _statistics(
    graph: nnx.GraphDef[LabelingNetwork],
    state: nnx.State,
    batch: jax.Array,
    temperatures: jax.Array | np.ndarray,
    labels: tuple[str, ...],
    names: tuple[str, ...],
) -> dict[str, jax.Array]:
    network = nnx.merge(graph, state)

    def of_rows(rows: jax.Array) -> dict[str, jax.Array]:
        logits = network.label_logits(rows, labels)
        return bins.statistics(at_temperatures(temperatures, logits), names)

    def of_tiles(tiles: jax.Array) -> dict[str, jax.Array]:
        return by_rows(of_rows, network.embed(tiles), len(labels))

    return over_devices(of_tiles, batch)


def by_rows(
    of_rows: Callable[[Any], dict[str, jax.Array]], embedding: Any, labels: int
) -> dict[str, jax.Array]:
    """Statistics of a few rows of pixels at a time: so their logits never leave the cache.

    Args:
        of_rows: From embeddings [..., x, D] to float32 [..., x, L] for every name.
        embedding: [B, y, x, D], or several of these in a tuple.
        labels: L; logits are 256 numbers a pixel and label.

    Returns:
        For every name float32 [B, y, x, L].
    """
    shape = jax.tree.leaves(embedding)[0].shape[:3]
    rows = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), embedding)
    at_once = max(1, _logits_at_once() // (shape[2] * labels * bins.BINS))
    found = jax.lax.map(of_rows, rows, batch_size=min(at_once, shape[0] * shape[1]))
    return {name: values.reshape(*shape, labels) for name, values in found.items()}


def _logits_at_once() -> int:
    """How many logits to hold at a time: a processor's cache, or a share of a GPU's memory."""
    return 2**20 if jax.default_backend() == "cpu" else 2**27


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


def at_temperatures(temperatures: jax.Array | np.ndarray, logits: jax.Array) -> jax.Array:
    """Logits [..., L, 256] divided by the temperatures [L] of their labels."""
    return logits / temperatures.reshape(*(1,) * (logits.ndim - 2), -1, 1)


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
    card = check_folder(directory, config)
    network = network_of(config)
    fill(network, read_weights(directory / WEIGHTS_FILE), source=str(directory / WEIGHTS_FILE))
    network.eval()
    return Model(config=config, card=card, directory=directory, network=network)


def read_model_config(directory: Path) -> ModelConfig:
    """What a model folder's `model.toml` says; no weights are read."""
    return read_folder_config(directory, ModelConfig)


def network_of(config: ModelConfig, compute: Compute | None = None) -> LabelingNetwork:
    """The network that a configuration describes, with shapes in place of arrays."""
    return abstract_network(
        config.architecture,
        planes=config.input.planes,
        labels=config.labels,
        autoencode=config.autoencode,
        compute=compute,
    )
