"""One simulated field: a transmitted-light z-stack and the fluorescence that belongs to it."""

import numpy as np
import pydantic

from isl.config import Config
from isl.imaging.image import FluorescenceImage, PixelSize, ZStack
from isl.phantom.camera import Camera, expose, store, store_planes
from isl.phantom.cells.culture import Population, Sample, grow
from isl.phantom.fluorescence import Confocal, Projection, project
from isl.phantom.grid import Grid, make_grid
from isl.phantom.optics import Microscope, Modality, log_intensity

LABELS = ("NUCLEI", "MEMBRANE")
SLAB_THICKNESS = 1.0
BORDER = 9.0
# Stored intensity of a label: background + gain * section.
BACKGROUND, GAIN = 0.08, {"NUCLEI": 0.9, "MEMBRANE": 0.9}


class PhantomConfig(Config):
    """What is simulated.

    Attributes:
        height: Rows of the picture.
        width: Columns of the picture.
        planes: Focal planes, evenly about the middle of the sample, bottom plane first.
        z_step: Distance between planes, um.
        pixel_size: um.
        modality: "PHASE_CONTRAST", "DIC" or "BRIGHTFIELD".
        depth: Extent of the sample along the optical axis, um.
        cells: Living cells per mm^2; fewer where they do not fit.
        neurites: Thin processes per mm^2.
        debris: Specks per mm^2 that are seen in transmitted light only.
        projection: Labels are the confocal "SECTION" at mid height: what lies far above or below
            does not fluoresce though transmitted light shows it, so that only its defocus over
            the planes shows it; or the "MAXIMUM" over sections at all heights.
        section_depth: Standard deviation of the depth of a confocal section, um.
        photons: Electrons a camera pixel collects; fewer make more noise.
        unevenness: Relative standard deviation of the illumination over the field.
    """

    height: int = pydantic.Field(default=512, ge=16, le=8192)
    width: int = pydantic.Field(default=512, ge=16, le=8192)
    planes: int = pydantic.Field(default=13, ge=1, le=256)
    z_step: float = pydantic.Field(default=1.0, gt=0, le=100)
    pixel_size: float = pydantic.Field(default=0.3, ge=0.05, le=2)
    modality: Modality = "PHASE_CONTRAST"
    depth: float = pydantic.Field(default=20.0, ge=1, le=100)
    cells: float = pydantic.Field(default=4000.0, ge=0, le=20000)
    neurites: float = pydantic.Field(default=1500.0, ge=0, le=20000)
    debris: float = pydantic.Field(default=2500.0, ge=0, le=50000)
    projection: Projection = "SECTION"
    section_depth: float = pydantic.Field(default=1.0, ge=0.2, le=100)
    photons: float = pydantic.Field(default=1000.0, ge=10, le=1e9)
    unevenness: float = pydantic.Field(default=0.01, ge=0, le=0.2)


def make_phantom(
    config: PhantomConfig, seed: int | np.random.Generator, name: str = "phantom"
) -> tuple[ZStack, FluorescenceImage]:
    """Simulates one field.

    The same seed and ground (height, width, pixel_size, depth, cells, neurites, debris) grow the
    same culture, whatever it is looked at with.

    Args:
        config: What is simulated.
        seed: A number, or a generator, which is advanced.
        name: Name of the field.

    Returns:
        The transmitted stack, uint16 [Z, Y, X], each plane of mean 0.5 and deviation 0.125 of full
        scale before clipping, and the labels "NUCLEI" and "MEMBRANE", uint16 [2, Y, X], full
        scale = 1, on a fixed scale: equal dye is equally bright in every phantom.
    """
    growth, exposure = (
        np.random.default_rng(number)
        for number in np.random.default_rng(seed).integers(2**63, size=2)
    )
    grid = make_grid(
        height=config.height,
        width=config.width,
        pixel_size=config.pixel_size,
        depth=config.depth,
        thickness=SLAB_THICKNESS,
        border=BORDER,
    )
    population = Population(cells=config.cells, neurites=config.neurites, debris=config.debris)
    sample = grow(grid, population, growth)
    pixel_size = PixelSize(y=config.pixel_size, x=config.pixel_size, z=config.z_step)
    stack = ZStack(
        name=name,
        planes=_transmitted(sample, grid, config, exposure),
        pixel_size=pixel_size,
        modality=config.modality,
    )
    labels = FluorescenceImage(
        name=name,
        channels=_fluorescence(sample, grid, config),
        labels=LABELS,
        pixel_size=PixelSize(y=config.pixel_size, x=config.pixel_size),
    )
    return stack, labels


def _transmitted(
    sample: Sample, grid: Grid, config: PhantomConfig, rng: np.random.Generator
) -> np.ndarray:
    """The stored transmitted planes, uint16 [Z, Y, X]."""
    microscope = Microscope(modality=config.modality)
    phase = sample.index_difference * np.float32(2 * np.pi / microscope.wavelength * grid.thickness)
    focal_heights = (np.arange(config.planes) - (config.planes - 1) / 2) * config.z_step
    seen = log_intensity(phase, grid.heights, focal_heights, microscope, grid.pixel_size)
    seen = np.exp(grid.center_crop(seen, config.height, config.width))
    camera = Camera(photons=config.photons, unevenness=config.unevenness)
    return store_planes(expose(seen, camera, rng))


def _fluorescence(sample: Sample, grid: Grid, config: PhantomConfig) -> np.ndarray:
    """The stored labels, uint16 [C, Y, X]."""
    confocal = Confocal(projection=config.projection, axial=config.section_depth)
    dyes = {"NUCLEI": sample.nuclear_dye, "MEMBRANE": sample.membrane_dye}
    images = [
        BACKGROUND + GAIN[label] * project(dyes[label], grid.heights, confocal, grid.pixel_size)
        for label in LABELS
    ]
    return store(grid.center_crop(np.stack(images), config.height, config.width))
