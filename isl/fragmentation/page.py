"""The report on embryos' fragments: a table, and for each recording the pictures to judge it by."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from isl.fragmentation.grades import GradeScale
from isl.fragmentation.record import PURPOSE, EmbryoRecord, Record
from isl.report import (
    Badge,
    Block,
    Cell,
    Link,
    figure,
    notices,
    paragraph,
    records,
    results_page,
    section,
)
from isl.report.words import sentence

_HOW_TO_READ = (
    "Every frame is segmented into embryo and fragments; the share of fragments is their area over "
    "that of the embryo, cells and fragments together. Where the model has a regression, it gives "
    "the share a second time, and where the two differ by more than in 95 % of held-out embryos, "
    "the verdict is that it cannot be told. The interval holds the share of nine in ten new "
    "embryos that resemble those of the training. A model that learned to tell stages refuses most "
    "oocytes, one-cell stages, morulae and blastocysts where an embryo is found by itself, and "
    "some cleavage stages, too; the others grade them like any embryo: look at the contours before "
    "believing a number."
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
    grades = f"Grades: {', '.join(scale.grades)} ({scale.name}; {scale.source})."
    embryos = [(each.record.name, embryo) for each in recordings for embryo in each.record.embryos]
    return results_page(
        "Fragmentation",
        [
            paragraph(_HOW_TO_READ),
            paragraph(grades),
            records(embryos, _COLUMNS, caption="Embryos"),
        ],
        map(_of_recording, recordings),
        command="isl fragmentation",
        purpose=PURPOSE,
        failed=failed,
        card=card,
    )


def _interval(embryo: EmbryoRecord) -> str | None:
    if embryo.low is None or embryo.high is None:
        return None
    return f"{embryo.low:.0%} to {embryo.high:.0%}"


_COLUMNS: Mapping[str, Callable[[tuple[str, EmbryoRecord]], Cell]] = {
    "Recording": lambda each: Link(each[0], each[0]),
    "Frame": lambda each: each[1].frame,
    "Embryo": lambda each: each[1].embryo,
    "Verdict": lambda each: Badge(
        each[1].verdict, "plain" if each[1].share is not None else "attention"
    ),
    "Share": lambda each: None if each[1].share is None else f"{each[1].share:.1%}",
    "90 % interval": lambda each: _interval(each[1]),
    "Grade": lambda each: each[1].grade,
    "Why": lambda each: each[1].reason or None,
}


def _of_recording(recording: RecordingPictures) -> Block:
    name = recording.record.name
    return section(
        name,
        [
            notices(map(sentence, recording.record.warnings)),
            *(paragraph(embryo.sentence) for embryo in recording.record.embryos[:3]),
            *(
                figure(
                    recording.pictures[what],
                    alt=f"{title} of {name}",
                    caption=f"{title}. {caption}",
                    wide=True,
                )
                for what, (title, caption) in _TITLES.items()
                if what in recording.pictures
            ),
        ],
        anchor=name,
    )
