"""Pictures that stand in a dataset twice, under two names, in another type, contrast or size."""

from collections.abc import Iterator, Sequence

import numpy as np

from isl.errors import InputError

# Pictures whose pixels agree so well are one picture; of two sizes, with what scaling costs.
_SAME, _SAME_SCALED = 0.999, 0.99
# Sides, in pixels, of what is compared of all pictures, and of those whose sizes differ.
_SMALL, _LARGER = 32, 128
# Sides of one picture in two sizes are in the same proportion to this share.
_PROPORTION = 0.02
# Pictures compared with all others in one product.
_AT_ONCE = 512


def find_twins(pictures: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of pictures that are one picture.

    Args:
        pictures: Integers or floats [Y, X], of any sizes; constant ones are twins of none.

    Returns:
        Pairs of indices, the smaller first.
    """
    if not pictures:
        return []
    small = [_thumbnail(picture, _SMALL) for picture in pictures]
    seen = np.stack([np.zeros(_SMALL**2) if each is None else each for each in small])
    found = []
    for first in range(0, len(seen), _AT_ONCE):
        agreement = seen[first : first + _AT_ONCE] @ seen[first:].T
        for i, j in np.argwhere(np.triu(agreement, 1) >= _SAME) + first:
            if _same(pictures[i], pictures[j]):
                found.append((int(i), int(j)))
    return found


def twins_told(
    pictures: Sequence[np.ndarray],
    names: Sequence[str],
    sides: Sequence[str],
    source: object,
    *,
    what: str = "picture",
    groups: Sequence[str] | None = None,
) -> Iterator[str]:
    """A line for every picture that a dataset has under two names.

    Args:
        pictures: As `find_twins` takes them.
        names: Of the examples that they stand for.
        sides: On which side of the splits each example is.
        source: The dataset, named in messages.
        what: What they are, e.g. "film".
        groups: Of the examples, where twins within a group are no news (frames of one embryo).

    Raises:
        InputError: Twins stand on two sides.
    """
    for i, j in find_twins(pictures):
        text = f"{source}: '{names[i]}' and '{names[j]}' are the same {what}"
        if sides[i] != sides[j]:
            raise InputError(
                f"{text}, in {sides[i]} and {sides[j]}; leave one out, or put both in one group"
            )
        if groups is None:
            yield f"{text} under two names"
        elif groups[i] != groups[j]:
            yield f"{text}, in the groups '{groups[i]}' and '{groups[j]}'"


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    if first.shape == second.shape:
        units, least = (_unit(first), _unit(second)), _SAME
    else:
        if abs(_proportion(first) / _proportion(second) - 1) > _PROPORTION:
            return False
        side = min(_LARGER, *first.shape, *second.shape)
        units = _thumbnail(first, side), _thumbnail(second, side)
        least = _SAME_SCALED
    return units[0] is not None and units[1] is not None and float(units[0] @ units[1]) > least


def _proportion(picture: np.ndarray) -> float:
    return picture.shape[0] / picture.shape[1]


def _thumbnail(picture: np.ndarray, side: int) -> np.ndarray | None:
    """A picture in side x side pixels, as `_unit` has it; None where it is constant."""
    picture = picture.astype(np.float64)
    for axis in (0, 1):
        length = min(side, picture.shape[axis])
        starts = np.arange(length) * picture.shape[axis] // length
        counts = np.diff([*starts, picture.shape[axis]])
        counts = counts[:, None] if axis == 0 else counts
        picture = np.add.reduceat(picture, starts, axis) / counts
    return _unit(np.pad(picture, [(0, side - n) for n in picture.shape]))


def _unit(picture: np.ndarray) -> np.ndarray | None:
    """Pixels in one row, of mean 0 and length 1; None where they are constant."""
    centered = (picture - picture.mean()).ravel()
    length = np.linalg.norm(centered)
    return centered / length if length else None
