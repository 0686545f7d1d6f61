"""Nuclei of predicted images beside those of true ones, over all fields of a label."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from isl.errors import unknown

from ..bootstrap import Interval, bootstrap
from ..metrics.object_matching import ObjectFigures, SizeTest, compare_sizes, match_objects
from ..metrics.objects import SEGMENTERS, Segmenter, segment_nuclei
from .blocks import FEWEST_GROUPS
from .config import LabelingEvaluation
from .ground import GroundField
from .live_dead import LiveDeadScores, Marks, all_nuclei, part_nuclei

_COUNTS = ("true_count", "predicted_count", "split", "merged", "added", "missing")
_PRECISIONS = ("average_precision_50", "average_precision_75")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldObjects:
    """Nuclei of one field.

    Attributes:
        field: Its name.
        group: Its group.
        figures: What was found.
        live_dead: Its nuclei parted by marked cells; None where none were marked.
    """

    field: str
    group: str
    figures: ObjectFigures
    live_dead: LiveDeadScores | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ObjectScores:
    """Nuclei of all fields.

    Attributes:
        counts: true_count, predicted_count, split, merged, added and missing, summed.
        accuracy: (true_count - errors) / true_count over all fields.
        average_precision_50: Mean of the fields where it is defined.
        average_precision_75: The same.
        sizes: Kolmogorov-Smirnov test of all sizes.
        true_sizes: int [N], pixels.
        predicted_sizes: int [M], pixels.
        live_dead: Nuclei parted by marked cells; None where none were marked.
        note: How intervals were drawn, or why there are none.
    """

    counts: Mapping[str, int]
    accuracy: Interval
    average_precision_50: Interval
    average_precision_75: Interval
    sizes: SizeTest
    true_sizes: np.ndarray
    predicted_sizes: np.ndarray
    live_dead: LiveDeadScores | None
    note: str


def segmenter_of(config: LabelingEvaluation) -> Segmenter:
    """The segmenter that a configuration names.

    Raises:
        InputError: There is none of that name.
    """
    if config.segmenter not in SEGMENTERS:
        raise unknown("segmenter", config.segmenter, SEGMENTERS)
    return SEGMENTERS[config.segmenter]


def score_objects(
    field: GroundField,
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    config: LabelingEvaluation,
    marks: Marks | None = None,
) -> FieldObjects:
    """Nuclei of one field: float [Y, X] true and predicted, bool [Y, X] mask, marked cells."""
    segment = segmenter_of(config)
    size = field.stack.pixel_size

    def labels_of(image: np.ndarray) -> np.ndarray:
        if config.diameter is not None and segment is segment_nuclei:
            return segment_nuclei(image, mask=mask, pixel_size=size, diameter=config.diameter)
        return segment(image, mask=mask, pixel_size=size)

    nuclei = labels_of(true), labels_of(predicted)
    return FieldObjects(
        field=field.name,
        group=field.group,
        figures=match_objects(*nuclei, mask=mask),
        live_dead=None if marks is None else part_nuclei(*nuclei, mask, marks),
    )


def judge_objects(
    fields: Sequence[FieldObjects], config: LabelingEvaluation
) -> ObjectScores | None:
    """From the nuclei of fields to those of a label; None where none were looked for."""
    if not fields:
        return None
    table = np.array(
        [
            [_number(getattr(field.figures, name)) for name in (*_COUNTS, *_PRECISIONS)]
            for field in fields
        ]
    )
    groups = [field.group for field in fields]
    few = len(set(groups)) < FEWEST_GROUPS
    found = bootstrap(
        _figures,
        [table],
        groups=groups,
        rng=np.random.default_rng(config.seed),
        replicates=config.replicates,
        level=config.level,
        fewest=FEWEST_GROUPS,
    )
    true, predicted = (
        np.concatenate([getattr(field.figures, f"{side}_sizes") for field in fields])
        for side in ("true", "predicted")
    )
    return ObjectScores(
        counts={name: int(table[:, n].sum()) for n, name in enumerate(_COUNTS)},
        accuracy=found["accuracy"],
        average_precision_50=found["average_precision_50"],
        average_precision_75=found["average_precision_75"],
        sizes=compare_sizes(true, predicted),
        true_sizes=true,
        predicted_sizes=predicted,
        live_dead=all_nuclei([field.live_dead for field in fields if field.live_dead]),
        note=f"fewer than {FEWEST_GROUPS} groups: no intervals"
        if few
        else f"intervals over {len(set(groups))} groups",
    )


def _figures(table: np.ndarray) -> dict[str, float | None]:
    counts = dict(zip(_COUNTS, table.sum(axis=0).tolist(), strict=False))
    errors = sum(counts[name] for name in ("split", "merged", "added", "missing"))
    true = counts["true_count"]
    found: dict[str, float | None] = {"accuracy": (true - errors) / true if true else None}
    for n, name in enumerate(_PRECISIONS, len(_COUNTS)):
        defined = table[:, n][np.isfinite(table[:, n])]
        found[name] = float(defined.mean()) if defined.size else None
    return found


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
