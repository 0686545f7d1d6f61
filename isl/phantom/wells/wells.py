"""Simulated wells as a laboratory has them: raw overlapping tiles, damaged in every known way.

What was done to them is kept beside them, so that whoever undoes it can be judged.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pydantic
import scipy.ndimage
import tomli_w

from isl.config import Config
from isl.errors import InputError
from isl.files.whole import write_text, written_whole
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.image import PixelSize, ZStack
from isl.phantom.cells.field import LABELS, PhantomConfig, make_phantom
from isl.phantom.kinds import PhantomKind
from isl.phantom.optics import Modality
from isl.phantom.wells.damage import Damage, draw_bad_pixels, draw_disks, draw_flat_field, record

TRANSMITTED_NAMES: Mapping[Modality, str] = {
    "PHASE_CONTRAST": "phase",
    "DIC": "dic",
    "BRIGHTFIELD": "brightfield",
}
LABEL_NAMES = tuple(label.lower() for label in LABELS)
ROWS, COLUMNS = "ABCDEFGH", 12
MOST_WELLS = len(ROWS) * COLUMNS
OVEREXPOSURE = 50.0


class WellConfig(Config):
    """What is simulated. Pixels are the camera's, half as wide as those that stage 3 leaves.

    Attributes:
        rows: Tiles down a well.
        columns: Tiles across a well.
        tile: Rows and columns of a tile, pixels.
        overlap: What neighbouring tiles should share, pixels.
        jitter: How far the stage misses at most, along each axis, pixels.
        planes: Planes of transmitted light.
        z_step: Distance between planes, um.
        label_planes: Planes of each label; the middle one is in focus.
        pixel_size: um.
        modality: "PHASE_CONTRAST", "DIC" or "BRIGHTFIELD".
        depth: Extent of the sample along the optical axis, um.
        cells: Living cells per mm^2.
        neurites: Thin processes per mm^2.
        debris: Specks per mm^2.
        exposures: Images in a burst of each plane of each label.
        counts: Counts of full light: of a stored 1 in transmitted light, of dye 1 in a label.
        offset: Counts of an exposure without light.
        noise: 1: as the counts make it; 0: none.
        vignetting: How much darker a corner is than the center, 0 to 1.
        dust_disks: Disks of dust that scatter light into the labels.
        dust_diameter: Of these, pixels.
        dust_counts: Counts that the strongest of them adds to an exposure.
        specks: Specks of dust that dim transmitted light.
        speck_diameter: Of these, pixels.
        hot: Share of pixels that always read full scale in the labels' camera.
        dead: Share of pixels that always read 0 there.
        overexposed: How many wells, the last ones, saturate the camera.
        empty: How many wells, the last ones before those, hold nothing.
    """

    rows: int = pydantic.Field(default=3, ge=1, le=20)
    columns: int = pydantic.Field(default=3, ge=1, le=20)
    tile: int = pydantic.Field(default=192, ge=16, le=4096)
    overlap: int = pydantic.Field(default=48, ge=0)
    jitter: int = pydantic.Field(default=6, ge=0)
    planes: int = pydantic.Field(default=3, ge=1, le=64)
    z_step: float = pydantic.Field(default=1.5, gt=0, le=100)
    label_planes: int = pydantic.Field(default=3, ge=1, le=64)
    pixel_size: float = pydantic.Field(default=0.3, ge=0.05, le=2)
    modality: Modality = "PHASE_CONTRAST"
    depth: float = pydantic.Field(default=8.0, ge=1, le=100)
    cells: float = pydantic.Field(default=3000.0, ge=0, le=20000)
    neurites: float = pydantic.Field(default=1500.0, ge=0, le=20000)
    debris: float = pydantic.Field(default=2500.0, ge=0, le=50000)
    exposures: int = pydantic.Field(default=4, ge=1, le=64)
    counts: float = pydantic.Field(default=20000.0, ge=100, le=60000)
    offset: float = pydantic.Field(default=100.0, ge=0, le=10000)
    noise: float = pydantic.Field(default=1.0, ge=0, le=10)
    vignetting: float = pydantic.Field(default=0.3, ge=0, lt=1)
    dust_disks: int = pydantic.Field(default=2, ge=0, le=1000)
    dust_diameter: float = pydantic.Field(default=32.0, ge=1, le=4096)
    dust_counts: float = pydantic.Field(default=1500.0, ge=0, le=60000)
    specks: int = pydantic.Field(default=12, ge=0, le=10000)
    speck_diameter: float = pydantic.Field(default=6.0, ge=1, le=4096)
    hot: float = pydantic.Field(default=5e-4, ge=0, le=0.1)
    dead: float = pydantic.Field(default=5e-4, ge=0, le=0.1)
    overexposed: int = pydantic.Field(default=0, ge=0)
    empty: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _tiles_make_a_well(self) -> "WellConfig":
        if self.overlap >= self.tile:
            raise ValueError(
                f"an overlap of {self.overlap} leaves nothing of tiles of {self.tile} pixels; "
                "give a smaller overlap"
            )
        if max(self.extent) > 8192:
            raise ValueError(
                f"a well of {self.extent[0]} x {self.extent[1]} pixels is more than 8192 a side; "
                "give fewer or smaller tiles"
            )
        return self

    @property
    def extent(self) -> tuple[int, int]:
        """Pixels that the tiles can reach, (Y, X)."""
        step, reach = self.tile - self.overlap, self.tile + 2 * self.jitter
        return (self.rows - 1) * step + reach, (self.columns - 1) * step + reach

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in file names, transmitted light first."""
        return TRANSMITTED_NAMES[self.modality], *LABEL_NAMES


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Well:
    """One well without damage.

    Attributes:
        name: Such as "A1".
        positions: (y, x) of each tile's first pixel by (row, column); the smallest y and x are 0.
        transmitted: float32 [Z, Y, X], light as counts, just as far as the tiles reach.
        labels: float32 [C, Z, Y, X], light as counts.
        condition: "cells", "empty" or "overexposed".
    """

    name: str
    positions: Mapping[tuple[int, int], tuple[int, int]]
    transmitted: np.ndarray
    labels: np.ndarray
    condition: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WellSet:
    """Simulated wells, and all that was done to them.

    Attributes:
        folder: Where the tiles are.
        config: What was simulated.
        seed: What it was drawn from.
        count: Number of wells.
        damage: By channel, the same in all tiles.
    """

    folder: Path
    config: WellConfig
    seed: int
    count: int
    damage: Mapping[str, Damage]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the wells."""
        return tuple(well_name(number) for number in range(self.count))

    def well(self, number: int) -> Well:
        """Well `number`, from 0, simulated again."""
        return make_well(self.config, self.seed, number, self.count)


def write_wells(
    folder: Path, count: int, config: WellConfig, seed: int, *, overwrite: bool = False
) -> WellSet:
    """Simulates wells and writes their raw tiles and the truth.

    A tile's image is `{well}_r{row}_c{col}_z{z}_{channel}.tif`, of a burst
    `..._e{exposure}.tif`: uint16, one plane, numbers from 0. truth.toml comes last: where it is,
    all is there.

    Args:
        folder: Made if missing. In truth/: {channel}_flat_field.npy, {channel}_dust_factor.npy,
            {channel}_dust_light.npy, {channel}_hot.npy, {channel}_dead.npy (see `Damage`), and
            {well}_transmitted.npy, {well}_labels.npy (see `Well`). truth.toml: the configuration,
            and the position of every tile.
        count: Number of wells.
        config: What is simulated.
        seed: A number from 0.
        overwrite: Whether files already there may be replaced.

    Raises:
        InputError: The numbers make no wells, or a file exists or cannot be written.
    """
    truth_file = folder / "truth.toml"
    _check(folder, truth_file, count, config, seed, overwrite)
    damage = draw_damage(config, seed)
    arrays = {
        f"{channel}_{part}": getattr(one, part)
        for channel, one in damage.items()
        for part in ("flat_field", "dust_factor", "dust_light", "hot", "dead")
    }
    for name, array in arrays.items():
        _save(folder / "truth" / f"{name}.npy", array, overwrite)
    positions = {}
    for number in range(count):
        well = make_well(config, seed, number, count)
        for name, image in raw_images(well, config, damage, [seed, number, 2]):
            _write_image(folder / name, image, config, overwrite)
        _save(folder / "truth" / f"{well.name}_transmitted.npy", well.transmitted, overwrite)
        _save(folder / "truth" / f"{well.name}_labels.npy", well.labels, overwrite)
        positions[well.name] = {
            "condition": well.condition,
            "positions": {f"r{r}_c{c}": list(at) for (r, c), at in well.positions.items()},
        }
    truth = {"seed": seed, "config": config.model_dump(mode="json"), "wells": positions}
    write_text(truth_file, tomli_w.dumps(truth), overwrite=overwrite)
    return WellSet(folder=folder, config=config, seed=seed, count=count, damage=damage)


def well_name(number: int) -> str:
    """Name of well `number` of a 96-well plate, row by row: A1 to A12, B1, ..."""
    return f"{ROWS[number // COLUMNS]}{number % COLUMNS + 1}"


def draw_damage(config: WellConfig, seed: int) -> dict[str, Damage]:
    """What each channel suffers; it is the same in every tile and well."""
    rng = np.random.default_rng([seed, 0, 0])
    shape = (config.tile, config.tile)
    # Labels share a camera, and so its bad pixels.
    hot, dead = draw_bad_pixels(shape, config.hot, config.dead, rng)
    none, nothing = np.zeros(shape, bool), np.zeros(shape, np.float32)
    damage = {}
    for channel in config.channels:
        is_label = channel in LABEL_NAMES
        flat_field = draw_flat_field(shape, config.vignetting, rng)
        specks = draw_disks(shape, config.specks, config.speck_diameter, rng)
        disks = draw_disks(shape, config.dust_disks, config.dust_diameter, rng)
        damage[channel] = Damage(
            flat_field=flat_field,
            dust_factor=nothing + 1 if is_label else 1 - np.float32(0.3) * specks,
            dust_light=np.float32(config.dust_counts) * disks if is_label else nothing,
            hot=hot if is_label else none,
            dead=dead if is_label else none,
            offset=config.offset,
            noise=config.noise,
        )
    return damage


def make_well(config: WellConfig, seed: int, number: int, count: int) -> Well:
    """Simulates well `number` of `count`, without damage."""
    condition = "cells"
    if number >= count - config.overexposed:
        condition = "overexposed"
    elif number >= count - config.overexposed - config.empty:
        condition = "empty"
    placing, growing = (np.random.default_rng([seed, number, part]) for part in (0, 1))
    positions = _place(config, placing)
    height, width = (max(at[axis] for at in positions.values()) + config.tile for axis in (0, 1))
    transmitted, labels = _light(config, (height, width), condition, growing)
    return Well(
        name=well_name(number),
        positions=positions,
        transmitted=transmitted,
        labels=labels,
        condition=condition,
    )


def raw_images(
    well: Well, config: WellConfig, damage: Mapping[str, Damage], seed: list[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """The name and pixels, uint16 [Y, X], of every file of a well."""
    rng = np.random.default_rng(seed)
    stacks = dict(zip(config.channels, (well.transmitted, *well.labels), strict=True))
    for (row, column), (y, x) in well.positions.items():
        for channel, stack in stacks.items():
            burst = config.exposures if channel in LABEL_NAMES else 1
            for z, plane in enumerate(stack):
                light = plane[y : y + config.tile, x : x + config.tile]
                name = f"{well.name}_r{row}_c{column}_z{z}_{channel}"
                for number, image in enumerate(record(light, damage[channel], rng, burst)):
                    exposure = f"_e{number}" if burst > 1 else ""
                    yield f"{name}{exposure}.tif", image


def _place(config: WellConfig, rng: np.random.Generator) -> dict[tuple[int, int], tuple[int, int]]:
    """Where the stage really stopped, by (row, column)."""
    step = config.tile - config.overlap
    grid = [(row, column) for row in range(config.rows) for column in range(config.columns)]
    missed = rng.integers(-config.jitter, config.jitter + 1, size=(len(grid), 2))
    places = np.array(grid) * step + missed
    places -= places.min(axis=0)
    return {at: (int(y), int(x)) for at, (y, x) in zip(grid, places, strict=True)}


def _light(
    config: WellConfig, size: tuple[int, int], condition: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of light, float32: transmitted [Z, Y, X] and labels [C, Z, Y, X]."""
    grown = 0 if condition == "empty" else 1
    phantom = PhantomConfig(
        height=size[0],
        width=size[1],
        planes=config.planes,
        z_step=config.z_step,
        pixel_size=config.pixel_size,
        modality=config.modality,
        depth=config.depth,
        # The camera of the tiles makes noise and shade of its own.
        photons=1e9,
        unevenness=0.0,
        cells=grown * config.cells,
        neurites=grown * config.neurites,
        debris=grown * config.debris,
    )
    stack, sharp = make_phantom(phantom, rng)
    scale = config.counts * (OVEREXPOSURE if condition == "overexposed" else 1) / 65535
    transmitted = stack.planes * np.float32(scale)
    if not grown:
        # The phantom stretches its own faint noise, where there is nothing else, to full contrast.
        transmitted[:] = np.float32(scale * 65535 / 2)
    in_focus = sharp.channels * np.float32(scale)
    away = np.abs(np.arange(config.label_planes) - config.label_planes // 2)
    blurs = away * config.z_step / config.pixel_size
    planes = [scipy.ndimage.gaussian_filter(in_focus, (0, blur, blur)) for blur in blurs]
    return transmitted, np.stack(planes, axis=1)


def _write_image(path: Path, image: np.ndarray, config: WellConfig, overwrite: bool) -> None:
    size = PixelSize(y=config.pixel_size, x=config.pixel_size)
    stack = ZStack(name=path.stem, planes=image[None], pixel_size=size)
    write_stack(path, stack, overwrite=overwrite)


def _save(path: Path, array: np.ndarray, overwrite: bool) -> None:
    with written_whole(path, overwrite) as unfinished, unfinished.open("wb") as file:
        np.save(file, array)


def _check(
    folder: Path, truth_file: Path, count: int, config: WellConfig, seed: int, overwrite: bool
) -> None:
    if not 1 <= count <= MOST_WELLS:
        raise InputError(f"{folder}: {count} wells make no plate; give 1 to {MOST_WELLS}")
    if config.overexposed + config.empty > count:
        raise InputError(
            f"{folder}: {config.overexposed} overexposed and {config.empty} empty wells are more "
            f"than {count}; give fewer"
        )
    if seed < 0:
        raise InputError(f"{folder}: seed {seed} is negative; give 0 or more")
    if truth_file.exists() and not overwrite:
        raise InputError(f"{truth_file}: exists already; give `overwrite` to replace it")


KIND = PhantomKind(
    about="wells as raw tiles, overlapping and with dust, uneven light and bad pixels",
    config=WellConfig,
    write=lambda folder, count, config, seed, _, overwrite: (
        write_wells(folder, count, config, seed, overwrite=overwrite).folder
    ),
    undivided="wells are divided by isl preprocess",
)
