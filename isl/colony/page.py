"""The report on colonies: a table of wells, and for each the pictures to judge it by."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from isl.colony.assess import CANNOT_TELL
from isl.colony.record import PURPOSE, composition_rows, known_alone, sentence, which_share
from isl.report import (
    Block,
    Cell,
    Link,
    facts,
    figure,
    folded,
    heading,
    notices,
    paragraph,
    results_page,
    table,
)

_HOW_TO_READ = (
    "Colonies are found by their texture: the entropy of grey values around every pixel, cut by "
    "Otsu's threshold. Of each, patches are drawn at random inside its outline, and a network says "
    "how likely every class is; the mean over the patches counts. Where the likeliest class is not "
    "likely enough, the answer is that it cannot be told. Colonies that touch the border are "
    "marked in the table: part of them may be missing."
)
_SHARES = {
    "Share of all": "share_of_all",
    "Share of those told": "share",
    "Share of their area": "area_share",
    "Expected share": "expected_share",
    "Corrected share": "corrected_share",
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WellPictures:
    """One well that was assessed.

    Attributes:
        made: Its record, see `isl.colony.record.record`.
        overlay: A PNG.
        composition: A PNG.
    """

    made: Mapping[str, Any]
    overlay: bytes
    composition: bytes


def colony_page(wells: Sequence[WellPictures], failed: Mapping[str, str], *, card: str) -> str:
    """The report as HTML.

    Args:
        wells: At least one, in order.
        failed: What was wrong with wells that could not be assessed, by name.
        card: What the model says of itself.
    """
    made = [well.made for well in wells]
    classes = made[0]["classes"]
    columns = ("Well", "Frames", "Colonies", *(name.capitalize() for name in classes))
    return results_page(
        "Colonies",
        [
            table(
                (*columns, "Cannot tell"),
                [_row(each, classes) for each in made],
                caption="Colonies in the last frame, by class",
            ),
            paragraph(_HOW_TO_READ),
            paragraph(known_alone("colony", classes)),
            paragraph(which_share(corrected=bool(made[0]["model"]["confusion"]))),
        ],
        [block for well in wells for block in _of_well(well)],
        command="isl colony",
        purpose=PURPOSE,
        failed=failed,
        card=card,
    )


def _row(made: Mapping[str, Any], classes: Sequence[str]) -> list[Cell]:
    own = [each for each in made["colonies"] if each["time"] == made["frames"] - 1]
    return [
        Link(made["image"], made["image"]),
        made["frames"],
        len(own),
        *(sum(each["class"] == name for each in own) for name in (*classes, CANNOT_TELL)),
    ]


def _of_well(well: WellPictures) -> list[Block]:
    made = well.made
    name = made["image"]
    blocks = [
        heading(name, anchor=name),
        paragraph(sentence(made).capitalize() + "."),
        notices(made["warnings"]),
        figure(well.overlay, alt=f"Outlines of the colonies of {name}", wide=True),
        figure(
            well.composition,
            alt=f"Shares of the classes in {name}",
            caption="Composition by number of colonies.",
        ),
    ]
    last = [
        row
        for row in composition_rows(made)
        if row["time"] == made["frames"] - 1 and row["share_of_all"]
    ]
    if last:
        blocks.append(
            table(
                (*("Class", "Colonies"), *_SHARES),
                [
                    [row["class"], row["colonies"], *(row[column] for column in _SHARES.values())]
                    for row in last
                ],
                caption="Composition in the last frame; but for the first, shares are of the "
                "colonies whose class was told",
            )
        )
    return [*blocks, folded(f"How {name} was assessed", [facts(_facts(made))])]


def _facts(made: Mapping[str, Any]) -> dict[str, Cell]:
    source, model = made["input"], made["model"]
    size, interval = made["pixel_size"], made["interval_minutes"]
    errors = [f"{error:.3f}" for error in model["calibration_error"]]
    return {
        "Input": f"{source['path']} ({' x '.join(map(str, source['shape']))})",
        "Input sha256": source["sha256"],
        "Pixel size": "not known" if size is None else f"{size:g} um",
        "Interval": "not known" if interval is None else f"{interval:g} min",
        "Model": f"{model['name']}, sha256 {model['sha256']}",
        "Temperature": f"{model['temperature']:.3f}",
        "Expected calibration error": (
            f"{errors[0]} before and {errors[1]} after temperature" if errors else "not measured"
        ),
        "Settings": ", ".join(f"{key} {value}" for key, value in made["settings"].items()),
        "Computed": f"{made['finished']} on {made['device']} in {made['seconds']:.1f} s",
        "Versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
    }
