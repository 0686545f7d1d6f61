"""Figures of a label from sums over blocks: they add up over fields and can be drawn again.

A row is a block of 128 pixels of one field, with the sums that every figure can be had from. The
bootstrap draws groups with all their blocks; where there are fewer than five groups it draws
blocks, which says how much a figure depends on the ground within these groups, and nothing of how
groups differ.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from isl.imaging.agreement import PearsonSums

from ..metrics.image_pair import checked_pair
from ..metrics.pixel_figures import Similarity, foreground_of, similarity_map
from ..metrics.spectral import BANDS, ring_correlations, spectral_sums
from ..statistics.bootstrap import FEWEST_GROUPS, Interval, Resampling, Statistics, bootstrap
from .distributions import LEVELS, DistributionFigures
from .predictions import BLOCK

Over = Literal["groups", "blocks"]

_COVERAGE = {f"coverage_{level * 100:.0f}": level for level in LEVELS}
_COLUMNS = (
    *("pixels", "x", "y", "xx", "yy", "xy", "absolute", "square"),
    *("windows", "similarity"),
    *("f", "fx", "fy", "fxx", "fyy", "fxy"),
    *("judged", "cross_entropy", "ranked_probability_score", "width", *_COVERAGE),
    *("of_median", "median", "median_squared", "true_median"),
)
_AT = {name: index for index, name in enumerate(_COLUMNS)}
_OF_DISTRIBUTIONS = slice(_AT["judged"], _AT["of_median"])
FIGURES = (
    *("pearson", "foreground_pearson", "mae", "nrmse", "ssim", "psnr"),
    *("cross_entropy", "ranked_probability_score", "sharpness", *_COVERAGE),
    "pearson_median",
)
"""What `figures_of` gives, in the order of the tables."""
SPECTRAL = tuple(f"spectral_{number}" for number in range(1, BANDS + 1))
"""What `spectral_of` gives: the correlation within each band of frequencies, coarse first."""
# Less than a fifteenth of the step between two 16-bit intensities: rounding.
_CONSTANT = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BlockRows:
    """Sums of one label's pixels, a row a block.

    Attributes:
        fields: [R], the field of each row.
        groups: [R], its group.
        sums: float64 [R, K].
        lowest: The least true intensity that counts.
        highest: The greatest.
    """

    fields: tuple[str, ...]
    groups: tuple[str, ...]
    sums: np.ndarray
    lowest: float
    highest: float

    @property
    def figures(self) -> dict[str, float | None]:
        """Figures of all rows together."""
        return self.figures_from(self.sums)

    def figures_from(self, sums: np.ndarray) -> dict[str, float | None]:
        """Figures of rows that were drawn, float64 [any, K]."""
        return figures_of(sums.sum(axis=0), self.highest - self.lowest)

    @property
    def facts(self) -> dict[str, Any]:
        """All but `sums`, as JSON can hold it."""
        named = ("fields", "groups", "lowest", "highest")
        return {name: getattr(self, name) for name in named}

    def within(self, names: Sequence[str], axis: Literal["fields", "groups"]) -> "BlockRows":
        """The rows of some fields, or of some groups."""
        chosen = [n for n, name in enumerate(getattr(self, axis)) if name in names]
        return dataclasses.replace(
            self,
            fields=tuple(self.fields[n] for n in chosen),
            groups=tuple(self.groups[n] for n in chosen),
            sums=self.sums[chosen],
        )

    @property
    def over(self) -> Over:
        """What a bootstrap of these rows draws."""
        return drawn_of(self.groups)

    @property
    def drawn(self) -> tuple[str, ...] | None:
        """As `bootstrap` wants it: the rows' groups, or None where blocks are drawn."""
        return self.groups if self.over == "groups" else None


def drawn_of(groups: Sequence[str]) -> Over:
    """What a bootstrap draws of rows [R] of these groups."""
    return "groups" if len(set(groups)) >= FEWEST_GROUPS else "blocks"


