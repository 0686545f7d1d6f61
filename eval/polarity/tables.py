"""The tables and the record of a polarity evaluation, as files."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from isl.files.records import plain
from isl.polarity.embryo import Embryo

from ..statistics.bootstrap import Interval, Resampling
from ..statistics.roc_band import RocBand
from ..writing.results import Rows, texts
from .clips import ClipScores
from .combinations import Combinations
from .examples import Example
from .judge import RULES, CompactionScores, Comparison, Contender, EzrinScores, OnsetScores
from .raters import Discrepancies, People
from .skill import Skill
from .verdict import Decision


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """All that an evaluation found.

    Attributes:
        title: What was judged, in words.
        embryos: Who was judged.
        folds: Who was held out together; (): nothing was trained.
        arms: Arms or models.
        baselines: What needs no picture.
        reference: The arm that others are compared with.
        comparisons: Of arms with it, and with the baselines.
        compaction: Of arms, where compaction is known.
        clips: Of arms, on clips that start anywhere.
        combinations: Of arms, what joining their members brings.
        people: Who was asked the same; None: nobody.
        discrepancies: Time discrepancies of arms, people and compaction.
        skill: Accuracy and odds of arms and people, beside no skill.
        bands: Around the ROC curves of arms, over embryos, by name.
        examples: Of arms, frames with what speaks for their calls.
        ezrin: Predicted EZRIN; None where nothing was measured.
        decision: The default arm; None where the rule does not apply.
        headlines: The outcome in words.
        resampling: How intervals were drawn.
        settings: What was asked for.
    """

    title: str
    embryos: tuple[Embryo, ...]
    folds: tuple[tuple[str, ...], ...]
    arms: tuple[Contender, ...]
    baselines: tuple[Contender, ...]
    reference: str
    comparisons: tuple[Comparison, ...]
    compaction: tuple[CompactionScores, ...]
    clips: tuple[ClipScores, ...]
    combinations: tuple[Combinations, ...]
    people: People | None
    discrepancies: Discrepancies
    skill: tuple[Skill, ...]
    bands: Mapping[str, RocBand]
    examples: Mapping[str, Sequence[Example]]
    ezrin: EzrinScores | None
    decision: Decision | None
    headlines: tuple[str, ...]
    resampling: Resampling
    settings: Mapping[str, Any]

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Arms, then baselines."""
        return (*self.arms, *self.baselines)

    def fold_of(self, embryo: Embryo) -> int | None:
        """The fold that held an embryo out, from 1; None: nothing was trained."""
        for number, fold in enumerate(self.folds, 1):
            if embryo.group in fold:
                return number
        return None


def metrics_record(findings: Findings) -> dict[str, Any]:
    """Every number, as JSON can hold it; what is undefined is null."""
    return plain(
        {
            "made_by": "isl eval",
            "task": "polarity",
            "title": findings.title,
            "embryos": [_embryo_record(findings, embryo) for embryo in findings.embryos],
            "frames": sum(len(embryo.after) for embryo in findings.embryos),
            "intervals": {
                "level": findings.resampling.level,
                "replicates": findings.resampling.replicates,
                "seed": findings.resampling.seed,
                "over": "embryos, unless named by_frame",
            },
            "headlines": findings.headlines,
            "decision": findings.decision,
            "arms": {arm.name: _contender_record(arm) for arm in findings.arms},
            "baselines": {each.name: _contender_record(each) for each in findings.baselines},
            "reference": findings.reference,
            "comparisons": findings.comparisons,
            "ezrin": findings.ezrin,
            "compaction": findings.compaction,
            "clips": findings.clips,
            "ensembles": findings.combinations,
            "people": _people_record(findings),
            "time_discrepancies": findings.discrepancies,
            "skill": findings.skill,
            "examples": {
                arm: [_example_record(each) for each in examples]
                for arm, examples in findings.examples.items()
            },
            "settings": findings.settings,
        }
    )


def arm_rows(findings: Findings) -> Rows:
    """A row for each arm and baseline: the table of the report, in numbers."""
    rows: list[dict[str, Any]] = []
    for each in findings.contenders:
        onset, change = each.onset("smoothed"), each.onsets.get("change_point")
        posterior = each.onsets.get("posterior")
        cells = each.confusion
        row = {
            "arm": each.name,
            "embryos": len(onset.rows),
            "frames": cells.total,
            **_spread("auc", each.by_embryo.get("auc")),
            **_spread("accuracy", each.by_embryo["accuracy"]),
            **_spread("sensitivity", each.by_embryo["sensitivity"]),
            **_spread("specificity", each.by_embryo["specificity"]),
            **_spread("onset_error", onset.mean),
            "onset_error_median": onset.summary.median,
            "onset_error_maximum": onset.summary.maximum,
            "within_2_frames": onset.summary.within_2,
            "within_3_frames": onset.summary.within_3,
            **_spread("change_point_error", change.mean if change else None),
            **_spread("posterior_error", posterior.mean if posterior else None),
            **_spread("auc_in_time", each.in_time["auc"] if each.in_time else None),
            **_spread("accuracy_in_time", each.in_time["accuracy"] if each.in_time else None),
            "onset_error_minutes": onset.summary.mean_minutes,
            "accuracy_smoothed": onset.accuracy.estimate,
            "cannot_tell": onset.verdicts["cannot_tell"] if onset.verdicts else None,
            "intervals_covering": onset.coverage.share if onset.coverage else None,
            "brier": each.calibration.brier if each.calibration else None,
            "calibration_error": each.calibration.error if each.calibration else None,
            **dataclasses.asdict(cells),
        }
        rows.append(row)
    return texts(rows)


