"""Ensembles of logistic regressions on what a frozen encoder sees, fitted at once.

Every embryo weighs alike, and within it the frames before and after the onset do, so that a long
recording or a late onset counts no more than another. Features are standardized with these weights
before they are penalized; what is stored reads them as they are.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from isl.errors import InputError
from isl.polarity.classifier import AFTER, CLASSES
from isl.polarity.embryo import Embryo
from isl.polarity.model import Calibration, logits_of_features, novelty_of, seen_by
from isl.polarity.onset import Rule, change_point_posterior, conformal_spread, find_onset
from isl.polarity.pretrained import FrozenFeatures, PretrainedConfig, Reader

from ..penalized_logistic import penalized_logistic
from .config import PolarityExperiment

TEMPERS = tuple(round(0.05 * step, 2) for step in range(1, 21))
NOVELTY_SLACK = 1.25
_SMALLEST = 1e-6

Features = Mapping[str, Sequence[np.ndarray]]
"""Of every recording, by its name, what each member reads: float32 [T, F]."""


class Fit(NamedTuple):
    """A logistic regression of F features.

    Attributes:
        slope: float64 [F].
        offset: Of its log odds.
        mean: float64 [F], weighted, of what it was fitted on.
        deviation: float64 [F], likewise.
    """

    slope: np.ndarray
    offset: float
    mean: np.ndarray
    deviation: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutEmbryo:
    """What is said of an embryo by members that were fitted without it.

    Attributes:
        embryo: Who.
        members: P(after onset), float64 [M, T].
        novelty: See `isl.polarity.model.novelty_of`.
    """

    embryo: Embryo
    members: np.ndarray
    novelty: float

    def posterior(self, temper: float) -> np.ndarray:
        """Where its onset may be, as `find_onset` has it, float64 [T + 1]."""
        return mixture(self.members, temper)


def features_of(
    experiment: PolarityExperiment, embryos: Sequence[Embryo], ezrin: Mapping[str, np.ndarray]
) -> dict[str, list[np.ndarray]]:
    """What the members read of every embryo.

    Args:
        experiment: What is looked at.
        embryos: Whom.
        ezrin: Predicted EZRIN float32 [T, Y, X] of each, by the recording's name.

    Raises:
        InputError: Measured Ezrin is needed and missing.
    """
    backbone = experiment.backbone
    assert isinstance(backbone, PretrainedConfig)
    frozen = FrozenFeatures(backbone)
    look = experiment.look_at(embryos)
    found = {}
    for embryo in embryos:
        predicted = seen = ezrin[embryo.name]
        if experiment.arm == "measured":
            if embryo.measured is None:
                raise InputError(f"embryo '{embryo.name}' has no measured EZRIN, which this needs")
            seen = embryo.measured
        try:
            views = seen_by(look, embryo.dic, seen, predicted, embryo.pixel_size)
        except InputError as error:
            raise InputError(f"embryo '{embryo.name}': {error}") from error
        found[embryo.name] = frozen.of_views(views)
    return found


def fit_members(embryos: Sequence[Embryo], features: Features, penalty: float) -> list[Reader]:
    """One logistic regression for every look.

    Args:
        embryos: Whom to learn from, with their annotation.
        features: What is read of them.
        penalty: Of squared weights on standardized features.

    Raises:
        InputError: No frame is before an onset, or none after.
    """
    after = np.concatenate([embryo.after for embryo in embryos])
    if after.all() or not after.any():
        raise InputError(
            f"all frames of the {len(embryos)} embryos are {'after' if after.all() else 'before'} "
            "the onset; both kinds are needed to learn from"
        )
    weights = np.concatenate([alike(embryo.after) for embryo in embryos])
    members = []
    for look in range(len(features[embryos[0].name])):
        read = np.concatenate([features[embryo.name][look] for embryo in embryos])
        slope, offset, mean, deviation = logistic_regression(read, after, weights, penalty)
        member = Reader(read.shape[1], len(CLASSES))
        signs = np.where(np.arange(len(CLASSES)) == AFTER, 0.5, -0.5)
        member.kernel[...] = (slope[:, None] * signs).astype(np.float32)
        member.bias[...] = (offset * signs).astype(np.float32)
        member.mean[...] = mean.astype(np.float32)
        member.deviation[...] = deviation.astype(np.float32)
        members.append(member)
    return members


def held_out(
    embryos: Sequence[Embryo], features: Features, penalty: float
) -> dict[str, HeldOutEmbryo]:
    """What members say of every embryo that were fitted without it, by the recording's name.

    Nothing where there are fewer than three embryos.
    """
    groups = list(dict.fromkeys(embryo.group for embryo in embryos))
    found: dict[str, HeldOutEmbryo] = {}
    if len(groups) < 3:
        return found
    for group in groups:
        others = [embryo for embryo in embryos if embryo.group != group]
        fitted = fit_members(others, features, penalty)
        for embryo in embryos:
            if embryo.group == group:
                read = features[embryo.name]
                found[embryo.name] = HeldOutEmbryo(
                    embryo=embryo,
                    members=probabilities(logits_of_features(fitted, read)),
                    novelty=novelty_of(fitted, read),
                )
    return found


def calibrate(held: Sequence[HeldOutEmbryo]) -> Calibration:
    """What embryos that were held out say of the intervals, and of how new a recording may be.

    The temper is that under which the annotated onsets are likeliest; and a recording may be by a
    fourth newer than the newest of these.
    """
    placed = [(one, -1 if one.embryo.onset is None else one.embryo.onset) for one in held]

    def likelihood(temper: float) -> float:
        return sum(float(np.log(one.posterior(temper)[place])) for one, place in placed)

    temper = max(TEMPERS, key=likelihood)
    true = [one.embryo.onset for one in held]
    spread = conformal_spread([one.posterior(temper) for one in held], true)
    assert spread is not None
    return Calibration(
        temper=temper,
        spread=spread,
        novelty=NOVELTY_SLACK * max(one.novelty for one in held),
        embryos=len(held),
    )


def held_out_figures(held: Sequence[HeldOutEmbryo], rule: Rule) -> dict[str, float]:
    """How well members did on embryos they were fitted without, by name.

    Each embryo's interval is calibrated without it.
    """
    truth = np.concatenate([one.embryo.after for one in held])
    errors, covered, widths, after = [], [], [], []
    for number, one in enumerate(held):
        known = calibrate([*held[:number], *held[number + 1 :]])
        found = find_onset(one.members, rule=rule, temper=known.temper, spread=known.spread)
        last = len(one.embryo.after)
        true = last if one.embryo.onset is None else one.embryo.onset
        high = last if found.high is None else found.high
        errors.append(abs((last if found.frame is None else found.frame) - true))
        covered.append(found.low <= true <= high)
        widths.append(high - found.low)
        after.append(found.after)
    alone = np.concatenate([one.members.mean(axis=0) for one in held])
    in_time = np.concatenate(after)
    return {
        "AUC per frame": _auc(truth, alone),
        "accuracy per frame": float(np.mean((alone > 0.5) == truth)),
        "AUC per frame, in the light of the whole recording": _auc(truth, in_time),
        "accuracy per frame, likewise": float(np.mean((in_time > 0.5) == truth)),
        "onset error, frames": float(np.mean(errors)),
        "median onset error, frames": float(np.median(errors)),
        "share of 90 % intervals that hold the onset": float(np.mean(covered)),
        "width of these, frames": float(np.mean(widths)),
    }


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Share of pairs of a frame after and one before that are ranked rightly."""
    ranks = rankdata(score)
    positive = int(truth.sum())
    pairs = positive * (len(truth) - positive)
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / pairs)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """P(after onset), float64 [M, T], of logits [M, T, 2]."""
    return 0.5 * (1 + np.tanh(0.5 * (logits[..., AFTER] - logits[..., 1 - AFTER]).astype(float)))


