"""Fragmentation as `isl train` runs it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isl.errors import InputError

from ..recipe import Recipe, Run
from .config import FragmentationExperiment

if TYPE_CHECKING:
    from .task import FragmentationTask


def look(experiment: FragmentationExperiment, run: Run) -> tuple[str, ...]:
    """Reads and compares the pictures; see `isl_train.recipe.Recipe`."""
    from ..check import try_start

    return try_start(_task(experiment, run, keep=None), experiment)


def train_fragmentation(experiment: FragmentationExperiment, run: Run) -> Path:
    """Trains a network through its stages; see `isl_train.recipe.Recipe`.

    Raises:
        InputError: Something in the configuration does not fit the data.
        KeyboardInterrupt: It was stopped; it resumes there the next time.
    """
    from ..loop import fit

    task = _task(experiment, run, keep=run.workdir)
    progress = fit(task, experiment, run.workdir, console=run.console)
    if progress.update < experiment.training.steps:
        raise KeyboardInterrupt
    return run.workdir / "model"


def _task(
    experiment: FragmentationExperiment, run: Run, *, keep: Path | None
) -> "FragmentationTask":
    """The task with its pictures read; `keep` is where features of a frozen encoder are kept."""
    from .ground import load_training_ground
    from .task import FragmentationTask

    ground = load_training_ground(experiment, run.folder)
    if not len(ground.train):
        raise InputError(f"{experiment.dataset}: no training example has a mask, share or grade")
    masks = int((ground.train.labels != 255).any(axis=(1, 2)).sum())
    ranges = int(np.isfinite(ground.train.low).sum())
    run.say(f"{len(ground.train)} pictures to learn from: {masks} masks, {ranges} ranges")
    return FragmentationTask(
        experiment,
        ground.train,
        ground.validation,
        scale=ground.scale,
        folder=run.folder,
        drawing=ground.drawing,
        name=run.name,
        keep=keep,
        judging=ground.judging,
        familiar=ground.familiar,
        staged=ground.staged,
    )


RECIPE = Recipe(
    config=FragmentationExperiment,
    train=train_fragmentation,
    several_processes=False,
    look=look,
    purpose="Finds the fragments of cleavage-stage embryos.",
)
