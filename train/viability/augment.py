"""What may happen to a film before a network learns from it: turned, relit, cut short."""

import dataclasses

import numpy as np

from isl.viability.films import FilmConfig, KeyFilm, network_input
from isl.viability.frame_features import sequence_input

from .config import AugmentConfig

# Nothing is cut off before this share of the window.
_EARLIEST = 1 / 3


def augmented(
    film: KeyFilm, config: FilmConfig, augment: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """A film as a network takes it, changed in its own way.

    Args:
        film: Its key frames, all of them.
        config: What they are.
        augment: What may happen.
        rng: Source of what does.

    Returns:
        float32 [count, size, size, 2], see `isl.viability.films.network_input`.
    """
    pictures = oriented(film.pictures, int(rng.integers(8)))
    if augment.rotation:
        pictures = turned(pictures, float(rng.uniform(-augment.rotation, augment.rotation)))
    changed = _in_time(dataclasses.replace(film, pictures=pictures), config, augment, rng)
    made = network_input(changed, config)
    seen = len(changed.pictures)
    gain = np.exp(augment.contrast * rng.standard_normal())
    offset = augment.brightness * rng.standard_normal()
    made[:seen, ..., 0] = gain * made[:seen, ..., 0] + offset
    return made


def augmented_sequence(
    film: KeyFilm,
    features: np.ndarray,
    config: FilmConfig,
    augment: AugmentConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """As `augmented`, of a film whose frames were looked at before: time alone is changed.

    Args:
        film: Its key frames, all of them.
        features: float32 [K, D], of the frames.
        config: What they are.
        augment: What may happen.
        rng: Source of what does.

    Returns:
        float32 [count, D + 1], see `isl.viability.frame_features.sequence_input`.
    """
    changed = _in_time(dataclasses.replace(film, pictures=features), config, augment, rng)
    return sequence_input(changed.pictures, changed.hours, config.count)


def oriented(pictures: np.ndarray, number: int) -> np.ndarray:
    """Pictures [K, Y, X] in one of the eight orientations of a square; 0 leaves them."""
    mirrored = pictures[:, :, ::-1] if number >= 4 else pictures
    return np.rot90(mirrored, number % 4, (1, 2))


def turned(pictures: np.ndarray, degrees: float) -> np.ndarray:
    """Square pictures [K, Y, X], all turned alike about their middle; borders are repeated."""
    size = pictures.shape[1]
    angle = np.deg2rad(degrees)
    place = np.arange(size) - (size - 1) / 2
    y, x = place[:, None], place[None, :]
    rows = np.clip(np.cos(angle) * y - np.sin(angle) * x + (size - 1) / 2, 0, size - 1)
    columns = np.clip(np.sin(angle) * y + np.cos(angle) * x + (size - 1) / 2, 0, size - 1)
    top, left = rows.astype(int), columns.astype(int)
    bottom, right = np.minimum(top + 1, size - 1), np.minimum(left + 1, size - 1)
    down, along = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    upper = pictures[:, top, left] * (1 - along) + pictures[:, top, right] * along
    lower = pictures[:, bottom, left] * (1 - along) + pictures[:, bottom, right] * along
    return upper * (1 - down) + lower * down


def jittered(hours: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Hours [K], all off by one number and each by a fifth of that; they keep their order."""
    off = deviation * (rng.standard_normal() + 0.2 * rng.standard_normal(len(hours)))
    return np.sort(np.maximum(hours + off, 0)).astype(np.float32)


def with_frames_dropped(pictures: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Frames [K, ...], of which some are taken the place of by the one before."""
    kept = rng.random(len(pictures)) >= share
    kept[0] = True
    return pictures[np.maximum.accumulate(np.where(kept, np.arange(len(pictures)), 0))]


def cut_short(film: KeyFilm, hour: float) -> KeyFilm:
    """A film's key frames up to an hour; at least the first."""
    seen = max(1, int(np.sum(film.hours <= hour)))
    return dataclasses.replace(
        film,
        pictures=film.pictures[:seen],
        hours=film.hours[:seen],
        indices=film.indices[:seen],
        why=film.why[:seen],
    )


def _in_time(
    film: KeyFilm, config: FilmConfig, augment: AugmentConfig, rng: np.random.Generator
) -> KeyFilm:
    """Hours off, frames dropped, the end cut off; whatever stands for each frame."""
    hours = jittered(film.hours, augment.hours, rng)
    frames = film.pictures
    if augment.dropped:
        frames = with_frames_dropped(frames, augment.dropped, rng)
    changed = dataclasses.replace(film, pictures=frames, hours=hours)
    if rng.random() < augment.cut:
        first, last = config.window_hours
        changed = cut_short(changed, float(rng.uniform(first + _EARLIEST * (last - first), last)))
    return changed
