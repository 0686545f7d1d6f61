"""Polarity as `isl train` runs it."""

from pathlib import Path

from ..recipe import Recipe, Run
from .config import PolarityExperiment


def train_ensemble(experiment: PolarityExperiment, run: Run) -> Path:
    """Trains the members of an ensemble one by one; see `isl_train.recipe.Recipe`."""
    from .ensemble import train_polarity

    return train_polarity(
        experiment, run.folder, run.workdir, name=run.name, say=run.say, console=run.console
    )


RECIPE = Recipe(config=PolarityExperiment, train=train_ensemble, several_processes=False)
