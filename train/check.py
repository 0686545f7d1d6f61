"""What `isl train --check` looks at in any task: network, optimizers, a first batch, and cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import jax

from .cost import cost_of
from .loop import task_in_stage
from .optimizer import build_optimizer

if TYPE_CHECKING:
    from .experiment import ExperimentConfig
    from .task import Batch, Task


def try_start(
    task: "Task", experiment: "ExperimentConfig", freeze: Sequence[str] = ()
) -> tuple[str, ...]:
    """Starts a task as training would, without an update.

    Args:
        task: With its data read.
        experiment: Its configuration.
        freeze: Paths of parameters that stay as they are.

    Returns:
        What was found, a line each.

    Raises:
        InputError: The weights to start from do not fit, a path names no parameter, or a stage
            weighs a loss that there is not.
    """
    params, model_state = task.initial(jax.random.key(experiment.seed))
    for stage in experiment.plan:
        task_in_stage(task, stage)
        steps = stage.last - stage.first
        build_optimizer(stage.optimizer, params, steps=steps, freeze=freeze, free=stage.free)
    size = experiment.training.batch_size
    batch = cast("Batch", task.examples(experiment.seed).batch(size)[0])
    return (
        task.identity(),
        f"a batch of {size} drawn: {_in_words(batch)}; {task.describe(batch)}",
        *cost_of(task, experiment, params, model_state, freeze),
    )


def _in_words(batch: "Batch") -> str:
    shapes = ((name, "x".join(map(str, array.shape[1:]))) for name, array in batch.items())
    return ", ".join(f"{name} {shape}" if shape else name for name, shape in shapes)
