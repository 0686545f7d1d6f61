"""How far predicted images depend on what they should not: tiles, grid, and how the image lies.

One image is predicted again and again, and compared with itself:

- in other tiles. Every pixel sees the same pixels whatever the tile, so all that may differ is the
  order of float32 sums: a larger difference is a fault, and the only thing that fails a check.
- moved by a few pixels. Networks with coarser levels are exact under shifts by whole steps only;
  how much a pixel's value depends on where the grid lies is a property of the network.
- turned and flipped. Nothing teaches a network to be symmetric but its training; averaging over the
  symmetries makes it so.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from isl.imaging.image import ZStack
from isl.labeling.mixture import AnyModel
from isl.labeling.options import Options
from isl.labeling.plan import plan_field
from isl.labeling.predict import predict_into
from isl.labeling.source import field_of, measure
from isl.tiling.geometry import Geometry
from isl.tiling.plan import TilePlan, reflected
from isl.tiling.stream import Progress
from isl.tiling.symmetries import IDENTITY, SYMMETRIES

# Pixels of the part that is checked where not the whole image is.
PART = 384 * 384
# Of the mean intensity in [0, 1], between tilings. On CPUs up to 2e-6 were seen. GPUs multiply with
# 10 to 11 binary digits in an order that they choose by the tile's size: one bin, not measured.
TOLERANCE = {"cpu": 2e-5, "gpu": 1 / 255}
_STATISTICS = ("mean", "median")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike two predicted images of one label are.

    Attributes:
        label: Its name.
        mean: Mean absolute difference, in intensities in [0, 1].
        largest: The largest.
        pearson: Correlation; None where an image is constant.
    """

    label: str
    mean: float
    largest: float
    pearson: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilingCheck:
    """One tiling against the first.

    Attributes:
        tiles: How many down and across.
        reads: Y, X that each reads.
        largest: Largest difference of the mean intensity.
        medians: Share of pixels whose median differs.
        seams: Mean gradient across borders of tiles, relative to that across other lines of the
            same grid; None where there are no borders, or no other lines.
        seams_without: The same of the first tiling's image, which has no borders there. What
            exceeds it is the tiles' doing.
    """

    tiles: tuple[int, int]
    reads: tuple[int, int]
    largest: float
    medians: float
    seams: float | None
    seams_without: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """What was found.

    Attributes:
        size: Y, X of what was checked.
        step: Pixels with which the network's grid repeats, of rows and columns alike.
        tolerance: What tilings may differ by.
        tilings: The first is what the others are compared with.
        shifts: By the number of pixels moved down and to the right; medians.
        turns: By the symmetry's name; medians. {} of a model that learned light from one side
            alone.
    """

    size: tuple[int, int]
    step: int
    tolerance: float
    tilings: tuple[TilingCheck, ...]
    shifts: Mapping[int, tuple[Agreement, ...]]
    turns: Mapping[str, tuple[Agreement, ...]]

    @property
    def largest(self) -> float:
        """The largest difference between tilings."""
        return max(tiling.largest for tiling in self.tilings)

    @property
    def passed(self) -> bool:
        """Whether tilings differ by rounding only."""
        return self.largest <= self.tolerance


