"""Polarity as `isl train` and `isl search` run it."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe import Recipe, Run, SingleRun
from .config import PolarityExperiment

if TYPE_CHECKING:
    from .task import PolarityTask


def train_ensemble(experiment: PolarityExperiment, run: Run) -> Path:
    """Trains the members of an ensemble one by one; see `isl_train.recipe.Recipe`."""
    from .ensemble import train_polarity

    return train_polarity(
        experiment, run.folder, run.workdir, name=run.name, say=run.say, console=run.console
    )


def one_member(experiment: PolarityExperiment, run: Run) -> "PolarityTask":
    """The first member alone, judged on embryos held out, for a search."""
    from .ensemble import member_on_trial

    return member_on_trial(experiment, run.folder, run.workdir, say=run.say, console=run.console)


def from_anywhere(experiment: PolarityExperiment, folder: Path) -> PolarityExperiment:
    """An experiment with absolute paths, for a file that lies elsewhere than in `folder`."""
    weights = experiment.imagenet_weights
    ezrin = (folder / experiment.ezrin.experiment).absolute()
    return experiment.model_copy(
        update={
            "dataset": (folder / experiment.dataset).absolute(),
            "ezrin": experiment.ezrin.model_copy(update={"experiment": ezrin}),
            "imagenet_weights": None if weights is None else (folder / weights).absolute(),
        }
    )


RECIPE = Recipe(
    config=PolarityExperiment,
    train=train_ensemble,
    several_processes=False,
    single=SingleRun(task=one_member, from_anywhere=from_anywhere),
)
