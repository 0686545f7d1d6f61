"""The report on embryos' fragments: a table, and for each recording the pictures to judge it by."""

import dataclasses
from collections.abc import Mapping, Sequence

from isl.fragmentation.grades import GradeScale
from isl.fragmentation.record import PURPOSE, Record
from isl.report import (
    Badge,
    Block,
    Cell,
    Link,
    figure,
    folded,
    heading,
    notice,
    page,
    paragraph,
    table,
    verbatim,
)

_HOW_TO_READ = (
    "Every frame is segmented into embryo and fragments; the share of fragments is their area over "
    "that of the embryo, cells and fragments together. Where the model has a regression, it gives "
    "the share a second time, and where the two differ by more than in 95 % of held-out embryos, "
    "the verdict is that it cannot be told. The interval holds the share of nine in ten new "
    "embryos that resemble those of the training. A model knows no oocyte and no blastocyst: look "
    "at the contours before believing a number."
)
_TITLES = {
    "contours": ("Contours", "Embryo green, fragments red."),
    "attention": ("Attention", "What the gate on the finest features lets through (yellow)."),
    "time": ("Share over time", "The band is the 90 % interval; lines are bounds of grades."),
}


@dataclasses.dataclass(frozen=True, eq=False)
class RecordingPictures:
    """One recording: its record, and PNGs by what they show."""

    record: Record
    pictures: Mapping[str, bytes]


def fragmentation_page(
    recordings: Sequence[RecordingPictures],
    failed: Mapping[str, str],
    *,
    card: str,
    scale: GradeScale,
) -> str:
    """The report as one HTML file.

    Args:
        recordings: What was graded.
        failed: What was not, and why.
        card: Of the model.
        scale: Of the grades.
    """
    blocks: list[Block] = [notice(PURPOSE), paragraph(_HOW_TO_READ)]
    blocks.append(paragraph(f"Grades: {', '.join(scale.grades)} ({scale.name}; {scale.source})."))
    columns = ["recording", "frame", "embryo", "verdict", "share", "90 % interval", "grade", "why"]
    rows: list[list[Cell]] = []
    for each in recordings:
        for embryo in each.record.embryos:
            graded = embryo.share is not None
            span = (
                f"{embryo.low:.0%} to {embryo.high:.0%}"
                if embryo.low is not None and embryo.high is not None
                else None
            )
            rows.append(
                [
                    Link(each.record.name, each.record.name),
                    embryo.frame,
                    embryo.embryo,
                    Badge(embryo.verdict, "plain" if graded else "attention"),
                    None if embryo.share is None else f"{embryo.share:.1%}",
                    span,
                    embryo.grade,
                    embryo.reason or None,
                ]
            )
    blocks += [heading("Embryos"), table(columns, rows)]
    if failed:
        blocks += [
            heading("Failed"),
            table(["recording", "why"], [list(f) for f in failed.items()]),
        ]
    for each in recordings:
        blocks.append(heading(each.record.name, anchor=each.record.name))
        blocks += [paragraph(embryo.sentence) for embryo in each.record.embryos[:3]]
        for what, (title, caption) in _TITLES.items():
            if what in each.pictures:
                alt = f"{title} of {each.record.name}"
                blocks.append(
                    figure(each.pictures[what], alt=alt, caption=f"{title}. {caption}", wide=True)
                )
    blocks.append(folded("The model's card", [verbatim(card)]))
    return page("Fragmentation", blocks, footer=PURPOSE)
