"""The tables of a labeling evaluation, as files."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.live_dead import STATES
from ..metrics.spectral import SpectralBand
from ..statistics.bootstrap import Interval
from .blocks import FIGURES, SPECTRAL, Over
from .distributions import DistributionSummary, RangeSummary
from .findings import Findings, field_figures
from .judge import BASELINE, LabelScores
from .live_dead import IMAGES, LiveDeadScores, summary_of
from .points import counted_errors

Rows = list[dict[str, str]]
_OF_OBJECTS = ("accuracy", "average_precision_50", "average_precision_75")


def figure_rows(findings: Findings) -> Rows:
    """A row for every figure of a label, of each of its groups and of each of its fields."""
    rows: Rows = []
    for each in findings.scores:
        who = {"contender": each.contender, "label": each.label}
        for name, value in each.figures.items():
            rows.append(_figure(who, "label", each.label, name, value, each.over))
        if each.objects is not None:
            for name in _OF_OBJECTS:
                value, over = getattr(each.objects, name), each.objects.over
                rows.append(_figure(who, "label", each.label, f"objects_{name}", value, over))
        if each.contender != BASELINE:
            sampled = {"of": "label", "name": each.label, "figure": "pearson_sampled"}
            rows.append(_row({**who, **sampled, "value": each.pearson_sampled}))
        for group, figures in each.by_group.items():
            for name, value in figures.items():
                named = {"of": "group", "name": group, "figure": name, "value": value}
                rows.append(_row({**who, **named}))
        for field in each.fields:
            correlations = [band.correlation for band in field.spectral]
            spectral = dict(zip(SPECTRAL, correlations, strict=False))
            for name, value in (field_figures(field) | spectral).items():
                named = {"of": "field", "name": field.field, "figure": name, "value": value}
                rows.append(_row({**who, **named}))
    return rows


def comparison_rows(findings: Findings) -> Rows:
    """A row for every figure of every comparison: the first contender's less the second's."""
    return [
        _of_all(
            {
                "label": each.label,
                "first": each.first,
                "second": each.second,
                "figure": name,
                "difference": value.estimate,
                "low": value.low,
                "high": value.high,
                "over": each.over,
                "units": value.units,
                "note": value.note,
            }
        )
        for each in findings.comparisons
        for name, value in each.figures.items()
    ]


def heat_map_rows(findings: Findings) -> Rows:
    """A row for every bin of every heat map."""
    return [
        _of_all(
            {
                "contender": each.contender,
                "label": each.label,
                "measured_from": float(each.heat_map.edges[row]),
                "predicted_from": float(each.heat_map.edges[column]),
                "pixels": int(count),
            }
        )
        for each in findings.judged
        if each.heat_map is not None
        for (row, column), count in np.ndenumerate(each.heat_map.counts)
    ]


def familiarity_rows(findings: Findings) -> Rows:
    """A row for every field of every model that says what its training ground looks like."""
    groups = {field.name: field.group for field in findings.ground.fields}
    return [
        _of_all(
            {
                "contender": contender,
                "field": field,
                "group": groups[field],
                "score": each.score,
                "limit": each.limit,
                "unlike": each.unlike,
                "deviations": "; ".join(
                    f"{name}: {value:.2f}" for name, value in each.largest.items()
                ),
            }
        )
        for contender, found in findings.familiarity.items()
        for field, each in found.items()
    ]


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
    """A row for every band of a label, of each of its groups and of each of its fields."""
    rows: Rows = []
    for each in findings.judged:
        who = {"contender": each.contender, "label": each.label}
        bands = [_common(found) for found in zip(*(f.spectral for f in each.fields), strict=True)]
        for name, band in zip(SPECTRAL, bands, strict=True):
            value = each.figures[name]
            rows.append(
                _band_row(
                    {**who, "of": "label", "name": each.label},
                    band,
                    {
                        "correlation": value.estimate,
                        "correlation_low": value.low,
                        "correlation_high": value.high,
                        "over": each.over,
                        "units": value.units,
                        "note": value.note,
                    },
                )
            )
        for group, figures in each.by_group.items():
            of = {**who, "of": "group", "name": group}
            for name, band in zip(SPECTRAL, bands, strict=True):
                rows.append(_band_row(of, band, {"correlation": figures[name]}))
        for field in each.fields:
            of = {**who, "of": "field", "name": field.field}
            for band in field.spectral:
                found = {"correlation": band.correlation, "note": band.note}
                rows.append(_band_row(of, band, found))
    return rows


def _common(bands: Sequence[SpectralBand]) -> SpectralBand:
    """A band of several fields; it has no micrometres where their pixels differ in size."""
    first = bands[0]
    if any(band.high_per_um != first.high_per_um for band in bands):
        return dataclasses.replace(first, low_per_um=None, high_per_um=None)
    return first


def _band_row(
    of: Mapping[str, str], band: SpectralBand, found: Mapping[str, Any]
) -> dict[str, str]:
    limits = {name: getattr(band, name) for name in ("low", "high", "low_per_um", "high_per_um")}
    drawn = ("correlation", "correlation_low", "correlation_high", "over", "units", "note")
    return _of_all({**of, **limits, **{name: found.get(name) for name in drawn}})


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
    """A row for every point of the curves: PIT histogram, reliability, risk and width."""
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
        for name in ("risk", "width"):
            for share, value in zip(each.risk.coverage, getattr(each.risk, name), strict=True):
                yield name, float(share), float(value)


def _figure(
    who: Mapping[str, str], of: str, name: str, figure: str, value: Interval, over: Over
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
            "over": over,
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
