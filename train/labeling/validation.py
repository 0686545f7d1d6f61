"""Judging a labeling network on held-out ground: predicted densely, compared label by label."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from isl.imaging.agreement import PearsonSums
from isl.imaging.display import shown_range, stretched
from isl.report.preview import Panel, preview
from isl.tiling.geometry import Geometry
from isl.tiling.plan import plan_tiles, reflected

from ..task import Evaluation
from .validation_field import ValidationField

IMAGES = ("mean", "median")
"""Statistics of a pixel's distribution that are compared with what was measured."""

PredictTile = Callable[[np.ndarray, np.ndarray, np.ndarray], Mapping[str, jax.Array]]
"""(transmitted [1, Y, X, Z], targets [1, y, x, L], measured) to `mean` and `median`
[1, y, x, L], and `sums` and `counts` of the cross-entropy, each [L]."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Predicted:
    images: dict[str, np.ndarray]
    sums: np.ndarray
    counts: np.ndarray


def validate(
    predict_tile: PredictTile,
    geometry: Geometry,
    fields: Sequence[ValidationField],
    labels: Sequence[str],
    *,
    tile: int,
    pictures: bool,
) -> Evaluation:
    """Metrics over all fields, and pictures of each.

    Args:
        predict_tile: The network.
        geometry: Of the network.
        fields: Held-out ground.
        labels: L names.
        tile: Output width of a tile, at most.
        pictures: Whether to make pictures: measured beside predicted, a row a label.

    Returns:
        `pearson_mean` and `pearson_median` of the mean and the median image, over the measured
        pixels of all fields, averaged over labels and for each label by itself, and
        `cross_entropy` likewise.
    """
    correlations = {(image, label): PearsonSums() for image in IMAGES for label in labels}
    sums = np.zeros(len(labels))
    counts = np.zeros(len(labels))
    shown: dict[str, np.ndarray] = {}
    for field in fields:
        predicted = _predict(predict_tile, geometry, field, tile)
        sums += predicted.sums
        counts += predicted.counts
        for image in IMAGES:
            for index, label in enumerate(labels):
                correlations[image, label] = correlations[image, label].add(
                    predicted.images[image][index], field.targets[index], field.measured[index]
                )
        if pictures:
            shown[field.name] = _side_by_side(field, labels, predicted.images["median"])
    metrics: dict[str, float] = {}
    for image in IMAGES:
        single = {label: correlations[image, label].pearson for label in labels}
        metrics |= _with_mean(f"pearson_{image}", single)
    ratios = np.divide(sums, counts, out=np.full(len(labels), np.nan), where=counts > 0)
    metrics |= _with_mean("cross_entropy", dict(zip(labels, ratios.tolist(), strict=True)))
    return Evaluation(metrics=metrics, pictures=shown)


def _predict(
    predict_tile: PredictTile, geometry: Geometry, field: ValidationField, tile: int
) -> _Predicted:
    """Predicts a field's region, reading beyond it, and beyond the image reflected, as needed."""
    rows, columns = (
        reflected(np.arange(low - geometry.margin, high + geometry.margin), size)
        for (low, high), size in zip(field.region, field.transmitted.shape[1:], strict=True)
    )
    around = field.transmitted[:, rows[:, None], columns]
    size = (around.shape[1], around.shape[2])
    plan = plan_tiles(geometry, size, tile=tile, border="valid")
    images = {image: np.zeros(field.targets.shape, np.float32) for image in IMAGES}
    sums = np.zeros(len(field.targets))
    counts = np.zeros(len(field.targets))
    output = tuple(width - 2 * geometry.margin for width in plan.tile_size)
    for strips in plan.tiles():
        targets = np.zeros((*output, len(field.targets)), np.float32)
        measured = np.zeros(targets.shape, bool)
        inside = np.ix_(strips[0].kept, strips[1].kept)
        lands = np.ix_(strips[0].lands, strips[1].lands)
        targets[inside] = np.moveaxis(field.targets, 0, -1)[lands]
        measured[inside] = np.moveaxis(field.measured, 0, -1)[lands]
        read = plan.read(around, strips)
        result = jax.device_get(predict_tile(read[None], targets[None], measured[None]))
        for image in IMAGES:
            plan.write(images[image], strips, result[image][0])
        sums += result["sums"]
        counts += result["counts"]
    return _Predicted(images=images, sums=sums, counts=counts)


def _with_mean(name: str, single: Mapping[str, float]) -> dict[str, float]:
    known = [value for value in single.values() if not math.isnan(value)]
    mean = sum(known) / len(known) if known else float("nan")
    return {name: mean, **{f"{name}/{label}": value for label, value in single.items()}}


def _side_by_side(
    field: ValidationField, labels: Sequence[str], predicted: np.ndarray
) -> np.ndarray:
    """uint8 [rows, columns, 3]: for each label what was measured and what was predicted, titled.

    Both are shown on one scale, that of what was measured (`isl.imaging.display`).
    """
    panels = []
    known = zip(labels, field.targets, field.measured, predicted, strict=True)
    for label, target, measured, image in known:
        if not measured.any():
            continue
        shown = shown_range(target[measured])
        between = f"{shown[0]:.2f} to {shown[1]:.2f}"
        truth = np.where(measured, target, shown[0])
        panels += [
            Panel(f"{label} measured, {between}", stretched(truth, shown)),
            Panel(f"{label} predicted, {between}", stretched(image, shown)),
        ]
    return np.asarray(preview(panels, columns=2))
