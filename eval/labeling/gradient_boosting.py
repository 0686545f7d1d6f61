"""A baseline without a network: gradient boosting on filter features of every plane.

Around each pixel, Gaussian-weighted intensity, edges and the eigenvalues of the Hessian at several
scales (scikit-image's multiscale features) are given to one histogram gradient boosting a label
(scikit-learn's). Training pixels are drawn at random, so that memory does not grow with the ground;
an image is predicted in bands of rows that overlap by what the widest filter sees.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pydantic
from skimage.feature import multiscale_basic_features

from isl.config import Config
from isl.errors import InputError
from isl_train.labeling.crops import TrainingField

_FINEST = 1.0
# Gaussian filters end after four deviations; gradients and the Hessian look three pixels further.
_DEVIATIONS, _GRADIENTS = 4, 4
_BAND = 64


class BoostingConfig(Config):
    """How trees are fitted.

    Attributes:
        pixels: Training pixels drawn from the whole ground.
        planes: Which of the experiment's planes are looked at; all unless given.
        widest: Deviation of the widest filter, in pixels; the finest has 1, and each doubles it.
        trees: Of every label.
        learning_rate: Share of each tree's answer that counts.
        leaves: Most leaves of a tree.
    """

    kind: Literal["gradient_boosting"] = "gradient_boosting"
    pixels: int = pydantic.Field(default=100_000, ge=2)
    planes: tuple[pydantic.NonNegativeInt, ...] | None = pydantic.Field(default=None, min_length=1)
    widest: float = pydantic.Field(default=16.0, ge=_FINEST)
    trees: int = pydantic.Field(default=200, ge=1)
    learning_rate: float = pydantic.Field(default=0.1, gt=0, le=1)
    leaves: int = pydantic.Field(default=31, ge=2)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Boosting:
    """Fitted trees.

    Attributes:
        config: How they were fitted.
        labels: L names.
        models: A regressor for every label.
        pixels: How many it was fitted to, of the label with the most.
    """

    config: BoostingConfig
    labels: tuple[str, ...]
    models: Mapping[str, Any]
    pixels: int

    def predict(self, planes: np.ndarray, window: tuple[slice, slice] | None = None) -> np.ndarray:
        """Predicts a field, or a window of it.

        Args:
            planes: float32 [Z, Y, X] in [0, 1].
            window: Rows and columns; None: all.

        Returns:
            float32 [L, y, x] in [0, 1].
        """
        rows, columns = (
            slice(*each.indices(size))
            for each, size in zip(window or (slice(None),) * 2, planes.shape[1:], strict=True)
        )
        halo = math.ceil(_DEVIATIONS * self.config.widest) + _GRADIENTS
        size = (rows.stop - rows.start, columns.stop - columns.start)
        predicted = np.zeros((len(self.labels), *size), np.float32)
        left = max(0, columns.start - halo)
        for start in range(rows.start, rows.stop, _BAND):
            stop = min(start + _BAND, rows.stop)
            top = max(0, start - halo)
            seen = planes[:, top : stop + halo, left : columns.stop + halo]
            kept = (slice(start - top, stop - top), slice(columns.start - left, None))
            features = self._features(seen, kept, size[1])
            band = slice(start - rows.start, stop - rows.start)
            for index, label in enumerate(self.labels):
                values = self.models[label].predict(features).reshape(-1, size[1])
                predicted[index, band] = np.clip(values, 0, 1)
        return predicted

    def _features(self, seen: np.ndarray, kept: tuple[slice, slice], width: int) -> np.ndarray:
        """float32 [N, F] of the kept rows, and as many columns."""
        parts = []
        for plane in _chosen(seen, self.config):
            of_plane = filter_features(plane, self.config.widest)[kept][:, :width]
            parts.append(of_plane.reshape(-1, of_plane.shape[-1]))
        return np.concatenate(parts, axis=1)


def filter_features(plane: np.ndarray, widest: float) -> np.ndarray:
    """Features of every pixel: float32 [Y, X] to [Y, X, 4 S], S scales."""
    found: Any = multiscale_basic_features
    return found(plane, sigma_min=_FINEST, sigma_max=widest, workers=1)


def fit_boosting(
    fields: Sequence[TrainingField], labels: Sequence[str], config: BoostingConfig, *, seed: int
) -> Boosting:
    """Fits trees to pixels drawn at random from where anything was measured.

    Args:
        fields: The training ground.
        labels: L names, the fields' order.
        config: How.
        seed: Of the draw, and of the trees.

    Raises:
        InputError: scikit-learn is missing, or a label was measured nowhere or has too few pixels.
    """
    regressor = _regressor()
    features, targets, measured = _drawn(fields, config, np.random.default_rng(seed))
    models = {}
    for index, label in enumerate(labels):
        chosen = measured[:, index]
        if np.count_nonzero(chosen) < 2:
            raise InputError(
                f"gradient boosting: label '{label}' was measured on fewer than 2 of "
                f"{len(chosen)} drawn pixels; leave it out of 'labels', or draw more"
            )
        model = regressor(
            max_iter=config.trees,
            learning_rate=config.learning_rate,
            max_leaf_nodes=config.leaves,
            early_stopping=False,
            random_state=seed,
        )
        models[label] = model.fit(features[chosen], targets[chosen, index])
    pixels = int(measured.sum(axis=0).max())
    return Boosting(config=config, labels=tuple(labels), models=models, pixels=pixels)


def _drawn(
    fields: Sequence[TrainingField], config: BoostingConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [N, F], targets [N, L] and where these were measured [N, L]."""
    grounds = [field.measured.any(axis=-1) for field in fields]
    counts = [int(np.count_nonzero(ground)) for ground in grounds]
    total = sum(counts)
    chosen = np.sort(rng.choice(total, min(config.pixels, total), replace=False, shuffle=False))
    ends = np.cumsum([0, *counts])
    features, targets, measured = [], [], []
    for field, ground, start, end in zip(fields, grounds, ends[:-1], ends[1:], strict=True):
        own = chosen[(chosen >= start) & (chosen < end)] - start
        if not own.size:
            continue
        at = tuple(indices[own] for indices in np.nonzero(ground))
        planes = np.moveaxis(field.transmitted, -1, 0)
        parts = [filter_features(plane, config.widest)[at] for plane in _chosen(planes, config)]
        features.append(np.concatenate(parts, axis=1))
        targets.append(field.targets[at])
        measured.append(field.measured[at])
    return np.concatenate(features), np.concatenate(targets), np.concatenate(measured)


def _chosen(planes: np.ndarray, config: BoostingConfig) -> list[np.ndarray]:
    """The planes that are looked at, each float32 [Y, X]."""
    wanted = range(len(planes)) if config.planes is None else config.planes
    if max(wanted) >= len(planes):
        raise InputError(
            f"gradient boosting: planes names plane {max(wanted)}, but fields have planes 0 to "
            f"{len(planes) - 1}"
        )
    return [np.ascontiguousarray(planes[index]) for index in wanted]


def _regressor() -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError as error:
        raise InputError(
            "gradient boosting needs scikit-learn: pip install 'isl[compare]', or leave that "
            "variant out"
        ) from error
    return HistGradientBoostingRegressor
