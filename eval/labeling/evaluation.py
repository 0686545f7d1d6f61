"""Judging labeling models: predicted fluorescence beside what was measured, and how sure it was."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
    image_of,
    judge_label,
    score_baseline,
    score_field,
)
from .live_dead import AllMarks, read_marks
from .models import Contender, check_unseen, common_scale, find_contenders, seen_groups
from .objects import segmenter_of
from .pictures import FieldPicture, field_picture, ranked_fields
from .points import judge_points, read_annotations
from .predictions import KeptPredictions, Predicted, options_for, predict_ground
from .record import metrics_record
from .report import labeling_page
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
    segmenter_of(config)
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
    scores, pictures = judge(contenders, ground, config, kept, marks, say)
    comparisons = _comparisons(scores, config)
    findings = Findings(
        title=_title(contenders, ground),
        ground=ground,
        contenders=tuple(contenders),
        scores=scores,
        comparisons=comparisons,
        seen=_seen(contenders, ground),
        pictures=pictures,
        points=judge_points(config, annotations),
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
) -> tuple[tuple[LabelScores, ...], tuple[FieldPicture, ...]]:
    """From predictions to figures of every label, the baseline's last, and pictures of fields."""
    samplers = {label: Sampler(ground, label, config.seed) for label in ground.labels}
    names = (*(contender.name for contender in contenders), BASELINE)
    of_fields: dict[tuple[str, str], list[FieldScores]] = {}
    samples: dict[tuple[str, str], list[tuple[np.ndarray, ...]]] = {}
    for facts in ground.fields:
        field = ground.read(facts.name)
        for contender in contenders:
            predicted = _taken(kept, contender.name, facts.name)
            for label in predicted.labels:
                if label not in facts.pixels:
                    continue
                key = contender.name, label
                marked = marks.get((label, field.name))
                scores = score_field(field, label, predicted, config, marked)
                of_fields.setdefault(key, []).append(scores)
                drawn = _sampled(field, label, predicted, samplers[label], config)
                samples.setdefault(key, []).append(drawn)
        for label in facts.pixels:
            baseline = score_baseline(field, label, ground)
            of_fields.setdefault((BASELINE, label), []).append(baseline)
        say(f"judged: {facts.name}")
    scores = tuple(
        judge_label(name, label, found, _sample(samples.get((name, label))), config)
        for label in ground.labels
        for name in names
        if (found := of_fields.get((name, label))) is not None
    )
    return scores, _pictures(scores, ground, config, kept)


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


def _taken(kept: KeptPredictions, contender: str, field: str) -> Predicted:
    predicted = kept.take(contender, field)
    assert predicted is not None
    return predicted


def _sampled(
    field: GroundField,
    label: str,
    predicted: Predicted,
    sampler: Sampler,
    config: LabelingEvaluation,
) -> tuple[np.ndarray, ...]:
    """True and predicted intensity, and width where there is one, of the pixels drawn."""
    number = field.labels.index(label)
    images = [field.truth[number], image_of(predicted, label, config)]
    if "width" in predicted.images:
        images.append(predicted.images["width"][predicted.labels.index(label)])
    mask = field.measured[number]
    return tuple(sampler.take(field.name, image, mask) for image in images)


def _sample(parts: Sequence[tuple[np.ndarray, ...]] | None) -> Sample | None:
    if parts is None:
        return None
    true, predicted, *width = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Sample(true=true, predicted=predicted, width=width[0] if width else None)


def _pictures(
    scores: Sequence[LabelScores],
    ground: Ground,
    config: LabelingEvaluation,
    kept: KeptPredictions,
) -> tuple[FieldPicture, ...]:
    pictures = []
    for each in scores:
        if each.contender == BASELINE:
            continue
        for number, rank in ranked_fields([f.pixels.pearson for f in each.fields]).items():
            shown = each.fields[number]
            field = ground.read(shown.field)
            at = field.labels.index(each.label)
            predicted = _taken(kept, each.contender, shown.field)
            pictures.append(
                field_picture(
                    field.truth[at],
                    image_of(predicted, each.label, config),
                    field.measured[at],
                    contender=each.contender,
                    label=each.label,
                    field=shown.field,
                    rank=rank,
                    pearson=shown.pixels.pearson,
                )
            )
    return tuple(pictures)


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
