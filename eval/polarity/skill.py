"""How much calls are worth: their odds, and whether they are righter than no skill at all."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..statistics.bootstrap import Interval, Resampling, bootstrap_one
from ..statistics.classification import accuracy
from ..statistics.tests import ProportionTest, two_proportions
from .judge import Contender

NO_SKILL = "no skill"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skill:
    """Calls of frames by somebody or something.

    Attributes:
        name: Who calls.
        accuracy: With its interval over frames, as in the paper.
        odds: How often it is right for each time it is wrong, with the accuracy's bounds.
        against_chance: Two-proportion test against calls that are right half the time; None: it is
            these.
        is_chance: Whether it is these.
    """

    name: str
    accuracy: Interval
    odds: Interval
    against_chance: ProportionTest | None
    is_chance: bool = False


def judge_skill(contenders: Sequence[Contender], resampling: Resampling) -> tuple[Skill, ...]:
    """Everybody's accuracy and odds, and at the end those of no skill, right for half the frames.

    Args:
        contenders: Arms, models and people, on the same frames.
        resampling: How the interval of no skill is drawn.
    """
    total = contenders[0].confusion.total
    right = total // 2
    chance = bootstrap_one(
        accuracy,
        [np.ones(total, bool), np.arange(total) < right],
        groups=None,
        **resampling.settings,
    )
    rows = []
    for each in contenders:
        cells = each.confusion
        test = two_proportions(cells.true_negative + cells.true_positive, cells.total, right, total)
        share = each.by_frame["accuracy"]
        rows.append(Skill(name=each.name, accuracy=share, odds=odds_of(share), against_chance=test))
    none = Skill(
        name=NO_SKILL,
        accuracy=chance,
        odds=odds_of(chance),
        against_chance=None,
        is_chance=True,
    )
    return (*rows, none)


def odds_of(share: Interval) -> Interval:
    """How often calls are right for each time they are wrong, of the share that is right.

    Odds rise with the share, so its bounds give theirs. Where all are right they have no value.
    """

    def odds(value: float | None) -> float | None:
        return None if value is None or value >= 1 else value / (1 - value)

    estimate, low, high = odds(share.estimate), odds(share.low), odds(share.high)
    note = share.note
    if not note and None in (estimate, low, high):
        note = "no call is wrong, here or at a bound: odds have no value there"
    return dataclasses.replace(share, estimate=estimate, low=low, high=high, note=note)
