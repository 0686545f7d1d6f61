"""A part of the training ground: how a network does that has seen only so much of it."""

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
    if share >= 1:
        return field
    ground = field.ground
    box = bounding_box(ground)
    if box is None:
        return field
    sizes = [max(1, round((high - low) * math.sqrt(share))) for low, high in box]
    best, most = ((0, 0), (0, 0)), 0
    for _ in range(_DRAWS):
        tops = (
            int(rng.integers(low, high - size + 1))
            for (low, high), size in zip(box, sizes, strict=True)
        )
        rows, columns = ((top, top + size) for top, size in zip(tops, sizes, strict=True))
        count = int(np.count_nonzero(ground[slice(*rows), slice(*columns)]))
        if count > most:
            best, most = (rows, columns), count
    return field.with_labels_in(best)
