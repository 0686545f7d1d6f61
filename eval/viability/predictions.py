"""What a model says of embryos it does not know: films whole, cut short, shuffled, one frame."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from isl.viability.films import KeyFilm
from isl.viability.model import ViabilityModel


def logits_of(
    model: ViabilityModel, films: Sequence[KeyFilm], target: int, *, seed: int | None = None
) -> np.ndarray:
    """Every member's logit of 1, float64 [M, N].

    Args:
        model: The model.
        films: Key frames.
        target: Which of its targets.
        seed: Pictures of each film are shown in random order, hours staying in theirs; None: not.
    """
    if seed is not None:
        films = [
            dataclasses.replace(
                film,
                pictures=np.random.default_rng([seed, number]).permutation(film.pictures),
            )
            for number, film in enumerate(films)
        ]
    return model.logits(films)[..., target]


def seen_until(film: KeyFilm, hour: float) -> KeyFilm:
    """A film's key frames up to an hour; at least its first."""
    seen = max(1, int(np.sum(film.hours <= hour)))
    return _some(film, np.arange(seen))


def last_frame(film: KeyFilm) -> KeyFilm:
    """Nothing but the last key frame, in the place it has in the whole film.

    Frames before it are as flat as its mean, so that only it shows anything.
    """
    pictures = np.full_like(film.pictures, round(float(film.pictures[-1].mean())))
    pictures[-1] = film.pictures[-1]
    return dataclasses.replace(film, pictures=pictures)


def _some(film: KeyFilm, chosen: np.ndarray) -> KeyFilm:
    return dataclasses.replace(
        film,
        pictures=film.pictures[chosen],
        hours=film.hours[chosen],
        indices=film.indices[chosen],
        why=tuple(film.why[i] for i in chosen),
    )
