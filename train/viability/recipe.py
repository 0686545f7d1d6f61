"""Viability as `isl train` runs it."""

from collections.abc import Mapping
from pathlib import Path

from ..experiment import ExperimentConfig
from ..recipe import Recipe, Run
from .config import ViabilityExperiment


def train_members(experiment: ViabilityExperiment, run: Run) -> Path:
    """Trains the members of an ensemble one by one; see `isl_train.recipe.Recipe`."""
    from .ensemble import train_viability

    return train_viability(
        experiment, run.folder, run.workdir, name=run.name, say=run.say, console=run.console
    )


def look(experiment: ViabilityExperiment, run: Run) -> tuple[str, ...]:
    """Reads and compares the recordings; see `isl_train.recipe.Recipe`."""
    from .ensemble import look_at_viability

    return look_at_viability(experiment, run.folder, say=run.say)


def fits(experiment: ViabilityExperiment, run: Run) -> Mapping[str, ExperimentConfig]:
    """The members."""
    return {"member_*": experiment}


RECIPE = Recipe(
    config=ViabilityExperiment,
    train=train_members,
    look=look,
    fits=fits,
    purpose="Gives the chance of an outcome from an embryo's time-lapse.",
)
