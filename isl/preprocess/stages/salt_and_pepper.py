"""Stage 1: hot and dead pixels, taken away by a median filter until nothing changes."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.ndimage

from isl.errors import InputError

# Rows (an even number) and columns filtered at once: the network needs 22 arrays of half that
# size, which fit a core's own cache.
_BLOCK = (128, 256)

_Comparable = TypeVar("_Comparable")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Despeckled:
    """An image without salt and pepper, and what it took.

    Attributes:
        image: float32 [Y, X], in counts.
        passes: How often the filter was applied; where `converged`, the last changed nothing.
        converged: Whether nothing changes any more.
        changed: Share of the pixels that differ from the input.
    """

    image: np.ndarray
    passes: int
    converged: bool
    changed: float


def remove_salt_and_pepper(
    image: np.ndarray,
    *,
    size: int = 5,
    most_passes: int = 32,
    source: object = "image",
) -> Despeckled:
    """Median-filters an image until nothing changes (Christiansen et al. 2018, stage 1).

    Beyond its border an image is continued by its border pixels: only so a ramp along an axis
    stays what it is.

    Args:
        image: Integers or floats [Y, X], in counts; left as it is.
        size: Width of the square window, an odd number of pixels; 5, the paper's, is the fast one.
        most_passes: How often at most, at least 1.
        source: The file, named in messages.

    Raises:
        InputError: Pixels that are NaN or infinite, or no gray image.
    """
    if size < 1 or size % 2 == 0 or most_passes < 1:
        raise InputError(
            f"salt_and_pepper: size = {size}, most_passes = {most_passes}; "
            "the size must be odd, the passes 1 or more"
        )
    if image.ndim != 2 or image.size == 0 or not np.isfinite(image).all():
        raise InputError(
            f"{source}: a median filter needs a gray image [Y, X] of finite numbers; replace NaN "
            f"and infinite pixels first (shape {image.shape}, {image.dtype})"
        )
    before = after = _narrowest(image.astype(np.float32))
    rows, columns = before.shape
    block = min(_BLOCK[0], rows + rows % 2), min(_BLOCK[1], columns)
    median = MedianOf25(block, before.dtype) if size == 5 else _median_of_any(size)
    passes, latest = 0, np.ones(before.shape, bool)
    while latest.any() and passes < most_passes:
        following = _filtered_where(after, latest, size, block, median)
        latest = following != after
        after, passes = following, passes + 1
    return Despeckled(
        image=after.astype(np.float32),
        passes=passes,
        converged=not latest.any(),
        changed=float(np.count_nonzero(after != before)) / before.size,
    )


def _narrowest(image: np.ndarray) -> np.ndarray:
    """A float32 image as uint16 where that loses nothing: the half of the bytes to compare."""
    if image.min() < 0 or image.max() > np.iinfo(np.uint16).max:
        return image
    counts = image.astype(np.uint16)
    return counts if (counts == image).all() else image


def _filtered_where(
    image: np.ndarray,
    changed: np.ndarray,
    size: int,
    block: tuple[int, int],
    median: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """One pass over the blocks whose windows hold a pixel that the pass before changed.

    A median can only change where its window just did.

    Args:
        image: [Y, X].
        changed: bool [Y, X].
        size: Width of the window.
        block: Rows and columns of a block, of which the rows alone may be more than the image's.
        median: Takes a block with half a window around it, gives the filtered block.
    """
    reach, (height, width) = size // 2, block
    rows, columns = image.shape
    below = reach + max(0, height - rows)
    padded = np.pad(image, ((reach, below), (reach, reach)), mode="edge")
    following = image.copy()
    for y in range(0, rows, height):
        # The last block ends where the image does, over pixels of the one before: all are alike.
        top = max(0, min(y, rows - height))
        for x in range(0, columns, width):
            left = min(x, columns - width)
            around = changed[
                max(0, top - reach) : top + height + reach,
                max(0, left - reach) : left + width + reach,
            ]
            if around.any():
                window = padded[top : top + height + 2 * reach, left : left + width + 2 * reach]
                target = following[top : top + height, left : left + width]
                target[...] = median(window)[: len(target)]
    return following


def _median_of_any(size: int) -> Callable[[np.ndarray], np.ndarray]:
    """The median of a window of any odd width, by sorting."""
    reach = size // 2

    def median(window: np.ndarray) -> np.ndarray:
        height, width = (length - 2 * reach for length in window.shape)
        filtered = scipy.ndimage.median_filter(window, size)
        return filtered[reach : reach + height, reach : reach + width]

    return median


class MedianOf25:
    """The 5 x 5 median of blocks of one shape, by a network of minima and maxima.

    Every step is one `np.minimum` or `np.maximum` of two arrays, over half the rows of a block at
    once, in an order that does not depend on the values:

    1. In every row, the five pixels side by side are sorted; five windows, one below the other,
       share them.
    2. Rows 1 and 2, 3 and 4, ... are merged, so that four windows share a pair.
    3. The windows of rows 0 to 4 and of rows 1 to 5 share two pairs, rows 1 to 4. The median of 25
       is one of the 8th to the 13th of these 20, as the fifth row moves a rank by 5 at most.
    4. These six are merged with row 0 for the one window, with row 5 for the other. The 6th of
       the 11 is the median, since 7 pixels below the six were left out.

    Sorting and merging is Batcher's (Sorting networks and their applications, 1968; Knuth, The
    Art of Computer Programming 3, 5.3.4). Of its steps those are left out whose result nobody
    asks for: 118 stay for two rows, 59 for each pixel. A network that orders all zeros and ones
    orders everything (Knuth's zero-one principle); the tests try them all.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype) -> None:
        """Reserves the arrays, which every block goes through again.

        Args:
            shape: Rows, an even number, and columns of a block.
            dtype: Of the pixels.
        """
        height, width = shape
        self._window = np.empty((height + 4, width + 4), dtype)
        values = {
            5 * odd + column: self._window[odd::2, column : column + width]
            for odd in (0, 1)
            for column in range(5)
        }
        network, medians = _median_steps()
        last = {number: step.result for step in network for number in step.takes}
        spare: list[np.ndarray] = []
        used: dict[int, np.ndarray] = {}
        self._steps = []
        for step in network:
            first, second = (values[value.number][value.start :] for value in step[1:3])
            rows = min(len(first), len(second))
            array = spare.pop() if spare else np.empty((height // 2 + 2, width), dtype)
            values[step.result], used[step.result] = array[:rows], array
            self._steps.append((step.operation, first[:rows], second[:rows], array[:rows]))
            spare += [used.pop(n) for n in step.takes & used.keys() if last[n] == step.result]
        self._even, self._odd = (values[number] for number in medians)

    def __call__(self, window: np.ndarray) -> np.ndarray:
        """The medians [Y, X] of a block that has two pixels around it, [Y + 4, X + 4]."""
        self._window[...] = window
        for operation, first, second, result in self._steps:
            operation(first, second, out=result)
        return np.stack([self._even, self._odd], axis=1).reshape(-1, self._even.shape[1])


class _Value(NamedTuple):
    """A value by its number, from one of its rows on."""

    number: int
    start: int = 0


class _Step(NamedTuple):
    """The minimum or maximum of two values, row by row, and the number it gets."""

    operation: np.ufunc
    first: _Value
    second: _Value
    result: int

    @property
    def takes(self) -> set[int]:
        return {self.first.number, self.second.number}


@functools.cache
def _median_steps() -> tuple[list[_Step], tuple[int, int]]:
    """The steps of `MedianOf25`, and the numbers of the medians of even and of odd rows.

    Values 0 to 4 are the pixels of the even rows, by column of the window, 5 to 9 those of the odd
    rows. As rows of one parity are stored together, the next of them is two rows below.
    """
    steps: list[_Step] = []

    def compared(first: _Value, second: _Value) -> tuple[_Value, _Value]:
        lower, upper = _Value(10 + len(steps)), _Value(11 + len(steps))
        steps.append(_Step(np.minimum, first, second, lower.number))
        steps.append(_Step(np.maximum, first, second, upper.number))
        return lower, upper

    def below(values: list[_Value], rows: int) -> list[_Value]:
        return [_Value(value.number, value.start + rows // 2) for value in values]

    even = _sorted([_Value(column) for column in range(5)], compared)
    odd = _sorted([_Value(5 + column) for column in range(5)], compared)
    pairs = _merged(odd, below(even, 2), compared)
    middle = _merged(pairs, below(pairs, 2), compared)[7:13]
    medians = (
        _merged(middle, even, compared)[5].number,
        _merged(middle, below(odd, 4), compared)[5].number,
    )
    needed, kept = set(medians), []
    for step in reversed(steps):
        if step.result in needed:
            needed |= step.takes
            kept.append(step)
    return kept[::-1], medians


def _sorted(
    values: list[_Comparable],
    compared: Callable[[_Comparable, _Comparable], tuple[_Comparable, _Comparable]],
) -> list[_Comparable]:
    """Values in order, where `compared` gives the smaller and the larger of two."""
    if len(values) == 1:
        return values
    half = len(values) // 2
    return _merged(_sorted(values[:half], compared), _sorted(values[half:], compared), compared)


def _merged(
    first: list[_Comparable],
    second: list[_Comparable],
    compared: Callable[[_Comparable, _Comparable], tuple[_Comparable, _Comparable]],
) -> list[_Comparable]:
    """Two ordered lists as one (Batcher's odd-even merge).

    The 1st, 3rd, 5th, ... of both lists are merged, and so are the 2nd, 4th, ...; after that only
    neighbours can be out of order.
    """
    if not first or not second:
        return first + second
    if len(first) == len(second) == 1:
        return [*compared(first[0], second[0])]
    odd = _merged(first[0::2], second[0::2], compared)
    even = _merged(first[1::2], second[1::2], compared)
    paired = min(len(even), len(odd) - 1)
    merged = odd[:1]
    for left, right in zip(even[:paired], odd[1 : 1 + paired], strict=True):
        merged += compared(left, right)
    return merged + even[paired:] + odd[1 + paired :]
