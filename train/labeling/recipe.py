"""Labeling as `isl train` runs it."""

from pathlib import Path

from ..recipe import Recipe, Run
from .config import LabelingConfig


def train_labeling(experiment: LabelingConfig, run: Run) -> Path:
    """Trains one labeling network; see `isl_train.recipe.Recipe`."""
    from ..loop import fit
    from .task import LabelingTask

    task = LabelingTask(experiment, run.folder, name=run.name, say=run.say)
    progress = fit(
        task, experiment, run.workdir, freeze=experiment.start.freeze, console=run.console
    )
    if progress.update < experiment.training.steps:
        raise KeyboardInterrupt
    return run.workdir / "model"


RECIPE = Recipe(config=LabelingConfig, train=train_labeling)
