"""Nuclei of living and dead cells: the part of the report on how large they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from isl.report import Block, Cell, beside, bullets, figure, paragraph, records, section, table
from isl.report.words import number, p_value, plus_minus, unbroken

from ..metrics.live_dead import STATES
from .figures import draw_radii
from .findings import Findings
from .judge import LabelScores
from .live_dead import IMAGES, Image, LiveDeadScores, summary_of


class _Found(NamedTuple):
    scores: LabelScores
    nuclei: LiveDeadScores

    @property
    def name(self) -> str:
        return f"{self.scores.label}, {self.scores.contender}"


def live_dead_blocks(findings: Findings) -> Block:
    """Radii, tests and curves; nothing where nobody marked cells."""
    judged = [
        _Found(each, each.objects.live_dead)
        for each in findings.judged
        if each.objects is not None and each.objects.live_dead is not None
    ]
    if not judged:
        return section("Nuclei of living and dead cells", [])
    return section(
        "Nuclei of living and dead cells",
        [
            paragraph(
                "Divided by points that people marked, as in the paper; the same points for "
                "measured and predicted images. Nuclei that are cut off by the edge of the ground "
                "do not count. The radius is that of a circle of the same area. "
                "Kolmogorov-Smirnov (KS): the largest difference of two cumulative distributions; "
                "p takes every nucleus for independent of the others."
            ),
            bullets([_rule(*named) for named in findings.settings["live_dead"].items()]),
            table(
                ("Label", "Model", "Image", *("Live", "Radius", "Dead", "Radius"), _NEAR),
                [_sizes(each, image) for each in judged for image in IMAGES],
                caption="How many nuclei, and their radii in um: mean ± unbiased deviation.",
            ),
            records(
                [(each, *test) for each in judged for test in _tests(each.nuclei).items()],
                {
                    "Label": lambda row: row[0].scores.label,
                    "Model": lambda row: unbroken(row[0].scores.contender),
                    "Radii of": lambda row: row[1],
                    "KS": lambda row: number(row[2].statistic, 2, undefined="undefined"),
                    "p": lambda row: p_value(row[2].p),
                },
            ),
            bullets([f"{each.name}: {note}" for each in judged for note in each.nuclei.notes]),
            *map(_curves, judged),
        ],
    )


_NEAR = "Points near a nucleus"


def _rule(label: str, entry: Mapping[str, Any]) -> str:
    marked, others = ("dead", "living") if entry["dead"] else ("living", "dead")
    return (
        f"{label}: nuclei whose centre lies within {entry['reach']:g}\u00a0um of a point are those "
        f"of {marked} cells, all others those of {others} ones."
    )


def _sizes(each: _Found, image: Image) -> list[Cell]:
    row: list[Cell] = [each.scores.label, unbroken(each.scores.contender), image]
    for state in STATES:
        summary = summary_of(each.nuclei, image, state)
        row += [summary.nuclei, plus_minus(summary.mean, summary.deviation, undefined="none")]
    nuclei = getattr(each.nuclei, image)
    return [*row, unbroken(f"{nuclei.met} of {nuclei.points}")]


def _tests(found: LiveDeadScores) -> dict[str, Any]:
    tests = {f"{image}: live against dead": getattr(found, image).test for image in IMAGES}
    return tests | {f"{s}: measured against predicted": found.between[s] for s in STATES}


def _curves(each: _Found) -> Block:
    radii = [getattr(getattr(each.nuclei, image), state) for image in IMAGES for state in STATES]
    every = np.concatenate(radii)
    shown = [
        figure(
            draw_radii(each.nuclei, state, 1.05 * float(every.max())),
            alt=f"{each.name}: radii of nuclei of {state} cells",
            caption=f"Radii: {each.name}",
        )
        for state in STATES
        if any(summary_of(each.nuclei, image, state).nuclei for image in IMAGES)
    ]
    return beside(shown, columns=2)
