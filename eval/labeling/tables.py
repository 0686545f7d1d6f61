"""The tables and the record of a labeling evaluation, as files."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isl.labeling.provenance import versions
from isl.records import plain

from ..bootstrap import Interval
from ..metrics.distributions import DistributionSummary, RangeSummary
from ..metrics.live_dead import STATES
from .blocks import BLOCK, FEWEST_GROUPS, FIGURES
from .ground import Ground
from .judge import BASELINE, SAMPLES, Comparison, FieldScores, LabelScores
from .live_dead import IMAGES, LiveDeadScores, summary_of
from .models import Contender
from .pictures import FieldPicture
from .points import PointScores, counted_errors

Rows = list[dict[str, str]]

TITLES: Mapping[str, str] = {
    "pearson": "Pearson",
    "foreground_pearson": "Pearson of the foreground",
    "mae": "Mean absolute error",
    "nrmse": "NRMSE",
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
    "cross_entropy": "Cross-entropy (uniform = 1)",
    "ranked_probability_score": "Ranked probability score",
    "sharpness": "Width of the 90 % interval",
    "coverage_50": "Within the 50 % interval",
    "coverage_80": "Within the 80 % interval",
    "coverage_90": "Within the 90 % interval",
    "coverage_95": "Within the 95 % interval",
}
"""What each figure is called."""
HIGHER_IS_BETTER = {"pearson", "foreground_pearson", "ssim", "psnr"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """All that an evaluation found.

    Attributes:
        title: What was judged, in words.
        ground: On what.
        contenders: Who.
        scores: Of every contender and label, the baseline's after the others'.
        comparisons: Of contenders with the first one and with the baseline.
        seen: Groups of the ground that a contender was trained on, where there are any.
        pictures: Best, median and worst fields.
        points: What people's points say.
        warnings: By contender, what differs from what it expects.
        headlines: The outcome in words.
        settings: What was asked for.
    """

    title: str
    ground: Ground
    contenders: tuple[Contender, ...]
    scores: tuple[LabelScores, ...]
    comparisons: tuple[Comparison, ...]
    seen: Mapping[str, tuple[str, ...]]
    pictures: tuple[FieldPicture, ...]
    points: tuple[PointScores, ...]
    warnings: Mapping[str, tuple[str, ...]]
    headlines: tuple[str, ...]
    settings: Mapping[str, Any]

    def of_label(self, label: str) -> tuple[LabelScores, ...]:
        """Every contender's scores of a label, the baseline's last."""
        return tuple(each for each in self.scores if each.label == label)

    @property
    def judged(self) -> tuple[LabelScores, ...]:
        """Scores without the baseline's."""
        return tuple(each for each in self.scores if each.contender != BASELINE)


def metrics_record(findings: Findings) -> dict[str, Any]:
    """Every number, as JSON can hold it; what is undefined is null."""
    ground, settings = findings.ground, findings.settings
    return plain(
        {
            "made_by": "isl eval",
            "task": "labeling",
            "title": findings.title,
            "headlines": findings.headlines,
            "held_out": _held_out(findings),
            "seen": findings.seen,
            "ground": {
                "split": ground.split,
                "groups": ground.groups,
                "fields": [
                    {"name": f.name, "group": f.group, "size": f.size, "pixels": f.pixels}
                    for f in ground.fields
                ],
                "notes": ground.notes,
            },
            "intervals": {
                "level": settings["level"],
                "replicates": settings["replicates"],
                "seed": settings["seed"],
                "over": f"groups, or blocks of {BLOCK} pixels where there are fewer than "
                f"{FEWEST_GROUPS}",
            },
            "contenders": {each.name: _contender_record(each) for each in findings.contenders},
            "labels": {
                label: {each.contender: _scores_record(each) for each in findings.of_label(label)}
                for label in ground.labels
            },
            "comparisons": findings.comparisons,
            "points": [_point_record(each) for each in findings.points],
            "warnings": findings.warnings,
            "versions": versions(),
            "settings": settings,
        }
    )


def _held_out(findings: Findings) -> bool | None:
    """Whether the ground had no part in making any contender; None where one does not say."""
    groups = set(findings.ground.groups)
    if findings.seen or any(groups & each.chosen_on for each in findings.contenders):
        return False
    return None if any(each.silent for each in findings.contenders) else True


