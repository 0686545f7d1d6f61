"""A part of the training ground: how a network does that has seen only so much of it."""

import dataclasses
import math

import numpy as np

from .crops import TrainingField, bounding_box

_DRAWS = 200


def part_of(field: TrainingField, share: float, rng: np.random.Generator) -> TrainingField:
    """The field with labels in one rectangle of it only.

    The rectangle has the shape of the measured ground's bounding box and `share` of its area. Of
    several drawn places the one with the most measured pixels is taken, so that it seldom lies on
    ground that was left out.

    Args:
        field: A field.
        share: Of the area, above 0, at most 1.
        rng: Where the places are drawn from.
    """
    ground = np.any(field.measured, axis=-1)
    box = bounding_box(ground)
    if share >= 1 or box is None:
        return field
    sizes = [max(1, round((high - low) * math.sqrt(share))) for low, high in box]
    best, most = (slice(0), slice(0)), 0
    for _ in range(_DRAWS):
        window = tuple(
            slice(start, start + size)
            for start, size in (
                (int(rng.integers(low, high - size + 1)), size)
                for (low, high), size in zip(box, sizes, strict=True)
            )
        )
        count = int(np.count_nonzero(ground[window]))
        if count > most:
            best, most = window, count
    measured = np.zeros_like(field.measured)
    measured[best] = field.measured[best]
    return dataclasses.replace(field, measured=measured)
