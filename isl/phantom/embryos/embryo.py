"""Phantom embryos: an eight-cell time-lapse in DIC, its Ezrin, and what truly happened.

The embryo compacts; from its onset on, cells get apical Ezrin caps on their outer faces, one after
another, or never. A recording begins at a random moment of this, so a frame's number says little.
"""

import dataclasses

import numpy as np
import pydantic

from isl.config import Config
from isl.imaging.image import FluorescenceImage, Movie, PixelSize
from isl.phantom.camera import Camera, expose, store, store_planes
from isl.phantom.embryos.body import build, draw_look
from isl.phantom.embryos.development import Development, blastomeres_at, draw_development
from isl.phantom.embryos.light import log_intensity, set_up
from isl.phantom.embryos.microwell import draw_well
from isl.phantom.fluorescence import Confocal, project
from isl.phantom.grid import Grid, make_grid
from isl.phantom.optics import Microscope

EMBRYO_LABELS = ("EZRIN",)
MODALITY = "DIC"
DEPTH, BORDER, THICKEST_SLAB = 100.0, 20.0, 2.5
# Stored Ezrin: background + gain * projection.
BACKGROUND, GAIN = 0.03, 0.55


class EmbryoConfig(Config):
    """What is simulated.

    Attributes:
        height: Rows of the picture.
        width: Columns of the picture.
        planes: Focal planes, evenly about the middle of the field, bottom plane first.
        z_step: Distance between planes, um.
        pixel_size: um.
        fewest_frames: A recording has at least so many frames.
        most_frames: A recording has at most so many frames.
        interval: Minutes between frames.
        never: Chance that an embryo never polarizes.
        early: Length of the time before the recording into which the onset may fall as well, as a
            share of the recording; such an embryo is polarized from its first frame on.
        wells: Chance of each side of the picture to show the wall of a microwell.
        photons: Electrons a camera pixel collects; fewer make more noise.
        unevenness: Relative standard deviation of the illumination over the field.
        dye_photons: Electrons a camera pixel collects from Ezrin at full scale.
    """

    height: int = pydantic.Field(default=128, ge=16, le=2048)
    width: int = pydantic.Field(default=128, ge=16, le=2048)
    planes: int = pydantic.Field(default=13, ge=1, le=256)
    z_step: float = pydantic.Field(default=5.0, ge=0.1, le=100)
    pixel_size: float = pydantic.Field(default=1.2, ge=0.2, le=5)
    fewest_frames: int = pydantic.Field(default=12, ge=1, le=1000)
    most_frames: int = pydantic.Field(default=20, ge=1, le=1000)
    interval: float = pydantic.Field(default=20.0, gt=0, le=10000)
    never: float = pydantic.Field(default=0.25, ge=0, le=1)
    early: float = pydantic.Field(default=0.33, ge=0, le=10)
    wells: float = pydantic.Field(default=0.5, ge=0, le=1)
    photons: float = pydantic.Field(default=3000.0, ge=10, le=1e9)
    unevenness: float = pydantic.Field(default=0.02, ge=0, le=0.2)
    dye_photons: float = pydantic.Field(default=2000.0, ge=10, le=1e9)

    @pydantic.model_validator(mode="after")
    def _frames_are_a_range(self) -> "EmbryoConfig":
        if self.fewest_frames > self.most_frames:
            raise ValueError(
                f"fewest_frames {self.fewest_frames} is more than most_frames {self.most_frames}"
            )
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Embryo:
    """One simulated recording.

    Attributes:
        movie: The transmitted stacks, uint16 [T, Z, Y, X], each plane of mean 0.5 and deviation
            0.125 of full scale before clipping.
        ezrin: The label "EZRIN", uint16 [T, 1, Y, X], the maximum over all heights, full scale = 1,
            on a fixed scale.
        development: What truly happened.
    """

    movie: Movie
    ezrin: FluorescenceImage
    development: Development


def draw_embryo_development(config: EmbryoConfig, seed: int | np.random.Generator) -> Development:
    """What happens to the embryo of `make_embryo` with the same arguments, without its pictures."""
    return _developed(config, _generators(seed)[0])


