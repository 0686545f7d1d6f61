r"""What happens to an embryo in five days, and how likely that makes a pregnancy: a stated formula.

Hours count from insemination. The first cleavage comes at about 27 h, the next ones 11, 0.9, 16,
0.8, 0.8 and 0.8 h after the one before, the morula's (16 cells) 12 h after that; compaction at
about 84 h, the first cavity at about 104 h. Some embryos arrest. Fragments fill a share of the
zona from the first cleavage on; while the embryo has 8 cells they become fewer or more.

The chance of success is 1 / (1 + exp(-logit)) with

    logit = 0.6 - 1.2 a - 1.2 b - 1.3 c - 0.6 d - 1.5 e,
    a = (first cleavage - 27) / 2.5,    b = (first cavity - 104) / 7, 2 if there is none,
    c = (share of fragments - 0.15) / 0.08,
    d = trend of fragments during the 8-cell stage, from -1 (resorbed) to 1 (more and more),
    e = 1 if the embryo arrests, else 0,

each of a and b within -2.5 and 2.5. All of it can be seen in a whole film and nothing else counts,
so that `best_auroc` is what no film network can exceed but by chance; how much of it can be seen by
an hour says `chance_by`. Numbers are made up: they teach nothing about embryos.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

NEVER = np.inf
DAY = 24.0
LAST_HOUR = 120.0
CELL_NUMBERS = (2, 3, 4, 5, 6, 7, 8, 16)
EVENTS = (*(f"t{number}" for number in CELL_NUMBERS), "compaction", "cavitation")
"""Names of what happens, in order; tN is the first moment with N cells."""

_FIRST = (27.0, 2.5)
# Mean hours between one event and the next, and their deviation.
_STEPS = (
    (11.0, 1.0),
    (0.9, 0.4),
    (16.0, 1.5),
    (0.8, 0.3),
    (0.8, 0.3),
    (0.8, 0.3),
    (12.0, 1.5),
    (14.3, 2.0),
    (20.0, 3.0),
)
_SHORTEST = 0.25
_PATIENT_DELAY = 1.0
_PATIENT_FRAGMENTS = 0.03
_FRAGMENTS = (0.15, 0.07)
_ARREST = 0.12
_LIMIT = 2.5
_NO_CAVITY = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Development:
    """What happens to one embryo.

    Attributes:
        events: Hours after insemination of everything in `EVENTS`; infinite: never.
        fragments: Mean share of the zona that fragments fill, from 0.
        trend: How that changes during the 8-cell stage, -1 to 1; see `fragments_at`.
        arrested: Whether development stops for good.
    """

    events: tuple[float, ...]
    fragments: float
    trend: float
    arrested: bool

    def hour(self, event: str) -> float:
        """When something of `EVENTS` happens; infinite: never."""
        return self.events[EVENTS.index(event)]

    def cells_at(self, hour: float) -> int:
        """How many cells there are."""
        happened = sum(time <= hour for time in self.events[: len(CELL_NUMBERS)])
        return CELL_NUMBERS[happened - 1] if happened else 1

    def compacted_at(self, hour: float) -> float:
        """How far compaction has come, 0 to 1; it takes 6 hours."""
        return _passed(hour, self.hour("compaction"), 6.0)

    def cavity_at(self, hour: float) -> float:
        """How large the cavity is, 0 to 1; it grows for 14 hours."""
        return _passed(hour, self.hour("cavitation"), 14.0)

    def fragments_at(self, hour: float) -> float:
        """The share of the zona that fragments fill; none before the first cleavage.

        Before and after the 8-cell stage it is the mean share; in it, it goes from
        (1 - 0.9 trend) to (1 + 0.9 trend) times that, and then back.
        """
        if hour < self.hour("t2"):
            return 0.0
        first, last = self.hour("t8"), self.hour("t16")
        if not first <= hour < last or not np.isfinite(last):
            return self.fragments
        place = (hour - first) / (last - first)
        return self.fragments * (1 + 0.9 * self.trend * (2 * place - 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patient:
    """What the embryos of one patient have in common.

    Attributes:
        delay: Hours by which all first cleavages come later.
        fragments: Added to the share of fragments.
    """

    delay: float
    fragments: float


def draw_patient(rng: np.random.Generator) -> Patient:
    """A patient."""
    return Patient(
        delay=float(rng.normal(0, _PATIENT_DELAY)),
        fragments=float(rng.normal(0, _PATIENT_FRAGMENTS)),
    )


def draw_development(patient: Patient, rng: np.random.Generator) -> Development:
    """What happens to one of a patient's embryos."""
    within = np.sqrt(_FIRST[1] ** 2 - _PATIENT_DELAY**2)
    hours = [_FIRST[0] + patient.delay + float(rng.normal(0, within))]
    for mean, deviation in _STEPS:
        hours.append(hours[-1] + max(_SHORTEST, float(rng.normal(mean, deviation))))
    arrested = bool(rng.random() < _ARREST)
    # At any of the events after the second, the one that never comes being drawn evenly.
    stop = int(rng.integers(2, len(EVENTS)))
    if arrested:
        hours = [*hours[:stop], *[NEVER] * (len(EVENTS) - stop)]
    share = float(rng.normal(_FRAGMENTS[0] + patient.fragments, _FRAGMENTS[1]))
    return Development(
        events=tuple(hours),
        fragments=abs(share),
        trend=float(rng.uniform(-1, 1)),
        arrested=arrested,
    )


