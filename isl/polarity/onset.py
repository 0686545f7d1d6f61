"""When an embryo polarized: from each frame's P(after onset) to one frame and its interval.

Frames count from 0; the onset is the first frame after polarization began. A recording of T frames
that ends before it is censored, which counts as frame T, the one after the last.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from isl.errors import InputError

Verdict = Literal["onset", "censored", "cannot_tell"]
Combine = Literal["mean", "logits", "vote"]
Rule = Literal["smoothed", "change_point", "posterior"]

NEAR = 2
"""Members agree with the ensemble when their onset lies within this many frames of its onset."""

INTERVAL = 0.9
"""Posterior mass of the interval around an onset."""

TEMPER = 0.3
"""Share of a frame's evidence that is its own.

Neighbouring frames err together, so T frames say less than T independent ones would. Simulated
ensembles of three whose errors correlate 0.7 to 0.9 from frame to frame (frame accuracy 0.84 to
0.86, mean onset error near 3 frames): the 90 % interval covered 70 to 87 % of the onsets
untempered, and 89 to 93 % at 0.3; of one classifier alone 51 to 76 %, and 81 to 90 %. With
independent errors 0.3 is too careful: it covers nearly all.
"""

_LAPSE = 0.01
"""No frame counts as surer than this: one confident slip must not outweigh a recording."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Onset:
    """When one embryo polarized, and how sure that is; T frames, M members.

    Attributes:
        verdict: "cannot_tell" when fewer than two thirds of the members put the onset within 2
            frames of the ensemble's, or the interval holds everything from the first frame to after
            the last; else "onset", or "censored" when it lies after the last frame.
        frame: The onset, from 0; None if censored.
        low: First frame of the central 90 % interval; T: after the last frame.
        high: Last frame of that interval; None: beyond the recording. Both are moved outward to
            hold `frame` where the posterior alone would not.
        censored: The ensemble finds no onset in the recording.
        left_censored: The onset is frame 0, so it lies at or before the first frame.
        agreement: Share of members whose own onset lies within 2 frames of the ensemble's.
        probability: float64 [T] in [0, 1]; the ensemble's P(after onset), without any use of time.
        calls: bool [T]; what that probability says of every frame.
        smoothed: bool [T]; the calls in which the onset was looked for: smoothed, unless nothing
            was left of them.
        member_onsets: Each member's onset by the same rule; T where it finds none.
        posterior: float64 [T + 1]; P(onset = frame), the last one censored; a mixture over the
            members and the ensemble.
        after: float64 [T] in [0, 1]; P(onset at or before the frame), by that posterior: what the
            whole recording says of every frame.
    """

    verdict: Verdict
    frame: int | None
    low: int
    high: int | None
    censored: bool
    left_censored: bool
    agreement: float
    probability: np.ndarray
    calls: np.ndarray
    smoothed: np.ndarray
    member_onsets: tuple[int, ...]
    posterior: np.ndarray
    after: np.ndarray


def smooth(calls: np.ndarray | Sequence[bool]) -> np.ndarray:
    """Majority over each call and its two neighbours; the two ends stay (paper, Figure 2c).

    Args:
        calls: bool [T], after onset or not, in time order.

    Returns:
        bool [T].
    """
    calls = np.asarray(calls, dtype=bool)
    smoothed = calls.copy()
    before, middle, after = calls[:-2], calls[1:-1], calls[2:]
    smoothed[1:-1] = (before & middle) | (middle & after) | (before & after)
    return smoothed


def onset_from_calls(calls: np.ndarray | Sequence[bool]) -> int | None:
    """The first smoothed call, or the first raw one where smoothing leaves none.

    Args:
        calls: bool [T], after onset or not, in time order.

    Returns:
        The frame, from 0; None: there is no call at all, the onset is censored.
    """
    return _first(_smoothed_unless_empty(calls))


