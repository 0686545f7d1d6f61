"""Labeling as `isl train` and `isl search` run it."""

from pathlib import Path
from typing import TYPE_CHECKING

from isl.model_folder import bundled_models, model_directory

from ..recipe import Recipe, Run, SingleRun
from .config import LabelingConfig

if TYPE_CHECKING:
    from .task import LabelingTask


def labeling_task(experiment: LabelingConfig, run: Run) -> "LabelingTask":
    """The task of an experiment, with its fields in memory."""
    from .task import LabelingTask

    return LabelingTask(experiment, run.folder, name=run.name, say=run.say)


def check(experiment: LabelingConfig) -> None:
    """See `isl_train.labeling.fields.check_crop`."""
    from .fields import check_crop

    check_crop(experiment)


def from_anywhere(experiment: LabelingConfig, folder: Path) -> LabelingConfig:
    """An experiment with absolute paths, for a file that lies elsewhere; bundled models by name.

    Args:
        experiment: Its paths are relative to `folder`.
        folder: Where its file lies.
    """
    start = experiment.start
    if start.model is not None:
        beside = folder / start.model
        found = model_directory(beside if beside.is_dir() else start.model)
        if found not in bundled_models().values():
            start = start.model_copy(update={"model": str(found.absolute())})
    dataset = (folder / experiment.dataset).absolute()
    return experiment.model_copy(update={"dataset": dataset, "start": start})


def look(experiment: LabelingConfig, run: Run) -> tuple[str, ...]:
    """Reads and compares the fields; see `isl_train.recipe.Recipe`."""
    from ..check import try_start

    check(experiment)
    task = labeling_task(experiment, run)
    return (*task.ground.lines(), *try_start(task, experiment, experiment.start.freeze))


SINGLE = SingleRun(
    task=labeling_task,
    freeze=lambda experiment: experiment.start.freeze,
    check=check,
    from_anywhere=from_anywhere,
)
RECIPE = Recipe(
    config=LabelingConfig,
    train=SINGLE.train,
    single=SINGLE,
    look=look,
    purpose="Predicts fluorescence from transmitted light.",
)
