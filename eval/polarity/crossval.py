"""Grouped cross-validation: every embryo predicted by ensembles that knew neither it nor its fold.

The cross-fit of EZRIN is nested. A held-out embryo's EZRIN comes from a labeling network without
its fold. A training embryo's comes from one that has seen neither its own fold nor the held-out
one: else the classifier would learn from EZRIN better than any new embryo's, or from a network that
has looked at what it is judged by.
"""

import dataclasses
import functools
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console

from isl.errors import InputError
from isl.model_folder import read_folder_config
from isl.polarity.embryo import Embryo
from isl.polarity.model import Arm, PolarityConfig
from isl_train.labeling.config import LabelingConfig
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.crossfit import Crossfit
from isl_train.polarity.ensemble import train_ensemble

from ..statistics.folds import Folds, folds_touched
from ..writing.kept_arrays import file_name
from ..writing.progress import PartsProgress
from .examples import (
    Example,
    Explain,
    candidates_of,
    explained,
    held_out_maps,
    keep,
    kept_examples,
    typical,
)
from .ezrin import ezrin_figures
from .predictions import HeldOut, KeptPredictions


class EzrinSource(Protocol):
    """What is asked of an `isl_train.polarity.crossfit.Crossfit`."""

    def model_without(self, groups: Iterable[str]) -> Path:
        """The folder of the labeling model that has not seen some groups."""
        ...

    def predicted(self, embryo: Embryo, *, leave_out: Iterable[str] = ()) -> np.ndarray:
        """EZRIN float32 [T, Y, X] by the model without the embryo's fold and `leave_out`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainers:
    """Where networks are trained and asked; tests put something quick in its place.

    Attributes:
        ezrin: The cross-fit.
        ezrin_folds: Its folds.
        train: From an experiment, embryos, their EZRIN, a folder for the run and the labeling model
            to start from, to the folder of the trained ensemble.
        logits: From that folder, an embryo and its EZRIN, to logits float32 [M, T, 2].
        intervals: From that folder to `temper` and `spread` of onsets' intervals.
        explain: Class activation maps, see `isl_eval.polarity.examples`; None: there are none.
    """

    ezrin: EzrinSource
    ezrin_folds: Folds
    train: Callable[
        [PolarityExperiment, Sequence[Embryo], Mapping[str, np.ndarray], Path, Path], Path
    ]
    logits: Callable[[Path, Embryo, np.ndarray], np.ndarray]
    intervals: Callable[[Path], Mapping[str, Any]] = lambda _: {}
    explain: Explain | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CrossValidation:
    """Predictions on every embryo, by models that knew neither it nor its fold.

    Attributes:
        predictions: For every arm, one for each fold.
        agreement: `ezrin.ezrin_figures` of predicted and measured EZRIN by embryo; embryos
            without measured Ezrin are not among them.
        examples: For every arm, frames with what speaks for their calls.
    """

    predictions: dict[str, list[HeldOut]]
    agreement: dict[str, np.ndarray]
    examples: dict[str, list[Example]] = dataclasses.field(default_factory=dict)


def cross_validate(
    experiments: Mapping[str, PolarityExperiment],
    embryos: Sequence[Embryo],
    folds: Folds,
    trainers: Trainers,
    kept: KeptPredictions,
    runs: Path,
    *,
    say: Callable[[str], None],
) -> CrossValidation:
    """Trains and asks one ensemble for every fold and experiment; what is kept is not done again.

    Args:
        experiments: How to train, by the name of the arm or variant.
        embryos: All of them.
        folds: Who is held out together.
        trainers: Where networks are trained.
        kept: Where predictions are kept.
        runs: Folder for the training runs.
        say: Called with a line for every part that is done.
    """
    # Transmitted light alone, wherever the embryo lies, needs no EZRIN.
    needed = any(experiment.needs_ezrin for experiment in experiments.values())
    costs = _ezrin_costs(folds, trainers.ezrin_folds) if needed else [0.0] * len(folds)
    progress = PartsProgress({"EZRIN": sum(costs), **{arm: len(folds) for arm in experiments}}, say)
    predictions: dict[str, list[HeldOut]] = {arm: [] for arm in experiments}
    agreement: dict[str, np.ndarray] = {}
    for number, fold in enumerate(folds, 1):
        label = f"fold_{number}"
        held_out = [embryo for embryo in embryos if embryo.group in fold]
        training = [embryo for embryo in embryos if embryo.group not in fold]
        where = f"fold {number} of {len(folds)} ({', '.join(fold)})"
        stored = {arm: kept.take(label, arm) for arm in experiments}
        found = kept.take_agreement(label)
        ezrin: dict[str, np.ndarray] = {}
        if found is None or None in stored.values():
            progress.begin()
            if needed:
                ezrin = nested_ezrin(held_out, training, trainers)
                found = _agreement(held_out, ezrin)
            else:
                ezrin = {e.name: np.zeros_like(e.dic) for e in (*training, *held_out)}
                found = {}
            kept.put_agreement(label, found)
            progress.end("EZRIN", costs[number - 1], f"{where}: EZRIN predicted")
        else:
            progress.skip("EZRIN", costs[number - 1], f"{where}: EZRIN predicted")
        agreement |= found
        for arm, experiment in experiments.items():
            made = stored[arm]
            if made is None:
                progress.begin()
                run = runs / label / file_name(arm)
                made, examples = _hold_out(experiment, held_out, training, ezrin, trainers, run)
                if examples:
                    keep(kept, label, arm, examples)
                kept.put(label, arm, made)
                progress.end(arm, 1, f"{where}: {arm} trained and asked")
            else:
                progress.skip(arm, 1, f"{where}: {arm}")
            predictions[arm].append(made)
    labels = [f"fold_{number}" for number in range(1, len(folds) + 1)]
    examples = {
        arm: typical(kept_examples(kept, labels, arm), predictions[arm], embryos)
        for arm in experiments
    }
    return CrossValidation(predictions=predictions, agreement=agreement, examples=examples)


def nested_ezrin(
    held_out: Sequence[Embryo], training: Sequence[Embryo], trainers: Trainers
) -> dict[str, np.ndarray]:
    """EZRIN of every embryo, from networks that knew neither it nor, in training, the held-out.

    Returns:
        float32 [T, Y, X] by the embryo's name.
    """
    unseen = _unseen(held_out, trainers)
    return {
        embryo.name: trainers.ezrin.predicted(embryo, leave_out=unseen)
        for embryo in (*training, *held_out)
    }


def check_measured(arms: Sequence[Arm], embryos: Sequence[Embryo]) -> None:
    """Refuses the arm of measured Ezrin where there is none.

    Raises:
        InputError: Names the first embryo without it.
    """
    for embryo in embryos:
        if "measured" in arms and embryo.measured is None:
            raise InputError(
                f"embryo '{embryo.name}' has no measured EZRIN; leave 'measured' out of arms"
            )


def real_trainers(
    experiment: PolarityExperiment,
    folder: Path,
    labeling: LabelingConfig,
    labeling_folder: Path,
    ezrin_folds: Folds,
    out: Path,
    *,
    console: Console,
    say: Callable[[str], None],
) -> Trainers:
    """The trainers that trains.

    Args:
        experiment: How to train an ensemble.
        folder: Where its configuration lies.
        labeling: How to learn EZRIN.
        labeling_folder: Where that configuration lies.
        ezrin_folds: Embryos whose EZRIN comes from one network.
        out: Folder for the runs.
        console: Where the training's progress is shown.
        say: Called with what a person should know, a line at a time.
    """
    crossfit = Crossfit(
        labeling, labeling_folder, out / "ezrin", ezrin_folds, say=say, console=console
    )
    return Trainers(
        ezrin=crossfit,
        ezrin_folds=ezrin_folds,
        train=functools.partial(_train, folder=folder, console=console),
        logits=held_out_logits,
        intervals=own_intervals,
        explain=held_out_maps,
    )


def own_intervals(model_folder: Path) -> dict[str, Any]:
    """`temper` and `spread` of a polarity model's intervals."""
    return read_folder_config(model_folder, PolarityConfig).for_intervals


