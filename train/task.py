"""What the trainer needs to know of a task, and nothing more.

The trainer fits labelers, classifiers and segmenters alike: a task says how to start, what the loss
is, which examples to draw, how to judge, and how to leave a model behind. Where the task is one
flax.nnx network, `isl_train.network_task.NetworkTask` has written most of that already.

A task may know more, each by one more method:

- `in_stage` (`StagedTask`), where its losses have names that the tables `[[stages]]` weigh, or a
  stage is judged or draws examples in its own way;
- `update` (`UpdatingTask`), where an update is more than one step down one gradient, as with two
  networks that teach each other;
- `renewed` (`RenewingTask`), where now and then examples are chosen anew by what was learned;
- `ground_hash` (`GroundedTask`), where a run is to go on with the data alone that it began with.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard

import jax
import numpy as np

from .stages import StageConfig
from .state import TrainState, Tree

if TYPE_CHECKING:
    import grain

Batch = Mapping[str, np.ndarray | jax.Array]
"""Arrays that share their first axis, one row an example."""

Sums = dict[str, tuple[jax.Array, jax.Array]]
"""Diagnostics as (sum, count) pairs of scalars, which add up over batches and are divided once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """The number that decides which checkpoint is best.

    Attributes:
        metric: A key of `Evaluation.metrics`.
        higher_is_better: Which way is up.
    """

    metric: str
    higher_is_better: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a network does on the validation data.

    Attributes:
        metrics: Numbers by name; NaN where nothing was measured.
        pictures: uint8, or float in [0, 1], [Y, X] or [Y, X, 3], by name.
    """

    metrics: dict[str, float]
    pictures: dict[str, np.ndarray]


class Task(Protocol):
    """One thing to fit.

    Attributes:
        selection: What picks the best checkpoint; None where there is no validation data.
        pixels_per_example: Input pixels of one example, for the throughput.
    """

    @property
    def selection(self) -> Selection | None: ...  # noqa: D102

    @property
    def pixels_per_example(self) -> int: ...  # noqa: D102

    def identity(self) -> str:
        """The network in a few words; a checkpoint of another identity is refused."""
        ...

    def initial(self, key: jax.Array) -> tuple[Tree, Tree]:
        """Parameters and model state to start from."""
        ...

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Tree, Sums]]:
        """Scalar loss of a batch, the new model state, and diagnostics; pure, it is jitted.

        Diagnostics may hold "loss" as (sum, count), where the loss is sum / count: batches that are
        cut into parts then equal the whole batch, though parts have measured unlike much.
        """
        ...

    def examples(self, seed: int) -> "grain.MapDataset":
        """An endless dataset of single examples, the same one for the same seed."""
        ...

    def describe(self, batch: Batch) -> str:
        """Where the examples of a batch came from, for messages."""
        ...

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Judges the network on the validation data."""
        ...

    def export(
        self, params: Tree, model_state: Tree, directory: Path, metrics: Mapping[str, float]
    ) -> None:
        """Writes a model that can be used without the trainer into `directory`, a new folder."""
        ...


class StagedTask(Task, Protocol):
    """A task that looks at the stages of a run; see `isl_train.stages`."""

    def in_stage(self, stage: StageConfig) -> Task:
        """The task as it is in a stage: with its losses, selection, examples, ....

        Parameters and model state must be the same in every stage.

        Raises:
            InputError: A loss is weighed that there is not.
        """
        ...


class UpdatingTask(Task, Protocol):
    """A task that makes its own updates, of any number of networks.

    `initial` gives the parameters and model states of all networks in one tree each, for example
    {"teacher": ..., "student": ...}. One state is checkpointed, resumed and held by all devices,
    whatever is in it. `loss` is never called.
    """

    def optimizer_states(self, params: Tree) -> Tree:
        """`TrainState.opt_state` to start from: those of all its optimizers."""
        ...

    def update(
        self,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        learning_rate: jax.Array | None,
    ) -> tuple[TrainState, Sums]:
        """One update; pure, it is jitted.

        Args:
            state: Of which `params`, `model_state` and `opt_state` are replaced; the trainer sees
                to the others.
            batch: The whole batch; arrays are cut over the devices, sums are over all of them.
            key: Of this update.
            learning_rate: As the experiment's schedule has it for this update.

        Returns:
            The new state, and diagnostics, "loss" among them.
        """
        ...


class RenewingTask(Task, Protocol):
    """A task that chooses its examples anew now and then, by what was learned so far.

    What is chosen is kept in the model state, and therefore in checkpoints.

    Attributes:
        renew_every: Updates between two choices; the first is made before the first update.
    """

    @property
    def renew_every(self) -> int: ...  # noqa: D102

    def renewed(self, params: Tree, model_state: Tree, key: jax.Array) -> Tree:
        """A model state with a new choice, of the same shapes; not jitted, on one device."""
        ...

    def examples_chosen(self, seed: int, model_state: Tree) -> "grain.MapDataset":
        """Takes the place of `examples`; asked after every choice and when a run is resumed."""
        ...


class GroundedTask(Task, Protocol):
    """A task that knows its data by a hash."""

    def ground_hash(self) -> str:
        """Of all that is learned from and judged by; a checkpoint of another one is refused.

        It is taken before anything is computed that may differ by the machine, where it can be.
        """
        ...


def updates_itself(task: Task) -> TypeGuard[UpdatingTask]:
    """Whether a task makes its own updates."""
    return hasattr(task, "update")


def looks_at_stages(task: Task) -> TypeGuard[StagedTask]:
    """Whether a task is another in every stage."""
    return hasattr(task, "in_stage")


def renews(task: Task) -> TypeGuard[RenewingTask]:
    """Whether a task chooses its examples anew now and then."""
    return hasattr(task, "renewed")


def ground_of(task: Task) -> str:
    """The hash of a task's data; "": it knows none."""
    return task.ground_hash() if _is_grounded(task) else ""


def _is_grounded(task: Task) -> TypeGuard[GroundedTask]:
    return hasattr(task, "ground_hash")