def block_rows(
    true: np.ndarray,
    predicted: np.ndarray,
    mask: np.ndarray,
    distributions: Mapping[tuple[int, int], Mapping[str, np.ndarray]],
    *,
    field: str,
    group: str,
    similarity: Similarity | None = None,
    median: np.ndarray | None = None,
) -> BlockRows:
    """Sums of one field.

    Args:
        true: float [Y, X] in [0, 1].
        predicted: float [Y, X] in [0, 1].
        mask: bool [Y, X], True where a pixel counts, somewhere.
        distributions: By row and column of the block, as `DistributionFigures.sums`; may be empty.
        field: Name of the field.
        group: Its group.
        similarity: Of the same images and mask, where it is known already.
        median: float [Y, X] in [0, 1], of the distributions, whose correlation is then told beside
            that of `predicted`.

    Raises:
        InputError: Sizes differ, or pixels that count are not finite.
    """
    pair = checked_pair(true, predicted, mask)
    x, y = pair.chosen
    similar, whole = similarity_map(pair) if similarity is None else similarity
    foreground = foreground_of(x)
    of_pixel = block_numbers(mask.shape)
    numbers = of_pixel[mask]
    kinds, place = np.unique(numbers, return_inverse=True)
    sums = np.zeros((kinds.size, len(_COLUMNS)))

    def put(names: Sequence[str], at: np.ndarray, values: Sequence[np.ndarray | None]) -> None:
        for name, value in zip(names, values, strict=True):
            sums[:, _AT[name]] = np.bincount(at, value, minlength=kinds.size)

    products = (None, x, y, x * x, y * y, x * y)
    put(_COLUMNS[:6], place, products)
    put(("absolute", "square"), place, (np.abs(x - y), np.square(x - y)))
    at = np.searchsorted(kinds, of_pixel[whole])
    put(("windows", "similarity"), at, (None, similar[whole]))
    chosen = tuple(None if each is None else each[foreground] for each in products)
    put(("f", "fx", "fy", "fxx", "fyy", "fxy"), place[foreground], chosen)
    columns = -(-mask.shape[1] // BLOCK)
    for (row, column), kept in distributions.items():
        at_row = int(np.searchsorted(kinds, row * columns + column))
        sums[at_row, _OF_DISTRIBUTIONS] = _of_distributions(kept)
    if median is not None:
        m = checked_pair(true, median, mask).chosen[1]
        put(
            ("of_median", "median", "median_squared", "true_median"), place, (None, m, m * m, x * m)
        )
    return BlockRows(
        fields=(field,) * kinds.size,
        groups=(group,) * kinds.size,
        sums=sums,
        lowest=float(x.min()),
        highest=float(x.max()),
    )


def with_all_columns(sums: np.ndarray) -> np.ndarray:
    """Sums [R, K] that were kept before medians were judged too, of which they know nothing."""
    return np.pad(sums, ((0, 0), (0, len(_COLUMNS) - sums.shape[1])))


def block_numbers(size: tuple[int, ...]) -> np.ndarray:
    """The block of every pixel, int [Y, X], counted row by row."""
    rows, columns = (np.arange(length) // BLOCK for length in size[:2])
    return rows[:, None] * -(-size[1] // BLOCK) + columns


def constant_scores(
    rows: BlockRows, true: np.ndarray, mask: np.ndarray, scores: tuple[np.ndarray, np.ndarray]
) -> BlockRows:
    """The rows with the scores of one distribution that is the same at every pixel.

    Args:
        rows: Of one field.
        true: int [Y, X], bins of the true intensities.
        mask: bool [Y, X].
        scores: Cross-entropy and ranked probability score, float64 [256] each, by true bin.
    """
    _, place = np.unique(block_numbers(mask.shape)[mask], return_inverse=True)
    sums = rows.sums.copy()
    sums[:, _AT["judged"]] = np.bincount(place)
    for name, table in zip(("cross_entropy", "ranked_probability_score"), scores, strict=True):
        sums[:, _AT[name]] = np.bincount(place, table[true[mask]])
    # Intervals of a distribution that is the same everywhere are of no interest.
    sums[:, _AT["width"] : _OF_DISTRIBUTIONS.stop] = np.nan
    return dataclasses.replace(rows, sums=sums)


def joined(parts: Sequence[BlockRows]) -> BlockRows:
    """Rows of several fields."""
    return BlockRows(
        fields=tuple(name for part in parts for name in part.fields),
        groups=tuple(name for part in parts for name in part.groups),
        sums=np.concatenate([part.sums for part in parts]),
        lowest=min(part.lowest for part in parts),
        highest=max(part.highest for part in parts),
    )


def figures_of(sums: np.ndarray, true_range: float) -> dict[str, float | None]:
    """Every figure of `FIGURES` from sums [K]; None: undefined.

    Args:
        sums: Over any number of rows.
        true_range: Between the least and the greatest true intensity, for NRMSE.
    """
    of = dict(zip(_COLUMNS, sums.tolist(), strict=True))
    square = _ratio(of["square"], of["pixels"])
    return {
        "pearson": _pearson([of[name] for name in _COLUMNS[:6]]),
        "foreground_pearson": _pearson([of[name] for name in ("f", "fx", "fy", *_SECOND)]),
        "mae": _ratio(of["absolute"], of["pixels"]),
        "nrmse": math.sqrt(square) / true_range if square is not None and true_range else None,
        "ssim": _ratio(of["similarity"], of["windows"]),
        "psnr": -10 * math.log10(square) if square else None,
        "cross_entropy": _ratio(of["cross_entropy"], of["judged"]),
        "ranked_probability_score": _ratio(of["ranked_probability_score"], of["judged"]),
        "sharpness": _ratio(of["width"], of["judged"]),
        **{name: _ratio(of[name], of["judged"]) for name in _COVERAGE},
        # Of the same pixels as the first, so that what was measured has the same sums.
        "pearson_median": _pearson(
            [
                of[name]
                for name in ("of_median", "x", "median", "xx", "median_squared", "true_median")
            ]
        ),
    }


def spectral_blocks(true: np.ndarray, predicted: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sums of a field's bands by block, in the order of `block_rows`: float64 [R, BANDS + 1, 3]."""
    numbers = block_numbers(mask.shape)
    return spectral_sums(true, predicted, mask, numbers)[np.unique(numbers[mask])]


def spectral_of(sums: np.ndarray) -> dict[str, float | None]:
    """Every figure of `SPECTRAL` from sums [BANDS + 1, 3]; None: undefined."""
    found = ring_correlations(sums)
    return {name: value for name, (value, _) in zip(SPECTRAL, found, strict=True)}


def spectral_intervals(
    rows: BlockRows, sums: np.ndarray, resampling: Resampling
) -> dict[str, Interval]:
    """Every figure of `SPECTRAL` with its interval, from sums [R, BANDS + 1, 3] of these rows."""
    return drawn_intervals(
        lambda drawn: spectral_of(drawn.sum(axis=0)), [sums], rows.groups, resampling
    )


def intervals(rows: BlockRows, resampling: Resampling) -> dict[str, Interval]:
    """Every figure with its interval."""
    return drawn_intervals(rows.figures_from, [rows.sums], rows.groups, resampling)


def differences(first: BlockRows, second: BlockRows, resampling: Resampling) -> dict[str, Interval]:
    """Every figure of the first less the second's, on the same replicates.

    Raises:
        ValueError: They are not of the same blocks.
    """
    if first.fields != second.fields:
        raise ValueError("differences are taken of figures of the same blocks")
    span = max(first.highest, second.highest) - min(first.lowest, second.lowest)

    def difference(one: np.ndarray, other: np.ndarray) -> dict[str, float | None]:
        pairs = [figures_of(sums.sum(axis=0), span) for sums in (one, other)]
        return {
            name: None if a is None or (b := pairs[1][name]) is None else a - b
            for name, a in pairs[0].items()
        }

    return drawn_intervals(difference, [first.sums, second.sums], first.groups, resampling)


def drawn_intervals(
    statistics: Statistics,
    columns: Sequence[np.ndarray],
    groups: Sequence[str],
    resampling: Resampling,
) -> dict[str, Interval]:
    """A bootstrap of rows of blocks over their groups, or over blocks where groups are few.

    Args:
        statistics: Called with the columns.
        columns: [R, ...] each.
        groups: [R].
        resampling: How to draw.
    """
    return bootstrap(
        statistics,
        columns,
        groups=groups if drawn_of(groups) == "groups" else None,
        fewest=FEWEST_GROUPS,
        **resampling.settings,
    )


_SECOND = ("fxx", "fyy", "fxy")


def _of_distributions(sums: Mapping[str, np.ndarray]) -> list[float]:
    """The columns of `_OF_DISTRIBUTIONS`."""
    found = DistributionFigures.from_sums(sums).result()
    if not found.pixels or found.coverage is None:
        return [0.0] * (_OF_DISTRIBUTIONS.stop - _OF_DISTRIBUTIONS.start)
    coverage = found.coverage
    means = (
        math.inf if found.cross_entropy is None else found.cross_entropy,
        found.ranked_probability_score or 0.0,
        found.sharpness or 0.0,
        *(coverage[level] for level in _COVERAGE.values()),
    )
    return [float(found.pixels), *(found.pixels * mean for mean in means)]


def _pearson(sums: Sequence[float]) -> float | None:
    count, x, y, xx, yy, xy = sums
    if count < 2 or min(xx - x * x / count, yy - y * y / count) < count * _CONSTANT**2:
        return None
    value = PearsonSums(count=int(count), sum_x=x, sum_y=y, sum_xx=xx, sum_yy=yy, sum_xy=xy).pearson
    return value if math.isfinite(value) else None


def _ratio(total: float, count: float) -> float | None:
    return total / count if count and math.isfinite(total) else None