def figure_rows(findings: Findings) -> Rows:
    """A row for every figure of a label, of each of its groups and of each of its fields."""
    rows: Rows = []
    for each in findings.scores:
        who = {"contender": each.contender, "label": each.label}
        for name, value in each.figures.items():
            rows.append(_figure(who, "label", each.label, name, value, each))
        if each.contender != BASELINE:
            sampled = {"of": "label", "name": each.label, "figure": "pearson_sampled"}
            rows.append(_row({**who, **sampled, "value": each.pearson_sampled}))
        for group, figures in each.by_group.items():
            for name, value in figures.items():
                named = {"of": "group", "name": group, "figure": name, "value": value}
                rows.append(_row({**who, **named}))
        for field in each.fields:
            for name, value in field_figures(field).items():
                named = {"of": "field", "name": field.field, "figure": name, "value": value}
                rows.append(_row({**who, **named}))
    return rows


def field_figures(field: FieldScores) -> dict[str, float | None]:
    """Every figure of a field, those of its image first."""
    pixels = dataclasses.asdict(field.pixels)
    of_image = {name: value for name, value in pixels.items() if name not in ("notes", "pixels")}
    return {**field.rows.figures, **of_image}


def object_rows(findings: Findings) -> Rows:
    """A row for the nuclei of every field."""
    rows: Rows = []
    for each in findings.judged:
        for field in each.fields:
            if field.objects is None:
                continue
            figures = field.objects.figures
            skipped = ("true_sizes", "predicted_sizes", "notes")
            named = {f.name: getattr(figures, f.name) for f in dataclasses.fields(figures)}
            rows.append(
                _of_all(
                    {
                        "contender": each.contender,
                        "label": each.label,
                        "field": field.field,
                        "group": field.group,
                        **{name: value for name, value in named.items() if name not in skipped},
                        "notes": "; ".join(figures.notes),
                    }
                )
            )
    return rows


def live_dead_rows(findings: Findings) -> Rows:
    """A row for the nuclei of either state in either image, of every label and every field."""
    rows: Rows = []
    for each in findings.judged:
        of_label = each.objects.live_dead if each.objects else None
        named = [("label", each.label, of_label)] + [
            ("field", field.field, field.objects.live_dead)
            for field in each.fields
            if field.objects
        ]
        who = {"contender": each.contender, "label": each.label}
        for of, name, found in named:
            if found is not None:
                rows += [{**who, "of": of, "name": name, **row} for row in _parted(found)]
    return rows


def _parted(found: LiveDeadScores) -> Iterator[dict[str, str]]:
    for image in IMAGES:
        parted = getattr(found, image)
        for state in STATES:
            summary, between = summary_of(found, image, state), found.between[state]
            yield _of_all(
                {
                    "image": image,
                    "cells": state,
                    "nuclei": summary.nuclei,
                    "radius_um_mean": summary.mean,
                    "radius_um_deviation": summary.deviation,
                    "points": parted.points,
                    "points_met": parted.met,
                    "ks_live_dead": parted.test.statistic,
                    "p_live_dead": parted.test.p,
                    "ks_measured_predicted": between.statistic,
                    "p_measured_predicted": between.p,
                    "notes": "; ".join(found.notes),
                }
            )


def point_rows(findings: Findings) -> Rows:
    """A row for every comparison of two people's points, or of one's in two images."""
    rows: Rows = []
    for each in findings.points:
        pairs = [
            ((field, who, f"{who} (predicted)"), found)
            for (field, who), found in each.predicted.items()
        ]
        for (field, truth, compared), figures in (*pairs, *each.annotators.items()):
            rows.append(
                _of_all(
                    {
                        "label": each.label,
                        "kind": each.kind,
                        "field": field,
                        "truth": truth,
                        "compared": compared,
                        **counted_errors(figures),
                        "accuracy": figures.accuracy,
                    }
                )
            )
    return rows


def spectral_rows(findings: Findings) -> Rows:
    """A row for every band of every field."""
    return [
        _of_all(
            {
                "contender": each.contender,
                "label": each.label,
                "field": field.field,
                **dataclasses.asdict(band),
            }
        )
        for each in findings.judged
        for field in each.fields
        for band in field.spectral
    ]


