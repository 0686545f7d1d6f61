"""Where training crops lie: uniformly over measured ground, reflected at image borders."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isl.data.computed import Computed
from isl.labeling.familiarity import LearnedField
from isl.tiling.geometry import Geometry
from isl.tiling.plan import reflected

from .warp import Look, Warp, nearest, sampled, sampled_where

Box = tuple[tuple[int, int], tuple[int, int]]
"""Rows and columns of an image: first, and last + 1."""

_MOST_DRAWS = 100_000
_LIGHT_STEPS = 255
_ALL = slice(None)
# So many rows of a field in files are looked at together.
_ROWS = 256


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingField:
    """A field ready to be cropped, whole and normalized; in memory, unless it is kept in files.

    Attributes:
        name: Name of the field.
        group: Well, embryo or patient.
        transmitted: float32 [Y, X, Z] in [0, 1].
        targets: float32 [Y, X, L] in [0, 1].
        measured: bool [Y, X, L], where a label was measured and training may look.
        visible: bool [Y, X], where training may look.
        weight: How likely a crop of it is drawn, relative to its ground.
    """

    name: str
    group: str
    transmitted: np.ndarray
    targets: np.ndarray
    measured: np.ndarray
    visible: np.ndarray
    weight: float = 1.0

    @property
    def in_files(self) -> bool:
        """Whether its arrays are mapped from files each time they are looked at."""
        return False

    @property
    def measured_at(self) -> Look:
        """What gives part of `measured`, and looks at no more of it."""
        measured = self.measured
        return lambda rows, columns: measured[rows, columns]

    @property
    def ground(self) -> np.ndarray:
        """Where any label was measured and training may look, bool [Y, X]."""
        look, height = self.measured_at, self.visible.shape[0]
        bands = (slice(top, top + _ROWS) for top in range(0, height, _ROWS))
        return np.concatenate([look(rows, _ALL).any(axis=-1) for rows in bands])

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        arrays = (self.transmitted, self.targets, self.measured, self.visible)
        return sum(array.nbytes for array in arrays)

    @property
    def learned(self) -> LearnedField:
        """Where crops are drawn from it, as `isl.labeling.familiarity` sees it."""
        return self.looked_at(self.visible & self.ground)

    def looked_at(self, usable: np.ndarray) -> LearnedField:
        """Part of it, bool [Y, X], likewise."""
        transmitted = np.moveaxis(self.transmitted, -1, 0)
        return LearnedField(group=self.group, transmitted=transmitted, usable=usable)

    def with_labels_in(self, box: Box) -> "TrainingField":
        """The field with labels in a rectangle only."""
        return dataclasses.replace(self, measured=only_in(self.measured, box)(_ALL, _ALL))


def only_in(measured: np.ndarray, box: Box) -> Look:
    """What gives part of a mask [Y, X, L], False outside a rectangle."""
    in_rows, in_columns = (
        np.broadcast_to((at >= low) & (at < high), measured.shape[:2])
        for at, (low, high) in zip(np.indices(measured.shape[:2], sparse=True), box, strict=True)
    )

    def look(rows: Any, columns: Any) -> np.ndarray:
        inside = in_rows[rows, columns] & in_columns[rows, columns]
        return measured[rows, columns] & inside[..., None]

    return look


def learned_from(fields: Sequence[TrainingField]) -> Sequence[LearnedField]:
    """Where crops are drawn from fields; of those in files one is in memory at a time."""
    if not any(field.in_files for field in fields):
        return [field.learned for field in fields]
    return Computed(lambda index: fields[index].learned, len(fields))


class Cropper:
    """Draws crops from fields; picklable, so that worker processes can have it.

    A window is one output area of the network. All windows of all fields that touch measured ground
    are drawn alike, or as their fields weigh, so that large fields give more crops than small ones.
    One that hangs over the bounding box of measured ground is then moved inside, so that pixels
    near the box's edge are drawn no less often than those in the middle. Of what was drawn, a
    window is the likelier taken
    the more of it was measured: little is computed for pixels that do not count.
    """

    def __init__(
        self,
        fields: Sequence[TrainingField],
        geometry: Geometry,
        width: int,
        toward_light: float = 0.0,
    ) -> None:
        """Prepares the draw.

        Args:
            fields: At least one with measured ground.
            geometry: Of the network.
            width: Input width of a crop, valid for the geometry.
            toward_light: See `isl_train.labeling.config.LabelingTraining`.
        """
        self._fields = tuple(fields)
        self._margin = geometry.margin
        self._size = geometry.output_size(width)
        self._boxes: list[Box | None] = []
        self._counts: list[_Summed | _Counted] = []
        for field in fields:
            ground = field.ground
            self._boxes.append(bounding_box(ground))
            self._counts.append(_Counted(field, _ground) if field.in_files else _Summed(ground))
        windows = [0.0 if box is None else self._windows(box) for box in self._boxes]
        if not sum(windows):
            raise ValueError("no field has measured ground")
        weighed = np.array(windows) * [field.weight for field in fields]
        self._chances = weighed / weighed.sum()
        self._most = max(
            counts.most(box, self._size)
            for counts, box in zip(self._counts, self._boxes, strict=True)
            if box is not None
        )
        self._toward_light = toward_light
        self._light = [
            None if box is None or not toward_light else _Light(field, box, self._size)
            for field, box in zip(fields, self._boxes, strict=True)
        ]

    def _windows(self, box: Box) -> float:
        """How many windows touch a box."""
        return math.prod(high - low + self._size - 1 for low, high in box)

    def draw(self, rng: np.random.Generator, warp: Warp | None = None) -> dict[str, np.ndarray]:
        """One crop, seen through a warp if there is one.

        Returns:
            `transmitted` float32 [Y, X, Z]; `targets` float32 [y, x, L] and `measured` bool
            [y, x, L] of the valid output area; `visible` bool [y, x]; `field` int32, its index.
        """
        for _ in range(_MOST_DRAWS):
            index = int(rng.choice(len(self._fields), p=self._chances))
            box = self._boxes[index]
            assert box is not None
            origin = [int(rng.integers(low - self._size + 1, high)) for low, high in box]
            if not self._counts[index].count(origin, self._size):
                continue
            inside = [
                int(np.clip(start, min(low, high - self._size), max(low, high - self._size)))
                for start, (low, high) in zip(origin, box, strict=True)
            ]
            measured = self._counts[index].count(inside, self._size)
            if rng.random() * self._most >= measured:
                continue
            light = self._light[index]
            if light is None or rng.random() < light.share(inside) ** self._toward_light:
                return self._cut(index, inside, warp, rng)
        raise RuntimeError("measured ground is too sparse to be found by drawing windows")

    def _cut(
        self, index: int, origin: Sequence[int], warp: Warp | None, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        field = self._fields[index]
        if warp is not None:
            return {**self._bent(field, origin, warp, rng), "field": np.asarray(index, np.int32)}
        height, width = field.visible.shape
        y, x = (start + np.arange(self._size) for start in origin)
        rows, columns = reflected(y, height), reflected(x, width)
        in_image = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
        around = np.arange(-self._margin, self._size + self._margin)
        rows_read = reflected(origin[0] + around, height)
        columns_read = reflected(origin[1] + around, width)
        measured = field.measured_at(rows[:, None], columns) & in_image[..., None]
        return {
            "transmitted": field.transmitted[rows_read[:, None], columns_read],
            "targets": field.targets[rows[:, None], columns],
            "measured": measured,
            "visible": field.visible[rows[:, None], columns] & in_image,
            "field": np.asarray(index, np.int32),
        }

    def _bent(
        self, field: TrainingField, origin: Sequence[int], warp: Warp, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        centre = (self._size - 1) / 2
        around = np.arange(-self._margin, self._size + self._margin) - centre
        middle = np.array(origin)[:, None, None] + centre
        places = warp.offsets(around, rng) + middle
        inner = slice(self._margin, self._margin + self._size)
        within = places[:, inner, inner]
        last = np.array(field.visible.shape)[:, None, None] - 1
        in_image = np.all((within >= 0) & (within <= last), axis=0)
        targets, measured = sampled_where(field.targets, field.measured_at, within)
        return {
            "transmitted": sampled(field.transmitted, places),
            "targets": targets,
            "measured": measured & in_image[..., None],
            "visible": nearest(field.visible, within) & in_image,
        }


class _Light:
    """How much of a field's light a window holds, of what one holds at most."""

    def __init__(self, field: TrainingField, box: Box, size: int) -> None:
        self._size = size
        # A table would be as large as a field in files.
        in_files = field.in_files
        self._sums = _Counted(field, _light) if in_files else _Summed(_light(field))
        self._most = self._sums.most(box, size)

    def share(self, origin: Sequence[int]) -> float:
        """Of the window that begins there; 1 in a field without light."""
        if not self._most:
            return 1.0
        return self._sums.count(origin, self._size) / self._most