def held_out_logits(model_folder: Path, embryo: Embryo, ezrin: np.ndarray) -> np.ndarray:
    """What every member says of every frame, float32 [M, T, 2].

    Views are cut where predicted EZRIN shows the embryo, as in training, whatever the arm.

    Args:
        model_folder: Of a polarity model.
        embryo: Whose frames.
        ezrin: Its predicted EZRIN, float32 [T, Y, X].
    """
    from isl.polarity.model import load_polarity_model, seen_by

    model = load_polarity_model(model_folder)
    seen = embryo.measured if model.config.arm == "measured" else ezrin
    assert seen is not None
    views = seen_by(model.config, embryo.dic, seen, ezrin, embryo.pixel_size)
    return model.logits_of_views(views)


def _train(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    ezrin: Mapping[str, np.ndarray],
    run: Path,
    labeling_model: Path,
    *,
    folder: Path,
    console: Console,
) -> Path:
    from isl.polarity.model import EZRIN_FOLDER

    model = train_ensemble(
        experiment,
        embryos,
        ezrin,
        run,
        name=f"{run.parent.name}-{run.name}",
        labeling_model=labeling_model,
        folder=folder,
        console=console,
    )
    # A bundled labeling model may have learned from the embryos that are held out here. What needs
    # no EZRIN takes an empty folder's word for it.
    if not experiment.needs_ezrin:
        (model / EZRIN_FOLDER).mkdir(exist_ok=True)
    elif not (model / EZRIN_FOLDER).exists():
        shutil.copytree(labeling_model, model / EZRIN_FOLDER)
    return model


