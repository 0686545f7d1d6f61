"""Whether distributions mean what they say: the report on calibration and abstention."""

import numpy as np

from isl.report import Block, Cell, beside, figure, folded, heading, paragraph, table

from ..writing.cells import number_cell, whole
from .distributions import DistributionSummary, RangeSummary
from .figures import draw_pit, draw_reliability, draw_risk, some
from .findings import Findings
from .judge import LabelScores

_LEVELS = (0.5, 0.8, 0.9, 0.95)
# Shares of the pixels that are kept, in the table of widths to abstain from.
_KEPT = (1.0, 0.95, 0.9, 0.8, 0.5)


def calibration_blocks(findings: Findings) -> list[Block]:
    """Coverage, PIT and reliability of every label, then abstention; [] for images alone."""
    judged = some(findings.judged, lambda each: each.distribution)
    if not judged:
        return []
    return [*_calibration(findings, judged), *_abstention(findings)]


def _calibration(findings: Findings, judged: list[LabelScores]) -> list[Block]:
    blocks = [
        heading("Calibration"),
        paragraph(
            "Of distributions that mean what they say, 90\u00a0% of the true intensities lie in "
            "the central 90\u00a0% interval. Fewer: the model is surer than it should be."
        ),
        table(
            ("Label", "Model", *(whole(f"{level:.0%}") for level in _LEVELS), "Width of 90%"),
            [_row(each) for each in judged if each.distribution],
            caption="Share of the true intensities within central intervals, in percent.",
        ),
    ]
    for label in findings.ground.labels:
        scores = some(findings.of_label(label), lambda each: each.distribution)
        if not scores:
            continue
        blocks += [
            heading(label, level=3),
            beside(
                [
                    figure(
                        draw_reliability(scores),
                        alt=f"{label}: observed beside nominal coverage",
                        caption="On the diagonal intervals hold what they say.",
                    ),
                    figure(
                        draw_pit(scores),
                        alt=f"{label}: PIT histogram",
                        caption="Even where distributions are right; high at both ends where they "
                        "are too narrow, in the middle where they are too wide.",
                    ),
                ],
                columns=2,
            ),
        ]
        for each in scores:
            if each.distribution is not None:
                ranges = _ranges(each.distribution)
                blocks.append(folded(f"By intensity: {label}, {each.contender}", ranges))
    return blocks


def _row(each: LabelScores) -> list[Cell]:
    assert each.distribution is not None
    return [each.label, whole(each.contender), *_coverage(each.distribution)]


def _coverage(part: DistributionSummary | RangeSummary) -> list[Cell]:
    shares: list[Cell] = [
        "" if part.coverage is None else f"{100 * part.coverage[level]:.1f}" for level in _LEVELS
    ]
    return [*shares, number_cell(part.sharpness)]


def _ranges(summary: DistributionSummary) -> list[Block]:
    columns = ("Intensity", "Pixels", "Cross-entropy", *(f"{level:.0%}" for level in _LEVELS))

    def rows(parts: tuple[RangeSummary, ...]) -> list[list[Cell]]:
        return [
            [
                f"{part.low:g} to {part.high:g}",
                f"{part.pixels:,}",
                number_cell(part.cross_entropy),
                *_coverage(part),
            ]
            for part in parts
        ]

    return [
        table(
            (*columns, "Width of 90%"),
            rows(summary.by_predicted_intensity),
            caption="By the mean of the distribution: right ones keep what they say here.",
        ),
        table(
            (*columns, "Width of 90%"),
            rows(summary.by_true_intensity),
            caption="By what was measured: even right ones do not, as pixels were chosen by their "
            "outcome.",
        ),
    ]


def _abstention(findings: Findings) -> list[Block]:
    labels = {
        label: scores
        for label in findings.ground.labels
        if (scores := some(findings.of_label(label), lambda each: each.risk))
    }
    return [
        heading("Abstention"),
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
        table(
            ("Label", "Model", "Kept, %", "Widest interval", "Error of what is kept"),
            [row for scores in labels.values() for each in scores for row in _kept(each)],
            caption="isl predict --abstain WIDTH masks what is wider: on ground like this, so many "
            "pixels are kept, with that mean absolute error.",
        ),
    ]


def _kept(each: LabelScores) -> list[tuple[Cell, ...]]:
    """A row for each share that is kept: the point of the curve that keeps at least so much."""
    curve = each.risk
    assert curve is not None
    # A little less, as shares are rounded.
    places = np.searchsorted(curve.coverage, np.array(_KEPT) - 1e-9)
    return [
        (
            each.label,
            whole(each.contender),
            f"{100 * curve.coverage[place]:.0f}",
            number_cell(float(curve.width[place])),
            number_cell(float(curve.risk[place])),
        )
        for place in places
    ]