def frame_rows(findings: Findings) -> Rows:
    """A row for each frame and arm."""
    rows = []
    for arm in findings.arms:
        for number, embryo in enumerate(findings.embryos):
            assert arm.found is not None
            onset = arm.found["smoothed"][number]
            rows += [
                {
                    "arm": arm.name,
                    "embryo": embryo.name,
                    "fold": findings.fold_of(embryo),
                    "frame": t,
                    "label": int(embryo.after[t]),
                    "probability": f"{onset.probability[t]:.6f}",
                    "call": int(onset.calls[t]),
                    "smoothed": int(onset.smoothed[t]),
                }
                for t in range(len(embryo.after))
            ]
    return texts(rows)


def onset_rows(findings: Findings) -> Rows:
    """A row for each embryo, rule, and arm or baseline; only arms have verdicts and intervals."""
    return texts(
        {
            "arm": each.name,
            "rule": rule if each.found is not None else "",
            "embryo": embryo.name,
            "fold": findings.fold_of(embryo),
            "frames": row.frames,
            "annotated": row.true,
            "predicted": row.predicted,
            "error": row.error,
            "error_minutes": row.minutes,
            **{name: getattr(onset, name, None) for name in _OF_ONSET},
        }
        for each in findings.contenders
        for rule, scores in each.onsets.items()
        for embryo, row, onset in zip(
            findings.embryos,
            scores.rows,
            each.found[rule] if each.found is not None else [None] * len(scores.rows),
            strict=True,
        )
    )


_OF_ONSET = ("verdict", "low", "high", "agreement")


def combination_rows(findings: Findings) -> Rows:
    """A row for each arm and way of joining its members, and for each member."""
    return texts(
        {
            "arm": arm.name,
            "members": row.name,
            "used": int(row.name == arm.used),
            **_spread("accuracy", row.accuracy),
            **_spread("auc", row.auc),
            "onset_error": row.onset_error,
            **_spread("accuracy_gain", row.gain),
            **_spread("auc_gain", row.auc_gain),
        }
        for arm in findings.combinations
        for row in arm.rows
    )


def people_rows(findings: Findings) -> Rows:
    """A row for each arm and person, or their majority: how they differ."""
    if findings.people is None:
        return []
    by_name = {each.name: each for each in (*findings.arms, *findings.people.all)}
    return texts(
        {
            "arm": each.name,
            "person": each.against,
            "accuracy_of_arm": by_name[each.name].confusion.accuracy,
            "accuracy_of_person": by_name[each.against].confusion.accuracy,
            "z": each.z.z,
            "p": each.z.p,
            **_spread("accuracy_difference", each.accuracy),
            "onset_error_of_arm": by_name[each.name].onset("smoothed").summary.mean,
            "onset_error_of_person": by_name[each.against].onset("smoothed").summary.mean,
            "p_of_time_discrepancies": each.wilcoxon["smoothed"].p,
        }
        for each in findings.people.comparisons
    )


def discrepancy_rows(findings: Findings) -> Rows:
    """A row for each embryo, with how far everything lies from its annotated onset in time."""
    found = findings.discrepancies
    return texts(
        {
            "embryo": embryo,
            "unit": found.unit,
            **{name: float(values[number]) for name, values in found.values.items()},
        }
        for number, embryo in enumerate(found.embryos)
    )


def _people_record(findings: Findings) -> dict[str, Any] | None:
    people = findings.people
    if people is None:
        return None
    return {
        "majority": None if people.majority is None else _contender_record(people.majority),
        "without_time": {each.name: _contender_record(each) for each in people.raters},
        "with_time": {each.name: _contender_record(each) for each in people.ordered},
        "comparisons": people.comparisons,
    }


def _example_record(example: Example) -> dict[str, Any]:
    return {
        "outcome": example.outcome,
        "embryo": example.embryo,
        "frame": example.frame,
        "confidence": example.confidence,
    }


def _embryo_record(findings: Findings, embryo: Embryo) -> dict[str, Any]:
    return {
        "name": embryo.name,
        "group": embryo.group,
        "fold": findings.fold_of(embryo),
        "frames": len(embryo.after),
        "onset": embryo.onset,
        "compaction": embryo.compaction,
        "interval_minutes": embryo.interval,
    }


def _contender_record(each: Contender) -> dict[str, Any]:
    return {
        "confusion": each.confusion,
        "undefined": each.confusion.undefined,
        "by_embryo": each.by_embryo,
        "by_frame": each.by_frame,
        "in_time": each.in_time,
        "roc": None
        if each.roc is None
        else {
            "false_positive_rate": each.roc.false_positive_rate,
            "true_positive_rate": each.roc.true_positive_rate,
        },
        "onsets": {rule: _onset_record(each, rule) for rule in RULES if rule in each.onsets},
        "within_embryos": each.of_embryo,
        "calibration": each.calibration,
        "members_auc": each.members_auc,
        "likeliest_temper": each.temper,
        "seconds": each.seconds,
    }


def _onset_record(each: Contender, rule: Any) -> dict[str, Any]:
    scores: OnsetScores = each.onsets[rule]
    return {
        "summary": scores.summary,
        "mean_error": scores.mean,
        "mean_error_minutes": scores.minutes,
        "accuracy": scores.accuracy,
        "confusion": scores.confusion,
        "interval_90": None
        if scores.coverage is None
        else {**dataclasses.asdict(scores.coverage), "share": scores.coverage.share},
        "verdicts": scores.verdicts,
        "error_by_share_answered": scores.by_share,
        "embryos": scores.rows,
    }


def _spread(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
