"""Learning what tells cleavage stages from those before and after them, on finished features."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from isl.errors import InputError
from isl.fragmentation.dataset import Example, only_frame
from isl.fragmentation.model import FragmentationModel, Prediction
from isl.fragmentation.stages import CLEAVAGE, OTHERS, StageHead
from isl.imaging.inputs.photo import PHOTOS

from ..penalized_logistic import penalized_logistic

_REFUSED = 0.05
# Inverse strength of the penalty on weights, as scikit-learn's C.
_C = 0.01
_TINY = 1e-6
# What batches of another size change in the log odds of a picture is far below this.
_SLACK = 1e-3
_AT_ONCE = 64


def looked_at(model: FragmentationModel, examples: Sequence[Example]) -> Iterator[Prediction]:
    """What a model says of the N pictures, which are held a few at a time."""
    for first in range(0, len(examples), _AT_ONCE):
        part = examples[first : first + _AT_ONCE]
        for _, alike in itertools.groupby(map(only_frame, part), key=np.shape):
            yield from model.look_along(np.stack(list(alike)))


def stage_features(said: Iterable[Prediction]) -> np.ndarray:
    """Means of the encoder's maps at the last look of predictions, float32 [N, D].

    Raises:
        ValueError: A prediction has none.
    """
    features = []
    for each in said:
        if each.features is None:
            raise ValueError("a prediction holds no means of the encoder's maps")
        features.append(each.features)
    return np.stack(features)


def check_staged(examples: Sequence[Example]) -> None:
    """What `learned_stages` asks of examples, before anything is trained.

    Raises:
        InputError: There is no cleavage or no other stage for training, no cleavage stage for
            validation, or an example is a film.
    """
    found = {(example.stage, example.split) for example in examples}
    if not (
        (CLEAVAGE, "train") in found
        and (CLEAVAGE, "validation") in found
        and any((stage, "train") in found for stage in OTHERS)
    ):
        raise InputError(
            "other_stages: needs cleavage and other stages of split 'train', and cleavage stages "
            "of split 'validation'"
        )
    for example in examples:
        if example.image.suffix.lower() not in PHOTOS:
            only_frame(example)


def learned_stages(features: np.ndarray, examples: Sequence[Example]) -> StageHead:
    """A line by logistic regression, and where on it one in twenty cleavage stages is refused.

    The line is learned from examples for training, with cleavage and every other stage weighing
    alike; the threshold comes from cleavage stages for validation, site by site: the highest of the
    sites' counts, so that no site loses more of its pictures.

    Args:
        features: float32 [N, D], means of the encoder's maps.
        examples: The N pictures' stages, splits and sites.

    Raises:
        InputError: There is no cleavage or no other stage for training, or no cleavage stage for
            validation.
    """
    check_staged(examples)
    stage, split, site = (
        np.array([getattr(example, name) for example in examples])
        for name in ("stage", "split", "site")
    )
    learned, held = split == "train", (split == "validation") & (stage == CLEAVAGE)
    others = [name for name in OTHERS if (learned & (stage == name)).any()]
    weight = np.zeros(len(stage))
    for name, part in ((CLEAVAGE, 0.5), *((name, 0.5 / len(others)) for name in others)):
        chosen = learned & (stage == name)
        weight[chosen] = part / chosen.sum()
    x = features[learned].astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + _TINY
    slope, offset = penalized_logistic(
        (x - mean) / deviation,
        stage[learned] != CLEAVAGE,
        learned.sum() * weight[learned],
        1 / _C,
    )
    line = slope / deviation
    offset -= line @ mean
    # As it is stored: the picture that sets the threshold must not be refused by rounding.
    weights = tuple(float(f"{w:.5g}") for w in line)
    scores = features @ np.asarray(weights) + offset
    limit = max(threshold(scores[held & (site == name)]) for name in set(site[held]))
    return StageHead(weights=weights, bias=float(offset - limit), refused=_REFUSED)


def threshold(scores: np.ndarray) -> float:
    """The least above which at most one in twenty of scores [N] lies; of fewer than 20, none."""
    return float(np.sort(scores)[len(scores) - 1 - int(_REFUSED * len(scores))]) + _SLACK
