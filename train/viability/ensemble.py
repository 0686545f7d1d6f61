"""Members trained one after the other and joined into one model, with its temperatures."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from isl.calibration import fit_temperature
from isl.errors import InputError
from isl.files.whole import write_texts
from isl.viability import key_frames
from isl.viability.model import (
    TargetConfig,
    ViabilityModel,
    load_viability_model,
    save_viability_model,
)

from ..check import try_start
from ..experiment import check_same_run
from ..loop import fit
from .card import card
from .config import ViabilityExperiment
from .ground import (
    UNKNOWN,
    Case,
    check_learnable,
    counted,
    keep_features,
    load_cases,
    read_outcomes,
)
from .task import ViabilityTask, viability_config

STORE = "key_frames"
# By which way key frames were chosen when the members were begun.
_WAY_FILE = "way.txt"


def train_viability(
    experiment: ViabilityExperiment,
    folder: Path,
    workdir: Path,
    *,
    name: str,
    say: Callable[[str], None],
    console: Console | None = None,
) -> Path:
    """Trains a viability model.

    Args:
        experiment: What and how.
        folder: What paths in it are relative to.
        workdir: Holds `key_frames/`, `member_0/` and so on, and in the end `model/`.
        name: Of the model, where the experiment gives none.
        say: Told what a person should know, a line at a time.
        console: Where progress is shown; None: nowhere.

    Returns:
        The model's folder.

    Raises:
        InputError: The dataset cannot be used, or the folder holds members of other settings.
        KeyboardInterrupt: It was stopped; it resumes there the next time.
    """
    check_table(experiment, folder)
    runs = {
        workdir / f"member_{member}": experiment.of_member(member)
        for member in range(experiment.members)
    }
    for run, of_member in runs.items():
        check_same_run(run, of_member)
    _check_same_way(workdir)
    cases = _cases(experiment, folder, workdir / STORE, say)
    keep_features(cases, experiment.network, workdir / STORE)
    workdir.mkdir(parents=True, exist_ok=True)
    write_texts(workdir, {_WAY_FILE: f"{key_frames.WAY}\n"})
    for run, of_member in runs.items():
        task = ViabilityTask(of_member, cases, folder=folder, say=say)
        freeze = experiment.start.freeze
        progress = fit(task, of_member, run, freeze=freeze, console=console)
        if progress.update < of_member.training.steps:
            raise KeyboardInterrupt
    return join(experiment, cases, list(runs), workdir / "model", name=name)


def _check_same_way(workdir: Path) -> None:
    """Refuses members that were begun with key frames chosen in another way.

    Raises:
        InputError: There are such.
    """
    kept, way = workdir / _WAY_FILE, str(key_frames.WAY)
    begun = any(workdir.glob("member_*"))
    if begun and (not kept.is_file() or kept.read_text(encoding="utf-8").strip() != way):
        raise InputError(
            f"{workdir}: was begun with key frames chosen in another way; name another folder, or "
            "remove its members"
        )


def look_at_viability(
    experiment: ViabilityExperiment, folder: Path, *, say: Callable[[str], None]
) -> tuple[str, ...]:
    """Reads every recording, and trains and keeps nothing; see `isl_train.recipe.Recipe`.

    Args:
        experiment: What and how.
        folder: What paths in it are relative to.
        say: Told what a person should know, a line at a time.

    Raises:
        InputError: The dataset cannot be used.
    """
    check_table(experiment, folder)
    with tempfile.TemporaryDirectory(prefix="isl-check-") as store:
        cases = _cases(experiment, folder, Path(store), say)
    of_member = experiment.of_member(0)
    task = ViabilityTask(of_member, cases, folder=folder, say=say)
    return try_start(task, of_member, experiment.start.freeze)


def check_table(experiment: ViabilityExperiment, folder: Path) -> None:
    """Refuses a table that nothing can be learned from, before a recording is opened.

    Raises:
        InputError: See `isl_train.viability.ground`.
    """
    table = folder / experiment.dataset
    check_learnable(read_outcomes(table, experiment.targets, patient=experiment.patient))


def _cases(
    experiment: ViabilityExperiment, folder: Path, store: Path, say: Callable[[str], None]
) -> tuple[Case, ...]:
    """The films to learn from and to choose by; says how many."""
    cases = load_cases(
        folder / experiment.dataset,
        experiment.targets,
        experiment.film,
        store,
        patient=experiment.patient,
        leave_out=experiment.leave_out,
        sides=("train", "validation"),
        say=say,
    )
    say(counted(cases, experiment.targets))
    return cases


def join(
    experiment: ViabilityExperiment,
    cases: Sequence[Case],
    runs: Sequence[Path],
    directory: Path,
    *,
    name: str,
) -> Path:
    """Makes one model of trained members, and fits its temperatures on validation films."""
    members = [load_viability_model(run / "model").members[0] for run in runs]
    learned_from = [case for case in cases if case.split == "train"]
    config = viability_config(experiment, learned_from, experiment.name or name, len(members))
    rough = ViabilityModel(config=config, card="", directory=directory, members=tuple(members))
    validation = [case for case in cases if case.split == "validation"]
    if validation:
        logits = rough.logits([case.film for case in validation]).mean(axis=0)
        outcomes = np.stack([case.outcomes for case in validation])
        patients = np.array([case.patient for case in validation])
        targets = tuple(
            with_temperature(target, logits[:, number], outcomes[:, number], patients)
            for number, target in enumerate(config.targets)
        )
        config = config.model_copy(update={"targets": targets})
    save_viability_model(
        directory,
        members,
        config,
        card(experiment, learned_from, config),
        overwrite=True,
        kernels=experiment.kernels,
    )
    return directory


def with_temperature(
    target: TargetConfig, logits: np.ndarray, outcomes: np.ndarray, patients: np.ndarray
) -> TargetConfig:
    """A target with the temperature of least cross-entropy, where one helps.

    Of a few embryos a temperature can be found that others are not better for. So each patient is
    left out once: unless temperatures of the others lower the cross-entropy of those left out, the
    target stays as it was; and so it does where outcomes are alike or of one patient.

    Args:
        target: Its name.
        logits: float [N], the logit of 1.
        outcomes: int [N], 0, 1, or -1: not known.
        patients: [N], whose embryo each is.
    """
    known = outcomes != UNKNOWN
    truth, whose = outcomes[known], patients[known]
    pairs = np.stack([np.zeros(len(truth)), logits[known]], axis=1)
    scaled = np.ones(len(truth))
    for patient in np.unique(whose):
        others = whose != patient
        if len(np.unique(truth[others])) < 2:
            return target
        scaled[~others] = fit_temperature(pairs[others], truth[others])

    def cross_entropy(temperature: np.ndarray) -> float:
        score = np.where(truth == 1, 1, -1) * pairs[:, 1] / temperature
        return float(np.logaddexp(0, -score).mean())

    if not len(truth) or cross_entropy(scaled) >= cross_entropy(np.ones(len(truth))):
        return target
    return target.model_copy(update={"temperature": round(fit_temperature(pairs, truth), 4)})


__all__ = ["join", "look_at_viability", "train_viability", "with_temperature"]