def chance(development: Development) -> float:
    """The chance of success by the formula."""
    return float(1 / (1 + np.exp(-logit(development))))


def logit(development: Development) -> float:
    """The formula's logit; see the module."""
    cavity = development.hour("cavitation")
    late = _NO_CAVITY if not np.isfinite(cavity) else _held((cavity - 104) / 7)
    # The trend of an 8-cell stage that never ends, or never begins, is not seen.
    trend = development.trend if np.isfinite(development.hour("t16")) else 0.0
    return float(
        0.6
        - 1.2 * _held((development.hour("t2") - 27) / 2.5)
        - 1.2 * late
        - 1.3 * (development.fragments - 0.15) / 0.08
        - 0.6 * trend
        - 1.5 * development.arrested
    )


def chance_by(development: Development, hour: float, rng: np.random.Generator, draws: int) -> float:
    """The chance of success to one who saw the film up to an hour, and knows the formula.

    What happened by then is known, what is still to come is drawn from how embryos develop, given
    that it has not happened yet. The patient is not known.

    Args:
        development: What truly happens.
        hour: Up to when it was seen.
        rng: Source of what may still come.
        draws: How many futures are averaged.
    """
    if hour >= LAST_HOUR:
        return chance(development)
    futures = [_future(development, hour, rng) for _ in range(draws)]
    return float(np.mean([chance(future) for future in futures]))


def best_auroc(chances: Sequence[float] | np.ndarray) -> float:
    """The area under the ROC curve, in expectation, of one who knows every chance of success.

    Each pair of embryos in which one succeeds and the other does not counts by its probability.

    Args:
        chances: [N], as `chance` gives them.
    """
    p = np.sort(np.asarray(chances, float))
    failing_below = np.concatenate([[0.0], np.cumsum(1 - p)[:-1]])
    # Equal chances are a matter of luck; they do not occur among drawn embryos.
    right = float(np.sum(p * failing_below))
    pairs = float(p.sum() * (1 - p).sum() - np.sum(p * (1 - p)))
    return right / pairs


def _future(seen: Development, hour: float, rng: np.random.Generator) -> Development:
    """One way in which development may go on after an hour."""
    known = [time for time in seen.events if time <= hour]
    # Whether it has arrested already cannot be seen; those that have no event to come are known.
    for _ in range(1000):
        patient = draw_patient(rng)
        drawn = draw_development(patient, rng)
        events = list(known)
        for mean, deviation in (_FIRST, *_STEPS)[len(known) :]:
            before = events[-1] if events else 0.0
            events.append(before + max(_SHORTEST, float(rng.normal(mean, deviation))))
        if drawn.arrested:
            stop = next(i for i, time in enumerate(drawn.events) if not np.isfinite(time))
            if stop < len(known):
                continue
            events = [*events[:stop], *[NEVER] * (len(EVENTS) - stop)]
        if len(known) < len(EVENTS) and events[len(known)] <= hour:
            continue
        cleaved = bool(known)
        seen_trend = seen.hour("t8") < hour
        return Development(
            events=tuple(events),
            fragments=seen.fragments if cleaved else drawn.fragments,
            trend=seen.trend if seen_trend else drawn.trend,
            arrested=drawn.arrested,
        )
    return seen


def _passed(hour: float, since: float, length: float) -> float:
    return float(np.clip((hour - since) / length, 0, 1)) if np.isfinite(since) else 0.0


def _held(value: float) -> float:
    return float(np.clip(value, -_LIMIT, _LIMIT))
