"""Viability as `isl train` runs it."""

from pathlib import Path

from ..recipe import Recipe, Run
from .config import ViabilityExperiment


def train_members(experiment: ViabilityExperiment, run: Run) -> Path:
    """Trains the members of an ensemble one by one; see `isl_train.recipe.Recipe`."""
    from .ensemble import train_viability

    return train_viability(
        experiment, run.folder, run.workdir, name=run.name, say=run.say, console=run.console
    )


RECIPE = Recipe(config=ViabilityExperiment, train=train_members)
