"""Conditions side by side: the part of the report on ground of several."""

from collections.abc import Callable

from isl.report import Block, Cell, beside, figure, records, section
from isl.report.words import unbroken

from ..metrics.heat_map import draw_heat_map
from ..writing.cells import interval_cell
from .findings import TITLES, Findings
from .judge import ConditionScores, LabelScores
from .picture_report import named
from .verdict import drawn_over

_SHOWN = ("pearson", "foreground_pearson", "mae", "ssim", "cross_entropy")
_Row = tuple[LabelScores, str, ConditionScores]


def condition_blocks(findings: Findings) -> list[Block]:
    """Figures and heat maps of every condition; [] where there are not several."""
    rows = [
        (each, condition, found)
        for each in findings.judged
        for condition, found in each.by_condition.items()
    ]
    if not rows:
        return []
    shown = [
        name for name in _SHOWN if any(f.figures[name].estimate is not None for _, _, f in rows)
    ]
    maps = [
        figure(draw_heat_map(found.heat_map, text), alt=f"Predicted against measured: {text}")
        for each, condition, found in rows
        if found.heat_map is not None
        for text in [f"{each.label}, {each.contender}, {named(condition)}"]
    ]
    return [
        section(
            "Conditions",
            [
                records(
                    rows,
                    {
                        "Label": lambda row: row[0].label,
                        "Model": lambda row: unbroken(row[0].contender),
                        "Condition": lambda row: named(row[1]),
                        "Groups": lambda row: row[2].groups,
                        **{TITLES[name]: _figure(name) for name in shown},
                        "Intervals over": lambda row: drawn_over(row[2].over, row[2].units),
                    },
                ),
                beside(maps, columns=2),
            ],
            about="What the dataset calls the conditions of its fields, or else the experiments "
            "that they come from. Heat maps are of the random pixels of each.",
        )
    ]


def _figure(name: str) -> Callable[[_Row], Cell]:
    digits = 4 if name == "mae" else 3
    return lambda row: interval_cell(row[2].figures[name], digits, undefined="undefined")
