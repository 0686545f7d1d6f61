"""What contenders are worth on the ground: figures of every label, field and group."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from isl.labeling.bins import BINS

from ..metrics.heat_map import HeatMap, intensity_heat_map
from ..metrics.image_pair import checked_pair, correlation
from ..metrics.pixel_figures import PixelFigures, pixel_figures, similarity_map
from ..metrics.risk_coverage import RiskCoverage, risk_coverage
from ..metrics.spectral import SpectralBand, spectral_correlation
from ..statistics.bootstrap import Interval
from .blocks import (
    BlockRows,
    Over,
    block_rows,
    constant_scores,
    differences,
    intervals,
    joined,
    spectral_blocks,
    spectral_intervals,
    spectral_of,
)
from .config import LabelingEvaluation
from .crops import CropPlace, crop_places
from .distributions import DistributionFigures, DistributionSummary
from .ground import Ground, GroundField, to_bins
from .live_dead import Marks
from .objects import FieldObjects, ObjectScores, judge_objects, score_objects
from .predictions import Predicted, image_of
from .registration import misregistration

BASELINE = "best constant"
"""The contender that knows nothing but the mean and the histogram of the ground itself."""
SAMPLES = 1_000_000
"""Random pixels of a label, as in the paper."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldScores:
    """One label of one field.

    Attributes:
        field: Name of the field.
        group: Its group.
        condition: Its condition, "" where nothing says.
        pixels: Agreement of the image.
        rows: Sums by block.
        spectral: Agreement by spatial frequency.
        spectral_sums: As `spectral_blocks`, a row for each of `rows`; None for the baseline.
        objects: Its nuclei; None where they are not asked for.
        shift: Rows and columns by which the images lie apart; None: no more than 2 pixels.
        distribution: Sums over all its pixels, as `DistributionFigures.sums`; None for images.
        crops: Its pieces, with what each is worth; none for the baseline.
    """

    field: str
    group: str
    condition: str
    pixels: PixelFigures
    rows: BlockRows
    spectral: tuple[SpectralBand, ...] = ()
    spectral_sums: np.ndarray | None = None
    objects: FieldObjects | None = None
    shift: tuple[float, float] | None = None
    distribution: Mapping[str, np.ndarray] | None = None
    crops: tuple[CropPlace, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Random pixels of a label, over all fields.

    Attributes:
        true: float32 [N].
        predicted: float32 [N].
        width: float32 [N], of the 90 % interval; None where there are no distributions.
    """

    true: np.ndarray
    predicted: np.ndarray
    width: np.ndarray | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ConditionScores:
    """One contender on one label under one condition.

    Attributes:
        figures: Over its fields, with intervals.
        over: What was drawn for them.
        units: How many of these there are.
        groups: How many groups it has.
        heat_map: Of its sampled pixels; None for the baseline.
    """

    figures: Mapping[str, Interval]
    over: Over
    units: int
    groups: int
    heat_map: HeatMap | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelScores:
    """One contender on one label.

    Attributes:
        contender: Its name.
        label: The label.
        figures: Over all fields, with intervals; the baseline has none of `SPECTRAL`.
        over: What was drawn for them.
        units: How many of these there are.
        pearson_sampled: Of a million random pixels.
        by_condition: Of every condition; empty where there are not several.
        by_group: Figures of every group.
        fields: Figures of every field.
        rows: Sums by block, of all fields.
        distribution: Of all fields; None for images and the baseline.
        heat_map: Of the sampled pixels; None for the baseline.
        risk: Mean absolute error of what is kept, of the sampled pixels.
        objects: Nuclei; None where they are not asked for.
        notes: What is undefined, and why; what a reader must know.
    """

    contender: str
    label: str
    figures: Mapping[str, Interval]
    over: Over
    units: int
    pearson_sampled: float | None
    by_condition: Mapping[str, ConditionScores]
    by_group: Mapping[str, Mapping[str, float | None]]
    fields: tuple[FieldScores, ...]
    rows: BlockRows
    distribution: DistributionSummary | None
    heat_map: HeatMap | None
    risk: RiskCoverage | None
    objects: ObjectScores | None
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """How much two contenders differ on a label, on the same replicates.

    Attributes:
        label: The label.
        first: A contender.
        second: Another, or the baseline.
        figures: Each figure of the first less the second's.
        over: What was drawn.
    """

    label: str
    first: str
    second: str
    figures: Mapping[str, Interval]
    over: Over


class Sampler:
    """Which pixels of a label are drawn: the same of every contender."""

    def __init__(self, ground: Ground, label: str, seed: int, samples: int = SAMPLES) -> None:
        """Draws them.

        Args:
            ground: Where from.
            label: Of which label.
            seed: Of the draw.
            samples: How many; all where there are no more than that.
        """
        counts = [field.pixels.get(label, 0) for field in ground.fields]
        ends = np.cumsum([0, *counts])
        total = int(ends[-1])
        chosen = np.arange(total)
        if total > samples:
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(total, samples, replace=False, shuffle=False))
        self._of = {
            field.name: chosen[(chosen >= start) & (chosen < end)] - start
            for field, start, end in zip(ground.fields, ends[:-1], ends[1:], strict=True)
        }

    def take(self, field: str, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The drawn pixels of a field: float32 [n] of an image [Y, X]."""
        return image[mask][self._of[field]].astype(np.float32)


def score_field(
    field: GroundField,
    label: str,
    predicted: Predicted,
    config: LabelingEvaluation,
    marks: Marks | None = None,
) -> FieldScores:
    """Figures of one label of one field.

    Args:
        field: The ground; the label was measured somewhere.
        label: One that was predicted.
        predicted: By a contender.
        config: Which image is judged, and whether it shows nuclei.
        marks: Which of these are of dead cells; None where nobody says.
    """
    number = field.labels.index(label)
    true, mask = field.truth[number], field.measured[number]
    image = image_of(predicted, label, config)
    blocks = predicted.distributions.get(label, {})
    names = next(iter(blocks.values()), {})
    similarity = similarity_map(checked_pair(true, image, mask))
    return FieldScores(
        field=field.name,
        group=field.group,
        condition=field.condition,
        pixels=pixel_figures(true, image, mask, seed=config.seed, similarity=similarity),
        rows=block_rows(
            true,
            image,
            mask,
            blocks,
            field=field.name,
            group=field.group,
            similarity=similarity,
            median=predicted.images["median"][predicted.labels.index(label)],
        ),
        spectral=spectral_correlation(true, image, mask, pixel_size=field.stack.pixel_size),
        spectral_sums=spectral_blocks(true, image, mask),
        objects=score_objects(field, true, image, mask, config, marks)
        if label in config.objects
        else None,
        shift=misregistration(true, image, mask),
        distribution={
            name: np.sum([sums[name] for sums in blocks.values()], axis=0) for name in names
        }
        or None,
        crops=tuple(crop_places(true, image, mask, field.name)),
    )


def score_baseline(field: GroundField, label: str, ground: Ground) -> FieldScores:
    """The same of the constant that suits the ground best."""
    number = field.labels.index(label)
    true, mask = field.truth[number], field.measured[number]
    histogram = ground.histogram(label)
    mean = float(np.arange(BINS) @ histogram / histogram.sum() / (BINS - 1))
    image = np.full(true.shape, mean, np.float32)
    similarity = similarity_map(checked_pair(true, image, mask))
    rows = block_rows(
        true, image, mask, {}, field=field.name, group=field.group, similarity=similarity
    )
    return FieldScores(
        field=field.name,
        group=field.group,
        condition=field.condition,
        pixels=pixel_figures(true, image, mask, similarity=similarity),
        rows=constant_scores(rows, to_bins(true), mask, scores_of_histogram(histogram)),
    )


def scores_of_histogram(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of one distribution at every pixel: what the label's histogram is worth.

    Args:
        histogram: [256] counts.

    Returns:
        Cross-entropy (nats / ln 256) and ranked probability score by true bin, float64 [256];
        bins that the histogram holds nothing of have 0 cross-entropy, since none is true.
    """
    p = histogram / histogram.sum()
    cross_entropy = np.where(p > 0, -np.log(np.where(p > 0, p, 1.0)), 0.0) / math.log(BINS)
    reached = np.arange(BINS)[None, :] >= np.arange(BINS)[:, None]
    return cross_entropy, np.mean(np.square(np.cumsum(p) - reached), axis=1)


def judge_label(
    contender: str,
    label: str,
    fields: Sequence[FieldScores],
    samples: Mapping[str, Sample],
    config: LabelingEvaluation,
) -> LabelScores:
    """From the figures of fields to those of a label.

    Args:
        contender: Whose.
        label: Which.
        fields: One or more.
        samples: By condition, random pixels; of the baseline there are none.
        config: How intervals are drawn.
    """
    rows = joined([field.rows for field in fields])
    sample = joined_samples(list(samples.values()))
    groups = tuple(dict.fromkeys(rows.groups))
    figures = intervals(rows, config.resampling)
    by_group = {group: rows.within([group], "groups").figures for group in groups}
    spectra = [field.spectral_sums for field in fields if field.spectral_sums is not None]
    if spectra:
        sums = np.concatenate(spectra)
        figures |= spectral_intervals(rows, sums, config.resampling)
        for group in groups:
            of_group = sums[[each == group for each in rows.groups]]
            by_group[group] |= spectral_of(of_group.sum(axis=0))
    summed = [field.distribution for field in fields if field.distribution is not None]
    distribution = None
    if summed:
        names = summed[0]
        total = {name: np.sum([each[name] for each in summed], axis=0) for name in names}
        distribution = DistributionFigures.from_sums(total).result()
    sampled = None if sample is None else correlation(sample.true, sample.predicted)
    return LabelScores(
        contender=contender,
        label=label,
        figures=figures,
        over=rows.over,
        units=figures["mae"].units,
        pearson_sampled=sampled,
        by_condition=_by_condition(fields, rows, samples, config),
        by_group=by_group,
        fields=tuple(fields),
        rows=rows,
        distribution=distribution,
        heat_map=None if sample is None else intensity_heat_map(*_as_row(sample)),
        risk=None
        if sample is None or sample.width is None
        else risk_coverage(sample.width, np.abs(sample.true - sample.predicted)),
        objects=judge_objects([field.objects for field in fields if field.objects], config),
        notes=_notes(fields, distribution) if contender != BASELINE else (),
    )


def joined_samples(parts: Sequence[Sample]) -> Sample | None:
    """Pixels of several samples as one; None of none."""
    if not parts:
        return None
    widths = [part.width for part in parts if part.width is not None]
    return Sample(
        true=np.concatenate([part.true for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        width=np.concatenate(widths) if widths else None,
    )


def _by_condition(
    fields: Sequence[FieldScores],
    rows: BlockRows,
    samples: Mapping[str, Sample],
    config: LabelingEvaluation,
) -> dict[str, ConditionScores]:
    found: dict[str, ConditionScores] = {}
    conditions = tuple(dict.fromkeys(field.condition for field in fields))
    for condition in conditions if len(conditions) > 1 else ():
        own = rows.within([f.field for f in fields if f.condition == condition], "fields")
        figures = intervals(own, config.resampling)
        sample = samples.get(condition)
        found[condition] = ConditionScores(
            figures=figures,
            over=own.over,
            units=figures["mae"].units,
            groups=len(set(own.groups)),
            heat_map=None if sample is None else intensity_heat_map(*_as_row(sample)),
        )
    return found


def compare(first: LabelScores, second: LabelScores, config: LabelingEvaluation) -> Comparison:
    """How two contenders differ on the same label and ground."""
    return Comparison(
        label=first.label,
        first=first.contender,
        second=second.contender,
        figures=differences(first.rows, second.rows, config.resampling),
        over=first.over,
    )


def _as_row(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as an image of one row."""
    return sample.true[None], sample.predicted[None]


def _notes(
    fields: Sequence[FieldScores], distribution: DistributionSummary | None
) -> tuple[str, ...]:
    notes = []
    for field in fields:
        if field.shift is not None:
            rows, columns = field.shift
            notes.append(
                f"field {field.field}: the images agree better with the true one shifted by "
                f"{rows:+.1f} rows and {columns:+.1f} columns; look whether they are registered"
            )
        notes += [f"field {field.field}: {note}" for note in field.pixels.notes]
        if field.objects is not None:
            by_state = field.objects.live_dead
            found = (*field.objects.figures.notes, *(by_state.notes if by_state else ()))
            notes += [f"field {field.field}: {note}" for note in found]
    return (*notes, *(distribution.notes if distribution is not None else ()))