def change_point_posterior(
    probability: np.ndarray, *, temper: float = TEMPER, threshold: float = 0.5
) -> np.ndarray:
    """Where P(after onset) changes from low to high, if it changes once.

    Every onset from frame 0 to "after the last frame" is as likely beforehand. Onset t has the
    likelihood prod(1 - p[:t]) * prod(p[t:]), raised to `temper`, with p clipped to [0.01, 0.99].

    Args:
        probability: float [..., T] in [0, 1]; P(after onset) in time order.
        temper: Exponent of the likelihood, above 0 up to 1: the share of a frame's evidence that
            is not its neighbours' as well. It widens the posterior and leaves its mode in place.
        threshold: The probability that speaks for neither side; 0.5 unless classes are unbalanced.

    Returns:
        float64 [..., T + 1] that sums to 1 over the last axis; entry T: after the last frame.
    """
    if not 0 < temper <= 1:
        raise ValueError(f"temper is {temper}; it must lie above 0 and not above 1")
    for_after = _log_odds(np.asarray(probability, np.float64)) - _log_odds(np.array(threshold))
    after_last = np.zeros((*for_after.shape[:-1], 1))
    from_frame_on = np.flip(np.cumsum(np.flip(for_after, -1), -1), -1)
    log_likelihood = temper * np.concatenate([from_frame_on, after_last], axis=-1)
    weights = np.exp(log_likelihood - log_likelihood.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def find_onset(
    member_probabilities: np.ndarray,
    *,
    member_logits: np.ndarray | None = None,
    combine: Combine = "mean",
    rule: Rule = "smoothed",
    threshold: float = 0.5,
    temper: float = TEMPER,
    spread: float | None = None,
    counted: np.ndarray | None = None,
) -> Onset:
    """One embryo's onset from what every member of the ensemble says of every frame.

    Args:
        member_probabilities: float [M, T] in [0, 1]; P(after onset), frames in time order.
        member_logits: float [M, T, 2] (before, after), for `combine="logits"`; None: taken from
            the probabilities, which is the same but where they round to 0 or 1.
        combine: "mean" of the probabilities (paper), softmax of the summed "logits" (published
            code), or "vote": the share of members whose own probability is above the threshold.
        rule: "smoothed": the first call after majority smoothing (paper); "change_point": the most
            likely change from before to after, given that there is one at most; "posterior": the
            median of where it may be.
        threshold: A frame is called after onset above it (of votes: where more than half say so).
        temper: As in `change_point_posterior`; the interval depends on it, and the median.
        spread: Both arms of the interval, from the posterior's median, are so many times as long;
            see `conformal_spread`. None: they are the posterior's.
        counted: bool [T], frames that have a say; others, such as those out of focus, are called as
            the nearest that has. None, or none of them: all have.

    Returns:
        The onset. The interval is of a mixture of the change-point posteriors of all members and
        of the ensemble, in equal parts, so that it widens where members disagree.
    """
    members = _checked(member_probabilities, threshold)
    frames = members.shape[1]
    probability = _combined(members, member_logits, combine, threshold)
    # A vote has applied the threshold already; of the votes, half speak for neither side.
    neutral = 0.5 if combine == "vote" else threshold
    say = np.ones(frames, bool) if counted is None or not counted.any() else counted
    calls = (probability > neutral)[_nearest(say)]
    posterior = change_point_posterior(
        np.where(say, probability, neutral), temper=temper, threshold=neutral
    )
    of_members = change_point_posterior(
        np.where(say, members, threshold), temper=temper, threshold=threshold
    )
    mixture = np.concatenate([of_members, posterior[None]]).mean(axis=0)
    onset = _onset(calls, mixture if rule == "posterior" else posterior, rule)
    member_onsets = [
        _onset((own > threshold)[_nearest(say)], own_posterior, rule)
        for own, own_posterior in zip(members, of_members, strict=True)
    ]
    near = sum(abs(own - onset) <= NEAR for own in member_onsets)
    low, high = _central(mixture, holding=onset, spread=spread)
    censored = onset == frames
    # In whole numbers: two thirds of the members, where 2 / 3 is rounded.
    told = 3 * near >= 2 * len(members) and (low > 0 or high < frames)
    return Onset(
        verdict=_found(censored) if told else "cannot_tell",
        frame=None if censored else onset,
        low=low,
        high=None if high == frames else high,
        censored=censored,
        left_censored=onset == 0,
        agreement=near / len(members),
        probability=probability,
        calls=calls,
        smoothed=_smoothed_unless_empty(calls),
        member_onsets=tuple(member_onsets),
        posterior=mixture,
        after=np.minimum(np.cumsum(mixture)[:-1], 1.0),
    )


def conformal_spread(
    posteriors: Sequence[np.ndarray], true: Sequence[int | None], *, level: float = INTERVAL
) -> float | None:
    """How many times as long a posterior's interval must be to hold a new embryo's onset.

    Split conformal prediction with whole embryos as its units: the score of an embryo is the
    distance of its annotated onset from the posterior's median, in arms of the interval; of n
    scores the ceil((n + 1) level)-th smallest is taken, the largest where that is more than n.

    Args:
        posteriors: float [T + 1] of embryos whom the classifiers had not seen.
        true: Their annotated onsets; None: after the last frame.
        level: Share of new embryos whose onset the interval is to hold.

    Returns:
        The factor, 1 at least; None: there is no embryo.
    """
    scores = []
    for posterior, onset in zip(posteriors, true, strict=True):
        median, low, high = _quantiles(posterior)
        distance = (len(posterior) - 1 if onset is None else onset) - median
        arm = high - median if distance > 0 else median - low
        scores.append(abs(distance) / max(arm, 1))
    if not scores:
        return None
    rank = min(math.ceil((len(scores) + 1) * level), len(scores))
    return max(1.0, sorted(scores)[rank - 1])


def onset_errors(
    predicted: Sequence[int | None], true: Sequence[int | None], frames: Sequence[int]
) -> np.ndarray:
    """How many frames each onset was missed by; a censored one counts as the frame after the last.

    Args:
        predicted: Each embryo's onset, from 0; None: censored.
        true: The annotated onsets, likewise.
        frames: How many frames each recording has.

    Returns:
        int64 [N], |predicted - true|.
    """
    return np.array(
        [
            abs((count if one is None else one) - (count if other is None else other))
            for one, other, count in zip(predicted, true, frames, strict=True)
        ],
        dtype=np.int64,
    )


def onset_of_labels(
    labels: Sequence[int] | np.ndarray,
    *,
    embryo: str,
    frames: Sequence[int] | np.ndarray | None = None,
    source: str | None = None,
) -> int | None:
    """The annotated onset of one embryo: the first 1 of labels that are 0 before it and 1 after.

    Args:
        labels: 0 or 1 for each frame, in time order.
        embryo: Its name, for messages.
        frames: What the frames are called there; None: they count from 0.
        source: The file that the labels are from, for messages.

    Returns:
        Position of the onset, from 0; None: all frames are before it.

    Raises:
        InputError: There are no labels, one is neither 0 nor 1, or one after the onset is 0.
    """
    where = f"embryo '{embryo}'" + (f" in {source}" if source else "")
    values = list(labels)
    names = list(range(len(values))) if frames is None else list(frames)
    if not values:
        raise InputError(f"{where} has no labels: give 0 (before) or 1 (after) for every frame")
    for name, value in zip(names, values, strict=True):
        if value not in (0, 1):
            raise InputError(
                f"{where}: label of frame {name} is {value}; give 0 (before onset) or 1 (after)"
            )
    onset = _first(np.array(values, dtype=bool))
    if onset is None:
        return None
    for name, value in zip(names[onset:], values[onset:], strict=True):
        if not value:
            raise InputError(
                f"{where}: label of frame {name} goes back to 0 (before) after the onset at frame "
                f"{names[onset]}; labels must stay 1 from the onset on: correct them or leave the "
                "embryo out"
            )
    return onset


def _checked(member_probabilities: np.ndarray, threshold: float) -> np.ndarray:
    members = np.asarray(member_probabilities, dtype=np.float64)
    if members.ndim != 2 or 0 in members.shape:
        raise ValueError(f"member probabilities have shape {members.shape}; give [M, T]")
    if not np.all((members >= 0) & (members <= 1)):
        raise ValueError("member probabilities must be numbers from 0 to 1")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold}; it must lie between 0 and 1")
    return members


