"""Judging labeling models: predicted fluorescence beside what was measured, and how sure it was."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from isl.config import load_as_typed
from isl.data.splits import Split
from isl.errors import InputError, unknown
from isl.labeling.dataset import load_manifest
from isl.labeling.familiarity import Unfamiliarity

from ..writing.progress import PartsProgress
from ..writing.results import printer, texts, write_results
from .config import LabelingEvaluation
from .findings import Findings
from .ground import Ground, GroundField, survey_ground
from .judge import (
    BASELINE,
    Comparison,
    FieldScores,
    LabelScores,
    Sample,
    Sampler,
    compare,
    joined_samples,
    judge_label,
    score_baseline,
    score_field,
)
from .live_dead import AllMarks, read_marks
from .models import (
    Contender,
    check_images,
    check_unseen,
    common_scale,
    find_contenders,
    seen_groups,
)
from .points import judge_points, read_annotations
from .predictions import KeptPredictions, Predicted, image_of, options_for, predict_ground
from .record import metrics_record
from .report import labeling_page
from .shown import draw_shown
from .tables import TABLES
from .verdict import headlines

Say = Callable[[str], None]


def evaluate_labeling(path: Path, overrides: Sequence[str], out: Path) -> None:
    """Judges what a configuration names, and leaves the report and its tables in a folder.

    Args:
        path: The configuration, of `LabelingEvaluation`.
        overrides: `key=value` texts.
        out: The folder; predictions in it are not made again.

    Raises:
        InputError: Something in the configuration, or the data, does not fit.
        KeyboardInterrupt: It was stopped; it is resumed the next time.
    """
    config = load_as_typed(path, LabelingEvaluation, overrides)
    say = printer(Console(stderr=True))
    contenders = find_contenders(config, path.parent)
    manifest = load_manifest(path.parent / config.dataset)
    ground = survey_ground(
        manifest,
        split=config.split,
        leave_out=config.leave_out,
        labels=config.labels,
        predicted=[label for contender in contenders for label in contender.labels],
        scales=common_scale(contenders),
    )
    contenders = _with_labels(contenders, ground)
    _check_named(config, ground)
    check_images(contenders, ground)
    if not config.allow_seen:
        sides: tuple[Split, ...] = ("validation", "test")
        check_unseen(
            contenders,
            ground,
            {split: [field.group for field in manifest.fields_for(split)] for split in sides},
        )
    annotations = read_annotations(config, path.parent, ground)
    marks, unmarked = read_marks(config, path.parent, ground)
    ground = dataclasses.replace(ground, notes=(*ground.notes, *unmarked))
    for line in ground.notes:
        say(line)
    kept = KeptPredictions(out, _settings(config, contenders, ground))
    warnings, familiarity = predict_all(contenders, ground, config, kept, say)
    scores = judge(contenders, ground, config, kept, marks, say)
    points = judge_points(config, annotations)
    comparisons = _comparisons(scores, config)
    findings = Findings(
        title=_title(contenders, ground),
        ground=ground,
        contenders=tuple(contenders),
        scores=scores,
        comparisons=comparisons,
        seen=_seen(contenders, ground),
        shown=draw_shown(scores, points, annotations, ground, config, kept),
        points=points,
        warnings=warnings,
        familiarity=familiarity,
        headlines=headlines(scores, comparisons, ground),
        settings=config.model_dump(mode="json"),
    )
    write(findings, out)
    for line in findings.headlines:
        say(line)


def predict_all(
    contenders: Sequence[Contender],
    ground: Ground,
    config: LabelingEvaluation,
    kept: KeptPredictions,
    say: Say,
) -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, Unfamiliarity]]]:
    """Predicts every field by every contender; what is kept is not done again.

    Returns:
        By contender, what differs from what it expects, a line for each field and difference; and,
        by contender and field, how far the field is from what it learned from, where that is known.
    """
    sizes = {field.name: field.size[0] * field.size[1] for field in ground.fields}
    amounts = {contender.name: float(sum(sizes.values())) for contender in contenders}
    progress = PartsProgress(amounts, say)
    warnings: dict[str, list[str]] = {contender.name: [] for contender in contenders}
    familiarity: dict[str, dict[str, Unfamiliarity]] = {name: {} for name in warnings}
    for facts in ground.fields:
        field: GroundField | None = None
        for contender in contenders:
            progress.begin()
            done, text = float(sizes[facts.name]), f"{contender.name}: {facts.name}"
            predicted = kept.take(contender.name, facts.name)
            if predicted is not None:
                progress.skip(contender.name, done, text)
            else:
                field = field or ground.read(facts.name)
                predicted = predict_ground(contender, field, ground, config)
                kept.put(contender.name, facts.name, predicted)
                progress.end(contender.name, done, text)
            warnings[contender.name] += [f"{facts.name}: {line}" for line in predicted.warnings]
            if predicted.familiarity is not None:
                familiarity[contender.name][facts.name] = predicted.familiarity
    lines = {name: tuple(dict.fromkeys(found)) for name, found in warnings.items()}
    return lines, familiarity


def judge(
    contenders: Sequence[Contender],
    ground: Ground,
    config: LabelingEvaluation,
    kept: KeptPredictions,
    marks: AllMarks,
    say: Say,
) -> tuple[LabelScores, ...]:
    """From predictions to figures of every label, the baseline's last."""
    samplers = {label: Sampler(ground, label, config.seed) for label in ground.labels}
    names = (*(contender.name for contender in contenders), BASELINE)
    of_fields: dict[tuple[str, str], list[FieldScores]] = {}
    samples: dict[tuple[str, str], dict[str, list[Sample]]] = {}
    for facts in ground.fields:
        field = ground.read(facts.name)
        for contender in contenders:
            predicted = kept.taken(contender.name, facts.name)
            for label in predicted.labels:
                if label not in facts.pixels:
                    continue
                key = contender.name, label
                marked = marks.get((label, field.name))
                scores = score_field(field, label, predicted, config, marked)
                of_fields.setdefault(key, []).append(scores)
                drawn = _sampled(field, label, predicted, samplers[label], config)
                of_condition = samples.setdefault(key, {})
                of_condition.setdefault(facts.condition, []).append(drawn)
        for label in facts.pixels:
            baseline = score_baseline(field, label, ground)
            of_fields.setdefault((BASELINE, label), []).append(baseline)
        say(f"judged: {facts.name}")
    return tuple(
        judge_label(name, label, found, _joined(samples.get((name, label), {})), config)
        for label in ground.labels
        for name in names
        if (found := of_fields.get((name, label))) is not None
    )


