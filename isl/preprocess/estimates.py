"""What all images of a channel share - dust, uneven light - taken from a sample of the set."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.sharpness import smoothed
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates, acquire, without_additive_dust
from isl.preprocess.layout.fields import PlaneSource
from isl.preprocess.stages.additive_dust import AdditiveDust, estimate_additive_dust
from isl.preprocess.stages.flat_field import DEGREE, estimate_dust, estimate_flat_field, smooth
from isl.preprocess.stages.image_quality import CONTENT_SCALES
from isl.preprocess.stages.medians import pixelwise_median, sample_of
from isl.workers import Workers

# An error of the dust that would be seen: a tenth of the contrast that images are brought to.
MOST_ERROR = 0.02
_LEAST_OF_A_HALF = 3
# Share of full pixels beyond which an image says nothing of light.
MOST_SATURATED = 0.5
# Background between specks of dust is smooth: blurred over this many of their diameters.
_BACKGROUND_DIAMETERS = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelOfSet:
    """All planes of one channel, over all fields and tiles.

    Attributes:
        name: Of the channel.
        fluorescence: Whether it is fluorescence.
        planes: The exposures of each plane of each tile.
        pixel_size: Micrometres as acquired, or None.
    """

    name: str
    fluorescence: bool
    planes: tuple[tuple[tuple[PlaneSource, ...], ...], ...]
    pixel_size: float | None

    @property
    def count(self) -> int:
        """Planes of all tiles."""
        return sum(map(len, self.planes))


def needs_estimates(*, fluorescence: bool, config: PreprocessConfig) -> bool:
    """Whether some stage needs what a channel's images share."""
    own = "additive_dust" if fluorescence else "multiplicative_dust"
    return config.runs("flat_field") or config.runs(own)


