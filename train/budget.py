"""How long a run of a study is: so many updates, so many training pixels, or so much time.

Networks whose updates cost differently are compared fairly only if each is given as much to see, or
as much time, as every other. Time is turned into updates before a run begins, from the pace of a
few updates: the schedule of the learning rate then ends with the run, and a run that is stopped
and resumed is the run that it would have been.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pydantic

from isl.config import Config

from .experiment import ExperimentConfig
from .loop import fit
from .task import Evaluation, Task

AnyExperiment = TypeVar("AnyExperiment", bound=ExperimentConfig)

PACE_UPDATES = 12
"""Updates made to find a pace."""
# The first ones are not counted: they compile, and share the processor with the first batches.
_UNCOUNTED = 4
# Of a run that is too short for the warm-up asked for.
_WARMUP_SHARE = 0.1


class BudgetConfig(Config):
    """What a run may spend; exactly one of these.

    Attributes:
        updates: Updates of the optimizer.
        pixels: Pixels that the loss is taken over; examples, where the task counts no pixels.
        seconds: Time spent on updates, at the pace measured before.
    """

    updates: int | None = pydantic.Field(default=None, ge=1)
    pixels: float | None = pydantic.Field(default=None, gt=0)
    seconds: float | None = pydantic.Field(default=None, gt=0)

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> "BudgetConfig":
        given = [name for name, value in self.model_dump().items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"a budget is one of updates, pixels and seconds; {len(given)} are given"
            )
        return self


def pixels_per_update(experiment: ExperimentConfig) -> int:
    """Pixels that the loss of an update is taken over; examples, where no pixels are counted."""
    return getattr(experiment, "pixels_per_update", experiment.training.batch_size)


def updates_for(budget: BudgetConfig, experiment: ExperimentConfig, pace: float | None) -> int:
    """How many updates a budget pays for, at least one.

    Args:
        budget: What may be spent.
        experiment: What for.
        pace: Seconds for an update; None where the budget is no time.
    """
    if budget.updates is not None:
        return budget.updates
    if budget.pixels is not None:
        return max(1, math.ceil(budget.pixels / pixels_per_update(experiment)))
    if pace is None or budget.seconds is None:
        raise ValueError("a budget in seconds needs the pace")
    return max(1, round(budget.seconds / pace))


def of_length(experiment: AnyExperiment, updates: int, *, evaluations: int) -> AnyExperiment:
    """An experiment of so many updates, judged so many times, without pictures.

    A warm-up that would take more than a tenth of it is shortened to that. Stages keep their shares
    of the run.
    """
    every = math.ceil(updates / evaluations)
    training: dict[str, Any] = {
        "steps": updates,
        "evaluate_every": every,
        "checkpoint_every": every,
        "picture_every": 0,
    }
    warmup = min(experiment.optimizer.warmup, int(_WARMUP_SHARE * updates))
    stages = tuple(
        stage.model_copy(
            update={"steps": max(1, round(stage.steps * updates / experiment.training.steps))}
        )
        for stage in experiment.stages
    )
    if stages:
        training["steps"] = sum(stage.steps for stage in stages)
    return experiment.model_copy(
        update={
            "training": experiment.training.model_copy(update=training),
            "optimizer": experiment.optimizer.model_copy(update={"warmup": warmup}),
            "stages": stages,
        }
    )


def seconds_per_update(
    task: Task, experiment: ExperimentConfig, freeze: Sequence[str] = ()
) -> float:
    """The pace of an experiment on this machine, as it is now; compiling is not counted."""
    training: Mapping[str, Any] = {
        **experiment.training.model_dump(),
        "steps": PACE_UPDATES,
        "evaluate_every": _UNCOUNTED,
        "checkpoint_every": 0,
    }
    short = experiment.model_copy(
        update={"training": type(experiment.training).model_validate(training), "stages": ()}
    )
    with tempfile.TemporaryDirectory() as folder:
        updates_alone: Any = _Unjudged(task)
        fit(updates_alone, short, Path(folder), freeze=freeze)
        clock = np.genfromtxt(Path(folder) / "clock.csv", delimiter=",", names=True)
    seconds = dict(zip(clock["update"], clock["seconds"], strict=True))
    return float(seconds[PACE_UPDATES] - seconds[_UNCOUNTED]) / (PACE_UPDATES - _UNCOUNTED)


class _Unjudged:
    """A task of which only the updates are wanted."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    @property
    def selection(self) -> None:
        return None

    def evaluate(self, params: Any, model_state: Any, *, pictures: bool) -> Evaluation:
        return Evaluation(metrics={}, pictures={})

    def export(self, params: Any, model_state: Any, directory: Path, metrics: Any) -> None:
        directory.mkdir(parents=True)