def part_to_check(size: tuple[int, int], step: int, at_most: int = PART) -> tuple[slice, slice]:
    """The middle of an image, as much as is checked unless all of it is asked for.

    A width is one more than a multiple of the step where it can be: then images moved by less than
    a step need no wider tiles.
    """
    if size[0] * size[1] <= at_most:
        return slice(0, size[0]), slice(0, size[1])
    side = int(at_most**0.5)
    shorter = min(*size, side)
    widths = [min(n, max(side, at_most // shorter)) for n in size]
    parts = []
    for n, width in zip(size, widths, strict=True):
        fitting = max(1, width - (width - 1) % step)
        parts.append(slice((n - fitting) // 2, (n - fitting) // 2 + fitting))
    return parts[0], parts[1]


def memory_to_check(size: tuple[int, int], planes: int, labels: int) -> int:
    """Bytes that the image takes, and what is predicted of it and compared; it is all in memory."""
    # The planes and the same moved or turned; two predictions of every statistic.
    return 4 * size[0] * size[1] * (2 * planes + 2 * len(_STATISTICS) * labels)


def check(
    model: AnyModel,
    planes: np.ndarray,
    options: Options,
    budget: int,
    *,
    progress: Progress = lambda done, of: None,
) -> Check:
    """Predicts one z-stack in many ways.

    Args:
        model: A loaded model, or several.
        planes: float32 [Z, Y, X] in [0, 1], those the model expects, normalized.
        options: Labels and symmetries are taken from it.
        budget: Bytes that prediction may take.
        progress: Called with how many predictions are done, and how many there are.

    Raises:
        InputError: The budget is too small.
    """
    step = model.geometry.step
    moves = [shift for shift in sorted({1, step // 2, step - 1} - {0}) if shift < step]
    again = _Again(model, options, budget)
    first, tiles = again.predict(planes)
    narrower = _narrower(model.geometry, tiles)
    symmetries = SYMMETRIES if model.config.input.turned else {}
    again.report(progress, of=1 + len(narrower) + len(moves) + max(0, len(symmetries) - 1))
    tilings = [_compared(first, first, tiles, tiles, step)]
    for tile in narrower:
        found, others = again.predict(planes, tile=tile)
        tilings.append(_compared(found, first, others, tiles, step))
    shifts = {shift: again.agreements(again.moved(planes, shift), first) for shift in moves}
    turns = {
        name: again.agreements(symmetry.undo(again.median(symmetry.apply(planes))), first)
        for name, symmetry in symmetries.items()
        if symmetry != IDENTITY
    }
    on_cpu = jax.default_backend() == "cpu"
    return Check(
        size=(planes.shape[1], planes.shape[2]),
        step=step,
        tolerance=TOLERANCE["cpu" if on_cpu else "gpu"],
        tilings=tuple(tilings),
        shifts=shifts,
        turns=turns,
    )


class _Again:
    """Predicts with one model and one set of options, again and again."""

    def __init__(self, model: AnyModel, options: Options, budget: int) -> None:
        self._model = model
        self._budget = budget
        self._options = Options(
            labels=options.labels,
            statistics=_STATISTICS,
            stitch=options.stitch,
            normalize="off",
            symmetries=options.symmetries,
            allow_mismatch=True,
            # Whole bins: how many change their bin is what is told.
            median="published",
        )
        self._done = 0
        self._report: Callable[[int], None] = lambda done: None

    def report(self, progress: Progress, *, of: int) -> None:
        """From now on tells how many predictions of all are done."""
        self._report = lambda done: progress(done, of)
        self._report(self._done)

    def predict(self, planes: np.ndarray, **given: Any) -> tuple[dict[str, np.ndarray], TilePlan]:
        """For every statistic float32 [L, Y, X], and how the image was cut."""
        options = dataclasses.replace(
            self._options,
            planes=tuple(range(len(planes))),
            **given,
        )
        field = field_of(ZStack(name="image", planes=planes))
        plan = plan_field(self._model.config, field, options, budget=self._budget)
        shape = (len(options.labels), *plan.tiles.output_size)
        found = {name: np.empty(shape, np.float32) for name in options.statistics}

        def write(
            statistic: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray
        ) -> None:
            found[statistic][:, rows[:, None], columns] = pixels

        normalization = measure(field, plan.fit.planes, "off")
        plan = predict_into(write, self._model, field, plan, options, normalization)
        self._done += 1
        self._report(self._done)
        return found, plan.tiles

    def median(self, planes: np.ndarray, **given: Any) -> np.ndarray:
        """float32 [L, Y, X]."""
        return self.predict(planes, **given)[0]["median"]

    def moved(self, planes: np.ndarray, shift: int) -> np.ndarray:
        """The median where the image lies that many pixels further down and right on the grid.

        What is moved in from beyond the border is what reflection shows there, so that every pixel
        sees what it does in the image that is not moved.
        """
        geometry = self._model.geometry
        seen = geometry.margin - geometry.overhang
        rows, columns = (
            reflected(np.arange(-seen - shift, size + seen), size) for size in planes.shape[1:]
        )
        wider = planes[:, rows[:, None], columns]
        return self.median(wider, border="valid")[:, shift:, shift:]

    def agreements(
        self, found: np.ndarray, first: Mapping[str, np.ndarray]
    ) -> tuple[Agreement, ...]:
        """Of every label's median."""
        return tuple(
            _agreement(label, one, other)
            for label, one, other in zip(self._options.labels, found, first["median"], strict=True)
        )


def _narrower(geometry: Geometry, tiles: TilePlan) -> list[int]:
    """Widths of tiles, half and a third as wide, where the image is large enough for them."""
    widest = max(strip.kept.size for strip in (*tiles.rows, *tiles.columns))
    widths = {geometry.output_size(geometry.input_size(-(-widest // parts))) for parts in (2, 3)}
    narrowest = geometry.output_size(geometry.input_size(geometry.step))
    return sorted((width for width in widths if narrowest <= width < widest), reverse=True)


def _agreement(label: str, one: np.ndarray, other: np.ndarray) -> Agreement:
    differences = np.abs(one.astype(np.float64) - other)
    varied = np.ptp(one) > 0 and np.ptp(other) > 0
    return Agreement(
        label=label,
        mean=float(differences.mean()),
        largest=float(differences.max()),
        pearson=float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if varied else None,
    )


def _compared(
    found: Mapping[str, np.ndarray],
    first: Mapping[str, np.ndarray],
    tiles: TilePlan,
    first_tiles: TilePlan,
    step: int,
) -> TilingCheck:
    borders = _borders(tiles)
    without = None
    if tiles is not first_tiles:
        # Where the first tiling has borders too, it would show nothing.
        borders = tuple(
            one - other for one, other in zip(borders, _borders(first_tiles), strict=True)
        )
        without = seam_score(first["mean"], borders, step)
    return TilingCheck(
        tiles=(len(tiles.rows), len(tiles.columns)),
        reads=tiles.tile_size,
        largest=float(np.abs(found["mean"] - first["mean"]).max()),
        medians=float(np.mean(found["median"] != first["median"])),
        seams=seam_score(found["mean"], borders, step),
        seams_without=without,
    )


def _borders(tiles: TilePlan) -> tuple[set[int], ...]:
    """First rows, and first columns, of all tiles but those at the image's own border."""
    return tuple(
        {int(strip.lands[0]) for strip in strips} - {0} for strips in (tiles.rows, tiles.columns)
    )


def seam_score(image: np.ndarray, borders: Sequence[set[int]], step: int) -> float | None:
    """Mean gradient across borders of tiles, relative to that elsewhere: near 1 without seams.

    Args:
        image: float32 [L, Y, X].
        borders: Rows, and columns, that are the first of a tile.
        step: Elsewhere is where else the network's grid begins anew, with this step: a pattern
            that repeats with the grid is no seam.

    Returns:
        None where there is no border, or nothing to compare with.
    """
    across = elsewhere = 0.0
    for axis, lines in zip((1, 2), borders, strict=True):
        gradients = np.abs(np.diff(image.astype(np.float64), axis=axis)).mean(axis=(0, 3 - axis))
        others = set(range(step, image.shape[axis], step)) - lines
        if lines and others:
            across += sum(gradients[line - 1] for line in lines)
            # As many as there are borders: rows and columns of an image need not be alike.
            elsewhere += len(lines) * np.mean([gradients[line - 1] for line in others])
    return float(across / elsewhere) if elsewhere else None
