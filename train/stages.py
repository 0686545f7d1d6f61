"""Stages: a run as a list of what is trained, by which losses, for how long.

    [[stages]]
    name = "segmentation"
    steps = 2000
    free = ["encoder", "decoder"]
    losses = { segmentation = 1.0 }

    [[stages]]
    name = "regression"
    steps = 1000
    free = ["regression"]
    losses = { share = 1.0, range = 1.0 }
    optimizer = { kind = "adamw", learning_rate = 1e-4, rates = { encoder = 0.25 } }

Each stage starts where the one before it ended, from the averaged parameters where there is an
average, with an optimizer that remembers nothing. What is not free stays as it is, bit for bit:
parameters, their average and batch statistics.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import pydantic

from isl.config import Config

from .optimizer import EVERYTHING, OptimizerConfig


class StageConfig(Config):
    """One of the tables `[[stages]]`.

    Attributes:
        name: For messages, and for a task that looks at it.
        steps: Updates of this stage.
        free: Paths of what is trained: a path such as "projection/kernel", a prefix such as
            "projection", or a pattern with "*"; everything unless given.
        losses: Weights of the task's losses by name; the task's own unless given.
        optimizer: The experiment's unless given. The schedule's lengths are in updates of this
            stage.
    """

    name: str = ""
    steps: int = pydantic.Field(ge=1)
    free: tuple[str, ...] = pydantic.Field(default=EVERYTHING, min_length=1)
    losses: Mapping[str, float] = pydantic.Field(default_factory=dict)
    optimizer: OptimizerConfig | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of a run in which nothing about the training changes.

    Attributes:
        index: Its place in the run, from 0.
        first: Updates before it.
        last: Updates at its end.
        optimizer: Its optimizer and schedule.
        settings: What the configuration says of it; None: the run has no stages.
    """

    index: int
    first: int
    last: int
    optimizer: OptimizerConfig
    settings: StageConfig | None = None

    @property
    def free(self) -> tuple[str, ...]:
        """Paths of what is trained."""
        return self.settings.free if self.settings is not None else EVERYTHING

    @property
    def title(self) -> str:
        """For messages; "" where the run has no stages."""
        if self.settings is None:
            return ""
        return f"stage {self.index + 1}" + (f" ({self.settings.name})" * bool(self.settings.name))


def stages_of(
    stages: Sequence[StageConfig], steps: int, optimizer: OptimizerConfig
) -> tuple[Stage, ...]:
    """The stages of a run, one after the other; a single one where the configuration has none.

    Args:
        stages: The configuration's.
        steps: Updates of a run without stages.
        optimizer: The experiment's.
    """
    if not stages:
        return (Stage(index=0, first=0, last=steps, optimizer=optimizer),)
    found: list[Stage] = []
    for index, settings in enumerate(stages):
        first = found[-1].last if found else 0
        found.append(
            Stage(
                index=index,
                first=first,
                last=first + settings.steps,
                optimizer=settings.optimizer or optimizer,
                settings=settings,
            )
        )
    return tuple(found)
