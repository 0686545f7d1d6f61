"""The tables of a labeling evaluation, as files: what is undefined is None, and left empty."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from .points import counts_of

Row = dict[str, Any]
_OF_OBJECTS = ("accuracy", "average_precision_50", "average_precision_75")
_DRAWN = ("low", "high", "over", "units", "note")


def figure_rows(findings: Findings) -> Iterator[Row]:
    """A row for every figure of a label, of its conditions, its groups and its fields."""
    for each in findings.scores:
        row = functools.partial(_figure_row, each)
        for name, value in each.figures.items():
            yield row("label", each.label, name, _drawn("value", value, each.over))
        if (objects := each.objects) is not None:
            for name in _OF_OBJECTS:
                drawn = _drawn("value", getattr(objects, name), objects.over)
                yield row("label", each.label, f"objects_{name}", drawn)
        if each.contender != BASELINE:
            drawn = {"value": each.pearson_sampled}
            yield row("label", each.label, "pearson_sampled", drawn)
        for condition, found in each.by_condition.items():
            for name, value in found.figures.items():
                yield row("condition", condition, name, _drawn("value", value, found.over))
        for group, figures in each.by_group.items():
            for name, value in figures.items():
                yield row("group", group, name, {"value": value})
        for field in each.fields:
            correlations = [band.correlation for band in field.spectral]
            spectral = dict(zip(SPECTRAL, correlations, strict=False))
            for name, value in (field_figures(field) | spectral).items():
                yield row("field", field.field, name, {"value": value})


def _figure_row(each: LabelScores, of: str, name: str, figure: str, drawn: Row) -> Row:
    rest = {column: drawn.get(column) for column in ("value", *_DRAWN)}
    return {**_who(each), "of": of, "name": name, "figure": figure, **rest}


def comparison_rows(findings: Findings) -> Iterator[Row]:
    """A row for every figure of every comparison: the first contender's less the second's."""
    for each in findings.comparisons:
        for name, value in each.figures.items():
            yield {
                "label": each.label,
                "first": each.first,
                "second": each.second,
                "figure": name,
                **_drawn("difference", value, each.over),
            }


def heat_map_rows(findings: Findings) -> Iterator[Row]:
    """A row for every bin of every heat map, of all conditions together and of each of several."""
    maps = [(each, None, each.heat_map) for each in findings.judged]
    maps += [
        (each, condition, found.heat_map)
        for each in findings.judged
        for condition, found in each.by_condition.items()
    ]
    for each, condition, heat_map in maps:
        if heat_map is None:
            continue
        edges = heat_map.edges
        for (row, column), count in np.ndenumerate(heat_map.counts):
            yield {
                **_who(each),
                "condition": condition,
                "measured_from": edges[row],
                "predicted_from": edges[column],
                "pixels": count,
            }


def familiarity_rows(findings: Findings) -> Iterator[Row]:
    """A row for every field of every model that says what its training ground looks like."""
    groups = {field.name: field.group for field in findings.ground.fields}
    for contender, found in findings.familiarity.items():
        for field, each in found.items():
            deviations = (f"{name}: {value:.2f}" for name, value in each.largest.items())
            yield {
                "contender": contender,
                "field": field,
                "group": groups[field],
                "score": each.score,
                "limit": each.limit,
                "unlike": each.unlike,
                "deviations": "; ".join(deviations),
            }


def object_rows(findings: Findings) -> Iterator[Row]:
    """A row for the nuclei of every field."""
    for each in findings.judged:
        for field in each.fields:
            if field.objects is None:
                continue
            figures = field.objects.figures
            named = {f.name: getattr(figures, f.name) for f in dataclasses.fields(figures)}
            for skipped in ("true_sizes", "predicted_sizes"):
                del named[skipped]
            notes = "; ".join(named.pop("notes"))
            of = {"field": field.field, "group": field.group}
            yield {**_who(each), **of, **named, "notes": notes}


def live_dead_rows(findings: Findings) -> Iterator[Row]:
    """A row for the nuclei of either state in either image, of every label and every field."""
    for each in findings.judged:
        named = [("label", each.label, each.objects)]
        named += [("field", field.field, field.objects) for field in each.fields]
        for of, name, objects in named:
            if objects is not None and objects.live_dead is not None:
                for row in _of_states(objects.live_dead):
                    yield {**_who(each), "of": of, "name": name, **row}


def _of_states(found: LiveDeadScores) -> Iterator[Row]:
    for image in IMAGES:
        nuclei = getattr(found, image)
        for state in STATES:
            summary, between = summary_of(found, image, state), found.between[state]
            yield {
                "image": image,
                "cells": state,
                "nuclei": summary.nuclei,
                "radius_um_mean": summary.mean,
                "radius_um_deviation": summary.deviation,
                "points": nuclei.points,
                "points_met": nuclei.met,
                "ks_live_dead": nuclei.test.statistic,
                "p_live_dead": nuclei.test.p,
                "ks_measured_predicted": between.statistic,
                "p_measured_predicted": between.p,
                "notes": "; ".join(found.notes),
            }


def point_rows(findings: Findings) -> Iterator[Row]:
    """A row for every comparison of two people's points, or of one's in two images."""
    for each in findings.points:
        own = {(f, who, f"{who} (predicted)"): found for (f, who), found in each.predicted.items()}
        for (field, truth, compared), figures in {**own, **each.annotators}.items():
            yield {
                "label": each.label,
                "kind": each.kind,
                "field": field,
                "truth": truth,
                "compared": compared,
                **counts_of(figures),
            }


def place_rows(findings: Findings) -> Iterator[Row]:
    """A row for every point that people set, with what became of it."""
    for each in findings.points:
        # Of points that have a kind, what became of them among all kinds.
        for (field, who), sides in each.places.items() if not each.kind else ():
            figures = each.predicted[field, who]
            verdicts = figures.of_true, figures.of_predicted
            for image, points, words in zip(IMAGES, sides, verdicts, strict=True):
                for (y, x), kind, word in zip(points.yx, points.kinds, words, strict=True):
                    of = {"label": each.label, "of": each.of, "field": field, "annotator": who}
                    yield {**of, "image": image, "y": y, "x": x, "kind": kind, "found": word}


def crop_rows(findings: Findings) -> Iterator[Row]:
    """A row for every piece of every field, in its own resolution."""
    for each in findings.judged:
        for field in each.fields:
            for crop in field.crops:
                place = dataclasses.asdict(crop)
                yield {**_who(each), "condition": field.condition, **place}


def spectral_rows(findings: Findings) -> Iterator[Row]:
    """A row for every band of a label, of each of its groups and of each of its fields."""
    for each in findings.judged:
        row = functools.partial(_band_row, each)
        bands = [_common(found) for found in zip(*(f.spectral for f in each.fields), strict=True)]
        for name, band in zip(SPECTRAL, bands, strict=True):
            drawn = _drawn("correlation", each.figures[name], each.over)
            drawn |= {f"correlation_{side}": drawn.pop(side) for side in ("low", "high")}
            yield row("label", each.label, band, drawn)
        for group, figures in each.by_group.items():
            for name, band in zip(SPECTRAL, bands, strict=True):
                yield row("group", group, band, {"correlation": figures[name]})
        for field in each.fields:
            for band in field.spectral:
                found = {"correlation": band.correlation, "note": band.note}
                yield row("field", field.field, band, found)


def _band_row(each: LabelScores, of: str, name: str, band: SpectralBand, found: Row) -> Row:
    limits = ("low", "high", "low_per_um", "high_per_um")
    columns = ("correlation", "correlation_low", "correlation_high", "over", "units", "note")
    edges = {limit: getattr(band, limit) for limit in limits}
    rest = {column: found.get(column) for column in columns}
    return {**_who(each), "of": of, "name": name, **edges, **rest}


def _common(bands: Sequence[SpectralBand]) -> SpectralBand:
    """A band of several fields; it has no micrometres where their pixels differ in size."""
    first = bands[0]
    if any(band.high_per_um != first.high_per_um for band in bands):
        return dataclasses.replace(first, low_per_um=None, high_per_um=None)
    return first


def calibration_rows(findings: Findings) -> Iterator[Row]:
    """A row for all pixels, and for every range of intensities, of every label."""
    shown = ("low", "high", "pixels", "cross_entropy", "ranked_probability_score", "sharpness")
    for each in findings.judged:
        for what, part in _parts(each.distribution) if each.distribution is not None else ():
            coverage = {f"coverage_{k * 100:.0f}": v for k, v in (part.coverage or {}).items()}
            yield {
                **_who(each),
                "pixels_by": what,
                **{name: getattr(part, name) for name in shown},
                **{name: coverage.get(name) for name in FIGURES if "coverage" in name},
            }


def _parts(summary: DistributionSummary) -> Iterator[tuple[str, RangeSummary]]:
    names = [field.name for field in dataclasses.fields(RangeSummary)]
    shared = {name: getattr(summary, name) for name in names if name not in ("low", "high")}
    yield "all", RangeSummary(low=0.0, high=1.0, **shared)
    for part in summary.by_true_intensity:
        yield "true intensity", part
    for part in summary.by_predicted_intensity:
        yield "predicted intensity", part


def curve_rows(findings: Findings) -> Iterator[Row]:
    """A row for every point of the curves: PIT histogram, reliability, risk and width."""
    for each in findings.judged:
        for curve, x, y in _points(each):
            yield {**_who(each), "curve": curve, "x": x, "y": y}


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
                yield name, share, value


def _who(each: LabelScores) -> Row:
    return {"contender": each.contender, "label": each.label}


def _drawn(name: str, value: Interval, over: Over) -> Row:
    """An estimate of some name with its interval, and what was drawn for it."""
    bounds = {"low": value.low, "high": value.high}
    return {name: value.estimate, **bounds, "over": over, "units": value.units, "note": value.note}


TABLES: Mapping[str, Callable[[Findings], Iterator[Row]]] = {
    "figures.csv": figure_rows,
    "comparisons.csv": comparison_rows,
    "objects.csv": object_rows,
    "live_dead.csv": live_dead_rows,
    "points.csv": point_rows,
    "point_places.csv": place_rows,
    "crops.csv": crop_rows,
    "spectral.csv": spectral_rows,
    "calibration.csv": calibration_rows,
    "curves.csv": curve_rows,
    "heat_maps.csv": heat_map_rows,
    "familiarity.csv": familiarity_rows,
}