def make_embryo(
    config: EmbryoConfig, seed: int | np.random.Generator, name: str = "embryo"
) -> Embryo:
    """Simulates one embryo.

    Args:
        config: What is simulated.
        seed: A number, or a generator, which is advanced.
        name: Name of the embryo.
    """
    developing, looking, exposing = _generators(seed)
    development = _developed(config, developing)
    return picture_embryo(config, development, looking, exposing, name)


def _generators(seed: int | np.random.Generator) -> list[np.random.Generator]:
    numbers = np.random.default_rng(seed).integers(2**63, size=3)
    return [np.random.default_rng(number) for number in numbers]


def _developed(config: EmbryoConfig, rng: np.random.Generator) -> Development:
    frames = int(rng.integers(config.fewest_frames, config.most_frames + 1))
    return draw_development(frames, rng, never=config.never, early=config.early)


def picture_embryo(
    config: EmbryoConfig,
    development: Development,
    looking: np.random.Generator,
    exposing: np.random.Generator,
    name: str = "embryo",
) -> Embryo:
    """Takes the pictures of a given development.

    Args:
        config: What is simulated.
        development: What happens.
        looking: Source of the embryo's look and its granules.
        exposing: Source of the light's unevenness and of noise.
        name: Name of the embryo.
    """
    grid = _grid(config)
    focal_heights = (np.arange(config.planes) - (config.planes - 1) / 2) * config.z_step
    light = set_up(_microscope(), grid, focal_heights)
    reach = max(_reach(development, t) for t in (0, development.frames - 1))
    look = draw_look(reach, looking)
    well = draw_well(config.height, config.width, config.pixel_size, config.wells, looking)
    planes, ezrin = [], []
    for t in range(development.frames):
        sample = build(grid, blastomeres_at(development, t), look, looking)
        seen = log_intensity(light, sample.index_difference, sample.absorbance)
        seen = np.exp(grid.center_crop(seen, config.height, config.width) + well)
        camera = Camera(photons=config.photons, unevenness=config.unevenness)
        planes.append(store_planes(expose(seen, camera, exposing)))
        ezrin.append(_fluorescence(sample.ezrin, grid, config, exposing))
    return Embryo(
        movie=Movie(
            name=name,
            frames=np.stack(planes),
            pixel_size=PixelSize(y=config.pixel_size, x=config.pixel_size, z=config.z_step),
            interval=config.interval,
            modality=MODALITY,
        ),
        ezrin=FluorescenceImage(
            name=name,
            channels=np.stack(ezrin)[:, None],
            labels=EMBRYO_LABELS,
            pixel_size=PixelSize(y=config.pixel_size, x=config.pixel_size),
            interval=config.interval,
        ),
        development=development,
    )


def _grid(config: EmbryoConfig) -> Grid:
    """Slabs fit a whole number of times into a z step, or z steps into a slab.

    Then few distances between slabs and planes occur, and few transfers are needed.
    """
    if config.z_step >= THICKEST_SLAB:
        thickness = config.z_step / np.ceil(config.z_step / THICKEST_SLAB)
    else:
        thickness = config.z_step * np.floor(THICKEST_SLAB / config.z_step)
    return make_grid(
        height=config.height,
        width=config.width,
        pixel_size=config.pixel_size,
        depth=DEPTH,
        thickness=float(thickness),
        border=BORDER,
    )


def _microscope() -> Microscope:
    """DIC with a wide-open condenser, so that planes far from focus blur."""
    return Microscope(modality=MODALITY, source_aperture=0.2, bias=np.pi / 2)


def _reach(development: Development, t: int) -> float:
    """How far the cells reach from the embryo's middle in frame `t`, um."""
    cells = blastomeres_at(development, t)
    return float((np.linalg.norm(cells.centers - cells.middle, axis=-1) + cells.radii).max())


def _fluorescence(
    dye: np.ndarray, grid: Grid, config: EmbryoConfig, rng: np.random.Generator
) -> np.ndarray:
    """The stored Ezrin, uint16 [Y, X]."""
    confocal = Confocal(projection="MAXIMUM", axial=1.5, lateral=0.6, leak=0.15)
    image = BACKGROUND + GAIN * project(dye, grid.heights, confocal, grid.pixel_size)
    image = grid.center_crop(image, config.height, config.width)
    camera = Camera(photons=config.dye_photons, unevenness=0)
    return store(expose(image[None], camera, rng))[0]
