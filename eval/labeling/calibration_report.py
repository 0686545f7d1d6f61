"""Whether distributions mean what they say: the report on calibration and abstention."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isl.report import Block, Cell, beside, figure, folded, paragraph, records, section
from isl.report.words import number, unbroken

from .distributions import DistributionSummary, RangeSummary
from .figures import draw_pit, draw_reliability, draw_risk, some
from .findings import Findings
from .judge import LabelScores
from .object_report import WHOSE

_LEVELS = (0.5, 0.8, 0.9, 0.95)
# Shares of the pixels that are kept, in the table of widths to abstain from.
_KEPT = (1.0, 0.95, 0.9, 0.8, 0.5)


def calibration_blocks(findings: Findings) -> list[Block]:
    """Coverage, PIT and reliability of every label, then abstention; [] for images alone."""
    judged = [(e, e.distribution) for e in findings.judged if e.distribution is not None]
    return [_calibration(findings, judged), _abstention(findings)] if judged else []


def _calibration(
    findings: Findings, judged: Sequence[tuple[LabelScores, DistributionSummary]]
) -> Block:
    labels = {
        label: some(findings.of_label(label), lambda each: each.distribution)
        for label in findings.ground.labels
    }
    return section(
        "Calibration",
        [
            paragraph(
                "Of distributions that mean what they say, 90\u00a0% of the true intensities lie "
                "in the central 90\u00a0% interval. Fewer: the model is surer than it should be."
            ),
            records(
                judged,
                {**WHOSE, **_coverage(lambda each: each[1])},
                caption="Share of the true intensities within central intervals, in percent.",
            ),
            *(_of_label(label, scores) for label, scores in labels.items() if scores),
        ],
    )


def _of_label(label: str, scores: Sequence[LabelScores]) -> Block:
    pictures = [
        figure(
            draw_reliability(scores),
            alt=f"{label}: observed beside nominal coverage",
            caption="On the diagonal intervals hold what they say.",
        ),
        figure(
            draw_pit(scores),
            alt=f"{label}: PIT histogram",
            caption="Even where distributions are right; high at both ends where they are too "
            "narrow, in the middle where they are too wide.",
        ),
    ]
    ranges = [
        folded(f"By intensity: {label}, {each.contender}", _ranges(each.distribution))
        for each in scores
        if each.distribution is not None
    ]
    return section(label, [beside(pictures, columns=2), *ranges], level=3)


def _coverage(
    of: Callable[[Any], DistributionSummary | RangeSummary],
) -> dict[str, Callable[[Any], Cell]]:
    """Columns of the share within each central interval, and of how wide these are."""

    def within(level: float) -> Callable[[Any], Cell]:
        return lambda each: "" if (c := of(each).coverage) is None else f"{100 * c[level]:.1f}"

    return {
        **{unbroken(f"{level:.0%}"): within(level) for level in _LEVELS},
        "Width of 90%": lambda each: number(of(each).sharpness),
    }


def _ranges(summary: DistributionSummary) -> list[Block]:
    columns: dict[str, Callable[[RangeSummary], Cell]] = {
        "Intensity": lambda part: f"{part.low:g} to {part.high:g}",
        "Pixels": lambda part: f"{part.pixels:,}",
        "Cross-entropy": lambda part: number(part.cross_entropy),
        **_coverage(lambda part: part),
    }
    return [
        records(
            summary.by_predicted_intensity,
            columns,
            caption="By the mean of the distribution: right ones keep what they say here.",
        ),
        records(
            summary.by_true_intensity,
            columns,
            caption="By what was measured: even right ones do not, as pixels were chosen by their "
            "outcome.",
        ),
    ]


def _abstention(findings: Findings) -> Block:
    labels = {
        label: scores
        for label in findings.ground.labels
        if (scores := some(findings.of_label(label), lambda each: each.risk))
    }
    # The point of the curve that keeps at least so much; a little less, as shares are rounded.
    kept = [
        (each, float(curve.coverage[place]), float(curve.width[place]), float(curve.risk[place]))
        for scores in labels.values()
        for each in scores
        if (curve := each.risk) is not None
        for place in np.searchsorted(curve.coverage, np.array(_KEPT) - 1e-9)
    ]
    return section(
        "Abstention",
        [
            paragraph(
                "Where the pixels with the widest intervals are left out, the error of the others "
                "should fall."
            ),
            beside(
                [
                    figure(draw_risk(label, scores), alt=f"{label}: error of what is kept")
                    for label, scores in labels.items()
                ],
                columns=3,
            ),
            records(
                kept,
                {
                    **WHOSE,
                    "Kept, %": lambda each: f"{100 * each[1]:.0f}",
                    "Widest interval": lambda each: number(each[2]),
                    "Error of what is kept": lambda each: number(each[3]),
                },
                caption="isl predict --abstain WIDTH masks what is wider: on ground like this, so "
                "many pixels are kept, with that mean absolute error.",
            ),
        ],
    )