def mixture(members: np.ndarray, temper: float) -> np.ndarray:
    """The posterior that `isl.polarity.onset.find_onset` gives, of float64 [M, T]."""
    with_ensemble = np.concatenate([members, members.mean(axis=0, keepdims=True)])
    return change_point_posterior(with_ensemble, temper=temper).mean(axis=0)


def logistic_regression(
    features: np.ndarray, after: np.ndarray, weights: np.ndarray, penalty: float
) -> Fit:
    """The logistic regression of least weighted loss plus `penalty` / 2 of its squared weights.

    Args:
        features: float [N, F]; standardized, with the weights, before they are penalized.
        after: bool [N].
        weights: float [N], brought to a sum of N.
        penalty: Above 0.

    Returns:
        For features as they are.
    """
    read = features.astype(np.float64)
    weights = weights / weights.sum() * len(after)
    mean = np.average(read, axis=0, weights=weights)
    deviation = np.sqrt(np.average((read - mean) ** 2, axis=0, weights=weights)) + _SMALLEST
    standard = (read - mean) / deviation
    line, offset = penalized_logistic(standard, after, weights, penalty)
    slope = line / deviation
    return Fit(slope, float(offset - slope @ mean), mean, deviation)


def alike(after: np.ndarray) -> np.ndarray:
    """Weights of one embryo's frames: both classes alike, 1 each in all."""
    return 1 / np.where(after, max(after.sum(), 1), max((~after).sum(), 1))
