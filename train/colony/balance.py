"""Iterative pseudo balancing: which unlabelled images an epoch draws, by what the teacher says.

Counting and drawing use every pseudo-label, however unsure (Witmer and Bhanu 2024, "Iterative
pseudo balancing resampling scheme").
"""

from typing import Literal

import numpy as np

from isl.colony.model import corrected_composition

Balance = Literal["inverse", "none", "smoothed", "prior_corrected"]
EpochSize = Literal["all", "smallest_class"]


def class_weights(
    counts: np.ndarray, balance: Balance, *, confusion: np.ndarray | None = None
) -> np.ndarray:
    """How likely an image of each class is drawn, up to a factor: float64 [K].

    Args:
        counts: Images of each class, [K], as the teacher names them.
        balance: inverse: 1 / count, the paper's; none: equal; smoothed: 1 / (count + mean count),
            so that a class of a few, mostly wrong, labels is not drawn to excess;
            prior_corrected: 1 / count, with counts corrected by how often the teacher takes each
            class for another (which needs a confusion). A class that the teacher never names has
            no image to be drawn, and weight 0.
        confusion: float [K, K], rows are true classes and add up to 1.
    """
    counts = np.asarray(counts, np.float64)
    named = counts > 0
    if balance == "none":
        return named.astype(np.float64)
    if balance == "smoothed":
        estimated = counts + counts.mean()
    elif balance == "prior_corrected":
        if confusion is None:
            raise ValueError("prior_corrected needs the teacher's confusion")
        shares = corrected_composition(counts / counts.sum(), confusion)
        # No class is taken for rarer than one image.
        estimated = np.maximum(shares * counts.sum(), 1.0)
    else:
        estimated = counts
    return np.where(named, 1.0 / np.where(named, estimated, 1.0), 0.0)


def drawn(
    labels: np.ndarray,
    classes: int,
    balance: Balance,
    rng: np.random.Generator,
    *,
    size: EpochSize = "all",
    proportions: np.ndarray | None = None,
    confusion: np.ndarray | None = None,
) -> np.ndarray:
    """Images of one epoch, int64 [M]: indices into `labels`, drawn with replacement.

    Unbalanced, each image is there once, in random order.

    Args:
        labels: int [N], what the teacher says of every unlabelled image.
        classes: K.
        balance: See `class_weights`.
        rng: Source of the draw.
        size: all: M = N; smallest_class: K times as many as the rarest class that was named has.
        proportions: Counts of the classes to weigh by in place of those of `labels`, such as the
            teacher's over the labelled images.
        confusion: See `class_weights`.
    """
    own = np.bincount(labels, minlength=classes)
    counts = own if proportions is None else np.asarray(proportions)
    total = len(labels)
    if size == "smallest_class":
        total = int(np.count_nonzero(own) * own[own > 0].min())
    if balance == "none":
        return rng.permutation(len(labels))[:total]
    weights = class_weights(counts, balance, confusion=confusion)
    # A class that only the unlabelled images show is drawn as if it were seen once.
    weights = np.where((own > 0) & (weights == 0), weights.max(initial=0.0) or 1.0, weights)
    chances = weights[labels]
    return rng.choice(len(labels), total, p=chances / chances.sum())
