"""The report on embryos: a table, curves by cohort, and for each embryo its film strip."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isl.report import (
    NOTHING,
    Badge,
    Block,
    Cell,
    Link,
    facts,
    figure,
    heading,
    notice,
    notices,
    paragraph,
    results_page,
    table,
)
from isl.report.words import counted
from isl.viability.drawing import draw_curves
from isl.viability.model import PURPOSE, SIMULATED
from isl.viability.outputs import Rank, Ranks, in_order, sentence

_HOW_TO_READ = (
    "From each recording key frames are chosen and cut out around the embryo; every network of an "
    "ensemble gives the chance of each target from them. The probability is that of their mean, at "
    "a temperature where one helps; the 90 % interval is where one more network, trained alike, is "
    "expected. It is wide where networks disagree, and says nothing of other clinics and cameras. "
    "Where it is wider than the model allows, the verdict is that it cannot be told. Ranks are "
    "within a cohort and begin with the best; beside each stands by what it was given."
)
_SELECTION = (
    "Outcomes of transfers are known only of embryos that somebody chose to transfer. A model that "
    "learned from them says nothing reliable of embryos that nobody would have chosen, and a rank "
    "among them is no measure of anything."
)
_STRIP = (
    "Key frames with the hour each was taken; the bar above says why: red an event, grey the "
    "sharpest or middlemost of its bin, yellow a repetition for want of a frame. Below each, where "
    "networks' features speak for (orange) or against (blue) the main target: where they looked, "
    "not what they saw. At the bottom, what would have been said had nothing been seen later."
)


def viability_page(
    records: Sequence[Mapping[str, Any]],
    strips: Mapping[str, bytes],
    ranks: Ranks,
    failed: Mapping[str, str],
    *,
    card: str = "",
) -> str:
    """The report as HTML.

    Args:
        records: At least one; see `isl.viability.outputs.record`.
        strips: PNGs by the recording's name.
        ranks: Places within cohorts, by recording and target.
        failed: What was wrong with recordings that could not be judged, by name.
        card: What the model says of itself.
    """
    ordered = in_order(records)
    first = ordered[0]
    main, *others = (word["target"] for word in first["targets"])
    details: list[Block] = []
    for cohort, members in itertools.groupby(ordered, key=lambda made: made["cohort"]):
        embryos = list(members)
        title = f"Cohort {cohort}" if cohort else "Embryos without a cohort"
        details += [heading(title), notice(PURPOSE)]
        if len(embryos) == 1 and cohort:
            details.append(paragraph("A cohort of one embryo: there is nothing to rank."))
        details.append(
            figure(draw_curves(embryos), alt="probability against hours seen", wide=True)
        )
        for made in embryos:
            details += _embryo(made, strips[made["recording"]])
    return results_page(
        f"Viability of {counted(len(ordered), 'embryo')}",
        [
            _table([main], ordered, ranks, f"The chance of {main}; for research only"),
            paragraph(_HOW_TO_READ),
            notice(_SELECTION),
            _table(others, ordered, ranks, f"What else the model tells, beside {main}"),
            paragraph(f"Model: {first['model']['name']}."),
        ],
        details,
        command="isl viability",
        purpose=f"{PURPOSE} {SIMULATED}" if "warning" in first else PURPOSE,
        failed=failed,
        card=card,
    )


def _table(
    targets: Sequence[str], ordered: Sequence[Mapping[str, Any]], ranks: Ranks, caption: str
) -> Block:
    """What is said of some targets, a row for each embryo and target."""
    rows = [
        _row(made, word, ranks[made["recording"]][word["target"]])
        for made in ordered
        for word in made["targets"]
        if word["target"] in targets
    ]
    columns = ("embryo", "cohort", "target", "probability", "90 % interval", "verdict", "rank")
    return table(columns, rows, caption=caption) if rows else NOTHING


def _row(made: Mapping[str, Any], word: Mapping[str, Any], rank: Rank | None) -> list[Cell]:
    tell = word["verdict"] != "cannot_tell"
    return [
        Link(made["recording"], made["recording"]),
        made["cohort"],
        word["target"],
        f"{word['probability']:.2f}",
        f"{word['low']:.2f} to {word['high']:.2f}",
        Badge("estimate") if tell else Badge("cannot tell", "attention"),
        "" if rank is None else f"{rank} ({rank.by})",
    ]


def _embryo(made: Mapping[str, Any], strip: bytes) -> list[Block]:
    chosen = Counter(frame["why"] for frame in made["key_frames"])
    main, *others = made["targets"]
    why = ", ".join(f"{count} {name}" for name, count in chosen.items())
    return [
        heading(made["recording"], level=3, anchor=made["recording"]),
        paragraph(sentence(main) + "."),
        notices(made.get("warnings", [])),
        figure(strip, alt=f"key frames of {made['recording']}", caption=_STRIP, wide=True),
        facts(
            {
                **{f"also: {word['target']}": sentence(word) for word in others},
                "key frames": f"{why}; of {made['input']['frames']} frames",
                "window covered": f"{made['covered']:.0%}",
                "blank among the frames looked at": len(made["blank_frames"]),
                "purpose": PURPOSE,
            }
        ),
    ]
