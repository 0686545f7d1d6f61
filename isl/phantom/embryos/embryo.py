"""Phantom embryos: an eight-cell time-lapse in DIC, its Ezrin, and what truly happened.

The embryo compacts; from its onset on, cells get apical Ezrin caps on their outer faces, one after
another, or never. A recording begins at a random moment of this, so a frame's number says little.
Caps are bright in Ezrin and faint in DIC. Some frames are out of focus, and in some embryos the
nuclei are dyed as well.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pydantic

from isl.config import Config
from isl.imaging.image import FluorescenceImage, Movie, PixelSize
from isl.phantom.camera import Camera, expose, store, store_planes
from isl.phantom.embryos.body import build, draw_look
from isl.phantom.embryos.development import Development, blastomeres_at, draw_development
from isl.phantom.embryos.light import Light, log_intensity, set_up
from isl.phantom.embryos.microwell import draw_well
from isl.phantom.fluorescence import Confocal, project
from isl.phantom.grid import Grid, make_grid
from isl.phantom.optics import Microscope

EMBRYO_LABELS = ("EZRIN",)
NUCLEI = "NUCLEI"
MODALITY = "DIC"
DEPTH, BORDER, THICKEST_SLAB = 100.0, 20.0, 2.5
# Stored dye: background + gain * projection.
BACKGROUND, GAIN = 0.03, 0.55
# How far the stack of a frame out of focus is from where it should be, um.
_NEAREST_MISS, _FARTHEST_MISS = 25, 40


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
        divisions: Chance that the recording shows how the eight cells came to be, and as much that
            it shows how they divide.
        caps: How strongly caps bend and absorb light, as a share of what nobody would overlook; 0:
            only Ezrin shows them.
        unfocused: Chance of each frame to be out of focus.
        dyed_nuclei: Chance of an embryo to have its nuclei dyed, too.
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
    divisions: float = pydantic.Field(default=0.3, ge=0, le=1)
    caps: float = pydantic.Field(default=0.8, ge=0, le=1)
    unfocused: float = pydantic.Field(default=0.02, ge=0, le=1)
    dyed_nuclei: float = pydantic.Field(default=0.5, ge=0, le=1)
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
        nuclei: The label "NUCLEI", likewise; None: nobody dyed them.
        focus: float64 [T], how far above its place the stack of each frame is, um; 0: in focus.
        development: What truly happened.
    """

    movie: Movie
    ezrin: FluorescenceImage
    nuclei: FluorescenceImage | None
    focus: np.ndarray
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
    return draw_development(
        frames, rng, never=config.never, early=config.early, divisions=config.divisions
    )


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
    pictured = EmbryoPictures(config, development, looking)
    well = draw_well(config.height, config.width, config.pixel_size, config.wells, looking)
    # What came later has chance of its own, so that embryos stay those that they were.
    (aside,) = looking.spawn(1)
    dyed = aside.uniform() < config.dyed_nuclei
    focus = draw_focus(config, development.frames, aside)
    planes, ezrin, nuclei = [], [], []
    for t in range(development.frames):
        frame = pictured.frame(t, float(focus[t]))
        cropped = pictured.grid.center_crop(frame.log_intensity, config.height, config.width)
        planes.append(photograph(cropped + well, config, exposing))
        for kept, dye, rng in ((ezrin, frame.ezrin, exposing), (nuclei, frame.nuclei, aside)):
            cropped = pictured.grid.center_crop(dye, config.height, config.width)
            kept.append(photograph_dye(cropped, config, rng))
    return Embryo(
        movie=Movie(
            name=name,
            frames=np.stack(planes),
            pixel_size=PixelSize(y=config.pixel_size, x=config.pixel_size, z=config.z_step),
            interval=config.interval,
            modality=MODALITY,
        ),
        ezrin=_fluorescence(name, EMBRYO_LABELS, ezrin, config),
        nuclei=_fluorescence(name, (NUCLEI,), nuclei, config) if dyed else None,
        focus=focus,
        development=development,
    )


