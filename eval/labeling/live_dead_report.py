"""Nuclei of living and dead cells: the part of the report on how large they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isl.report import Block, Cell, beside, bullets, figure, heading, paragraph, table

from ..metrics.live_dead import STATES, LiveDead
from ..writing.cells import number_cell, p_cell, whole
from .figures import draw_radii
from .findings import Findings
from .judge import LabelScores
from .live_dead import IMAGES, Image, LiveDeadScores, RadiusSummary, summary_of


def live_dead_blocks(findings: Findings) -> list[Block]:
    """Radii, tests and curves; [] where nobody marked cells."""
    judged = [
        (each, each.objects.live_dead)
        for each in findings.judged
        if each.objects is not None and each.objects.live_dead is not None
    ]
    if not judged:
        return []
    return [
        heading("Nuclei of living and dead cells"),
        paragraph(
            "Parted by points that people marked, as in the paper; the same points for measured "
            "and predicted images. Nuclei that are cut off by the edge of the ground do not count. "
            "The radius is that of a circle of the same area. "
            "Kolmogorov-Smirnov (KS): the largest difference of two cumulative distributions; p "
            "takes every nucleus for independent of the others."
        ),
        bullets([_rule(*named) for named in findings.settings["live_dead"].items()]),
        table(
            (
                "Label",
                "Model",
                "Image",
                "Live",
                "Radius",
                "Dead",
                "Radius",
                "Points near a nucleus",
            ),
            [_sizes(each, found, image) for each, found in judged for image in IMAGES],
            caption="How many nuclei, and their radii in um: mean ± unbiased deviation.",
        ),
        table(
            ("Label", "Model", "Radii of", "KS", "p"),
            [row for each, found in judged for row in _tests(each, found)],
        ),
        *_notes(judged),
        *(block for each, found in judged for block in _curves(each, found)),
    ]


def _rule(label: str, entry: Mapping[str, Any]) -> str:
    marked, others = ("dead", "living") if entry["dead"] else ("living", "dead")
    return (
        f"{label}: nuclei whose centre lies within {entry['reach']:g}\u00a0um of a point are those "
        f"of {marked} cells, all others those of {others} ones."
    )


def _sizes(each: LabelScores, found: LiveDeadScores, image: Image) -> list[Cell]:
    parted: LiveDead = getattr(found, image)
    row: list[Cell] = [each.label, whole(each.contender), image]
    for state in STATES:
        summary = summary_of(found, image, state)
        row += [summary.nuclei, _radius(summary)]
    return [*row, whole(f"{parted.met} of {parted.points}")]


def _radius(summary: RadiusSummary) -> Cell:
    if summary.mean is None:
        return "none"
    mean = f"{summary.mean:.2f}"
    return mean if summary.deviation is None else whole(f"{mean} ± {summary.deviation:.2f}")


def _tests(each: LabelScores, found: LiveDeadScores) -> list[list[Cell]]:
    tests = {f"{image}: live against dead": getattr(found, image).test for image in IMAGES}
    tests |= {f"{state}: measured against predicted": found.between[state] for state in STATES}
    return [
        [
            each.label,
            whole(each.contender),
            what,
            number_cell(test.statistic, 2) or "undefined",
            p_cell(test.p),
        ]
        for what, test in tests.items()
    ]


def _notes(judged: Sequence[tuple[LabelScores, LiveDeadScores]]) -> list[Block]:
    lines = [
        f"{each.label}, {each.contender}: {note}" for each, found in judged for note in found.notes
    ]
    return [bullets(lines)] if lines else []


def _curves(each: LabelScores, found: LiveDeadScores) -> list[Block]:
    radii = [getattr(getattr(found, image), state) for image in IMAGES for state in STATES]
    every = np.concatenate(radii)
    if not every.size:
        return []
    shown = [
        figure(
            draw_radii(found, state, 1.05 * float(every.max())),
            alt=f"{each.label}, {each.contender}: radii of nuclei of {state} cells",
            caption=f"Radii: {each.label}, {each.contender}",
        )
        for state in STATES
        if any(summary_of(found, image, state).nuclei for image in IMAGES)
    ]
    return [beside(shown, columns=2)]
