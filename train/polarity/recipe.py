"""Polarity as `isl train` and `isl search` run it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..experiment import ExperimentConfig
from ..recipe import Recipe, Run, SingleRun
from .config import PolarityExperiment

if TYPE_CHECKING:
    from ..lengths import Resize
    from .task import PolarityTask


def train_ensemble(experiment: PolarityExperiment, run: Run) -> Path:
    """Trains the members of an ensemble one by one; see `isl_train.recipe.Recipe`."""
    from .ensemble import train_polarity

    return train_polarity(
        experiment, run.folder, run.workdir, name=run.name, say=run.say, console=run.console
    )


def look(experiment: PolarityExperiment, run: Run) -> list[str]:
    """Reads and compares the embryos; see `isl_train.recipe.Recipe`."""
    from .ensemble import look_at_polarity

    return look_at_polarity(experiment, run.folder, say=run.say)


def fits(experiment: PolarityExperiment, run: Run) -> Mapping[str, ExperimentConfig]:
    """EZRIN without each fold and, for the finished model, of all; by the onset; the members."""
    from isl.polarity.pretrained import PretrainedConfig

    from .ensemble import ezrin_experiment

    found: dict[str, ExperimentConfig] = {}
    if experiment.needs_ezrin or not experiment.ezrin.model:
        found["ezrin/*"] = ezrin_experiment(experiment, run.folder)
    if experiment.end_to_end is not None:
        found["end_to_end"] = experiment.end_to_end.of(
            ezrin_experiment(experiment, run.folder), run.folder
        )
    if not isinstance(experiment.backbone, PretrainedConfig):
        found["member_*"] = experiment
    return found


def resized(experiment: PolarityExperiment, folder: Path, resize: "Resize") -> PolarityExperiment:
    """With the labeling networks behind its EZRIN, and each member's schedule."""
    from isl.polarity.pretrained import PretrainedConfig

    from .ensemble import ezrin_experiment

    training = resize(ezrin_experiment(experiment, folder)).training
    evaluations = -(-training.steps // training.evaluate_every)
    ezrin = experiment.ezrin.model_copy(
        update={"steps": training.steps, "evaluations": evaluations}
    )
    experiment = experiment.model_copy(update={"ezrin": ezrin})
    if isinstance(experiment.backbone, PretrainedConfig):
        return experiment
    optimizers = tuple(
        resize(experiment.model_copy(update={"optimizer": optimizer})).optimizer
        for optimizer in experiment.optimizers
    )
    return resize(experiment).model_copy(update={"optimizers": optimizers})


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
    look=look,
    fits=fits,
    resized=resized,
    purpose="Tells when 8-cell embryos polarize.",
)
