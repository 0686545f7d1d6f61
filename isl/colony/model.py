"""A colony model: a network over patches, its classes, and how far its word can be trusted.

On disk it is a model folder like any other (`isl.model_folder`) of kind "colony".
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from flax import nnx

from isl.colony.network import ColonyNetwork, NetworkConfig, abstract_network
from isl.colony.patches import standardized
from isl.model_folder import (
    FolderConfig,
    KernelType,
    LoadedModel,
    fill_from,
    model_directory,
    read_folder_config,
    save_folder,
)

DEFAULT_MODEL = "colony"
DEFAULT_CELL_MODEL = "cell-cycle"
# One size means one compiled program, whatever the number of colonies; the last batch is cut to
# the power of two that holds it.
_AT_ONCE = 64


class ColonyConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        network: What the network is.
        classes: Names, in the order of the logits.
        channels: Names of the input channels.
        patch: Side of a patch in pixels.
        pixel_size: Micrometres of a pixel in training; None: not known, pictures are taken as they
            are.
        subject: colony: patches of colonies in a well; cell: each picture is one cell.
        temperature: Logits are divided by it, so that probabilities are as often right as they say.
        undecided: Below this probability of the likeliest class the answer is "cannot tell".
        patches: Patches a colony, unless the person says otherwise.
        priors: Shares of the classes that the network's probabilities take for granted; empty:
            equal ones.
        confusion: Share of colonies of the row's class called the column's, on validation data;
            what composition is corrected by. Empty: not measured.
        calibration_error: Expected calibration error on validation data, before and after
            temperature; empty: not measured.
        groups: Wells, recordings or sets it was trained on.
    """

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["colony"] = "colony"  # pyright: ignore[reportIncompatibleVariableOverride]
    network: NetworkConfig
    classes: tuple[str, ...] = pydantic.Field(min_length=1)
    channels: tuple[str, ...] = ("transmitted",)
    patch: int = pydantic.Field(ge=8)
    pixel_size: float | None = pydantic.Field(default=None, gt=0)
    subject: Literal["colony", "cell"] = "colony"
    temperature: float = pydantic.Field(default=1.0, gt=0)
    undecided: float = pydantic.Field(default=0.5, ge=0, lt=1)
    patches: int = pydantic.Field(default=1, ge=1)
    priors: tuple[float, ...] = ()
    confusion: tuple[tuple[float, ...], ...] = ()
    calibration_error: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names_are_unique(self) -> "ColonyConfig":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {list(self.classes)}: a name occurs twice")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ColonyModel(LoadedModel[ColonyConfig]):
    """A loaded model.

    Attributes:
        network: In evaluation mode.
    """

    network: ColonyNetwork

    def logits(self, patches: np.ndarray) -> np.ndarray:
        """What the network says of patches.

        Args:
            patches: [N, patch, patch, C], uint8 or float32 in [0, 1]; standardized here.

        Returns:
            float32 [N, classes], before the temperature.
        """
        graph, state = self._parts
        results = []
        for first in range(0, len(patches), _AT_ONCE):
            portion = patches[first : first + _AT_ONCE]
            size = 1 << (len(portion) - 1).bit_length()
            padded = np.concatenate([portion, np.repeat(portion[-1:], size - len(portion), 0)])
            said = _logits(graph, state, jnp.asarray(standardized(padded)))
            results.append(np.asarray(said)[: len(portion)])
        return np.concatenate(results) if results else self._none

    def probabilities(self, patches: np.ndarray) -> np.ndarray:
        """Probability of every class for each patch, float64 [N, classes]; see `logits`."""
        return softmax(self.logits(patches) / self.config.temperature)

    @property
    def _none(self) -> np.ndarray:
        return np.zeros((0, len(self.config.classes)), np.float32)

    @functools.cached_property
    def _parts(self) -> tuple[nnx.GraphDef[ColonyNetwork], nnx.State]:
        graph, state = nnx.split(self.network)
        return graph, state


def save_colony_model(
    directory: Path,
    network: ColonyNetwork,
    config: ColonyConfig,
    card: str,
    *,
    overwrite: bool = False,
    kernels: KernelType = "float32",
) -> None:
    """Writes a model folder, whole or not at all; see `isl.model_folder.save_folder`."""
    save_folder(directory, network, config, card, overwrite=overwrite, kernels=kernels)


def load_colony_model(name_or_directory: str | Path = DEFAULT_MODEL) -> ColonyModel:
    """Loads a bundled model by its name, or a model folder.

    Raises:
        InputError: There is none, it is no colony model, or a file is missing or damaged.
    """
    directory = model_directory(name_or_directory)
    config = read_folder_config(directory, ColonyConfig)
    network = abstract_network(config.network, len(config.channels), len(config.classes))
    card = fill_from(directory, config, network)
    network.eval()
    return ColonyModel(config=config, card=card, directory=directory, network=network)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float64 [..., classes] of logits."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True)
    exponents = np.exp(shifted)
    return exponents / exponents.sum(axis=-1, keepdims=True)


def corrected_composition(
    shares: Sequence[float] | np.ndarray, confusion: np.ndarray
) -> np.ndarray:
    """Shares of the classes, given how often each is called another.

    Solves shares = confusion^T x for x that is not negative and adds up to 1, by least squares
    (non-negative); the usual correction of counts by a classifier's confusion.

    Args:
        shares: Of the classes as called, adding up to 1.
        confusion: float [K, K], rows are true classes and add up to 1.
    """
    from scipy.optimize import nnls

    wanted = np.asarray(shares, float)
    # The last row, heavy, makes the solution add up to 1.
    weight = 1e3
    matrix = np.vstack([np.asarray(confusion, float).T, weight * np.ones((1, len(wanted)))])
    found, _ = nnls(matrix, np.append(wanted, weight))
    return found / found.sum()


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph: nnx.GraphDef[ColonyNetwork], state: nnx.State, patches: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(patches)
