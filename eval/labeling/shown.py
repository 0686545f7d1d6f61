"""What a report shows of the ground: fields, crops in full resolution, and points of people."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np

from ..metrics.points import PointFigures, shares_of
from .config import AnnotatedPoints, LabelingEvaluation
from .crops import CropPicture, CropPlace, crop_picture, overview, ranked_crops
from .ground import Ground, GroundField
from .judge import BASELINE, LabelScores
from .pictures import FieldPicture, field_picture, ranked_fields
from .point_pictures import PointPicture, point_picture
from .points import AnnotatedField, PointScores
from .predictions import KeptPredictions, Predicted, image_of


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CropOverview:
    """A field with frames where crops lie.

    Attributes:
        contender: Whose crops.
        label: The label.
        condition: Of the field.
        field: Its name.
        image: uint8 [y, x, 3].
    """

    contender: str
    label: str
    condition: str
    field: str
    image: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """All pictures of the ground.

    Attributes:
        fields: Best, median and worst fields.
        crops: Best, median and worst pieces of every condition.
        overviews: Where these lie.
        points: Points of people.
    """

    fields: tuple[FieldPicture, ...]
    crops: tuple[CropPicture, ...]
    overviews: tuple[CropOverview, ...]
    points: tuple[PointPicture, ...]


def draw_shown(
    scores: Sequence[LabelScores],
    points: Sequence[PointScores],
    annotations: Sequence[Sequence[AnnotatedField]],
    ground: Ground,
    config: LabelingEvaluation,
    kept: KeptPredictions,
) -> Shown:
    """Draws what a report shows; every field is read once.

    Args:
        scores: Of contenders and the baseline, which has no pictures.
        points: As `judge_points` gives them.
        annotations: What they were judged from, an entry of the configuration each.
        ground: Where from.
        config: What was asked for.
        kept: All predictions.
    """
    taken = lru_cache(maxsize=1)(kept.taken)
    judged = [each for each in scores if each.contender != BASELINE]
    asked: list[_Asked] = []
    for each in judged:
        asked += _fields(each, config, taken)
        for condition in ground.conditions:
            asked += _crops(each, condition, ground, config, taken)
    asked += _points(points, annotations, judged, config, taken)
    drawn: dict[int, _Picture] = {}
    for name in dict.fromkeys(field for field, _ in asked):
        field = ground.read(name)
        drawn |= {n: draw(field) for n, (of, draw) in enumerate(asked) if of == name}
    pictures = [drawn[n] for n in range(len(asked))]
    return Shown(
        fields=tuple(each for each in pictures if isinstance(each, FieldPicture)),
        crops=tuple(each for each in pictures if isinstance(each, CropPicture)),
        overviews=tuple(each for each in pictures if isinstance(each, CropOverview)),
        points=tuple(each for each in pictures if isinstance(each, PointPicture)),
    )


_Picture = FieldPicture | CropPicture | CropOverview | PointPicture
_Asked = tuple[str, Callable[[GroundField], _Picture]]
"""A field, and what draws a picture of it."""
Taken = Callable[[str, str], Predicted]
"""What a contender predicted of a field."""


def _fields(each: LabelScores, config: LabelingEvaluation, taken: Taken) -> Iterator[_Asked]:
    def draw(field: GroundField, rank: str, pearson: float | None) -> FieldPicture:
        return field_picture(
            field,
            image_of(taken(each.contender, field.name), each.label, config),
            contender=each.contender,
            label=each.label,
            rank=rank,
            pearson=pearson,
        )

    for number, rank in ranked_fields([f.pixels.pearson for f in each.fields]).items():
        scores = each.fields[number]
        yield scores.field, partial(draw, rank=rank, pearson=scores.pixels.pearson)


def _crops(
    each: LabelScores,
    condition: str,
    ground: Ground,
    config: LabelingEvaluation,
    taken: Taken,
) -> Iterator[_Asked]:
    """The crops of one condition, and the fields that they lie in."""

    def draw(field: GroundField, place: CropPlace, rank: str) -> CropPicture:
        return crop_picture(
            field,
            taken(each.contender, field.name),
            place,
            contender=each.contender,
            label=each.label,
            rank=rank,
            config=config,
        )

    def draw_overview(field: GroundField, crops: Mapping[str, CropPlace]) -> CropOverview:
        return CropOverview(
            contender=each.contender,
            label=each.label,
            condition=condition,
            field=field.name,
            image=overview(field, each.label, crops),
        )

    places = [place for f in each.fields if f.condition == condition for place in f.crops]
    of_field: dict[str, dict[str, CropPlace]] = {}
    for number, rank in ranked_crops(places).items():
        place = places[number]
        of_field.setdefault(place.field, {})[rank] = place
        yield place.field, partial(draw, place=place, rank=rank)
    sizes = {field.name: field.size for field in ground.fields}
    for name, own in of_field.items():
        height, width = sizes[name]
        # Of a crop that is most of its field nobody asks where it lies.
        if any(2 * place.height * place.width < height * width for place in own.values()):
            yield name, partial(draw_overview, crops=own)


def _points(
    points: Sequence[PointScores],
    annotations: Sequence[Sequence[AnnotatedField]],
    judged: Sequence[LabelScores],
    config: LabelingEvaluation,
    taken: Taken,
) -> Iterator[_Asked]:
    """Of each person's points, of all kinds together, those of the best, median, worst field."""

    def draw(
        field: GroundField,
        entry: AnnotatedPoints,
        annotated: AnnotatedField,
        figures: PointFigures,
        who: str,
        rank: str,
    ) -> PointPicture:
        return point_picture(
            field,
            annotated,
            figures,
            predicted=_shown_to_them(entry, judged, field.name, taken, config),
            label=entry.label,
            of=entry.of,
            who=who,
            rank=rank,
        )

    together = [each for each in points if not each.kind]
    for entry, scores, fields in zip(config.points, together, annotations, strict=True):
        annotated = {field.name: field for field in fields}
        for who in dict.fromkeys(person for _, person in scores.predicted):
            found = {name: f for (name, person), f in scores.predicted.items() if person == who}
            names = list(found)
            shares = [shares_of([figures])["accuracy"] for figures in found.values()]
            for number, rank in ranked_fields(shares).items():
                name = names[number]
                yield (
                    name,
                    partial(
                        draw,
                        entry=entry,
                        annotated=annotated[name],
                        figures=found[name],
                        who=who,
                        rank=rank,
                    ),
                )


def _shown_to_them(
    entry: AnnotatedPoints,
    judged: Sequence[LabelScores],
    field: str,
    taken: Taken,
    config: LabelingEvaluation,
) -> np.ndarray | None:
    """The predicted image that people set points in; None where nothing says which it was."""
    fitting = [each.contender for each in judged if each.label == entry.label]
    named = [name for name in fitting if name == entry.of] or fitting
    if len(named) != 1:
        return None
    predicted = taken(named[0], field)
    return image_of(predicted, entry.label, config) if entry.label in predicted.labels else None
