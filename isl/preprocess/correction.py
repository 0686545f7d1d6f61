"""A tile's planes through the stages that need no other tile: exposures summed, and 1 to 5."""

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np

from isl.errors import InputError
from isl.imaging.inputs.open_image import open_images
from isl.imaging.sharpness import Noise, estimate_noise
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout.fields import PlaneSource
from isl.preprocess.stages.additive_dust import AdditiveDust, subtract
from isl.preprocess.stages.downscale import downscale
from isl.preprocess.stages.exposures import sum_exposures
from isl.preprocess.stages.flat_field import correct_flat_field
from isl.preprocess.stages.image_quality import saturated
from isl.preprocess.stages.salt_and_pepper import remove_salt_and_pepper


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """What all images of a channel share, and none of the samples.

    Attributes:
        additive_dust: In counts, at the size as acquired; None where the stage does not run.
        flat_field: float32 [y, x] of mean 1, downscaled; None where the stage does not run.
        dust: float32 [y, x] of mean 1, downscaled; None where the stage does not run.
        error: Relative deviation, between the scales of `image_quality.content`, of what dust errs
            by: cells of other images that it leaves in every one.
        images: How many images they were made from.
        of: How many there are.
        notes: What a person should know of them.
    """

    additive_dust: AdditiveDust | None = None
    flat_field: np.ndarray | None = None
    dust: np.ndarray | None = None
    error: float = 0.0
    images: int = 0
    of: int = 0
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Acquired:
    """A plane as the camera gave it, but for single wrong pixels.

    Attributes:
        image: float32 [Y, X], counts; the sum where there were several exposures.
        saturated: Share of pixels that are full, in the exposure that has most of them.
        exposures: How many.
        full: Counts of a pixel that is full in every exposure; 1 for floats, which none is.
        noise: The camera's, counts, as the sum of exposures has it before any filter.
    """

    image: np.ndarray
    saturated: float
    exposures: int
    full: float
    noise: Noise


def read_exposure(source: PlaneSource) -> np.ndarray:
    """The pixels of one plane of a file.

    Raises:
        InputError: They cannot be read.
    """
    with contextlib.ExitStack() as opened:
        pictures = [
            opened.enter_context(each) for each in open_images(source.file, axes=source.axes)
        ]
        return pictures[source.image].read(t=source.t, c=source.c, z=source.z)


def acquire(
    sources: Sequence[PlaneSource], config: PreprocessConfig, *, fluorescence: bool
) -> Acquired:
    """Reads the exposures of one plane and does stage 1.

    Args:
        sources: The plane's exposures.
        config: Which stages run.
        fluorescence: Whether the plane is fluorescence.

    Raises:
        InputError: A file cannot be read, or holds pixels that are no numbers.
    """
    exposures = [read_exposure(source) for source in sources]
    share = max(saturated(exposure, config.full_pixel) for exposure in exposures)
    image = sum_exposures(exposures, source=str(sources[0].file))
    if not np.isfinite(image).all():
        raise InputError(f"{sources[0].file}: holds NaN or infinite pixels; replace them first")
    noise = estimate_noise(image)
    if fluorescence and config.runs("salt_and_pepper"):
        stage = config.salt_and_pepper
        image = remove_salt_and_pepper(
            image, size=stage.size, most_passes=stage.most_passes, source=sources[0].file
        ).image
    return Acquired(
        image=image,
        saturated=share,
        exposures=len(exposures),
        full=len(exposures) * (config.full_pixel or _most(exposures[0].dtype)),
        noise=noise,
    )


def _most(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def without_additive_dust(
    image: np.ndarray, dust: AdditiveDust | None, config: PreprocessConfig
) -> np.ndarray:
    """Stages 2 and 3: float32 [Y, X] to [y, x], `config.factor` times smaller."""
    if dust is not None:
        image = subtract(image, dust)
    return downscale(image, config.factor) if config.factor > 1 else image


def correct(acquired: Acquired, estimates: Estimates, config: PreprocessConfig) -> np.ndarray:
    """Stages 2 to 5: an acquired plane to float32 [y, x], in counts above the sensor's offset."""
    image = without_additive_dust(acquired.image, estimates.additive_dust, config)
    dark = (config.sensor_offset or 0.0) * acquired.exposures
    image = image - np.float32(dark)
    most = acquired.full - dark if config.flat_field.clip == "full" else None
    if estimates.flat_field is not None:
        image = correct_flat_field(image, estimates.flat_field, most=most)
    if estimates.dust is not None:
        image = correct_flat_field(image, estimates.dust, most=most, source="dust field")
    return image
