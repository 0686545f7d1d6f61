"""Runs of other lengths: stages, schedules, and how often they are judged, changed together."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .experiment import ExperimentConfig
    from .optimizer import OptimizerConfig

AnyExperiment = TypeVar("AnyExperiment", bound="ExperimentConfig")

REHEARSED = 12
"""Updates of a stage in a rehearsal."""
# A log that is shorter than this many points shows no curve.
_POINTS = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resize:
    """Changes how long an experiment is: its stages, schedules, and how often it is judged.

    Attributes:
        length: The updates of a stage, from those it had.
        every: Updates between evaluations, from all there are; each stage's end has one, too.
    """

    length: Callable[[int], int]
    every: Callable[[int], int]

    def __call__(self, experiment: AnyExperiment) -> AnyExperiment:
        """The experiment at its new length."""
        plan = [(stage, self.length(stage.last - stage.first)) for stage in experiment.plan]
        steps = sum(length for _, length in plan)
        every = self.every(steps)
        training = {
            "steps": steps,
            "evaluate_every": every,
            "checkpoint_every": every,
            "log_every": min(experiment.training.log_every, max(1, steps // _POINTS)),
        }
        whole = steps / experiment.training.steps
        stages = tuple(
            stage.settings.model_copy(
                update={
                    "steps": length,
                    "optimizer": stage.settings.optimizer
                    and _rescheduled(stage.settings.optimizer, length / stage.settings.steps),
                }
            )
            for stage, length in plan
            if stage.settings is not None
        )
        return experiment.model_copy(
            update={
                "training": experiment.training.model_copy(update=training),
                "optimizer": _rescheduled(experiment.optimizer, whole),
                "stages": stages,
            }
        )


def of_share(share: float, evaluations: int) -> Resize:
    """What makes every stage so many times as long, and judges so often."""
    return Resize(
        length=lambda steps: max(1, round(steps * share)),
        every=lambda steps: math.ceil(steps / evaluations),
    )


REHEARSAL = Resize(length=lambda _: REHEARSED, every=lambda _: REHEARSED // 2)
"""Each stage is judged after its first half, which compiles, and after its second, which counts."""


def _rescheduled(optimizer: "OptimizerConfig", share: float) -> "OptimizerConfig":
    """An optimizer whose schedule is so many times as long; a warm-up becomes no longer."""
    boundaries: list[int] = []
    for boundary in optimizer.boundaries:
        boundaries.append(max(round(boundary * share), boundaries[-1] + 1 if boundaries else 1))
    warmup = min(optimizer.warmup, int(optimizer.warmup * share))
    return optimizer.model_copy(update={"boundaries": tuple(boundaries), "warmup": warmup})