def estimate(
    channel: ChannelOfSet,
    config: PreprocessConfig,
    folder: Path,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> Estimates:
    """Estimates one channel's additive dust, flat field and multiplicative dust.

    The median does not change order with a division by one field, so the flat field and the dust
    come from one median: the flat field is the median, blurred; the dust is what is left of it.

    Args:
        channel: The channel, for which `check_estimable` passed.
        config: Which stages run.
        folder: For unfinished arrays; emptied at the end.
        workers: Who does it.
        progress: Called with images done and to do.

    Raises:
        InputError: There are too few images, or they cannot be read.
    """
    acquired = _acquire_sample(channel, config, folder, workers, progress)
    exposures = len(channel.planes[0][0])
    dust = _additive_dust(channel, acquired, config, exposures) if channel.fluorescence else None
    reduced = [file.with_suffix(".reduced.npy") for file in acquired]
    reduce_one = functools.partial(_reduce, dust=dust, config=config)
    list(workers.map(reduce_one, zip(acquired, reduced, strict=True)))
    median, errors = _median(reduced)
    scratch.remove(folder)
    light = median - np.float32((config.sensor_offset or 0.0) * exposures)
    flat_field = (
        _flat_field(light, len(acquired), channel, config) if config.runs("flat_field") else None
    )
    dust_field = None
    if config.runs("multiplicative_dust") and not channel.fluorescence:
        rest = light if flat_field is None else light / flat_field
        dust_field = estimate_dust(rest, source=f"dust field of '{channel.name}'")
    notes = [f"additive dust: {dust.note}"] if dust is not None and dust.note else []
    if dust_field is not None and errors.pixel > MOST_ERROR:
        notes.append(
            f"the median of {len(acquired)} images is known to {errors.pixel:.1%} a pixel, and "
            "what it errs by is divided into every image as dust; give more images of other "
            "places (sample), or leave multiplicative_dust out of 'stages'"
        )
    return Estimates(
        additive_dust=dust,
        flat_field=flat_field,
        dust=dust_field,
        error=0.0 if dust_field is None else errors.content,
        images=len(acquired),
        of=channel.count,
        notes=tuple(notes),
    )


def _acquire_sample(
    channel: ChannelOfSet,
    config: PreprocessConfig,
    folder: Path,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """The sample's images on disk, but for those that are not fit for it."""
    sample = sample_of_set(channel, config)
    files = [folder / f"{number:05d}.acquired.npy" for number in range(len(sample))]
    one = functools.partial(_acquire, config=config, fluorescence=channel.fluorescence)
    fit, unfit = [], []
    for file, reason in zip(files, workers.map(one, zip(sample, files, strict=True)), strict=True):
        if reason is None:
            fit.append(file)
        else:
            unfit.append(reason)
        progress(len(fit) + len(unfit), len(files))
    _check_enough(channel, len(fit), unfit, config)
    return fit


def _flat_field(
    light: np.ndarray, images: int, channel: ChannelOfSet, config: PreprocessConfig
) -> np.ndarray:
    """The paper's blur, widened where the median is of few places.

    What cells leave in a median shrinks with the root of their number, and with the width of the
    blur: of a quarter of the places, a blur twice as wide is as good.
    """
    stage = config.flat_field
    divisor = stage.fluorescence_divisor if channel.fluorescence else stage.transmitted_divisor
    places = min(len(channel.planes), images)
    divisor *= min(1.0, math.sqrt(places / stage.places))
    degree = None if stage.method == "blur" else DEGREE
    source = f"flat field of '{channel.name}'"
    return estimate_flat_field(light, divisor=divisor, degree=degree, source=source)


def check_estimable(channel: ChannelOfSet, config: PreprocessConfig) -> None:
    """What can be known before anything is read.

    Raises:
        InputError: The set is too small, or nothing says how large dust is in pixels.
    """
    _check_enough(channel, channel.count, [], config)
    if channel.fluorescence and config.runs("additive_dust") and channel.pixel_size is None:
        raise InputError(
            "stage additive_dust: how large dust is in pixels follows from the pixel size, which "
            "the files do not say; set pixel_size"
        )


def _check_enough(
    channel: ChannelOfSet, count: int, unfit: Sequence[str], config: PreprocessConfig
) -> None:
    if count >= config.sample.least:
        return
    more = f" ({len(unfit)} others are not fit for it, e.g. {unfit[0]})" if unfit else ""
    raise InputError(
        f"channel '{channel.name}': {count} images are too few for a median over the set, which "
        f"needs {config.sample.least}{more}; leave the stages flat_field, additive_dust and "
        "multiplicative_dust out of 'stages', or set sample.least"
    )


def sample_of_set(channel: ChannelOfSet, config: PreprocessConfig) -> list[tuple[PlaneSource, ...]]:
    """The exposures of each image that estimates are made from, in the order of tiles.

    Planes of one tile show the same cells, so every tile gives one before any gives two.
    """
    rounds = -(-config.sample.images // len(channel.planes))
    spread = [
        planes[(tile + turn) % len(planes)]
        for tile, planes in enumerate(channel.planes)
        for turn in range(min(rounds, len(planes)))
    ]
    return list(sample_of(spread, config.sample.images, 0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Errors:
    """How far a median errs, relative, as standard deviations.

    Attributes:
        pixel: Of one pixel.
        content: Between the scales at which `image_quality.content` looks for cells.
    """

    pixel: float = 0.0
    content: float = 0.0


def _median(files: Sequence[Path]) -> tuple[np.ndarray, _Errors]:
    """The median of each pixel, and how far it errs: from the medians of two halves.

    The halves are of different tiles, but for the one in the middle.
    """
    images = [np.load(file, mmap_mode="r") for file in files]
    median = pixelwise_median(images)
    if len(images) < 2 * _LEAST_OF_A_HALF:
        return median, _Errors()
    middle = len(images) // 2
    halves = pixelwise_median(images[:middle]), pixelwise_median(images[middle:])
    first, second = (half / half.mean() for half in halves)
    # What differs slowly between halves is illumination, which the flat field takes.
    fine = (first - second) - smooth(first - second, len(median) / 32)
    narrow, wide = (smoothed(first - second, scale, None) for scale in CONTENT_SCALES)
    return median, _Errors(pixel=float(fine.std()) / 2, content=float((narrow - wide).std()) / 2)


def _acquire(
    item: tuple[tuple[PlaneSource, ...], Path], *, config: PreprocessConfig, fluorescence: bool
) -> str | None:
    """Keeps an image of the sample on disk, or says why it is not fit for it."""
    sources, file = item
    if scratch.is_saved(file):
        return None
    try:
        acquired = acquire(sources, config, fluorescence=fluorescence)
    except InputError as error:
        # Its field will fail, with this reason; the others need not.
        return str(error)
    if acquired.saturated > MOST_SATURATED:
        return f"{sources[0].file}: {acquired.saturated:.0%} of it is saturated"
    scratch.save(file, acquired.image)
    return None


def _reduce(
    files: tuple[Path, Path], *, dust: AdditiveDust | None, config: PreprocessConfig
) -> None:
    acquired, reduced = files
    scratch.save(reduced, without_additive_dust(np.load(acquired), dust, config))


def _additive_dust(
    channel: ChannelOfSet, files: Sequence[Path], config: PreprocessConfig, exposures: int
) -> AdditiveDust | None:
    if not config.runs("additive_dust"):
        return None
    assert channel.pixel_size is not None
    stage = config.additive_dust
    diameter = stage.disk_diameter / channel.pixel_size
    offset = config.sensor_offset
    return estimate_additive_dust(
        (np.load(file) for file in files),
        sensor_offset=None if offset is None else offset * exposures,
        disk_diameter=diameter,
        most_share=stage.most_share,
        background_sigma=_BACKGROUND_DIAMETERS * diameter,
        fill=stage.fill,
        everywhere=stage.subtract == "everywhere",
        source=f"additive dust of '{channel.name}'",
    )
