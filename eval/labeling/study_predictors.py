"""How each kind of variant predicts and is judged: networks, regressors, trees, the mean."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from isl.imaging.normalize import normalize
from isl.labeling.bins import BINS
from isl.labeling.model import Model, load_model
from isl.labeling.options import check_options
from isl.tiling.plan import plan_tiles
from isl_train.labeling.ground import Ground
from isl_train.labeling.initial import log_histogram
from isl_train.labeling.regression import load_regressor

from .blocks import BlockRows, block_rows, constant_scores
from .gradient_boosting import Boosting
from .ground import GroundField, bounding_window, to_bins
from .judge import scores_of_histogram
from .predictions import predict_measured

_TILE = 256


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One label of one field, as a variant predicts it.

    Attributes:
        image: float32 [Y, X]; 0 where it was not predicted.
        rows: Sums of its figures by block.
    """

    image: np.ndarray
    rows: BlockRows


class Predictor(Protocol):
    """What was fitted."""

    def judge(self, field: GroundField) -> dict[str, Judged]:
        """Every label that was measured in the field."""
        ...


class NetworkPredictor:
    """A labeling model; its distributions are judged too."""

    def __init__(self, model_folder: Path, *, image: str, seed: int) -> None:
        """Loads the model; `image` is the statistic that is judged."""
        self._model: Model = load_model(model_folder)
        self._image = image
        self._seed = seed

    def judge(self, field: GroundField) -> dict[str, Judged]:
        """See `Predictor`."""
        options = check_options(
            self._model.config,
            statistics=("median", "mean"),
            tile=self._tile,
            labels=field.labels,
            median="published",
        )
        predicted = predict_measured(self._model, field, options, seed=self._seed)
        images = _named(predicted.labels, predicted.images[self._image])
        medians = _named(predicted.labels, predicted.images["median"])
        return _judged(field, images, predicted.distributions, medians)

    @property
    def _tile(self) -> int:
        geometry = self._model.geometry
        return max(_TILE, geometry.output_size(geometry.input_size(geometry.step)))


class RegressorPredictor:
    """A network that gives one number a label."""

    def __init__(self, model_folder: Path) -> None:
        """Loads it."""
        self._config, network = load_regressor(model_folder)
        self._geometry = network.geometry
        self._parts = nnx.split(network)

    def judge(self, field: GroundField) -> dict[str, Judged]:
        """See `Predictor`."""
        planes, _ = normalize(field.stack.planes, self._config.normalization, source=field.name)
        geometry = self._geometry
        tile = max(_TILE, geometry.output_size(geometry.input_size(geometry.step)))
        plan = plan_tiles(geometry, planes.shape[1:], tile=tile)
        images = np.zeros((len(self._config.labels), *planes.shape[1:]), np.float32)
        counted = np.any(field.measured, axis=0)
        for strips in plan.tiles():
            if counted[np.ix_(strips[0].lands, strips[1].lands)].any():
                patch = plan.read(planes, strips)[None]
                plan.write(images, strips, np.asarray(_intensities(*self._parts, patch))[0])
        np.clip(images, 0, 1, out=images)
        return _judged(field, _named(self._config.labels, images))


class BoostingPredictor:
    """Trees on filter features."""

    def __init__(self, boosting: Boosting, normalization: str) -> None:
        """Takes what was fitted, and the rule for planes it was fitted under."""
        self._boosting = boosting
        self._normalization = normalization

    def judge(self, field: GroundField) -> dict[str, Judged]:
        """See `Predictor`."""
        planes, _ = normalize(field.stack.planes, self._normalization, source=field.name)
        window = bounding_window(np.asarray(np.any(field.measured, axis=0)))
        images = np.zeros((len(self._boosting.labels), *planes.shape[1:]), np.float32)
        images[:, *window] = self._boosting.predict(planes, window)
        return _judged(field, _named(self._boosting.labels, images))


class MeanPredictor:
    """Each label's mean and histogram on the training ground, whatever the image shows."""

    def __init__(self, ground: Ground) -> None:
        """Counts the training ground."""
        self._histograms = {
            label: np.exp(
                np.asarray(
                    log_histogram([f.targets[..., i][f.measured[..., i]] for f in ground.training]),
                    np.float64,
                )
            )
            for i, label in enumerate(ground.labels)
        }

    def judge(self, field: GroundField) -> dict[str, Judged]:
        """See `Predictor`."""
        found = {}
        for label, true, mask in _measured(field):
            histogram = self._histograms[label]
            mean = float(np.arange(BINS) @ histogram / histogram.sum() / (BINS - 1))
            image = np.full(true.shape, mean, np.float32)
            rows = block_rows(true, image, mask, {}, field=field.name, group=field.group)
            scores = scores_of_histogram(histogram)
            found[label] = Judged(
                image=image, rows=constant_scores(rows, to_bins(true), mask, scores)
            )
        return found


@functools.partial(jax.jit, static_argnums=0)
def _intensities(graph: Any, state: Any, patch: jax.Array) -> jax.Array:
    network = nnx.merge(graph, state)
    return network.intensities(network.embed(patch))


def _judged(
    field: GroundField,
    images: Mapping[str, np.ndarray],
    distributions: Mapping[str, Any] | None = None,
    medians: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Judged]:
    found = {}
    for label, true, mask in _measured(field):
        rows = block_rows(
            true,
            images[label],
            mask,
            (distributions or {}).get(label, {}),
            field=field.name,
            group=field.group,
            median=(medians or {}).get(label),
        )
        found[label] = Judged(image=images[label], rows=rows)
    return found


def _named(labels: Sequence[str], images: np.ndarray) -> dict[str, np.ndarray]:
    return {label: images[number] for number, label in enumerate(labels)}


def _measured(field: GroundField) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Label, truth and mask, of those measured in the field."""
    return [
        (label, field.truth[number], field.measured[number])
        for number, label in enumerate(field.labels)
        if field.measured[number].any()
    ]
