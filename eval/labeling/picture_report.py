"""Pictures of the ground in the report: fields, crops in their own resolution, points of people."""

from collections.abc import Mapping, Sequence

import numpy as np

from isl.report import (
    NOTHING,
    Block,
    beside,
    figure,
    folded,
    heading,
    paragraph,
    section,
    zoomable,
)
from isl.report.pictures import pixels
from isl.report.words import number
from isl.report.zoom import HOW

from ..metrics.points import shares_of
from .crops import SIDE, CropPicture
from .figures import draw_color_bars, draw_point_key
from .findings import Findings
from .pictures import FieldPicture
from .point_pictures import PointPicture


def field_blocks(findings: Findings) -> list[Block]:
    """Best, median and worst fields."""
    blocks: list[Block] = [
        heading("Best, median and worst fields"),
        paragraph(
            "By Pearson's correlation. As in the paper, measured and predicted are each brought to "
            "the same mean and deviation, and the noise floor is cut off, but not of the errors: "
            "magenta where too much was predicted, teal where too little. Dark grey: not measured. "
            "Transmitted light: the centre plane."
        ),
    ]
    by_contender = {
        contender.name: [
            _field(each) for each in findings.shown.fields if each.contender == contender.name
        ]
        for contender in findings.contenders
    }
    return blocks + _of_contenders(by_contender, "Fields")


def crop_blocks(findings: Findings) -> list[Block]:
    """Pieces of the ground in its own resolution."""
    return [
        heading("Crops in full resolution"),
        paragraph(
            f"Pieces of about {SIDE} pixels, a pixel a pixel: those of least, median and largest "
            "mean absolute error of all that the ground was cut into. Least and median are of "
            "those that hold half as much foreground as others, or more: least wrong is what shows "
            f"nothing. {HOW}"
        ),
        paragraph(
            "Fluorescence is green, brought to mean 0.25 and deviation 0.125 over its field, and "
            "not cut off at the noise floor; nuclei, as measured beside what was measured, and as "
            "predicted beside what was predicted, are blue."
        ),
        figure(draw_color_bars(), alt="Color bars of fluorescence and of errors"),
        *_of_contenders(
            {contender.name: _crops(findings, contender.name) for contender in findings.contenders},
            "Crops",
        ),
    ]


def _of_contenders(blocks: Mapping[str, Sequence[Block]], what: str) -> list[Block]:
    """Of several models the first one's pictures are open."""
    found: list[Block] = []
    for index, (name, inside) in enumerate(blocks.items()):
        if len(blocks) > 1:
            inside = [heading(name, level=3), *inside] if inside else []
        found += inside if index == 0 else [folded(f"{what} of {name}", inside)]
    return found


def _field(picture: FieldPicture) -> Block:
    pearson = number(picture.pearson, undefined="undefined")
    text = f"{picture.label}, {picture.rank}: {picture.field}, Pearson {pearson}"
    return section(text, [_panels(picture.panels, text)], level=4)


def _crops(findings: Findings, contender: str) -> list[Block]:
    shown = findings.shown
    several = len(findings.ground.conditions) > 1
    blocks: list[Block] = []
    for label in findings.ground.labels:
        for condition in findings.ground.conditions:
            of = contender, label, condition
            crops = [each for each in shown.crops if _of(each) == of]
            words = f"{label}, {named(condition)}" if several else label
            places = [
                figure(
                    pixels(each.image),
                    alt=f"{words}: where crops lie in {each.field}",
                    caption=f"{words}: {each.field} as measured, and where its crops lie",
                )
                for each in shown.overviews
                if (each.contender, each.label, each.condition) == of
            ]
            blocks += [beside(places, columns=3), *(_crop(each, words) for each in crops)]
    return blocks


def _of(each: CropPicture) -> tuple[str, str, str]:
    return each.contender, each.label, each.condition


def _crop(picture: CropPicture, words: str) -> Block:
    place = picture.place
    pearson = number(place.pearson, undefined="undefined")
    text = (
        f"{words}, {picture.rank}: {place.words}, mean absolute error {place.error:.3f}, "
        f"Pearson {pearson}"
    )
    return section(text, [_panels(picture.panels, text)], level=4)


def point_picture_blocks(findings: Findings) -> list[Block]:
    """Dots where people set points, colored by what became of them."""
    pictures = findings.shown.points
    if not pictures:
        return [NOTHING]
    return [
        paragraph(
            "Each person's best, median and worst field by accuracy; of large ones the square with "
            f"most errors. Ground that is left out is darker. {HOW}"
        ),
        figure(draw_point_key(), alt="Colors of points"),
        *(_points(each) for each in pictures),
    ]


def _points(picture: PointPicture) -> Block:
    of = f" predicted by {picture.of}" if picture.of else ""
    accuracy = number(shares_of([picture.figures])["accuracy"], 2, undefined="undefined")
    text = (
        f"{picture.label}{of}, {picture.who}, {picture.rank}: {picture.field}, accuracy {accuracy}"
    )
    about = f"Shown: {picture.place}." if picture.place else ""
    return section(text, [_panels(picture.panels, text)], level=4, about=about)


def _panels(panels: Mapping[str, np.ndarray], text: str) -> Block:
    return zoomable(
        [
            figure(pixels(image), alt=f"{text}, {name}", caption=name)
            for name, image in panels.items()
        ],
        columns=4,
    )


def named(condition: str) -> str:
    """A condition in words."""
    return condition or "no condition named"
