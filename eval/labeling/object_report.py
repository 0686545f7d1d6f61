"""Nuclei, and points set by people: the part of the report on what is counted."""

from isl.report import Block, Cell, beside, bullets, figure, heading, paragraph, table

from ..metrics.object_matching import ERRORS
from ..metrics.points import ErrorRate
from ..writing.cells import interval_cell, number_cell, p_cell, whole
from .figures import draw_sizes, some
from .findings import Findings
from .judge import LabelScores
from .verdict import drawn_over


def object_blocks(findings: Findings) -> list[Block]:
    """Counts and errors, and sizes; [] where no nuclei were looked for."""
    judged = some(findings.judged, lambda each: each.objects)
    if not judged:
        return []
    return [
        heading("Nuclei"),
        paragraph(
            "Segmented alike in measured and predicted images and matched by overlap, errors as "
            "in the paper (Coelho et al. 2009): accuracy = (measured - errors) / measured. Nuclei "
            "that are cut off by the edge of the ground do not count."
        ),
        table(
            (
                "Label",
                "Model",
                "Measured",
                "Predicted",
                "Split",
                "Merged",
                "Added",
                "Missing",
                "Accuracy",
            ),
            [_counts(each) for each in judged],
            caption=_note(judged),
        ),
        table(
            ("Label", "Model", "AP at 0.5", "AP at 0.75", "Sizes: KS", "p"),
            [_more(each) for each in judged],
            caption="Average precision: matched / (matched + unmatched on either side), over all "
            "fields together. Sizes: largest difference of the two cumulative distributions, and "
            "whether it may be chance.",
        ),
        beside(
            [
                figure(
                    draw_sizes(each),
                    alt=f"Sizes of nuclei: {each.label}, {each.contender}",
                    caption=f"Sizes: {each.label}, {each.contender}",
                )
                for each in judged
                if each.objects
                and each.objects.true_sizes.size
                and each.objects.predicted_sizes.size
            ],
            columns=2,
        ),
    ]


def point_blocks(findings: Findings) -> list[Block]:
    """Errors by people's points; [] where there are none."""
    if not findings.points:
        return []
    rows: list[list[Cell]] = []
    notes: list[str] = []
    for each in findings.points:
        name = f"{each.label}, {each.kind}" if each.kind else each.label
        of = f"predicted by {each.of}" if each.of else "predicted"
        for what, rates in ((of, each.predicted_rates), ("people", each.annotator_rates)):
            first = next(iter(rates.values()))
            if first.comparisons or first.note:
                rows.append(
                    [name, what, first.comparisons, *(_rate(rates[kind]) for kind in ERRORS)]
                )
            if first.note:
                notes.append(f"{name}, {what}: {first.note}")
    return [
        heading("Points set by people"),
        table(
            ("Label", "Compared", "Comparisons", *(kind.capitalize() for kind in ERRORS)),
            rows,
            caption="Errors in percent of the true objects, over all fields of a comparison: mean "
            "and unbiased deviation of the comparisons. Predicted: each person's points in the "
            "predicted images beside their own in the measured ones. People: every ordered pair "
            "of them in the measured images.",
        ),
        *([bullets(notes)] if notes else []),
    ]


def _rate(rate: ErrorRate) -> Cell:
    if rate.mean is None:
        return "undefined"
    text = f"{100 * rate.mean:.1f}"
    return text if rate.deviation is None else whole(f"{text} ± {100 * rate.deviation:.1f}")


def _counts(each: LabelScores) -> list[Cell]:
    assert each.objects is not None
    names = ("true_count", "predicted_count", "split", "merged", "added", "missing")
    accuracy = each.objects.accuracy
    return [
        each.label,
        whole(each.contender),
        *(each.objects.counts[name] for name in names),
        interval_cell(accuracy, 2) if accuracy.estimate is not None else "undefined",
    ]


def _more(each: LabelScores) -> list[Cell]:
    assert each.objects is not None
    return [
        each.label,
        whole(each.contender),
        interval_cell(each.objects.average_precision_50, 2) or "undefined",
        interval_cell(each.objects.average_precision_75, 2) or "undefined",
        number_cell(each.objects.sizes.statistic, 2) or "undefined",
        p_cell(each.objects.sizes.p),
    ]


def _note(judged: list[LabelScores]) -> str:
    found = judged[0].objects
    return "" if found is None else f"Intervals over {drawn_over(found.over, found.units)}."