def _combined(
    members: np.ndarray, logits: np.ndarray | None, combine: Combine, threshold: float
) -> np.ndarray:
    """The ensemble's P(after onset), float64 [T], of float64 [M, T]."""
    if combine == "mean":
        return members.mean(axis=0)
    if combine == "vote":
        return (members > threshold).mean(axis=0)
    if combine != "logits":
        raise ValueError(f"combine is {combine!r}; it must be mean, logits or vote")
    if logits is None:
        smallest = np.finfo(np.float64).tiny
        odds = np.log(np.maximum(members, smallest)) - np.log(np.maximum(1 - members, smallest))
    else:
        if np.shape(logits) != (*members.shape, 2):
            raise ValueError(
                f"member logits have shape {np.shape(logits)}; give {(*members.shape, 2)}"
            )
        logits = np.asarray(logits, dtype=np.float64)
        odds = logits[..., 1] - logits[..., 0]
    # The logistic function, without overflow at either end.
    return 0.5 * (1 + np.tanh(0.5 * odds.sum(axis=0)))


def _log_odds(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, _LAPSE, 1 - _LAPSE)
    return np.log(clipped) - np.log1p(-clipped)


def _smoothed_unless_empty(calls: np.ndarray | Sequence[bool]) -> np.ndarray:
    smoothed = smooth(calls)
    return smoothed if smoothed.any() else np.array(calls, dtype=bool)


