"""From a recording to what a model says of its embryo, hour by hour."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from isl.errors import InputError
from isl.viability.films import KeyFilm
from isl.viability.model import ViabilityModel, Word
from isl.viability.recording import Recording
from isl.viability.survey import Survey, key_film, survey

DAYS = (2, 3, 4, 5)
_DAY = 24.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """What was found of one embryo.

    Attributes:
        film: Its key frames.
        words: What the ensemble says of each target.
        member_logits: float [M, targets], the logit of 1.
        by_hour: What it says of the main target if nothing is seen after an hour, by that hour.
        evidence: float32 [K, Y, X], when and where the key frames speak for the main target.
        covered: Share of the window that the recording covers.
        blank: Frames of slots that were searched, and are blank or badly exposed.
    """

    film: KeyFilm
    words: tuple[Word, ...]
    member_logits: np.ndarray
    by_hour: dict[float, Word]
    evidence: np.ndarray
    covered: float
    blank: tuple[int, ...]

    @property
    def main(self) -> Word:
        """What is said of the main target."""
        return self.words[0]


def assess(recording: Recording, model: ViabilityModel, *, source: str = "") -> Assessment:
    """What a model says of a recording.

    Args:
        recording: One embryo's time-lapse.
        model: The model.
        source: The hash of the recording, for the record.

    Raises:
        InputError: The recording cannot be read or is too short for the model's window, or there
            is no embryo or more than one.
    """
    return assess_survey(survey(recording, model.config.film), model, source=source)


def assess_survey(surveyed: Survey, model: ViabilityModel, *, source: str = "") -> Assessment:
    """As `assess`, of a recording that was looked through."""
    config = model.config.film
    film = key_film(surveyed, config, source=source)
    hours = hours_to_ask(config.window_hours, float(film.hours[-1]))
    cut = [shortened(surveyed, model, hour) for hour in hours]
    logits = model.logits([film, *[each for each in cut if each is not None]])
    earlier = iter(logits[:, 1:].transpose(1, 0, 2))
    by_hour = {
        hour: model.words(next(earlier))[0]
        for hour, each in zip(hours, cut, strict=True)
        if each is not None
    }
    words = model.words(logits[:, 0])
    return Assessment(
        film=film,
        words=words,
        member_logits=logits[:, 0],
        by_hour=by_hour | {float(film.hours[-1]): words[0]},
        evidence=model.evidence(film),
        covered=surveyed.covered,
        blank=surveyed.blank,
    )


def hours_to_ask(window: tuple[float, float], last: float) -> tuple[float, ...]:
    """Ends of days within the window, before the last hour that was seen."""
    ends = [day * _DAY for day in DAYS]
    return tuple(hour for hour in ends if window[0] < hour < min(window[1], last))


def shortened(surveyed: Survey, model: ViabilityModel, hour: float) -> KeyFilm | None:
    """Key frames as if nothing had been seen after an hour; None where nothing was before it."""
    try:
        return key_film(surveyed, model.config.film, until=hour)
    except InputError:
        return None


def ranks(
    cohorts: Sequence[str], probabilities: Sequence[float], *, unwanted: bool = False
) -> list[int | None]:
    """Places within cohorts, 1 for the best; equal ones share the better place.

    Args:
        cohorts: Of each embryo; "": nobody knows which others it is to be compared with.
        probabilities: Of each embryo.
        unwanted: Whether the lowest probability is the best, as of an outcome that nobody wants.
    """
    worth = [-p if unwanted else p for p in probabilities]
    places: list[int | None] = []
    for cohort, own in zip(cohorts, worth, strict=True):
        others = [p for c, p in zip(cohorts, worth, strict=True) if c == cohort]
        places.append(1 + sum(p > own for p in others) if cohort else None)
    return places
