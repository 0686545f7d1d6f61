"""Fragmentation as `isl train` runs it."""

from pathlib import Path

import numpy as np

from isl.errors import InputError

from ..recipe import Recipe, Run
from .config import FragmentationExperiment


def train_fragmentation(experiment: FragmentationExperiment, run: Run) -> Path:
    """Trains a network through its stages; see `isl_train.recipe.Recipe`.

    Raises:
        InputError: Something in the configuration does not fit the data.
        KeyboardInterrupt: It was stopped; it resumes there the next time.
    """
    from ..loop import fit
    from .ground import load_training_ground
    from .task import FragmentationTask

    ground = load_training_ground(experiment, run.folder)
    if not len(ground.train):
        raise InputError(f"{experiment.dataset}: no training example has a mask, share or grade")
    masks = int((ground.train.labels != 255).any(axis=(1, 2)).sum())
    ranges = int(np.isfinite(ground.train.low).sum())
    run.say(f"{len(ground.train)} pictures to learn from: {masks} masks, {ranges} ranges")
    task = FragmentationTask(
        experiment,
        ground.train,
        ground.validation,
        scale=ground.scale,
        folder=run.folder,
        drawing=ground.drawing,
        name=run.name,
        keep=run.workdir,
        judging=ground.judging,
        familiar=ground.familiar,
    )
    progress = fit(task, experiment, run.workdir, console=run.console)
    if progress.update < experiment.training.steps:
        raise KeyboardInterrupt
    return run.workdir / "model"


RECIPE = Recipe(config=FragmentationExperiment, train=train_fragmentation, several_processes=False)
