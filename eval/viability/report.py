"""The report of a viability evaluation."""

from collections.abc import Mapping
from typing import Any

from isl.report import (
    Block,
    beside,
    figure,
    folded,
    heading,
    notice,
    page,
    paragraph,
    table,
    verbatim,
)
from isl.viability.model import PURPOSE, SIMULATED, ViabilityModel

from ..statistics.bootstrap import Interval
from .config import ViabilityEvaluation
from .figures import calibration_picture, decision_picture, hours_picture
from .transfers import PUBLISHED, SELECTION


def evaluation_page(
    settings: ViabilityEvaluation, model: ViabilityModel, found: Mapping[str, Any]
) -> str:
    """The report as HTML.

    Args:
        settings: What was asked for.
        model: What was judged.
        found: Every figure, as `isl_eval.viability.evaluation.figures_of` gives them.
    """
    blocks: list[Block] = [notice(PURPOSE)]
    if model.config.simulated:
        blocks.append(notice(SIMULATED))
    blocks += [
        paragraph(settings.description or f"How well {model.name} tells {found['target']}."),
        paragraph(
            f"{found['embryos']} embryos of {found['patients']} patients whom the model does not "
            f"know; {found['share of 1']:.0%} of the outcomes are 1. Intervals hold "
            f"{settings.level:.0%} of {settings.replicates} bootstrap replicates, in which whole "
            "patients are drawn."
        ),
        table(("figure", "value", "interval"), _main(found), caption="Told apart, and calibrated"),
        _controls(found),
        heading("Calibration and decisions"),
        beside(
            [
                figure(
                    calibration_picture(found["calibration"]),
                    alt="calibration",
                    caption="Shares announced against shares that came true.",
                ),
                figure(
                    decision_picture(found["decision curve"]),
                    alt="decision curve",
                    caption="Net benefit of acting on the probability (Vickers and Elkin 2006).",
                ),
            ],
            columns=2,
        ),
        heading("What is known by which hour"),
        figure(
            hours_picture(found["by hour"], _best_by_hour(found)),
            alt="AUROC against hours seen",
            caption="The same networks, which in training saw films cut short, shown key frames up "
            "to an hour.",
        ),
        heading("Transfers"),
        notice(SELECTION),
        paragraph(PUBLISHED),
        paragraph(
            "Each cohort's embryos are transferred in an order until one succeeds or none is left; "
            "cohorts without success count with all their transfers. Equal places are taken in "
            "random order, in expectation."
        ),
        table(
            ("order and figure", "value", "interval"),
            [_row(name, value) for name, value in found["transfers"].items()],
        ),
        *_groups(found),
        folded("What the model says of itself", [verbatim(model.card)]),
    ]
    return page(f"Evaluation of {model.name}", blocks, footer=f"Made by isl eval. {PURPOSE}")


def _main(found: Mapping[str, Any]) -> list[list[str]]:
    rows = [_row("AUROC", found["auroc"]), _row("average precision", found["average precision"])]
    if "best reachable" in found:
        best = found["best reachable"]
        rows.append(["best reachable AUROC, in expectation", f"{best['in expectation']:.3f}", ""])
        rows.append(_row("best reachable AUROC, of these outcomes", best["of these outcomes"]))
    rows += [
        ["cross-entropy", f"{found['cross-entropy']:.3f}", ""],
        [
            "cross-entropy before the temperature",
            f"{found['cross-entropy before temperature']:.3f}",
            "",
        ],
    ]
    for name, each in found["calibration"].items():
        rows.append([f"Brier score, {name}", f"{each.brier:.3f}", ""])
        rows.append([f"expected calibration error, {name}", f"{each.error:.3f}", ""])
    right = found["calibration error of right ones"]
    bounds = f"{right['low']:.3f} to {right['high']:.3f}"
    rows.append(
        ["the same by chance, were every probability right", f"{right['mean']:.3f}", bounds]
    )
    return rows


def _controls(found: Mapping[str, Any]) -> Block:
    rows = [_row(name, value) for name, value in found.get("controls", {}).items()]
    rows += [_row(name, value) for name, value in found["without pictures"].items()]
    members = found["members"]
    rows += [_row(f"network {number} alone", own) for number, own in enumerate(members, start=1)]
    return table(("AUROC of", "value", "interval"), rows, caption="Beside it")


def _best_by_hour(found: Mapping[str, Any]) -> dict[float, float]:
    if "best reachable" not in found:
        return {}
    return {max(found["by hour"]): found["best reachable"]["in expectation"]}


def _groups(found: Mapping[str, Any]) -> list[Block]:
    blocks = []
    for column, groups in found["by group"].items():
        rows = [_row(name, value) for name, value in groups.items()]
        blocks.append(table((column, "AUROC", "interval"), rows))
    return blocks


def _row(name: str, value: Interval) -> list[str]:
    if value.estimate is None:
        return [name, "undefined", value.note]
    bounds = "" if value.low is None else f"{value.low:.3f} to {value.high:.3f}"
    return [name, f"{value.estimate:.3f}", bounds or value.note]
