"""Canvases in counts to images as they are stored: stage 8, registration and writing."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, ZStack
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.mosaic import bands
from isl.preprocess.stages.canvas import Canvas
from isl.preprocess.stages.normalization import (
    TARGETS,
    Moments,
    Normalization,
    apply,
    count_clipped,
    plan_normalization,
)
from isl.preprocess.stages.registration import Shift, measure_shift, shift_image

# Widest part of a canvas, pixels, by which registration is measured: one shift holds for the whole
# field, and a correlation takes many times the picture's memory.
REGISTRATION_SIZE = 2048
_FULL = np.float32(65535)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Canvases:
    """A field put together, not yet normalized.

    Attributes:
        canvas: Where tiles lie.
        files: Of each channel, float32 [Z, Y, X] in counts; labels have one plane.
        covered: bool [Y, X], where tiles lie.
        full_scale: Counts of each channel that are 1 where nothing is normalized.
    """

    canvas: Canvas
    files: Mapping[str, Path]
    covered: np.ndarray
    full_scale: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Images as they are stored, and what undoes their scale.

    Attributes:
        images: uint16 [N, Y, X], full scale = 1.
        normalization: One each.
    """

    images: np.ndarray
    normalization: tuple[Normalization, ...]


def store_transmitted(
    canvases: Canvases, channel: str, planes: Sequence[int], config: PreprocessConfig
) -> Stored:
    """The planes that are kept; where no tile lies they have the mean."""
    images = np.empty((len(planes), *canvases.covered.shape), np.uint16)
    done = []
    for number, plane in enumerate(planes):
        counts = _Plane(canvases.files[channel], plane)
        normalization = _plan(counts, canvases.covered, "transmitted", canvases, channel, config)
        done.append(
            _store(counts, canvases.covered, normalization, normalization.mean, images[number])
        )
    return Stored(images=images, normalization=tuple(done))


def store_labels(
    canvases: Canvases, shifts: Mapping[str, Shift], config: PreprocessConfig
) -> tuple[Stored, np.ndarray]:
    """The labels, and bool [Y, X], where all of them were measured; they are 0 elsewhere.

    Args:
        canvases: The field.
        shifts: How each label lies to transmitted light.
        config: Whether labels are moved back by it.
    """
    images = np.empty((len(shifts), *canvases.covered.shape), np.uint16)
    measured = canvases.covered
    done = []
    for number, (label, shift) in enumerate(shifts.items()):
        counts: _Plane | np.ndarray = _Plane(canvases.files[label], 0)
        covered = canvases.covered
        if config.registration.correct and shift.known:
            counts, inside = shift_image(scratch.load(canvases.files[label], plane=0), shift)
            # A pixel between one that is covered and one that is not is none.
            covered = covered & inside & (shift_image(covered, shift)[0] > 1 - 1e-3)
        normalization = _plan(counts, covered, "fluorescence", canvases, label, config)
        nothing = -normalization.offset / normalization.scale
        done.append(_store(counts, covered, normalization, nothing, images[number]))
        measured = measured & covered
    return Stored(images=images, normalization=tuple(done)), measured


@dataclasses.dataclass(frozen=True)
class _Plane:
    """A plane of a canvas on disk, read by rows like an array."""

    file: Path
    plane: int

    def __getitem__(self, rows: slice) -> np.ndarray:
        return scratch.load(self.file, plane=self.plane, rows=rows)


def _plan(
    counts: _Plane | np.ndarray,
    covered: np.ndarray,
    kind: str,
    canvases: Canvases,
    channel: str,
    config: PreprocessConfig,
) -> Normalization:
    """What brings one image's counts to [0, 1]."""
    total = Moments()
    for rows in bands(len(covered)):
        total += Moments.of(counts[rows], covered[rows], source=f"channel '{channel}'")
    scale, offset = 1 / canvases.full_scale[channel], 0.0
    if config.runs("normalization"):
        mean, deviation = TARGETS[kind]
        # Where all pixels are alike there is no contrast to set; quality says why that is so.
        if total.lowest < total.highest or not config.runs("quality"):
            source = f"channel '{channel}'"
            return plan_normalization(total, mean=mean, deviation=deviation, source=source)
        offset = mean - scale * total.mean
    return Normalization(scale=scale, offset=offset, mean=total.mean, deviation=total.deviation)


def _store(
    counts: _Plane | np.ndarray,
    covered: np.ndarray,
    normalization: Normalization,
    elsewhere: float,
    out: np.ndarray,
) -> Normalization:
    """Writes one image's intensities to `out` (uint16 [Y, X]), and counts what was clipped.

    Args:
        counts: [Y, X].
        covered: bool [Y, X], where tiles lie.
        normalization: Of the image.
        elsewhere: Counts where none lies.
        out: Filled, band by band.
    """
    clipped = 0
    for rows in bands(len(covered)):
        band = np.where(covered[rows], counts[rows], np.float32(elsewhere))
        clipped += count_clipped(band, normalization, covered[rows])
        out[rows] = np.rint(apply(band, normalization) * _FULL)
    return dataclasses.replace(normalization, clipped=clipped / int(covered.sum()))


def measure_registration(
    canvases: Canvases, transmitted: str, plane: int, labels: Sequence[str], search: int
) -> dict[str, Shift]:
    """How each label lies to a plane of transmitted light, by the middle of the canvas.

    Where the canvas is too small for the search, nothing is known.
    """
    window = _middle(canvases.covered.shape)
    if min(part.stop - part.start for part in window) < 4 * search:
        return {label: Shift(y=0.0, x=0.0, confidence=0.0) for label in labels}
    light = scratch.load(canvases.files[transmitted], plane=plane, rows=window[0])[:, window[1]]
    covered = canvases.covered[window]
    return {
        label: measure_shift(
            light,
            scratch.load(canvases.files[label], plane=0, rows=window[0])[:, window[1]],
            covered,
            max_shift=search,
            source=label,
        )
        for label in labels
    }


def _middle(shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = (
        slice(
            max(0, (n - REGISTRATION_SIZE) // 2),
            max(0, (n - REGISTRATION_SIZE) // 2) + min(n, REGISTRATION_SIZE),
        )
        for n in shape
    )
    return rows, columns


def write_images(
    stack_file: Path,
    labels_file: Path,
    measured_file: Path,
    stack: ZStack,
    labels: FluorescenceImage,
) -> None:
    """Writes a field's stack, its labels and, where tiles do not lie everywhere, the mask of those.

    Raises:
        InputError: They cannot be written.
    """
    write_stack(stack_file, stack, overwrite=True)
    if labels.labels:
        write_ome_tiff(labels_file, labels, overwrite=True)
    measured_file.unlink(missing_ok=True)
    if labels.measured is not None and not labels.measured.all():
        mask = ZStack(
            name=stack.name,
            planes=np.where(labels.measured[:1], np.uint8(255), np.uint8(0)),
            pixel_size=labels.pixel_size,
        )
        write_stack(measured_file, mask, overwrite=True)
