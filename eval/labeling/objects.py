"""Nuclei of predicted images beside those of true ones, over all fields of a label."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from isl.imaging.nuclei import segment_nuclei

from ..metrics.object_matching import (
    COUNTS,
    ERRORS,
    ObjectFigures,
    ObjectTable,
    SizeTest,
    compare_sizes,
    figures_of_counts,
    figures_of_table,
    tabulate_objects,
)
from ..statistics.bootstrap import Interval
from .blocks import Over, block_numbers, drawn_intervals, drawn_of
from .config import LabelingEvaluation
from .ground import GroundField
from .live_dead import LiveDeadScores, Marks, all_nuclei, nuclei_by_state

_COUNTED = ("true_count", "predicted_count", *ERRORS)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldObjects:
    """Nuclei of one field.

    Attributes:
        field: Its name.
        group: Its group.
        figures: What was found.
        by_block: int [R, len(COUNTS)], what objects of every block of the ground add to the counts.
        live_dead: Its nuclei by the state of marked cells; None where none were marked.
    """

    field: str
    group: str
    figures: ObjectFigures
    by_block: np.ndarray
    live_dead: LiveDeadScores | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ObjectScores:
    """Nuclei of all fields.

    Attributes:
        counts: true_count, predicted_count, split, merged, added and missing, summed.
        accuracy: (true_count - errors) / true_count over all fields.
        average_precision_50: Over all fields together.
        average_precision_75: The same.
        sizes: Kolmogorov-Smirnov test of all sizes.
        true_sizes: int [N], pixels.
        predicted_sizes: int [M], pixels.
        live_dead: Nuclei by the state of marked cells; None where none were marked.
        over: What was drawn for intervals.
        units: How many of these there are.
    """

    counts: Mapping[str, int]
    accuracy: Interval
    average_precision_50: Interval
    average_precision_75: Interval
    sizes: SizeTest
    true_sizes: np.ndarray
    predicted_sizes: np.ndarray
    live_dead: LiveDeadScores | None
    over: Over
    units: int


def score_objects(
    field: GroundField,
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    config: LabelingEvaluation,
    marks: Marks | None = None,
) -> FieldObjects:
    """Nuclei of one field: float [Y, X] true and predicted, bool [Y, X] mask, marked cells."""
    size = field.stack.pixel_size

    def labels_of(image: np.ndarray) -> np.ndarray:
        return segment_nuclei(image, mask=mask, pixel_size=size, diameter=config.diameter)

    nuclei = labels_of(true), labels_of(predicted)
    table = tabulate_objects(*nuclei, mask=mask)
    return FieldObjects(
        field=field.name,
        group=field.group,
        figures=figures_of_table(table),
        by_block=_by_block(table, mask),
        live_dead=None if marks is None else nuclei_by_state(*nuclei, mask, marks),
    )


def judge_objects(
    fields: Sequence[FieldObjects], config: LabelingEvaluation
) -> ObjectScores | None:
    """From the nuclei of fields to those of a label; None where none were looked for."""
    if not fields:
        return None
    counts = np.concatenate([field.by_block for field in fields])
    groups = [field.group for field in fields for _ in field.by_block]
    found = drawn_intervals(
        lambda drawn: figures_of_counts(drawn.sum(axis=0)), [counts], groups, config.resampling
    )
    true, predicted = (
        np.concatenate([getattr(field.figures, f"{side}_sizes") for field in fields])
        for side in ("true", "predicted")
    )
    return ObjectScores(
        counts={name: int(counts[:, COUNTS.index(name)].sum()) for name in _COUNTED},
        **found,
        sizes=compare_sizes(true, predicted),
        true_sizes=true,
        predicted_sizes=predicted,
        live_dead=all_nuclei([field.live_dead for field in fields if field.live_dead]),
        over=drawn_of(groups),
        units=found["accuracy"].units,
    )


def _by_block(table: ObjectTable, mask: np.ndarray) -> np.ndarray:
    """Counts of the blocks of the ground, those without objects too, int [R, len(COUNTS)]."""
    numbers = block_numbers(mask.shape)
    counting = table.counts.any(axis=1)
    # One whose centre lies in a hole of the mask has a block, too.
    of_object = numbers[tuple(np.rint(table.centers[counting]).astype(int).T)]
    blocks = np.union1d(np.unique(numbers[mask]), of_object)
    found = np.zeros((blocks.size, len(COUNTS)), int)
    np.add.at(found, np.searchsorted(blocks, of_object), table.counts[counting])
    return found