def _hold_out(
    experiment: PolarityExperiment,
    held_out: Sequence[Embryo],
    training: Sequence[Embryo],
    ezrin: Mapping[str, np.ndarray],
    trainers: Trainers,
    run: Path,
) -> tuple[HeldOut, list[Example]]:
    """Trains one arm on the training embryos and asks it about the others."""
    started = time.monotonic()
    of_arm = experiment.model_copy(
        update={"ezrin": experiment.ezrin.model_copy(update={"model": ""})}
    )
    labeling_model = Path()
    if of_arm.needs_ezrin:
        labeling_model = trainers.ezrin.model_without(_unseen(held_out, trainers))
    seen = {embryo.name: ezrin[embryo.name] for embryo in training}
    model = trainers.train(of_arm, training, seen, run, labeling_model)
    made = HeldOut(
        logits={
            embryo.name: trainers.logits(model, embryo, ezrin[embryo.name]) for embryo in held_out
        },
        combine=experiment.combine,
        threshold=experiment.threshold,
        **trainers.intervals(model),
        seconds=time.monotonic() - started,
    )
    # Measured Ezrin says nothing of where a network looks in transmitted light.
    if trainers.explain is None or experiment.arm == "measured":
        return made, []
    candidates = [
        each for embryo in held_out for each in candidates_of(embryo, made, ezrin[embryo.name])
    ]
    chosen = typical(candidates, [made], held_out)
    return made, explained(chosen, model, held_out, trainers.explain)


def _unseen(held_out: Sequence[Embryo], trainers: Trainers) -> tuple[str, ...]:
    """Groups that no labeling network may have seen while these are held out: their folds'."""
    return folds_touched(trainers.ezrin_folds, (embryo.group for embryo in held_out))


def _agreement(embryos: Sequence[Embryo], ezrin: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        embryo.name: ezrin_figures(ezrin[embryo.name], embryo.measured)
        for embryo in embryos
        if embryo.measured is not None
    }


def _ezrin_costs(folds: Folds, ezrin_folds: Folds) -> list[float]:
    """How many labeling networks each fold needs that no fold before it needed."""
    known: set[frozenset[str]] = set()
    costs = []
    for fold in folds:
        unseen = frozenset(folds_touched(ezrin_folds, fold))
        needed = {unseen | frozenset(other) for other in ezrin_folds}
        costs.append(float(len(needed - known)))
        known |= needed
    return costs