Looked = Callable[[TrainingField, slice, slice], np.ndarray]
"""Of rows and columns of a field, whole numbers [y, x] to be added up in windows."""


def _ground(field: TrainingField, rows: slice, columns: slice) -> np.ndarray:
    """Where any label was measured."""
    return np.any(field.measured_at(rows, columns), axis=-1)


def _light(field: TrainingField, rows: slice = _ALL, columns: slice = _ALL) -> np.ndarray:
    """All labels' light together."""
    targets, measured = field.targets[rows, columns], field.measured_at(rows, columns)
    return np.round(np.where(measured, targets, 0.0).sum(axis=-1) * _LIGHT_STEPS)


class _Summed:
    """Sums over windows of an image, from a table."""

    def __init__(self, image: np.ndarray) -> None:
        self._table = _summed_area(image)

    def count(self, origin: Sequence[int], size: int) -> int:
        """Over the window that begins there."""
        return _count(self._table, origin, size)

    def most(self, box: Box, size: int) -> int:
        """Over any window inside the box, at most."""
        return _most(self._table, box, size)


class _Counted:
    """The same of a field in files, each time from the window itself."""

    def __init__(self, field: TrainingField, look: Looked) -> None:
        self._field = field
        self._look = look

    def count(self, origin: Sequence[int], size: int) -> int:
        """Over the window that begins there."""
        rows, columns = (slice(max(0, start), max(0, start + size)) for start in origin)
        return int(self._look(self._field, rows, columns).astype(np.int64).sum())

    def most(self, box: Box, size: int) -> int:
        """Over any window inside the box, at most; a table is held of a few rows at a time."""
        (top, bottom), (left, right) = box
        found = 0
        for first in range(top, max(top, bottom - size) + 1, _ROWS):
            rows = slice(first, min(first + _ROWS - 1 + size, bottom))
            image = self._look(self._field, rows, slice(left, right))
            whole = (0, image.shape[0]), (0, image.shape[1])
            found = max(found, _Summed(image).most(whole, size))
        return found


def bounding_box(mask: np.ndarray) -> Box | None:
    """Rows and columns around the True pixels of [Y, X]; None where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _summed_area(mask: np.ndarray) -> np.ndarray:
    """int64 [Y + 1, X + 1]: sums above and to the left, so that any window costs 4 reads."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    table[1:, 1:] = mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    return table


def _count(table: np.ndarray, origin: Sequence[int], size: int) -> int:
    (top, bottom), (left, right) = (
        np.clip((start, start + size), 0, length - 1)
        for start, length in zip(origin, table.shape, strict=True)
    )
    return int(table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left])


def _most(table: np.ndarray, box: Box, size: int) -> int:
    """The most True pixels that a window inside the box holds."""
    top, left = (slice(low, max(low, high - size) + 1) for low, high in box)
    bottom, right = (slice(min(low + size, high), high + 1) for low, high in box)
    counts = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return int(counts.max())