def draw_focus(config: EmbryoConfig, frames: int, rng: np.random.Generator) -> np.ndarray:
    """How far above its place the stack of each frame is, float64 [T], um."""
    missed = rng.uniform(size=frames) < config.unfocused
    away = rng.integers(_NEAREST_MISS, _FARTHEST_MISS + 1, frames) * rng.choice([-1, 1], frames)
    return np.where(missed, away, 0).astype(float)


class Frame(NamedTuple):
    """What light does in one frame, before a camera sees it; the grid's border included.

    Attributes:
        log_intensity: float32 [Z, Y, X], relative to an empty field.
        ezrin: float32 [Y, X], the maximum over all heights of what a confocal microscope sees.
        nuclei: float32 [Y, X], likewise.
    """

    log_intensity: np.ndarray
    ezrin: np.ndarray
    nuclei: np.ndarray


class EmbryoPictures:
    """One embryo under its microscope, frame by frame.

    Attributes:
        grid: The box, wider than the picture.
    """

    def __init__(
        self, config: EmbryoConfig, development: Development, looking: np.random.Generator
    ) -> None:
        """Draws what stays the same about the embryo.

        Args:
            config: What is simulated.
            development: What happens.
            looking: Source of the embryo's look and its granules, in this order.
        """
        self.grid = _grid(config)
        self._config = config
        self._development = development
        self._looking = looking
        reach = max(_reach(development, t) for t in (0, development.frames - 1))
        self._look = draw_look(reach, looking)

    def frame(self, t: int, focus: float) -> Frame:
        """Frame `t`; frames are asked for in order, as granules are drawn anew in each.

        Args:
            t: Which.
            focus: How far above its place the stack is, um.
        """
        cells = blastomeres_at(self._development, t)
        sample = build(self.grid, cells, self._look, self._looking, caps=self._config.caps)
        light = _light(self.grid, self._config.planes, self._config.z_step, focus)
        return Frame(
            log_intensity(light, sample.index_difference, sample.absorbance),
            *(_projected(dye, self.grid) for dye in (sample.ezrin, sample.nuclei)),
        )


def photograph(
    seen: np.ndarray, config: EmbryoConfig, rng: np.random.Generator, deviation: float = 0.125
) -> np.ndarray:
    """The stored planes uint16 [Z, Y, X] of a logarithm of intensity, float32 [Z, Y, X]."""
    camera = Camera(photons=config.photons, unevenness=config.unevenness)
    return store_planes(expose(np.exp(seen), camera, rng), deviation=deviation)


def photograph_dye(
    projected: np.ndarray, config: EmbryoConfig, rng: np.random.Generator
) -> np.ndarray:
    """The stored label, uint16 [Y, X], of projected dye, float32 [Y, X]."""
    camera = Camera(photons=config.dye_photons, unevenness=0)
    return store(expose((BACKGROUND + GAIN * projected)[None], camera, rng))[0]


@functools.lru_cache(maxsize=8)
def _light(grid: Grid, planes: int, z_step: float, focus: float) -> Light:
    focal_heights = (np.arange(planes) - (planes - 1) / 2) * z_step
    return set_up(_microscope(), grid, focal_heights + focus)


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


def _projected(dye: np.ndarray, grid: Grid) -> np.ndarray:
    """float32 [Y, X], the maximum over all heights."""
    confocal = Confocal(projection="MAXIMUM", axial=1.5, lateral=0.6, leak=0.15)
    return project(dye, grid.heights, confocal, grid.pixel_size)


def _fluorescence(
    name: str, labels: tuple[str, ...], images: Sequence[np.ndarray], config: EmbryoConfig
) -> FluorescenceImage:
    """Images [Y, X] of one label as a movie."""
    return FluorescenceImage(
        name=name,
        channels=np.stack(images)[:, None],
        labels=labels,
        pixel_size=PixelSize(y=config.pixel_size, x=config.pixel_size),
        interval=config.interval,
    )