def calibration_rows(findings: Findings) -> Rows:
    """A row for all pixels, and for every range of intensities, of every label."""
    rows: Rows = []
    for each in findings.judged:
        if each.distribution is None:
            continue
        for what, part in _parts(each.distribution):
            coverage = {f"coverage_{k * 100:.0f}": v for k, v in (part.coverage or {}).items()}
            rows.append(
                _of_all(
                    {
                        "contender": each.contender,
                        "label": each.label,
                        "pixels_by": what,
                        "low": part.low,
                        "high": part.high,
                        "pixels": part.pixels,
                        "cross_entropy": part.cross_entropy,
                        "ranked_probability_score": part.ranked_probability_score,
                        "sharpness": part.sharpness,
                        **{name: coverage.get(name) for name in FIGURES if "coverage" in name},
                    }
                )
            )
    return rows


def curve_rows(findings: Findings) -> Rows:
    """A row for every point of the curves: PIT histogram, reliability, risk, heat map."""
    rows: Rows = []
    for each in findings.judged:
        for curve, x, y in _points(each):
            rows.append(
                _of_all(
                    {
                        "contender": each.contender,
                        "label": each.label,
                        "curve": curve,
                        "x": x,
                        "y": y,
                    }
                )
            )
    return rows


def _parts(summary: DistributionSummary) -> Iterator[tuple[str, RangeSummary]]:
    yield (
        "all",
        RangeSummary(
            low=0.0,
            high=1.0,
            pixels=summary.pixels,
            cross_entropy=summary.cross_entropy,
            ranked_probability_score=summary.ranked_probability_score,
            coverage=summary.coverage,
            sharpness=summary.sharpness,
        ),
    )
    for part in summary.by_true_intensity:
        yield "true intensity", part
    for part in summary.by_predicted_intensity:
        yield "predicted intensity", part


def _points(each: LabelScores) -> Iterator[tuple[str, float, float]]:
    if each.distribution is not None:
        pit = each.distribution.pit
        for n, count in enumerate(pit):
            yield "pit", n / len(pit), count
        for nominal, observed in each.distribution.reliability:
            yield "reliability", nominal, observed
    if each.risk is not None:
        for share, risk in zip(each.risk.coverage, each.risk.risk, strict=True):
            yield "risk", float(share), float(risk)


def _scores_record(each: LabelScores) -> dict[str, Any]:
    return {
        "figures": each.figures,
        "over": each.over,
        "units": each.units,
        "pearson_sampled": each.pearson_sampled,
        "samples": SAMPLES,
        "by_group": each.by_group,
        "fields": [
            {
                "name": field.field,
                "group": field.group,
                "figures": field_figures(field),
                "pixels": field.pixels.pixels,
                "spectral": field.spectral,
                "objects": field.objects.figures if field.objects else None,
                "shift": field.shift,
                "notes": field.pixels.notes,
            }
            for field in each.fields
        ],
        "distribution": each.distribution,
        "heat_map": each.heat_map,
        "risk_coverage": each.risk,
        "objects": each.objects,
        "notes": each.notes,
    }


def _point_record(each: PointScores) -> dict[str, Any]:
    return {
        "label": each.label,
        "of": each.of,
        "kind": each.kind,
        "fields": each.fields,
        "predicted_rates": each.predicted_rates,
        "annotator_rates": each.annotator_rates,
    }


def _contender_record(each: Contender) -> dict[str, Any]:
    return {
        "labels": each.labels,
        "images_in": str(each.folder) if each.folder else None,
        "members": [
            {
                "name": member.name,
                "sha256": digest,
                "trained_on": member.trained_on,
                "chosen_on": member.chosen_on,
            }
            for member, digest in zip(each.members, each.hashes, strict=True)
        ],
    }


def _figure(
    who: Mapping[str, str], of: str, name: str, figure: str, value: Interval, each: LabelScores
) -> dict[str, str]:
    return _row(
        {
            **who,
            "of": of,
            "name": name,
            "figure": figure,
            "value": value.estimate,
            "low": value.low,
            "high": value.high,
            "over": each.over,
            "units": value.units,
            "note": value.note,
        }
    )


_FIGURE_COLUMNS = ("contender", "label", "of", "name", "figure", "value", "low", "high")


def _row(values: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table of figures, which all have the same columns."""
    columns: Sequence[str] = (*_FIGURE_COLUMNS, "over", "units", "note")
    return {name: _cell(values.get(name)) for name in columns}


def _of_all(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _cell(value) for name, value in values.items()}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