def _nearest(say: np.ndarray) -> np.ndarray:
    """For every frame the nearest of those in bool [T] that is so, the earlier of two."""
    there = np.flatnonzero(say)
    return there[np.abs(there[None] - np.arange(len(say))[:, None]).argmin(axis=1)]


def _first(calls: np.ndarray) -> int | None:
    return int(np.argmax(calls)) if calls.any() else None


def _onset(calls: np.ndarray, posterior: np.ndarray, rule: Rule) -> int:
    """The onset by either rule, T where there is none."""
    if rule == "change_point":
        # Of equals the last: a frame that speaks for neither side is not called after onset.
        return len(calls) - int(np.argmax(posterior[::-1]))
    if rule == "posterior":
        return _quantiles(posterior)[0]
    if rule != "smoothed":
        raise ValueError(f"rule is {rule!r}; it must be smoothed, change_point or posterior")
    frame = onset_from_calls(calls)
    return len(calls) if frame is None else frame


def _quantiles(posterior: np.ndarray) -> tuple[int, int, int]:
    """The median, and the first and the last entry of the central interval."""
    tail = (1 - INTERVAL) / 2
    found = np.searchsorted(np.cumsum(posterior), [0.5, tail, 1 - tail])
    # The sum of all may fall short of 1 by rounding.
    median, low, high = np.minimum(found, len(posterior) - 1).tolist()
    return median, low, high


def _central(posterior: np.ndarray, *, holding: int, spread: float | None) -> tuple[int, int]:
    """First and last entry of the central interval, moved outward to hold one more."""
    median, low, high = _quantiles(posterior)
    if spread is not None:
        low = max(0, math.floor(median - spread * max(median - low, 1)))
        high = min(len(posterior) - 1, math.ceil(median + spread * max(high - median, 1)))
    return min(low, holding), max(high, holding)


def _found(censored: bool) -> Verdict:
    return "censored" if censored else "onset"
