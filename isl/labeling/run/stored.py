"""A prediction on disk while it is made: written by tiles, then read as pictures by windows.

However large the field is, of its results no more is in memory than what is being written or read,
and a thinned copy for the preview.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.imaging.lazy import LazyPicture
from isl.imaging.plane_file import PlaneFile
from isl.labeling.flicker import Frames, flicker
from isl.labeling.label_scale import SPREADS, LabelScale
from isl.labeling.model_config import LabelStatistics
from isl.labeling.renormalize import (
    INTENSITIES,
    Renormalization,
    plan_renormalization,
    renormalized,
)
from isl.labeling.run.outputs import stored_values
from isl.labeling.source import TransmittedField

# Longest side of what is kept for a preview.
THINNED = 1024
# Pixels that are counted at a time.
_BLOCK = 1 << 22


def thinning(size: tuple[int, int]) -> int:
    """Every how many rows and columns are enough to show an image of this size (Y, X)."""
    return -(-max(size) // THINNED)


class StoredPrediction(contextlib.ExitStack):
    """Statistics of one field on disk, a sink for `isl.labeling.stream`; to be used with `with`.

    Attributes:
        shape: T, L, Y, X of every statistic.
        shown: For some statistics, float32 [L, y, x] of every `thinning`-th row and column of the
            first time point.
        renormalization: What was done to intensities; see `renormalize`.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, int, int, int],
        *,
        labels: Sequence[str],
        pixel_types: Mapping[str, str],
        shown: Sequence[str],
        renormalize: bool,
        scales: Mapping[str, LabelScale] | None = None,
    ) -> None:
        """Nothing predicted yet.

        Args:
            folder: On the disk that has room for them.
            shape: T, L, Y, X.
            labels: L names.
            pixel_types: For every statistic that is to become a picture, of what pixel type.
            shown: Those that are to be thinned.
            renormalize: Whether `renormalize` is to be called: until then, intensities are floats.
            scales: By label, what brings pictures into its images' unit; {} or None: nothing.
        """
        super().__init__()
        self.shape = shape
        self.renormalization: tuple[Renormalization, ...] = ()
        self._labels = tuple(labels)
        self._scales = scales or {}
        floats = (INTENSITIES if renormalize else ()) + (
            INTENSITIES + SPREADS if self._scales else ()
        )
        self._pixel_types = {name: np.dtype(dtype) for name, dtype in pixel_types.items()}
        times, _, rows, columns = shape
        planes = (times * len(labels), rows, columns)
        self._files = {
            name: self.enter_context(PlaneFile(folder, planes, kept))
            for name, dtype in pixel_types.items()
            for kept in ["float32" if name in floats else dtype]
        }
        self._step = thinning((rows, columns))
        thin = [len(range(0, n, self._step)) for n in (rows, columns)]
        self.shown = {name: np.zeros((len(labels), *thin), np.float32) for name in shown}

    def write(
        self, statistic: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray
    ) -> None:
        """Takes results; see `isl.labeling.stream.Sink`."""
        if statistic in self._files:
            file = self._files[statistic]
            for label, values in enumerate(stored_values(pixels, file.dtype)):
                file.write(t * len(self._labels) + label, rows, columns, values)
        if statistic in self.shown and t == 0:
            y, x = (np.flatnonzero(lands % self._step == 0) for lands in (rows, columns))
            places = rows[y, None] // self._step, columns[x] // self._step
            self.shown[statistic][:, *places] = pixels[:, y[:, None], x]

    def renormalize(self, training: Mapping[str, LabelStatistics]) -> None:
        """Brings intensities to the training labels' mean and deviation; all must be written."""
        self.renormalization = plan_renormalization(
            lambda statistic, t, label, rows: self._read(statistic, t, label, rows),
            self.shape,
            self._files,
            self._labels,
            training,
        )
        for done in self.renormalization:
            if done.statistic in self.shown:
                image = self.shown[done.statistic][self._labels.index(done.label)]
                image[:] = renormalized(image, done)

    def picture(self, statistics: Sequence[str], field: TransmittedField) -> LazyPicture:
        """Statistics as a picture; closing it frees their disk space.

        Its channels are the labels; of each further statistic the labels again, called so:
        "DAPI standard_deviation". Its pixel type is the first statistic's.
        """
        labels, dtype = self._labels, self._pixel_types[statistics[0]]
        further = [f"{label} {name}" for name in statistics[1:] for label in labels]

        def read(t: int, c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
            statistic, label = statistics[c // len(labels)], c % len(labels)
            pixels = self._final(statistic, t, label, rows, columns)
            return pixels if pixels.dtype == dtype else stored_values(pixels, dtype)

        def close() -> None:
            for statistic in statistics:
                self._files[statistic].close()

        times, _, height, width = self.shape
        return LazyPicture(
            name=field.name,
            shape=(times, len(labels) * len(statistics), 1, height, width),
            dtype=dtype,
            read_plane=read,
            close=close,
            channel_names=(*labels, *further),
            pixel_size=field.pixel_size,
            interval=field.interval,
            times=field.times,
            stage=field.stage,
            source=field.source or Path(field.name),
        )

    def flicker(self, statistic: str) -> dict[str, float | None]:
        """By label; see `isl.labeling.flicker`. There must be several time points."""

        def frames_of(label: int) -> Frames:
            return lambda t, rows: self._final(statistic, t, label, rows)

        times, _, *size = self.shape
        return {
            name: flicker(frames_of(label), times, (size[0], size[1]))
            for label, name in enumerate(self._labels)
        }

    def share(self, statistic: str) -> dict[str, float]:
        """By label, the share of pixels that are not 0, of all time points together."""
        times, _, height, width = self.shape
        rows = max(1, _BLOCK // width)

        def count(label: int) -> int:
            return sum(
                int(np.count_nonzero(self._read(statistic, t, label, slice(top, top + rows))))
                for t in range(times)
                for top in range(0, height, rows)
            )

        pixels = times * height * width
        return {name: count(label) / pixels for label, name in enumerate(self._labels)}

    def _final(
        self, statistic: str, t: int, label: int, rows: slice, columns: slice = slice(None)
    ) -> np.ndarray:
        """As it becomes a picture, but for the pixel type where floats were kept."""
        pixels, name = self._read(statistic, t, label, rows, columns), self._labels[label]
        for done in self.renormalization:
            if (done.statistic, done.label) == (statistic, name):
                pixels = renormalized(pixels, done)
        return self._scales[name].original(pixels, statistic) if name in self._scales else pixels

    def _read(
        self, statistic: str, t: int, label: int, rows: slice, columns: slice = slice(None)
    ) -> np.ndarray:
        return self._files[statistic].read(t * len(self._labels) + label, rows, columns)


def thinned_plane(
    field: TransmittedField, z: float, offset: int, size: tuple[int, int]
) -> np.ndarray:
    """Every `thinning`-th row and column of a plane of the first time point, as stored: [y, x].

    Args:
        field: Whose plane.
        z: Which, or between which two.
        offset: First row and column that count.
        size: Y, X of what counts.
    """
    step = thinning(size)
    rows, columns = size
    # Parts of a file that are stored together are read once, and few of them at a time.
    band = max(1, 256 // step) * step
    parts = []
    for top in range(0, rows, band):
        window = slice(offset + top, offset + min(top + band, rows))
        parts.append(
            field.plane(0, z, window, slice(offset, offset + columns))[::step, ::step].copy()
        )
    return np.concatenate(parts)
