"""Estimates of an earlier run for new wells: taken where the new tiles show the same light.

A few wells are too few for medians of their own, and a microscope keeps its light and its dust for
days. Whether it did is looked for in the new tiles: how much of the flat field, and of the specks
of dust, their own median shows (1: all of it, 0: nothing).
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from isl.config import load_toml
from isl.errors import InputError, unknown
from isl.preprocess import estimate_files
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates, acquire, without_additive_dust
from isl.preprocess.estimates import MOST_SATURATED, ChannelOfSet, sample_of_set
from isl.preprocess.layout.fields import PlaneSource
from isl.preprocess.stages.flat_field import smooth
from isl.preprocess.stages.medians import sample_of
from isl.workers import Workers

SETTINGS = "settings.toml"
# So many of the new images tell enough, and are read in seconds.
_LOOKED_AT = 24
# Below it the new tiles do not show what they would be divided by.
LEAST_SHARE = 0.5
_USUAL_SHARE = (0.75, 1.25)
# A flat field this even says nothing, whatever is divided by it.
_EVEN = 0.01
# Specks stand out of the dust field by so many robust deviations; so many pixels tell.
_SPECK, _LEAST_SPECKS = 5.0, 30
# What light varies by more slowly than the image's height over this is illumination.
_SLOW = 8


def check_earlier_estimates(config: PreprocessConfig, channels: tuple[ChannelOfSet, ...]) -> None:
    """Refuses an earlier run that has no estimates for a channel, or made them otherwise.

    Raises:
        InputError: What is missing or differs, with both values.
    """
    run = config.estimates
    if run is None:
        return
    settings = run / SETTINGS
    if not settings.is_file():
        raise InputError(
            f"estimates: {run} is no folder that isl preprocess wrote (it has no {SETTINGS})"
        )
    theirs = load_toml(settings, PreprocessConfig)
    for name in ("factor", "sensor_offset"):
        one, other = getattr(theirs, name), getattr(config, name)
        if one != other:
            raise InputError(
                f"estimates: {run} was made with {name.replace('factor', 'downscale')} {one}, and "
                f"this run has {other}; give both the same"
            )
    folder = run / estimate_files.FOLDER
    for channel in channels:
        if not estimate_files.has_estimates(folder, channel.name):
            known = sorted(path.stem for path in folder.glob("*.json"))
            raise InputError(f"estimates: {run}: {unknown('channel', channel.name, known)}")


def taken_from_earlier(
    channel: ChannelOfSet,
    config: PreprocessConfig,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> Estimates:
    """The earlier run's estimates of a channel, once new tiles have shown that they fit.

    Args:
        channel: Of the new set, for which `check_earlier_estimates` passed.
        config: Names the run in `estimates`.
        workers: Who does it.
        progress: Called with images done and to do.

    Raises:
        InputError: Sizes differ, no new image can be used, or they do not show that light.
    """
    assert config.estimates is not None
    found = estimate_files.load_estimates(config.estimates / estimate_files.FOLDER, channel.name)
    images = _light(channel, found, config, workers, progress)
    light = np.median(images, axis=0)
    where = f"estimates of '{channel.name}' in {config.estimates}"
    fields = [field for field in (found.flat_field, found.dust) if field is not None]
    for field in fields:
        if field.shape != light.shape:
            raise InputError(
                f"{where}: are {field.shape[0]} x {field.shape[1]} pixels, and the new tiles "
                f"{light.shape[0]} x {light.shape[1]}; take a run of the same camera and binning"
            )
    notes = [f"estimates of {config.estimates}, compared with {len(images)} new images"]
    if found.flat_field is not None:
        share = light_share(images, found.flat_field)
        if share is not None:
            text = f"show {share.mean:.0%} +- {2 * share.error:.0%} of"
            if share.mean + 2 * share.error < LEAST_SHARE:
                raise InputError(
                    f"{where}: do not fit: the new tiles {text} that flat field; leave 'estimates' "
                    "out where there are enough tiles, or take a run of the same light"
                )
            usual = _USUAL_SHARE[0] <= share.mean <= _USUAL_SHARE[1]
            notes.append(f"the new tiles {text} the flat field{'' if usual else '; look at them'}")
        light = light / found.flat_field
    if found.dust is not None:
        share = speck_share(light, found.dust)
        if share is not None and share < LEAST_SHARE:
            notes.append(
                f"the new tiles show {share:.0%} of the specks of dust: it has moved, and leaves "
                "their shapes in the result; leave multiplicative_dust out of 'stages'"
            )
    return dataclasses.replace(found, notes=(*found.notes, *notes))


class Share(NamedTuple):
    """How much of something is there: 1 all of it, 0 nothing.

    Attributes:
        mean: Over images.
        error: Standard error of the mean; infinite of a single image.
    """

    mean: float
    error: float


def light_share(images: np.ndarray, flat_field: np.ndarray) -> Share | None:
    """How much of a flat field other images show: the mean slope of one on the other.

    Cells have nothing to do with the flat field: they widen the error, and do not move the mean.

    Args:
        images: float [N, Y, X], counts above the sensor's offset.
        flat_field: float [Y, X] of mean 1.

    Returns:
        None where the field is even.
    """
    width = len(flat_field) / _SLOW
    theirs = smooth(flat_field.astype(np.float64), width) - 1
    if theirs.std() < _EVEN:
        return None
    slopes = [
        _slope(smooth(image / image.mean(), width).ravel(), theirs.ravel()) for image in images
    ]
    error = float(np.std(slopes, ddof=1)) / math.sqrt(len(slopes)) if len(slopes) > 1 else math.inf
    return Share(mean=float(np.mean(slopes)), error=error)


def speck_share(light: np.ndarray, dust: np.ndarray) -> float | None:
    """How much of the specks in a dust field the median of other images shows.

    Args:
        light: float [Y, X], divided by its flat field.
        dust: float [Y, X] of mean 1.

    Returns:
        1: all of it, 0: none; None where no speck stands out.
    """
    width = len(dust) / 32
    ours, theirs = (
        image / image.mean() - smooth(image / image.mean(), width)
        for image in (light.astype(np.float64), dust.astype(np.float64))
    )
    spread = 1.4826 * float(np.median(np.abs(theirs - np.median(theirs))))
    specks = theirs < -_SPECK * spread
    if specks.sum() < _LEAST_SPECKS:
        return None
    # Specks beside what is not: a slope over specks alone would know their depths only.
    clean = np.abs(theirs) < spread
    return float((ours[specks].mean() - ours[clean].mean()) / theirs[specks].mean())


def _slope(values: np.ndarray, on: np.ndarray) -> float:
    centered = on - on.mean()
    return float(centered @ (values - values.mean()) / (centered @ centered))


def _light(
    channel: ChannelOfSet,
    found: Estimates,
    config: PreprocessConfig,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Some new images above the sensor's offset, float32 [N, y, x]."""
    sample = list(sample_of(sample_of_set(channel, config), _LOOKED_AT, 0))
    one = functools.partial(
        _acquired, found=found, config=config, fluorescence=channel.fluorescence
    )
    images: list[np.ndarray] = []
    for number, image in enumerate(workers.map(one, sample), start=1):
        if image is not None:
            images.append(image)
        progress(number, len(sample))
    if not images:
        raise InputError(
            f"channel '{channel.name}': none of {len(sample)} new images can be read and is not "
            "saturated, so nothing shows whether the estimates fit"
        )
    if len({image.shape for image in images}) > 1:
        raise InputError(f"channel '{channel.name}': the new tiles are of different sizes")
    exposures = len(channel.planes[0][0])
    return np.stack(images) - np.float32((config.sensor_offset or 0.0) * exposures)


def _acquired(
    sources: tuple[PlaneSource, ...],
    *,
    found: Estimates,
    config: PreprocessConfig,
    fluorescence: bool,
) -> np.ndarray | None:
    """One new image after stages 1 to 3; None where it is not fit."""
    try:
        acquired = acquire(sources, config, fluorescence=fluorescence)
    except InputError:
        # Its field will fail, with the reason.
        return None
    if acquired.saturated > MOST_SATURATED:
        return None
    return without_additive_dust(acquired.image, found.additive_dust, config)
