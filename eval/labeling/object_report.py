"""Nuclei, and points set by people: the part of the report on what is counted."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from isl.report import Block, Cell, beside, bullets, figure, paragraph, records, section
from isl.report.words import number, p_value, plus_minus, unbroken

from ..metrics.object_matching import ERRORS
from ..metrics.points import DEBRIS, PointRate
from ..writing.cells import interval_cell
from .figures import draw_sizes
from .findings import Findings
from .judge import LabelScores
from .objects import ObjectScores
from .picture_report import point_picture_blocks
from .verdict import drawn_over

WHOSE: Mapping[str, Callable[[tuple[Any, ...]], Cell]] = {
    "Label": lambda each: each[0].label,
    "Model": lambda each: unbroken(each[0].contender),
}
"""Columns of rows whose first item is `LabelScores`."""
_interval = functools.partial(interval_cell, digits=2, undefined="undefined")
_number = functools.partial(number, digits=2, undefined="undefined")


def object_blocks(findings: Findings) -> Block:
    """Counts and errors, and sizes; nothing where no nuclei were looked for."""
    judged = [(each, each.objects) for each in findings.judged if each.objects is not None]
    if not judged:
        return section("Nuclei", [])
    return section(
        "Nuclei",
        [
            paragraph(
                "Segmented alike in measured and predicted images and matched by overlap, errors "
                "as in the paper (Coelho et al. 2009): accuracy = (measured - errors) / measured. "
                "Nuclei that are cut off by the edge of the ground do not count."
            ),
            records(
                judged,
                {
                    **WHOSE,
                    "Measured": _counted("true_count"),
                    "Predicted": _counted("predicted_count"),
                    **{kind.capitalize(): _counted(kind) for kind in ERRORS},
                    "Accuracy": lambda each: _interval(each[1].accuracy),
                },
                caption=f"Intervals over {drawn_over(judged[0][1].over, judged[0][1].units)}.",
            ),
            records(
                judged,
                {
                    **WHOSE,
                    "AP at 0.5": lambda each: _interval(each[1].average_precision_50),
                    "AP at 0.75": lambda each: _interval(each[1].average_precision_75),
                    "Sizes: KS": lambda each: _number(each[1].sizes.statistic),
                    "p": lambda each: p_value(each[1].sizes.p),
                },
                caption="Average precision: matched / (matched + unmatched on either side), over "
                "all fields together. Sizes: largest difference of the two cumulative "
                "distributions, and whether it may be chance.",
            ),
            beside(
                [
                    figure(
                        draw_sizes(each),
                        alt=f"Sizes of nuclei: {each.label}, {each.contender}",
                        caption=f"Sizes: {each.label}, {each.contender}",
                    )
                    for each, found in judged
                    if found.true_sizes.size and found.predicted_sizes.size
                ],
                columns=2,
            ),
        ],
    )


def _counted(name: str) -> Callable[[tuple[LabelScores, ObjectScores]], Cell]:
    return lambda each: each[1].counts[name]


class _Rates(NamedTuple):
    """Errors of one kind of comparison."""

    name: str
    what: str
    rates: Mapping[str, PointRate]

    @property
    def first(self) -> PointRate:
        return next(iter(self.rates.values()))


def point_blocks(findings: Findings) -> Block:
    """Errors by people's points; nothing where there are none."""
    rates: list[_Rates] = []
    for each in findings.points:
        name = f"{each.label}, {each.kind}" if each.kind else each.label
        of = f"predicted by {each.of}" if each.of else "predicted"
        rates += [_Rates(name, of, each.predicted_rates)]
        rates += [_Rates(name, "people", each.annotator_rates)]
    # Where nobody marked debris or dense ground these are no findings.
    further = [name for name in (DEBRIS, "dense") if any(each.rates[name].mean for each in rates)]
    shown = (*ERRORS, *further, "accuracy", "precision", "recall")
    return section(
        "Points set by people",
        [
            records(
                [each for each in rates if each.first.comparisons or each.first.note],
                {
                    "Label": lambda each: each.name,
                    "Compared": lambda each: each.what,
                    "Comparisons": lambda each: each.first.comparisons,
                    **{kind.capitalize(): _rate(kind) for kind in shown},
                },
                caption="Percent of the true points, over all fields of a comparison: mean and "
                "unbiased deviation of the comparisons. Predicted: each person's points in the "
                "predicted images beside their own in the measured ones. People: every ordered "
                "pair of them in the measured images. Precision: of the predicted points, those "
                "that were not added; recall: of the true points, those that are not missing."
                + (
                    " Debris: added, but on what a person who saw the transmitted light calls "
                    "debris; no errors."
                    if DEBRIS in shown
                    else ""
                )
                + (
                    " Dense: of all true points, those in ground left out as too dense to tell "
                    "cells apart."
                    if "dense" in shown
                    else ""
                ),
            ),
            bullets([f"{e.name}, {e.what}: {e.first.note}" for e in rates if e.first.note]),
            *point_picture_blocks(findings),
        ],
    )


def _rate(kind: str) -> Callable[[_Rates], Cell]:
    def cell(each: _Rates) -> str:
        mean, deviation = (
            None if value is None else 100 * value
            for value in (each.rates[kind].mean, each.rates[kind].deviation)
        )
        return plus_minus(mean, deviation, 1, undefined="undefined")

    return cell
