"""Judging the onset of polarization: arms, cross-validated, or models on embryos new to them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from isl.config import load_as_typed, load_toml
from isl.errors import InputError
from isl.labeling.dataset import Field, Manifest, load_manifest
from isl.polarity.embryo import Embryo, load_embryos, without_defects
from isl.polarity.model import ARMS
from isl.report.words import counted
from isl_train.experiment import ExperimentConfig, decisive
from isl_train.labeling.config import LabelingConfig
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.ensemble import check_start

from ..statistics.bootstrap import Resampling
from ..statistics.folds import Folds
from ..statistics.roc_band import roc_band
from ..writing.results import printer, write_results
from .clips import judge_clips
from .combinations import judge_combinations
from .config import PolarityEvaluation
from .crossval import CrossValidation, Trainers, check_measured, cross_validate, real_trainers
from .folds import crossfit_folds, held_out_folds
from .judge import (
    REFERENCE,
    Comparison,
    Contender,
    compare,
    judge_arm,
    judge_baselines,
    judge_compaction,
    judge_ezrin,
)
from .predictions import KeptPredictions, fingerprints
from .raters import Ratings, compare_discrepancies, judge_people, read_raters
from .report import polarity_page
from .saved import check_embryos, find_models, judge_saved
from .skill import judge_skill
from .tables import (
    Findings,
    arm_rows,
    combination_rows,
    discrepancy_rows,
    frame_rows,
    metrics_record,
    onset_rows,
    people_rows,
)
from .verdict import decide, headlines

Say = Callable[[str], None]
TrainersOf = Callable[["Plan", Path], Trainers]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A cross-validation, all of it checked.

    Attributes:
        experiment: How to train an ensemble.
        experiments: The same by arm or variant, each with its changes.
        folder: Where its configuration lies.
        labeling: How to learn EZRIN; it leaves out whom nobody may see.
        labeling_folder: Where that configuration lies.
        embryos: Who is judged.
        folds: Who is held out together.
        ezrin_folds: Whose EZRIN comes from one network.
        ratings: What people said of the embryos; None: nobody was asked.
    """

    experiment: PolarityExperiment
    experiments: Mapping[str, PolarityExperiment]
    folder: Path
    labeling: LabelingConfig
    labeling_folder: Path
    embryos: tuple[Embryo, ...]
    folds: Folds
    ezrin_folds: Folds
    ratings: Ratings | None = None


def evaluate_polarity(
    path: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    trainers: TrainersOf | None = None,
) -> None:
    """Judges what a configuration names, and leaves the report and its tables in a folder.

    Args:
        path: The configuration, of `PolarityEvaluation`.
        overrides: `key=value` texts.
        out: The folder; predictions in it are not made again.
        trainers: Where networks are trained; None: `real_trainers`.

    Raises:
        InputError: Something in the configuration, or the data, does not fit.
        KeyboardInterrupt: It was stopped; it is resumed the next time.
    """
    config = load_as_typed(path, PolarityEvaluation, overrides)
    console = Console(stderr=True)
    say = printer(console)
    if config.experiment is None:
        findings = _judge_models(config, path, out, say)
    else:
        plan = plan_cross_validation(config, path, say)
        make = trainers or (lambda plan, out: _real_trainers(plan, out, console, say))
        findings = _judge_arms(config, plan, out, make, say)
    write(findings, out)
    for line in findings.headlines:
        say(line)
    if findings.decision is not None:
        say(findings.decision.words)


def plan_cross_validation(
    config: PolarityEvaluation, path: Path, say: Say = lambda _: None
) -> Plan:
    """Reads and checks all that a cross-validation needs; nothing is written.

    Args:
        config: What was asked for.
        path: The file it comes from.
        say: Called with a line for every embryo that is left out for its defects.
    """
    assert config.experiment is not None
    file = path.parent / config.experiment
    experiment = load_toml(file, PolarityExperiment, config.changes)
    experiments = _experiments(config, file, experiment)
    for each in experiments.values():
        check_start(each, file.parent)
        if each.end_to_end is not None:
            raise InputError(
                f"{file}: end_to_end is not cross-validated; take it out, or judge the finished "
                "model with the key model"
            )
    labeling_file = file.parent / experiment.ezrin.experiment
    labeling = load_toml(labeling_file, LabelingConfig, config.ezrin_changes)
    dataset = file.parent / experiment.dataset
    if config.dataset is not None:
        dataset = path.parent / config.dataset
    manifest = load_manifest(dataset).without({*experiment.leave_out, *config.leave_out})
    embryos = _on_side(load_embryos(manifest), "train", manifest)
    embryos = without_defects(
        embryos, (*experiment.leave_out_defects, *config.leave_out_defects), say
    )
    check_measured([each.arm for each in experiments.values()], embryos)
    folds = held_out_folds(embryos, config.folds, source=str(path))
    judged = {embryo.group for embryo in embryos}
    others = {field.group for field in manifest.fields} - judged
    unseen = {*experiment.leave_out, *config.leave_out, *others}
    return Plan(
        experiment=experiment,
        experiments=experiments,
        folder=file.parent,
        labeling=_without(labeling, labeling_file, judged, unseen),
        labeling_folder=labeling_file.parent,
        embryos=embryos,
        folds=folds,
        ezrin_folds=crossfit_folds(embryos, folds, wanted=experiment.ezrin.folds, source=str(path)),
        ratings=read_raters(config.raters, manifest, embryos),
    )


