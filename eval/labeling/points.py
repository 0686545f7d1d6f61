"""Points that people set, over all fields: predicted beside measured, and people beside people."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.data.points import Points, joined_points, read_points
from isl.errors import InputError
from isl.imaging.inputs.read import read_fluorescence
from isl.imaging.masks import size_text

from ..metrics.points import (
    COUNTED,
    DEBRIS,
    PointFigures,
    PointRate,
    annotator_pairs,
    match_points,
    point_rates,
    shares_of,
)
from .config import AnnotatedPoints, LabelingEvaluation, Unit, of_field
from .ground import FieldFacts, Ground


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedField:
    """Points of one field.

    Attributes:
        name: Name of the field.
        size: Y, X.
        measured: By annotator, points in the measured image.
        predicted: By annotator, points in the predicted one.
        mask: bool [Y, X], False where points are left out; None: nowhere.
        debris: Where people saw debris; None: nobody looked.
    """

    name: str
    size: tuple[int, int]
    measured: Mapping[str, Points]
    predicted: Mapping[str, Points]
    mask: np.ndarray | None
    debris: Points | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PointScores:
    """What the points of one label say.

    Attributes:
        label: The label.
        of: Whose predictions, in words.
        kind: Of which kind of points; "" where people named no kinds.
        fields: Which fields were annotated.
        predicted: Figures of (field, annotator): each one's predicted beside their measured points.
        places: Of the same, these measured and predicted points.
        annotators: Figures of (field, who is taken for the truth, who is compared), measured
            images.
        predicted_rates: Shares in `predicted`, by their names in `SHARES`: of every annotator over
            all fields, then mean and deviation of the annotators.
        annotator_rates: The same in `annotators`, of every ordered pair.
    """

    label: str
    of: str
    kind: str
    fields: tuple[str, ...]
    predicted: Mapping[tuple[str, str], PointFigures]
    places: Mapping[tuple[str, str], tuple[Points, Points]]
    annotators: Mapping[tuple[str, str, str], PointFigures]
    predicted_rates: Mapping[str, PointRate]
    annotator_rates: Mapping[str, PointRate]


def read_annotations(
    config: LabelingEvaluation, folder: Path, ground: Ground
) -> tuple[tuple[AnnotatedField, ...], ...]:
    """Reads all points that a configuration names, before anything is computed.

    Args:
        config: What was asked for.
        folder: Where its file lies.
        ground: Whose fields may be annotated.

    Returns:
        For every entry of `points`, the fields that have any.

    Raises:
        InputError: A file cannot be read, or no field has any.
    """
    return tuple(_read(entry, folder, ground) for entry in config.points)


def judge_points(
    config: LabelingEvaluation, annotations: Sequence[Sequence[AnnotatedField]]
) -> tuple[PointScores, ...]:
    """Compares points, all of them together and, where people named kinds, kind by kind."""
    scores = []
    for entry, fields in zip(config.points, annotations, strict=True):
        named = {
            kind
            for field in fields
            for points in (*field.measured.values(), *field.predicted.values())
            for kind in points.kinds
            if kind
        }
        scores += [_judge(entry, fields, kind) for kind in ("", *sorted(named))]
    return tuple(scores)


def _judge(entry: AnnotatedPoints, fields: Sequence[AnnotatedField], kind: str) -> PointScores:
    predicted: dict[tuple[str, str], PointFigures] = {}
    places: dict[tuple[str, str], tuple[Points, Points]] = {}
    annotators: dict[tuple[str, str, str], PointFigures] = {}
    for field in fields:
        measured, guessed = (
            {who: points.of_kind(kind) if kind else points for who, points in side.items()}
            for side in (field.measured, field.predicted)
        )
        for who in guessed:
            if who in measured:
                places[field.name, who] = measured[who], guessed[who]
                predicted[field.name, who] = match_points(
                    measured[who],
                    guessed[who],
                    diameter=entry.diameter,
                    size=field.size,
                    exclude_edge=entry.exclude_edge,
                    mask=field.mask,
                    debris=field.debris,
                )
        if len(measured) > 1:
            pairs = annotator_pairs(
                measured,
                diameter=entry.diameter,
                size=field.size,
                exclude_edge=entry.exclude_edge,
                mask=field.mask,
            )
            annotators |= {(field.name, *pair): figures for pair, figures in pairs.items()}
    return PointScores(
        label=entry.label,
        of=entry.of,
        kind=kind,
        fields=tuple(field.name for field in fields),
        predicted=predicted,
        places=places,
        annotators=annotators,
        predicted_rates=_rates(predicted),
        annotator_rates=_rates(annotators),
    )


def _rates(found: Mapping[tuple[str, ...], PointFigures]) -> dict[str, PointRate]:
    """Of figures by (field, annotator) or (field, truth, compared)."""
    comparisons: dict[str, list[PointFigures]] = {}
    for (_, *who), figures in found.items():
        comparisons.setdefault(" beside ".join(reversed(who)), []).append(figures)
    return point_rates(comparisons)


def counts_of(figures: PointFigures) -> dict[str, float | None]:
    """Counts of one comparison, by name, and the shares that are no rates of errors."""
    shares = shares_of([figures])
    return {
        **{name: getattr(figures, name) for name in COUNTED},
        **{name: shares[name] for name in ("accuracy", "precision", "recall")},
    }


def points_of(path: Path, field: FieldFacts, unit: Unit) -> Points:
    """Points of a field, in pixels.

    Args:
        path: The table.
        field: In which they have to lie.
        unit: Of the table.

    Raises:
        InputError: It cannot be read, or micrometres cannot be made pixels.
    """
    if unit == "pixels":
        return read_points(path, size=field.size)
    if field.pixel_size is None:
        raise InputError(
            f"{path}: micrometres need the pixel size of field '{field.name}', which nothing says; "
            "give it 'pixel_size' in the dataset"
        )
    return read_points(path, size=field.size, pixel=(field.pixel_size.y, field.pixel_size.x))


def check_own_files(what: str, texts: Iterable[str], fields: Sequence[FieldFacts]) -> None:
    """That every field has tables of its own.

    Args:
        what: Names them, in the configuration.
        texts: Their paths.
        fields: All that may have some.

    Raises:
        InputError: A path is the same for several fields.
    """
    for text in texts if len(fields) > 1 else ():
        if "{field}" not in text:
            raise InputError(
                f"{what}: '{text}' is one file for {len(fields)} fields; write {{field}} where a "
                "field's name stands in it"
            )


def _read(entry: AnnotatedPoints, folder: Path, ground: Ground) -> tuple[AnnotatedField, ...]:
    texts = (*entry.measured.values(), *entry.predicted.values(), *entry.debris)
    check_own_files(f"points of {entry.label}", texts, ground.fields)
    found: list[AnnotatedField] = []
    alone: list[tuple[str, str]] = []
    for field in ground.fields:
        measured, predicted = (
            {
                who: points_of(path, field, entry.unit)
                for who, text in side.items()
                if (path := of_field(text, folder, field.name)).is_file()
            }
            for side in (entry.measured, entry.predicted)
        )
        alone += [(field.name, who) for who in predicted if who not in measured]
        if not measured:
            continue
        if entry.label not in field.pixels:
            raise InputError(
                f"points of {entry.label}: field '{field.name}' has some, but {entry.label} was "
                "not measured there; leave them out, or give the field this label in the dataset"
            )
        mask = None if entry.mask is None else of_field(entry.mask, folder, field.name)
        debris = {
            path: points_of(path, field, entry.unit)
            for text in entry.debris
            if (path := of_field(text, folder, field.name)).is_file()
        }
        found.append(
            AnnotatedField(
                name=field.name,
                size=field.size,
                measured=measured,
                predicted=predicted,
                mask=None if mask is None else _mask(mask, field.size),
                debris=joined_points(debris, DEBRIS) if debris else None,
            )
        )
    if not found:
        raise _no_file(entry, "measured", next(iter(entry.measured.values())), folder, ground)
    for name, who in alone:
        raise InputError(
            f"points of {entry.label}: field '{name}' has predicted points of '{who}' and no "
            "measured ones; give a table without rows where there are none"
        )
    if entry.predicted and not any(field.predicted for field in found):
        raise _no_file(entry, "predicted", next(iter(entry.predicted.values())), folder, ground)
    if entry.debris and all(field.debris is None for field in found):
        raise _no_file(entry, "debris", entry.debris[0], folder, ground)
    return tuple(found)


def _no_file(
    entry: AnnotatedPoints, key: str, text: str, folder: Path, ground: Ground
) -> InputError:
    return InputError(
        f"points of {entry.label}: no field has a file such as "
        f"{of_field(text, folder, ground.fields[0].name)}; correct '{key}'"
    )


def _mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    image = read_fluorescence(path).channels
    if image.shape != (1, *size):
        raise InputError(
            f"{path}: is {size_text(image)}, but the field is {size[0]} x {size[1]} pixels; a "
            "mask is one image of the field's size"
        )
    if not np.isfinite(image).all():
        raise InputError(f"{path}: has pixels that are no numbers; a mask is 0 where it leaves out")
    return image[0] != 0
