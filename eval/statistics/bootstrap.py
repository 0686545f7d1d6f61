"""The bootstrap: percentile intervals of any statistic, resampled by group or by row.

Rows of one group (frames of an embryo, cells of a well) resemble each other. Resampling rows as if
they were independent makes intervals too narrow, so whole groups are drawn with replacement, each
with all its rows. Statistics of one call share their replicates, so their differences are paired.

`scipy.stats.bootstrap` draws neither groups nor several statistics from one replicate, and a
statistic that a replicate leaves undefined makes its whole interval nan. Resampled by row it gives
the same numbers as this from the same generator.

Percentile intervals of few units are too narrow. Those at 95 % of the mean of normal units held it,
in 4000 trials each, in 93 % with 30 units, 91 % with 12, 88 % with 8, 84 % with 5 and 49 % with 2:
a value that they leave out by little may well be the true one.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

REPLICATES = 1000
LEVEL = 0.95
FEWEST_GROUPS = 5
"""An evaluation that has fewer draws parts of its groups, and says so; of fewer parts, nothing."""

Statistics = Callable[..., Mapping[str, float | None]]
"""Columns (arrays [N], in the order they were given) to named numbers; None or nan: undefined."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A statistic and the percentile interval of its replicates.

    Attributes:
        estimate: The statistic of the rows as they are; None: undefined.
        low: Lower bound; None: undefined.
        high: Upper bound; None: undefined.
        level: Share of the replicates that the interval is to hold, e.g. 0.95.
        units: How many groups (or rows) there are; as many are drawn for each replicate.
        replicates: How many were drawn.
        degenerate: For how many of them the statistic is undefined; the bounds leave these out.
        note: Why something is undefined, or that replicates were left out; "" where neither is so.
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    units: int
    replicates: int
    degenerate: int
    note: str = ""

    def excludes(self, value: float) -> bool | None:
        """Whether `value` lies outside the bounds; None where there are none."""
        if self.low is None or self.high is None:
            return None
        return not self.low <= value <= self.high


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resampling:
    """How an evaluation draws its intervals: all from one seed, so what is compared is paired.

    Attributes:
        replicates: How many times.
        level: Share of the replicates between the bounds.
        seed: Of every bootstrap.
    """

    replicates: int = REPLICATES
    level: float = LEVEL
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What `bootstrap` and the like take by name; the generator is at its start."""
        return {
            "rng": np.random.default_rng(self.seed),
            "replicates": self.replicates,
            "level": self.level,
        }


def bootstrap(
    statistics: Statistics,
    columns: Sequence[Any],
    *,
    groups: Sequence[Any] | np.ndarray | None,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    fewest: int = 2,
) -> dict[str, Interval]:
    """Percentile intervals of statistics of the rows.

    Args:
        statistics: Called with the columns, and with the same columns resampled.
        columns: Arrays [N], any type; entry i of each belongs to row i.
        groups: [N], what each row belongs to: groups are drawn, not rows. None: rows are drawn,
            which is right only where they are independent. It has no default for that reason.
        rng: Where the draws come from; the same generator state gives the same intervals.
        replicates: How many times to draw.
        level: Share of the replicates between the bounds.
        fewest: Units without which there are no bounds; one alone cannot vary.

    Returns:
        An interval for every name. Bounds are undefined where there are fewer units than `fewest`,
        and where more than half of the replicates are degenerate.
    """
    rows, units = _rows_of_units(columns, groups)
    if not 0 < level < 1 or replicates < 1:
        raise ValueError(f"level is {level}, replicates {replicates}; give 0 to 1, and 1 or more")
    few = _few(units, "rows" if rows is None else "groups") if units < max(2, fewest) else ""
    arrays = [np.asarray(column) for column in columns]
    estimates = {name: _number(value) for name, value in statistics(*arrays).items()}
    drawn: dict[str, list[float]] = {name: [] for name in estimates}
    for chosen in rng.integers(0, units, size=(replicates, units)):
        of_replicate = chosen if rows is None else np.concatenate([rows[unit] for unit in chosen])
        for name, value in statistics(*(array[of_replicate] for array in arrays)).items():
            if (number := _number(value)) is not None:
                drawn[name].append(number)
    return {
        name: _interval(estimates[name], values, units, replicates, level, few)
        for name, values in drawn.items()
    }


def bootstrap_one(
    statistic: Callable[..., float | None],
    columns: Sequence[Any],
    *,
    groups: Sequence[Any] | np.ndarray | None,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    level: float = LEVEL,
) -> Interval:
    """`bootstrap` of a single statistic: columns to a number, None or nan where undefined."""
    return bootstrap(
        lambda *arrays: {"statistic": statistic(*arrays)},
        columns,
        groups=groups,
        rng=rng,
        replicates=replicates,
        level=level,
    )["statistic"]


def bootstrap_difference(
    statistic: Callable[..., float | None],
    shared: Sequence[Any],
    first: Any,
    second: Any,
    *,
    groups: Sequence[Any] | np.ndarray | None,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    level: float = LEVEL,
) -> Interval:
    """How much a statistic of two columns differs, on the same replicates.

    Args:
        statistic: Called as statistic(*shared, first) and statistic(*shared, second).
        shared: Arrays [N] that both have in common, e.g. what is true.
        first: Array [N], e.g. what one model predicts.
        second: Array [N], e.g. what another predicts.
        groups: As in `bootstrap`.
        rng: As in `bootstrap`.
        replicates: As in `bootstrap`.
        level: As in `bootstrap`.

    Returns:
        The interval of first - second; undefined wherever either is.
    """

    def difference(*arrays: np.ndarray) -> float | None:
        *common, one, other = arrays
        values = _number(statistic(*common, one)), _number(statistic(*common, other))
        return None if values[0] is None or values[1] is None else values[0] - values[1]

    return bootstrap_one(
        difference,
        [*shared, first, second],
        groups=groups,
        rng=rng,
        replicates=replicates,
        level=level,
    )


def _rows_of_units(
    columns: Sequence[Any], groups: Sequence[Any] | np.ndarray | None
) -> tuple[list[np.ndarray] | None, int]:
    """Each group's rows (None: a unit is a row), and the number of units."""
    lengths = [len(column) for column in columns]
    if groups is not None:
        lengths.append(len(groups))
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f"columns and groups have lengths {lengths}; give one, of 1 row or more")
    if groups is None:
        return None, lengths[0]
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    rows = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    return rows, len(rows)


def _few(units: int, of: str) -> str:
    """Why so few units bound nothing, in words."""
    if units > 1:
        return f"{units} {of} are too few"
    return "there is one row only" if of == "rows" else "all rows are of one group"


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _interval(
    estimate: float | None,
    values: list[float],
    units: int,
    replicates: int,
    level: float,
    few: str,
) -> Interval:
    degenerate = replicates - len(values)
    note = ""
    low = high = None
    if estimate is None:
        note = "undefined for these rows"
    elif few:
        note = f"no interval: {few}"
    elif 2 * degenerate > replicates:
        note = f"no interval: undefined in {degenerate} of {replicates} replicates"
    else:
        low, high = (float(x) for x in np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))
        if degenerate:
            note = f"undefined in {degenerate} of {replicates} replicates, which are left out"
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        units=units,
        replicates=replicates,
        degenerate=degenerate,
        note=note,
    )