def _experiments(
    config: PolarityEvaluation, file: Path, experiment: PolarityExperiment
) -> dict[str, PolarityExperiment]:
    """What is trained in every fold, by the name that it has in the report."""
    if not config.variants:
        return {arm: experiment.model_copy(update={"arm": arm}) for arm in config.arms}
    return {
        name: load_toml(file, PolarityExperiment, [*config.changes, *changes])
        for name, changes in config.variants.items()
    }


def write(findings: Findings, out: Path) -> None:
    """Writes the report, the record and the tables, replacing older ones."""
    write_results(
        out,
        page=polarity_page(findings),
        record={"metrics.json": metrics_record(findings)},
        tables={
            "arms.csv": arm_rows(findings),
            "frames.csv": frame_rows(findings),
            "onsets.csv": onset_rows(findings),
            "ensembles.csv": combination_rows(findings),
            "people.csv": people_rows(findings),
            "discrepancies.csv": discrepancy_rows(findings),
        },
    )


def _judge_arms(
    config: PolarityEvaluation, plan: Plan, out: Path, make: TrainersOf, say: Say
) -> Findings:
    kept = KeptPredictions(out, _settings(plan))
    done = cross_validate(
        plan.experiments,
        plan.embryos,
        plan.folds,
        make(plan, out),
        kept,
        out / "runs",
        say=say,
    )
    frames = sum(len(embryo.after) for embryo in plan.embryos)
    title = (
        f"{counted(len(plan.experiments), 'variant' if config.variants else 'arm')} on "
        f"{len(plan.embryos)} embryos, {frames} frames; "
        f"cross-validated in {len(plan.folds)} folds of embryos"
    )
    names = tuple(plan.experiments)
    reference = REFERENCE if REFERENCE in names else names[0]
    return judge(
        config,
        plan.embryos,
        done,
        title=title,
        reference=reference,
        folds=plan.folds,
        ratings=plan.ratings,
    )


def _judge_models(config: PolarityEvaluation, path: Path, out: Path, say: Say) -> Findings:
    assert config.dataset is not None
    models = find_models(config.model, path.parent)
    manifest = load_manifest(path.parent / config.dataset).without(config.leave_out)
    embryos = load_embryos(manifest)
    if config.split is not None:
        embryos = _on_side(embryos, config.split, manifest)
    embryos = without_defects(embryos, config.leave_out_defects, say)
    if not embryos:
        raise InputError(f"{path}: leave_out_defects leaves nobody to judge; name fewer")
    check_embryos(models, embryos)
    ratings = read_raters(config.raters, manifest, embryos)
    settings = {
        "models": {model.name: list(model.identity) for model in models},
        "embryos": fingerprints(embryos),
    }
    done = judge_saved(models, embryos, KeptPredictions(out, settings), say=say)
    frames = sum(len(embryo.after) for embryo in embryos)
    names = ", ".join(model.name for model in models)
    title = f"{names} on {len(embryos)} embryos, {frames} frames, that it was not trained on"
    plain_dic = [model.name for model in models if model.config.arm == REFERENCE]
    reference = plain_dic[0] if plain_dic else models[0].name
    return judge(
        config,
        embryos,
        done,
        title=title,
        reference=reference,
        folds=(),
        ratings=ratings,
    )


