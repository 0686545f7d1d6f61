"""Colonies as `isl train` runs them: what goes before, then the method, then a model folder."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiment import ExperimentConfig
from ..recipe import Recipe, Run
from .config import ColonyExperiment

if TYPE_CHECKING:
    from isl.colony.network import ColonyNetwork

    from ..lengths import Resize
    from .images import Images
    from .split import Split


def train_colony(experiment: ColonyExperiment, run: Run, *, images: "Images | None" = None) -> Path:
    """Trains as a configuration says; see `isl_train.recipe.Recipe`.

    The run's folder holds `before/` (the teacher on labels alone, or the contrastive network),
    `main/`, and in the end `model/`. An evaluation gives the `images` that it has loaded already.

    Raises:
        InputError: Something in the configuration does not fit the data.
        KeyboardInterrupt: It was stopped; it resumes there the next time.
    """
    from isl.colony.model import load_colony_model
    from isl.colony.network import ColonyNetwork

    from ..experiment import check_same_run
    from ..loop import fit
    from .frozen import FOLDER, with_vectors
    from .ground import Ground
    from .task import ContrastTask, FixMatchTask, MetaTask, SupervisedTask

    experiment = experiment.model_copy(update={"name": experiment.name or run.name})
    every, parts = _read(experiment, run, images)
    start = _start(experiment, run.folder, every.classes)
    seen = every
    if experiment.frozen is not None and every.vectors is None:
        kept = run.workdir / FOLDER
        seen = with_vectors(every, experiment, kept, start=start, say=run.say)
    ground = Ground(
        images=seen,
        split=parts,
        patch=experiment.patch,
        balance=experiment.balance.labelled,
    )

    def trained(task: SupervisedTask, part: ColonyExperiment, name: str, **settings) -> Path:
        folder = run.workdir / name
        check_same_run(folder, part)
        progress = fit(task, part, folder, console=run.console, **settings)
        if progress.update < part.training.steps:
            raise KeyboardInterrupt
        return folder / "model"

    def network_of(folder: Path) -> Callable[[], ColonyNetwork]:
        return lambda: load_colony_model(folder).network

    before = before_of(experiment)
    if experiment.method in ("supervised", "ceiling"):
        ceiling = experiment.method == "ceiling"
        task = SupervisedTask(experiment, ground, start=start, ceiling=ceiling)
        model = trained(task, experiment, "main")
    elif experiment.method == "fixmatch":
        model = trained(
            FixMatchTask(experiment, ground, start=start, title="fixmatch"), experiment, "main"
        )
    elif experiment.method == "meta":
        teacher = SupervisedTask(before, ground, start=start, title="teacher")
        folder = trained(teacher, before, "before")
        model = trained(MetaTask(experiment, ground, start=network_of(folder)), experiment, "main")
    else:
        folder = trained(ContrastTask(before, ground, start=start), before, "before")
        linear = experiment.pretraining.head == "linear"
        # A backbone that has left its vectors behind is not there to be frozen.
        frozen = ("backbone",) * (experiment.frozen is None)
        frozen += ("norm", "hidden") if experiment.network.hidden else ()
        model = trained(
            SupervisedTask(experiment, ground, start=network_of(folder), title="head"),
            experiment,
            "main",
            freeze=frozen if linear else (),
        )
    finished = run.workdir / "model"
    if finished.exists():
        shutil.rmtree(finished)
    shutil.copytree(model, finished)
    return finished


def look(experiment: ColonyExperiment, run: Run) -> tuple[str, ...]:
    """Reads and compares the images; see `isl_train.recipe.Recipe`."""
    from ..check import try_start
    from .ground import Ground
    from .task import SupervisedTask

    every, parts = _read(experiment, run, None)
    counts = Counter(every.labels.tolist())
    lines = tuple(f"{name}: {counts[number]} images" for number, name in enumerate(every.classes))
    start = _start(experiment, run.folder, every.classes)
    if experiment.frozen is not None:
        # What a frozen backbone makes of patches is computed by training itself.
        return lines
    ground = Ground(
        images=every, split=parts, patch=experiment.patch, balance=experiment.balance.labelled
    )
    return (*lines, *try_start(SupervisedTask(experiment, ground, start=start), experiment))


def fits(experiment: ColonyExperiment, run: Run) -> Mapping[str, ExperimentConfig]:
    """What goes before, if anything, and the method."""
    own: dict[str, ExperimentConfig] = {"main": experiment}
    alone = experiment.method in ("supervised", "ceiling", "fixmatch")
    return own if alone else {"before": before_of(experiment), **own}


def resized(experiment: ColonyExperiment, folder: Path, resize: "Resize") -> ColonyExperiment:
    """With what goes before."""
    before = resize(before_of(experiment))
    update: dict[str, Any] = {"steps": before.training.steps}
    if experiment.pretraining.optimizer is not None:
        update["optimizer"] = before.optimizer
    pretraining = experiment.pretraining.model_copy(update=update)
    return resize(experiment).model_copy(update={"pretraining": pretraining})


def _read(
    experiment: ColonyExperiment, run: Run, images: "Images | None"
) -> "tuple[Images, Split]":
    """The images and who lends a label, or is judged by; says how many."""
    from .images import load_images
    from .split import check_method, split

    every = images or load_images(experiment, run.folder, run.say)
    parts = split(every, experiment.split, experiment.split_seed, run.say)
    check_method(experiment.method, parts)
    run.say(
        f"{len(parts.labelled)} labelled images, {len(parts.validation)} for validation, "
        f"{len(parts.unlabelled)} without a label; classes {', '.join(every.classes)}"
    )

    return every, parts


def _start(
    experiment: ColonyExperiment, folder: Path, classes: Sequence[str]
) -> "Callable[[], ColonyNetwork] | None":
    """What makes the network to begin with; None: fresh weights."""
    if not experiment.start.model:
        return None

    from flax import nnx

    from isl.colony.model import load_colony_model
    from isl.colony.network import with_more_classes
    from isl.errors import InputError

    def begun() -> "ColonyNetwork":
        """The network of the model to begin with, with the classes that are new."""
        model = load_colony_model(model_to_begin_with(experiment, folder))
        known = model.config.classes
        if classes[: len(known)] != known or model.config.network != experiment.network:
            raise InputError(
                f"start.model '{model.name}' knows {', '.join(known)}; its classes come first, in "
                "this order, and its network is that of the configuration"
            )
        if len(classes) > len(known):
            with_more_classes(model.network, len(classes), nnx.Rngs(experiment.seed))
        return model.network

    return begun


def before_of(experiment: ColonyExperiment) -> ColonyExperiment:
    """What goes before, as an experiment of its own."""
    own = experiment.pretraining
    training = experiment.training.model_copy(update={"steps": own.steps})
    return experiment.model_copy(
        update={"training": training, "optimizer": own.optimizer or experiment.optimizer}
    )


def model_to_begin_with(experiment: ColonyExperiment, folder: Path) -> str | Path:
    """A folder beside the configuration goes before a bundled model of that name."""
    named = folder / experiment.start.model
    return named if named.is_dir() else experiment.start.model


RECIPE = Recipe(
    config=ColonyExperiment,
    train=train_colony,
    several_processes=False,
    look=look,
    fits=fits,
    resized=resized,
    data="data.path",
    purpose="Tells the classes of colonies or cells apart.",
)
