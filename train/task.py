"""What the trainer needs to know of a task, and nothing more.

The trainer fits labelers, classifiers and segmenters alike: a task says how to start, what the loss
is, which examples to draw, how to judge, and how to leave a model behind.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

if TYPE_CHECKING:
    import grain

Tree = Any
"""A nested dict of arrays: parameters, or what a network keeps beside them (batch statistics)."""

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
        """Scalar loss of a batch, the new model state, and diagnostics; pure, it is jitted."""
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
