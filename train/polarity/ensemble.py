"""An ensemble: EZRIN cross-fitted, members trained one after the other, one model folder left.

Every part is kept and resumed.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from isl.config import load_toml
from isl.errors import InputError
from isl.labeling.dataset import load_manifest
from isl.labeling.model import load_model
from isl.polarity.classifier import Classifier
from isl.polarity.embryo import Embryo, load_embryos, without_defects
from isl.polarity.model import EZRIN_FOLDER, load_polarity_model, save_polarity_model
from isl.polarity.pretrained import PretrainedConfig

from ..check import try_start
from ..experiment import check_same_run
from ..labeling.config import LabelingConfig
from ..lengths import of_share
from ..loop import fit
from .config import PolarityExperiment
from .crossfit import Crossfit, folds_of, predicted_ezrin, seen_by_labeling, set_apart
from .end_to_end import trained_end_to_end
from .ground import Ground
from .logistic import calibrate, features_of, fit_members, held_out, held_out_figures
from .model_folder import card, polarity_config
from .task import PolarityTask


def train_polarity(
    experiment: PolarityExperiment,
    folder: Path,
    workdir: Path,
    *,
    name: str,
    say: Callable[[str], None],
    console: Console | None = None,
) -> Path:
    """Trains an ensemble as a configuration says.

    Args:
        experiment: The configuration.
        folder: Where its file lies; paths in it are relative to this.
        workdir: Holds `ezrin/` (the cross-fit), `member_0/` and so on, and in the end `model/`.
        name: Of the model, where the configuration gives none.
        say: Called with what a person should know, a line at a time.
        console: Where progress is shown; None: nowhere.

    Returns:
        The model's folder.

    Raises:
        InputError: Something in the configuration does not fit the data.
        KeyboardInterrupt: It was stopped; it resumes from there the next time.
    """
    embryos, crossfit = _prepared(experiment, folder, workdir, say, console)
    ezrin = {
        embryo.name: crossfit.predicted(embryo)
        if experiment.needs_ezrin
        else np.zeros_like(embryo.dic)
        for embryo in embryos
    }
    finished = (
        None if experiment.ezrin.model else crossfit.model_without(_apart(experiment, crossfit))
    )
    unseen = None
    if experiment.end_to_end is not None and finished is not None:
        finished = trained_end_to_end(
            experiment,
            crossfit.experiment_without(_apart(experiment, crossfit)),
            (folder / experiment.ezrin.experiment).parent,
            embryos,
            features_of(experiment, embryos, ezrin),
            finished,
            workdir / "end_to_end",
            console=console,
        )
        network = load_model(finished)
        unseen = ezrin
        ezrin = {embryo.name: predicted_ezrin(network, embryo) for embryo in embryos}
    start = finished or experiment.ezrin.model
    model = train_ensemble(
        experiment,
        embryos,
        ezrin,
        workdir,
        name=name,
        labeling_model=start,
        unseen=unseen,
        folder=folder,
        console=console,
    )
    if finished is not None and not (model / EZRIN_FOLDER).exists():
        shutil.copytree(finished, model / EZRIN_FOLDER)
    if experiment.ezrin.model:
        tell_whose_ezrin(experiment.ezrin.model, embryos, say)
    return model


def tell_whose_ezrin(name: str, embryos: Sequence[Embryo], say: Callable[[str], None]) -> None:
    """Says so where EZRIN of measured embryos is left to a model that learned from none of them.

    Args:
        name: The bundled labeling model that the finished ensemble names.
        embryos: Whom the ensemble learned from.
        say: Called with a line, or not.
    """
    learned = set(load_model(name).config.trained_on or ())
    measured = {embryo.group for embryo in embryos if embryo.measured is not None}
    if measured and not measured & learned:
        say(
            f"the finished model takes EZRIN from '{name}', which learned from none of these "
            "embryos; ezrin.model = '' trains it on them, and puts that network into the folder"
        )


def look_at_polarity(
    experiment: PolarityExperiment, folder: Path, *, say: Callable[[str], None]
) -> list[str]:
    """Reads everything that training would read, and trains nothing; see `isl_train.recipe.Recipe`.

    Args:
        experiment: The configuration.
        folder: Where its file lies.
        say: Called with what a person should know, a line at a time.

    Raises:
        InputError: Something in the configuration does not fit the data.
    """
    embryos, crossfit = _prepared(experiment, folder, Path(), say, None)
    lines = [_in_words(embryo) for embryo in embryos]
    if experiment.needs_ezrin or not experiment.ezrin.model:
        task = crossfit.task_without(_apart(experiment, crossfit))
        for embryo in embryos:
            seen_by_labeling(task.ground.planes, embryo)
        own = try_start(task, task.config, task.config.start.freeze)
        lines += [f"EZRIN: {line}" for line in (*task.ground.lines(), *own)]
    weights_to_come = experiment.backbone.kind == "encoder" and not experiment.ezrin.model
    if isinstance(experiment.backbone, PretrainedConfig) or weights_to_come:
        return lines
    # What is predicted in training only says where to look here.
    shown = {each.name: each.dic if each.measured is None else each.measured for each in embryos}
    of_member = experiment.of_member(0)
    ground = Ground(of_member, embryos, shown)
    member = PolarityTask(of_member, ground, start=experiment.ezrin.model, folder=folder)
    return [*lines, *try_start(member, of_member)]


def _in_words(embryo: Embryo) -> str:
    onset = "not seen" if embryo.onset is None else f"at frame {embryo.onset}"
    return f"{embryo.name}: {len(embryo.dic)} frames, onset {onset}"


def _apart(experiment: PolarityExperiment, crossfit: Crossfit) -> tuple[str, ...]:
    """Whom the network of EZRIN that goes with the finished ensemble has not seen."""
    return () if experiment.ezrin.share is None else crossfit.folds[0]


def member_on_trial(
    experiment: PolarityExperiment,
    folder: Path,
    workdir: Path,
    *,
    say: Callable[[str], None],
    console: Console | None = None,
) -> PolarityTask:
    """The first member of an ensemble, judged by embryos that neither it nor its EZRIN knew.

    These are the time-lapses of split "validation"; where there are none, the first of the folds
    that EZRIN is predicted in.

    Args:
        experiment: The configuration.
        folder: Where its file lies.
        workdir: Holds `ezrin/`, which all trials share.
        say: Called with what a person should know, a line at a time.
        console: Where the progress of predicting EZRIN is shown; None: nowhere.

    Raises:
        InputError: Something in the configuration does not fit the data.
    """
    if experiment.optimizers:
        raise InputError(
            "a search trains one member, with the table optimizer: leave optimizers out, as with "
            "changes = ['optimizers=[]']"
        )
    manifest = load_manifest(folder / experiment.dataset).without(experiment.leave_out)
    named = {field.group for field in manifest.fields if field.split == "validation"}
    everybody = load_embryos(manifest)
    if not named:
        train = [embryo for embryo in everybody if embryo.split == "train"]
        named = set(folds_of(train, experiment.ezrin.folds)[0])
    judged = tuple(embryo for embryo in everybody if embryo.group in named)
    others = experiment.model_copy(
        update={"leave_out": tuple(sorted({*experiment.leave_out, *named}))}
    )
    embryos, crossfit = _prepared(others, folder, workdir, say, console)
    whole = crossfit.model_without(_apart(experiment, crossfit))
    model = load_model(whole)
    of_member = experiment.of_member(0)
    ezrin = {embryo.name: crossfit.predicted(embryo) for embryo in embryos}
    unseen = {embryo.name: predicted_ezrin(model, embryo) for embryo in judged}
    return PolarityTask(
        of_member,
        Ground(of_member, embryos, ezrin),
        start=whole,
        folder=folder,
        judged=Ground(of_member, judged, unseen, learned=embryos),
    )


def _prepared(
    experiment: PolarityExperiment,
    folder: Path,
    workdir: Path,
    say: Callable[[str], None],
    console: Console | None,
) -> tuple[tuple[Embryo, ...], Crossfit]:
    """Who is learned from, and what predicts their EZRIN."""
    check_start(experiment, folder)
    manifest = load_manifest(folder / experiment.dataset).without(experiment.leave_out)
    train = [embryo for embryo in load_embryos(manifest) if embryo.split == "train"]
    embryos = without_defects(train, experiment.leave_out_defects, say)
    if train and not embryos:
        raise InputError(
            f"{manifest.path}: leave_out_defects leaves no time-lapse to train on; name fewer"
        )
    if not embryos:
        raise InputError(f"{manifest.path}: no time-lapse has split 'train'; training needs one")
    labeling_file = folder / experiment.ezrin.experiment
    labeling = ezrin_experiment(experiment, folder)
    held_out = {field.group for field in manifest.fields if field.split != "train"}
    defective = {embryo.group for embryo in train} - {embryo.group for embryo in embryos}
    share = experiment.ezrin.share
    if share is None:
        folds = folds_of(embryos, experiment.ezrin.folds)
    else:
        embryos = set_apart(embryos, share)
        folds = (tuple(dict.fromkeys(embryo.group for embryo in embryos)),)
    unseen = sorted({*labeling.leave_out, *experiment.leave_out, *held_out, *defective})
    return embryos, Crossfit(
        labeling.model_copy(update={"leave_out": tuple(unseen)}),
        labeling_file.parent,
        workdir / "ezrin",
        folds,
        say=say,
        console=console,
    )


def ezrin_experiment(experiment: PolarityExperiment, folder: Path) -> LabelingConfig:
    """The labeling experiment that EZRIN is learned by, as long as is asked for.

    Args:
        experiment: The configuration.
        folder: Where its file lies.

    Raises:
        InputError: Its file cannot be read.
    """
    labeling = load_toml(folder / experiment.ezrin.experiment, LabelingConfig)
    if experiment.ezrin.steps is None:
        return labeling
    share = experiment.ezrin.steps / labeling.training.steps
    return of_share(share, experiment.ezrin.evaluations)(labeling)


def check_start(experiment: PolarityExperiment, folder: Path) -> None:
    """Refuses weights to start from that are not there, before anything is trained.

    Args:
        experiment: The configuration.
        folder: Where its file lies.

    Raises:
        InputError: Names the file.
    """
    weights = experiment.imagenet_weights
    if weights is not None and not (folder / weights).is_file():
        raise InputError(
            f"{folder / weights}: there is no such file of imagenet_weights; put a state dict of "
            "timm or torchvision there, as safetensors, or take imagenet_weights out"
        )


def train_ensemble(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    ezrin: Mapping[str, np.ndarray],
    workdir: Path,
    *,
    name: str,
    labeling_model: str | Path = "",
    unseen: Mapping[str, np.ndarray] | None = None,
    folder: Path = Path(),
    console: Console | None = None,
) -> Path:
    """Trains the members one after the other and joins them into one model folder.

    Args:
        experiment: What and how.
        embryos: Whom to learn from.
        ezrin: Predicted EZRIN float32 [T, Y, X] of each, by the recording's name, from networks
            that did not know it.
        workdir: Holds `member_0/` and so on, and in the end `model/`.
        name: Of the model, where the experiment gives none.
        labeling_model: Where a backbone of kind "encoder" takes its weights from.
        unseen: EZRIN of each, by which members on a pretrained backbone are calibrated, where
            that which they learn from knew the embryo; None: it did not.
        folder: What the path of ImageNet weights is relative to.
        console: Where progress is shown; None: nowhere.

    Returns:
        The model's folder. It names the bundled model that predicts EZRIN, or lacks one.

    Raises:
        InputError: Measured Ezrin is needed and missing, weights to start from do not fit, or the
            folder holds members of other settings.
        KeyboardInterrupt: It was stopped; it resumes from there the next time.
    """
    if isinstance(experiment.backbone, PretrainedConfig):
        return _fit_ensemble(experiment, embryos, ezrin, workdir, name=name, unseen=unseen)
    runs = {
        workdir / f"member_{member}": experiment.of_member(member)
        for member in range(experiment.members)
    }
    for run, of_member in runs.items():
        check_same_run(run, of_member)
    ground = Ground(experiment, embryos, ezrin)
    members: list[Classifier] = []
    for run, of_member in runs.items():
        task = PolarityTask(of_member, ground, start=labeling_model, folder=folder)
        progress = fit(task, of_member, run, console=console)
        if progress.update < of_member.training.steps:
            raise KeyboardInterrupt
        loaded = load_polarity_model(run / "model").members
        members += [member for member in loaded if isinstance(member, Classifier)]
    config = polarity_config(experiment, embryos, experiment.name or name, experiment.members)
    directory = workdir / "model"
    save_polarity_model(
        directory,
        members,
        config,
        card(experiment, embryos, config),
        overwrite=True,
        kernels=experiment.kernels,
    )
    return directory


def _fit_ensemble(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    ezrin: Mapping[str, np.ndarray],
    workdir: Path,
    *,
    name: str,
    unseen: Mapping[str, np.ndarray] | None,
) -> Path:
    """`train_ensemble` where a pretrained encoder looks, and logistic regressions read it."""
    features = features_of(experiment, embryos, ezrin)
    members = fit_members(embryos, features, experiment.penalty)
    judged = features if unseen is None else features_of(experiment, embryos, unseen)
    held = list(held_out(embryos, judged, experiment.penalty).values())
    config = polarity_config(
        experiment,
        embryos,
        experiment.name or name,
        len(members),
        calibration=calibrate(held) if held else None,
    )
    figures = held_out_figures(held, experiment.rule) if len(held) > 3 else {}
    directory = workdir / "model"
    save_polarity_model(
        directory, members, config, card(experiment, embryos, config, figures), overwrite=True
    )
    return directory