def write(findings: Findings, out: Path) -> None:
    """Writes the report, the record and the tables, replacing older ones."""
    write_results(
        out,
        page=labeling_page(findings),
        record={"metrics.json": metrics_record(findings)},
        tables={name: texts(rows_of(findings)) for name, rows_of in TABLES.items()},
    )


def _with_labels(contenders: Sequence[Contender], ground: Ground) -> tuple[Contender, ...]:
    for contender in contenders:
        if not set(contender.labels) & set(ground.labels):
            raise InputError(
                f"'{contender.name}' predicts {', '.join(contender.labels)}: none of "
                f"{', '.join(ground.labels)}, which are judged; take it out"
            )
    return tuple(contenders)


def _check_named(config: LabelingEvaluation, ground: Ground) -> None:
    """Labels that the configuration names beside `labels`; `objects` holds `live_dead`'s."""
    for label in (*config.objects, *(entry.label for entry in config.points)):
        if label not in ground.labels:
            raise unknown("label in 'objects' or 'points'", label, ground.labels)


def _settings(
    config: LabelingEvaluation, contenders: Sequence[Contender], ground: Ground
) -> dict[str, Any]:
    """All that predictions depend on."""
    asked = {
        contender.name: options_for(contender, ground, config).labels
        for contender in contenders
        if contender.model is not None
    }
    return {
        "contenders": {contender.name: contender.identity for contender in contenders},
        "labels": {name: list(labels) for name, labels in asked.items()},
        "familiarity": {contender.name: _familiarity_hash(contender) for contender in contenders},
        "fields": {field.name: field.fingerprint for field in ground.fields},
        "planes": None if config.planes is None else list(config.planes),
        "symmetries": config.symmetries,
        "stitch": config.stitch,
        **({"renormalize": True} if config.renormalize else {}),
        "seed": config.seed,
    }


def _familiarity_hash(contender: Contender) -> str:
    """Of what its members say that their training ground looks like: no part of its identity."""
    said = [
        member.familiarity and member.familiarity.model_dump_json() for member in contender.members
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _sampled(
    field: GroundField,
    label: str,
    predicted: Predicted,
    sampler: Sampler,
    config: LabelingEvaluation,
) -> Sample:
    """The pixels that are drawn of a field."""
    number = field.labels.index(label)
    mask = field.measured[number]
    width = None
    if "width" in predicted.images:
        width = predicted.images["width"][predicted.labels.index(label)]
    return Sample(
        true=sampler.take(field.name, field.truth[number], mask),
        predicted=sampler.take(field.name, image_of(predicted, label, config), mask),
        width=None if width is None else sampler.take(field.name, width, mask),
    )


def _joined(of_condition: Mapping[str, Sequence[Sample]]) -> dict[str, Sample]:
    found = {condition: joined_samples(parts) for condition, parts in of_condition.items()}
    return {condition: sample for condition, sample in found.items() if sample is not None}


def _comparisons(
    scores: Sequence[LabelScores], config: LabelingEvaluation
) -> tuple[Comparison, ...]:
    """Every contender with the first one on a label, and with the baseline."""
    found = []
    for label in dict.fromkeys(each.label for each in scores):
        *contenders, baseline = (each for each in scores if each.label == label)
        found += [compare(each, contenders[0], config) for each in contenders[1:]]
        found += [compare(each, baseline, config) for each in contenders]
    return tuple(found)


def _seen(contenders: Sequence[Contender], ground: Ground) -> Mapping[str, tuple[str, ...]]:
    found = {contender.name: seen_groups(contender, ground) for contender in contenders}
    return {name: groups for name, groups in found.items() if groups}


def _title(contenders: Sequence[Contender], ground: Ground) -> str:
    names = ", ".join(contender.name for contender in contenders)
    return f"{names} on {ground.extent}"