def judge(
    config: PolarityEvaluation,
    embryos: Sequence[Embryo],
    done: CrossValidation,
    *,
    title: str,
    reference: str,
    folds: Folds,
    ratings: Ratings | None = None,
) -> Findings:
    """From predictions to all that the report says.

    Args:
        config: What was asked for.
        embryos: With their annotation.
        done: Predictions on them.
        title: What was judged, in words.
        reference: The arm that others are compared with.
        folds: Who was held out together.
        ratings: What people said; None: nobody was asked.
    """
    resampling = config.resampling
    arms = tuple(
        judge_arm(name, made, embryos, resampling) for name, made in done.predictions.items()
    )
    # Leaving one out takes two.
    baselines = judge_baselines(embryos, resampling) if len(embryos) > 1 else ()
    comparisons = _comparisons(arms, baselines, reference, resampling)
    people = None if ratings is None else judge_people(ratings, arms, embryos, resampling)
    majority = (people.majority,) if people is not None and people.majority is not None else ()
    bands = {
        arm.name: roc_band(arm.truth, arm.score, arm.groups, resampling)
        for arm in arms
        if arm.score is not None
    }
    joined = [
        judge_combinations(name, made, embryos, resampling)
        for name, made in done.predictions.items()
    ]
    clips = [
        judge_clips(name, made, embryos, resampling) for name, made in done.predictions.items()
    ]
    compaction = [judge_compaction(arm, embryos, resampling) for arm in arms]
    return Findings(
        title=title,
        embryos=tuple(embryos),
        folds=folds,
        arms=arms,
        baselines=baselines,
        reference=reference,
        comparisons=comparisons,
        compaction=tuple(each for each in compaction if each is not None),
        combinations=tuple(each for each in joined if each is not None),
        people=people,
        discrepancies=compare_discrepancies(arms, reference, people, embryos),
        skill=judge_skill([*arms, *majority], resampling),
        bands={name: band for name, band in bands.items() if band is not None},
        examples=done.examples,
        clips=tuple(each for each in clips if each is not None),
        ezrin=judge_ezrin(done.agreement, embryos, resampling),
        decision=decide(arms, comparisons, config.decide_by) if folds else None,
        headlines=tuple(headlines(arms, comparisons, reference)),
        resampling=resampling,
        settings=config.model_dump(mode="json"),
    )


def _without(
    labeling: LabelingConfig, file: Path, judged: set[str], unseen: set[str]
) -> LabelingConfig:
    """The labeling experiment without whom nobody may see; it can do without the judged, too."""
    if labeling.start.model is not None:
        raise InputError(
            f"{file}: starts from model '{labeling.start.model}', which may know the embryos that "
            "are held out; take start.model out"
        )
    manifest = load_manifest(file.parent / labeling.dataset).without(labeling.leave_out)
    manifest.without(judged - set(labeling.leave_out))
    present = {field.group for field in manifest.fields}
    left_out = {*labeling.leave_out, *(unseen & present)}
    return labeling.model_copy(update={"leave_out": tuple(sorted(left_out))})


def _comparisons(
    arms: Sequence[Contender],
    baselines: Sequence[Contender],
    reference: str,
    resampling: Resampling,
) -> tuple[Comparison, ...]:
    referred = next(arm for arm in arms if arm.name == reference)
    pairs = [(arm, referred) for arm in arms if arm is not referred]
    pairs += [(arm, baseline) for arm in arms for baseline in baselines]
    return tuple(compare(one, other, resampling) for one, other in pairs)


def _on_side(embryos: Sequence[Embryo], split: str, manifest: Manifest) -> tuple[Embryo, ...]:
    chosen = tuple(embryo for embryo in embryos if embryo.split == split)
    if not chosen:
        raise InputError(f"{manifest.path}: no time-lapse has split '{split}'")
    return chosen


def _settings(plan: Plan) -> dict[str, Any]:
    """All that held-out predictions depend on, but the arm."""

    def stated(experiment: ExperimentConfig, *left_out: str) -> dict[str, Any]:
        return decisive(experiment.model_dump(mode="json", exclude={"name", *left_out}))

    labeled = load_manifest(plan.labeling_folder / plan.labeling.dataset)
    # Arms may be added to an evaluation; variants are named all at once.
    variants = {name: stated(each) for name, each in plan.experiments.items() if name not in ARMS}
    return {
        "experiment": stated(plan.experiment, "arm"),
        **({"variants": variants} if variants else {}),
        "labeling": stated(plan.labeling),
        "learned_from": {field.name: _statement(field) for field in labeled.fields},
        "folds": [list(fold) for fold in plan.folds],
        "ezrin_folds": [list(fold) for fold in plan.ezrin_folds],
        "embryos": fingerprints(plan.embryos),
    }


def _statement(field: Field) -> dict[str, Any]:
    """What a dataset says of a field, but where it lies."""
    lies = {"name", "folder", "transmitted", "labels", "masks"}
    return field.model_dump(mode="json", exclude=lies, exclude_defaults=True)


def _real_trainers(plan: Plan, out: Path, console: Console, say: Say) -> Trainers:
    return real_trainers(
        plan.experiment,
        plan.folder,
        plan.labeling,
        plan.labeling_folder,
        plan.ezrin_folds,
        out,
        console=console,
        say=say,
    )
