"""A viability model: an ensemble of networks, what they are shown, and what they say.

On disk it is a model folder like any other (`isl.model_folder`) of kind "viability"; arrays of
member 2 are named `members/2/...`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx
from scipy.special import expit, stdtrit

from isl.config import Config
from isl.errors import InputError
from isl.model_folder import (
    FolderConfig,
    KernelType,
    LoadedModel,
    fill_from,
    model_directory,
    read_folder_config,
    save_folder,
)
from isl.viability.films import CHANNELS, FilmConfig, KeyFilm, network_input
from isl.viability.frame_features import frame_encoder, sequence_input
from isl.viability.network import (
    FrameSequence,
    FrameSequenceConfig,
    Network,
    NetworkConfig,
    abstract_network,
)

DEFAULT_MODEL = "viability-phantom"
LEVEL = 0.9
PURPOSE = (
    "For research only. This must not be used to choose, transfer, keep or discard an embryo, and "
    "it decides nothing."
)
SIMULATED = (
    "This model was trained on simulated embryos. What it says of a real one means nothing; it is "
    "for demonstrations and tests."
)


class TargetConfig(Config):
    """One thing that a model gives the probability of.

    Attributes:
        name: The column it was learned from, such as "heartbeat".
        temperature: What logits are divided by; for calibration only.
        prevalence: Share of 1 among what it was trained on.
        unwanted: Whether 1 is the worse outcome, such as of "fragmented"; ranks then begin with the
            lowest probability.
    """

    name: str
    temperature: pydantic.PositiveFloat = 1.0
    prevalence: float | None = None
    unwanted: bool = False


class ViabilityConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        targets: What it tells, the main one first.
        film: What becomes of a recording.
        network: What each member is.
        members: How many there are.
        widest: A 90 % interval that is wider means that nothing can be told.
        simulated: Whether it was trained on simulated embryos.
        patients: Whom it was trained on, so that nobody is judged by a model that knew them.
    """

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["viability"] = "viability"  # pyright: ignore[reportIncompatibleVariableOverride]
    targets: tuple[TargetConfig, ...] = pydantic.Field(min_length=1)
    film: FilmConfig
    network: NetworkConfig
    members: int = pydantic.Field(ge=1)
    widest: float = pydantic.Field(default=0.5, gt=0, le=1)
    simulated: bool = False
    patients: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Word:
    """What an ensemble says of one target.

    Attributes:
        target: Its name.
        probability: Of 1; from the members' mean logit, at the temperature.
        low: Lower bound of the 90 % interval; see `word_of`.
        high: Upper bound.
        can_tell: Whether the interval is narrow enough to say anything.
    """

    target: str
    probability: float
    low: float
    high: float
    can_tell: bool


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ViabilityModel(LoadedModel[ViabilityConfig]):
    """A loaded model.

    Attributes:
        members: The networks.
    """

    members: tuple[Network, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """What it tells, the main one first."""
        return tuple(target.name for target in self.config.targets)

    def logits(self, films: Sequence[KeyFilm]) -> np.ndarray:
        """What every member says of every film: the logit of 1, float64 [M, N, targets]."""
        # A film at a time, with one program.
        inputs = np.stack([shown(film, self.config.film, self.config.network) for film in films])
        members = [
            np.concatenate([np.asarray(_logits(*parts, jnp.asarray(x[None]))) for x in inputs])
            for parts in self._parts
        ]
        pairs = np.stack(members).reshape(len(members), len(inputs), -1, 2).astype(np.float64)
        return pairs[..., 1] - pairs[..., 0]

    def words(self, logits: np.ndarray) -> tuple[Word, ...]:
        """What the ensemble says of a film; logits [M, targets] as `logits` gives them."""
        return tuple(
            word_of(logits[:, number], target, self.config.widest)
            for number, target in enumerate(self.config.targets)
        )

    def evidence(self, film: KeyFilm) -> np.ndarray:
        """When and where a film speaks for the main target: float32 [K, Y, X], above 0 for it.

        Maps of the features as the last layer weighs them, or as gradients do where it sees them
        only after the mean over each frame; averaged over members and enlarged to the film's K
        frames. It says where networks looked, not what they saw.
        """
        network = self.config.network
        inputs = jnp.asarray(shown(film, self.config.film, network)[None])
        maps = [np.asarray(_maps(*parts, inputs))[0] for parts in self._parts]
        difference = np.mean([each[..., 1] - each[..., 0] for each in maps], axis=0)
        if isinstance(network, FrameSequenceConfig):
            return self._where_features_are(film, network, difference)
        shape = (self.config.film.count, *film.pictures.shape[1:])
        enlarged = jax.image.resize(jnp.asarray(difference), shape, "linear")
        return np.asarray(enlarged)[: len(film.pictures)]

    def _where_features_are(
        self, film: KeyFilm, network: FrameSequenceConfig, gradients: np.ndarray
    ) -> np.ndarray:
        """The encoder's maps, less training's means, weighed by gradients [T, features]."""
        first = self.members[0]
        assert isinstance(first, FrameSequence)
        usual = np.asarray(first.mean[...])
        total = np.zeros(film.pictures.shape, np.float32)
        channel = 0
        encoder = frame_encoder(network.encoder, network.side)
        for level in encoder.maps(film.pictures):
            own = slice(channel, channel + level.shape[-1])
            channel = own.stop
            weighed = np.einsum("kyxd,kd->kyx", level - usual[own], gradients[: len(level), own])
            total += np.asarray(jax.image.resize(jnp.asarray(weighed), total.shape, "linear"))
        return total

    @functools.cached_property
    def _parts(self) -> list[tuple[Any, Any]]:
        split: list[Any] = [nnx.split(member) for member in self.members]
        return split


def shown(film: KeyFilm, config: FilmConfig, network: NetworkConfig) -> np.ndarray:
    """What a network takes of a film: pictures float32 [T, Y, X, C], or features [T, D + 1]."""
    if isinstance(network, FrameSequenceConfig):
        encoder = frame_encoder(network.encoder, network.side)
        features = encoder.features(film.pictures)
        return sequence_input(features, film.hours, config.count)
    return network_input(film, config)


def word_of(logits: np.ndarray, target: TargetConfig, widest: float) -> Word:
    """What members together say of one target.

    The interval is that in which the probability of one more member, trained alike, would be
    expected (Student's t of the members' logits). With one member there is none, and nothing can
    be told.

    Args:
        logits: float [M].
        target: Whose temperature counts.
        widest: See `ViabilityConfig`.
    """
    count = len(logits)
    scaled = logits / target.temperature
    middle = float(scaled.mean())
    low, high = 0.0, 1.0
    if count > 1:
        reach = stdtrit(count - 1, (1 + LEVEL) / 2) * scaled.std(ddof=1)
        reach *= np.sqrt(1 + 1 / count)
        low, high = float(expit(middle - reach)), float(expit(middle + reach))
    return Word(
        target=target.name,
        probability=float(expit(middle)),
        low=low,
        high=high,
        can_tell=high - low <= widest,
    )


def save_viability_model(
    directory: Path,
    members: Sequence[Network],
    config: ViabilityConfig,
    card: str,
    *,
    overwrite: bool = False,
    kernels: KernelType = "float32",
) -> None:
    """Writes a model folder, whole or not at all; see `isl.model_folder.save_folder`."""
    save_folder(directory, Ensemble(members), config, card, overwrite=overwrite, kernels=kernels)


def load_viability_model(name_or_directory: str | Path = DEFAULT_MODEL) -> ViabilityModel:
    """Loads a bundled model by its name, or a model folder.

    Raises:
        InputError: There is none, it is no viability model, or a file is missing or damaged.
    """
    directory = model_directory(name_or_directory)
    config = read_folder_config(directory, ViabilityConfig)
    outputs = 2 * len(config.targets)
    ensemble = Ensemble(
        [abstract_network(config.network, len(CHANNELS), outputs) for _ in range(config.members)]
    )
    card = fill_from(directory, config, ensemble)
    return ViabilityModel(
        config=config, card=card, directory=directory, members=tuple(ensemble.members)
    )


class Ensemble(nnx.Module):
    """Networks side by side, as they are stored."""

    def __init__(self, members: Sequence[Network]) -> None:
        """Keeps the members, in order."""
        self.members = nnx.List(members)


def check_apart(model: ViabilityModel, patients: Sequence[str]) -> None:
    """Refuses patients whom a model was trained on.

    Raises:
        InputError: It knew some of them.
    """
    known = sorted(set(patients) & set(model.config.patients))
    if known:
        raise InputError(
            f"model '{model.name}' was trained on patient '{known[0]}'"
            + (f" and {len(known) - 1} more" if len(known) > 1 else "")
            + " of these; judge it on others"
        )


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph: nnx.GraphDef[Any], state: nnx.State, films: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(films)


@functools.partial(jax.jit, static_argnums=0)
def _maps(graph: nnx.GraphDef[Any], state: nnx.State, films: jax.Array) -> jax.Array:
    return nnx.merge(graph, state).activation_maps(films)[1]
