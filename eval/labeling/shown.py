"""What a report shows of the ground: fields, crops in full resolution, and points of people."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..metrics.points import shares_of
from .config import LabelingEvaluation
from .crops import CropPicture, CropPlace, crop_picture, overview, ranked_crops
from .ground import Ground, GroundField
from .judge import BASELINE, LabelScores
from .pictures import FieldPicture, field_picture, ranked_fields
from .point_pictures import PointPicture, point_picture
from .points import AnnotatedField, PointScores
from .predictions import KeptPredictions, image_of

Read = Callable[[str], GroundField]


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
    """Draws what a report shows; a field is in memory at a time.

    Args:
        scores: Of contenders and the baseline, which has no pictures.
        points: As `judge_points` gives them.
        annotations: What they were judged from, an entry of the configuration each.
        ground: Where from.
        config: What was asked for.
        kept: All predictions.
    """
    read: Read = functools.lru_cache(maxsize=1)(ground.read)
    judged = [each for each in scores if each.contender != BASELINE]
    crops: list[CropPicture] = []
    overviews: list[CropOverview] = []
    for each in judged:
        for condition in ground.conditions:
            drawn, places = _crops(each, condition, read, config, kept)
            crops += drawn
            overviews += places
    return Shown(
        fields=tuple(picture for each in judged for picture in _fields(each, read, config, kept)),
        crops=tuple(crops),
        overviews=tuple(overviews),
        points=tuple(_points(points, annotations, judged, read, config, kept)),
    )


def _fields(
    each: LabelScores, read: Read, config: LabelingEvaluation, kept: KeptPredictions
) -> Iterator[FieldPicture]:
    for number, rank in ranked_fields([f.pixels.pearson for f in each.fields]).items():
        scores = each.fields[number]
        predicted = kept.taken(each.contender, scores.field)
        yield field_picture(
            read(scores.field),
            image_of(predicted, each.label, config),
            contender=each.contender,
            label=each.label,
            rank=rank,
            pearson=scores.pixels.pearson,
        )


def _crops(
    each: LabelScores,
    condition: str,
    read: Read,
    config: LabelingEvaluation,
    kept: KeptPredictions,
) -> tuple[list[CropPicture], list[CropOverview]]:
    """The crops of one condition, and the fields that they lie in."""
    places = [place for f in each.fields if f.condition == condition for place in f.crops]
    crops: list[CropPicture] = []
    of_field: dict[str, dict[str, CropPlace]] = {}
    for number, rank in ranked_crops(places).items():
        place = places[number]
        field = read(place.field)
        crops.append(
            crop_picture(
                field,
                kept.taken(each.contender, place.field),
                place,
                contender=each.contender,
                label=each.label,
                rank=rank,
                config=config,
            )
        )
        of_field.setdefault(place.field, {})[rank] = place
    overviews = [
        CropOverview(
            contender=each.contender,
            label=each.label,
            condition=condition,
            field=name,
            image=overview(read(name), each.label, own),
        )
        for name, own in of_field.items()
        if any(_is_part(place, read(name)) for place in own.values())
    ]
    return crops, overviews


def _is_part(place: CropPlace, field: GroundField) -> bool:
    """Whether a field is shown so far from whole that a reader asks where a crop lies in it."""
    return 2 * place.height * place.width < field.truth[0].size


def _points(
    points: Sequence[PointScores],
    annotations: Sequence[Sequence[AnnotatedField]],
    judged: Sequence[LabelScores],
    read: Read,
    config: LabelingEvaluation,
    kept: KeptPredictions,
) -> Iterator[PointPicture]:
    """Of each person's points, of all kinds together, those of the best, median, worst field."""
    together = [each for each in points if not each.kind]
    for entry, scores, fields in zip(config.points, together, annotations, strict=True):
        annotated = {field.name: field for field in fields}
        people = dict.fromkeys(who for _, who in scores.predicted)
        for who in people:
            found = [name for name, person in scores.predicted if person == who]
            shares = [shares_of([scores.predicted[name, who]])["accuracy"] for name in found]
            for number, rank in ranked_fields(shares).items():
                name = found[number]
                yield point_picture(
                    read(name),
                    annotated[name],
                    scores.predicted[name, who],
                    predicted=_shown_to_them(entry.of, entry.label, judged, name, kept, config),
                    label=entry.label,
                    of=entry.of,
                    who=who,
                    rank=rank,
                )


def _shown_to_them(
    of: str,
    label: str,
    judged: Sequence[LabelScores],
    field: str,
    kept: KeptPredictions,
    config: LabelingEvaluation,
) -> np.ndarray | None:
    """The predicted image that people set points in; None where nothing says which it was."""
    fitting = [each.contender for each in judged if each.label == label]
    named = [name for name in fitting if name == of] or fitting
    if len(named) != 1:
        return None
    predicted = kept.taken(named[0], field)
    return image_of(predicted, label, config) if label in predicted.labels else None
