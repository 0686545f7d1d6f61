"""A culture in three dimensions: cells with nuclei, membranes and neurites, among debris."""

import dataclasses

import numpy as np
import scipy.ndimage

from isl.phantom.grid import Grid
from isl.phantom.shapes import Body, body_window, depth_inside, fiber, filled, shell

# Refractive index above the medium's. Low enough for single scattering to hold through a cell.
CYTOPLASM, MEMBRANE, GRANULE, NEURITE, DEAD, DEBRIS = 0.007, 0.006, 0.008, 0.009, 0.016, 0.018
# A nucleus is a little less dense than the cytoplasm around it; its rim and nucleoli are denser.
NUCLEUS, NUCLEAR_RIM, NUCLEOLUS = 0.0045, 0.005, 0.010
TEXTURE_SHAPE = (32, 96, 96)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What light meets.

    Attributes:
        index_difference: float32 [K, Y, X], refractive index above the medium's.
        nuclear_dye: float32 [K, Y, X], dye per volume, about 1 inside a nucleus.
        membrane_dye: float32 [K, Y, X], dye per volume, about 1 on a membrane.
    """

    index_difference: np.ndarray
    nuclear_dye: np.ndarray
    membrane_dye: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Population:
    """How much of everything there is, per mm^2 of culture.

    Attributes:
        cells: Living cells; one in eight is dead, small and bright besides.
        neurites: Thin processes.
        debris: Specks that refract light and bind no dye.
    """

    cells: float
    neurites: float
    debris: float


def grow(grid: Grid, population: Population, rng: np.random.Generator) -> Sample:
    """A random culture that fills the grid."""
    sample = Sample(
        index_difference=np.zeros(grid.shape, np.float32),
        nuclear_dye=np.zeros(grid.shape, np.float32),
        membrane_dye=np.zeros(grid.shape, np.float32),
    )
    texture = _texture(rng)
    area = grid.size[1] * grid.size[2] * 1e-6
    bodies = _scatter_cells(grid, round(population.cells * area), rng)
    # Neurites take maxima, the rest adds to what is there: so neurites come first.
    for _ in range(round(population.neurites * area)):
        _draw_neurite(sample, grid, bodies, rng)
    for body in bodies:
        _draw_cell(sample, grid, body, texture, rng)
    for _ in range(round(population.cells * area / 8)):
        _draw_dead_cell(sample, grid, rng)
    for _ in range(round(population.debris * area)):
        _draw_debris(sample, grid, rng)
    return sample


def _texture(rng: np.random.Generator) -> np.ndarray:
    """A periodic block of smooth noise, mean 0, deviation 1; voxels as fine as the grid's."""
    noise = rng.standard_normal(TEXTURE_SHAPE, dtype=np.float32)
    smooth = scipy.ndimage.gaussian_filter(noise, (0.7, 1.5, 1.5), mode="wrap")
    return smooth / smooth.std()


def _patch(texture: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random piece of the periodic texture, of any shape."""
    starts = [rng.integers(n) for n in texture.shape]
    wrapped = [
        (np.arange(length) + start) % n
        for length, start, n in zip(shape, starts, texture.shape, strict=True)
    ]
    return texture[np.ix_(*wrapped)]


def _somewhere(grid: Grid, rng: np.random.Generator) -> tuple[float, float, float]:
    """A place drawn evenly from the box, (z, y, x) in um."""
    z, y, x = rng.uniform(size=3) * grid.size
    return float(z - grid.size[0] / 2), float(y), float(x)


def _outline(rng: np.random.Generator, roughness: float) -> tuple[tuple[float, float], ...]:
    return tuple(
        (float(rng.normal(0, roughness / order)), float(rng.uniform(0, 2 * np.pi)))
        for order in range(2, 6)
    )


def _new_cell(grid: Grid, center: tuple[float, float, float], rng: np.random.Generator) -> Body:
    """A cell between spread and flat, and round and tall."""
    roundness = rng.uniform()
    lateral = rng.uniform(8.5, 11.5) - 4.5 * roundness
    elongation = rng.uniform(1, 1.5 - 0.3 * roundness)
    vertical = min(rng.uniform(1.8, 2.4) + 1.8 * roundness, 0.45 * grid.size[0])
    highest = max(grid.size[0] / 2 - vertical, 0)
    return Body(
        center=(float(np.clip(center[0], -highest, highest)), center[1], center[2]),
        radii=(float(vertical), float(lateral * elongation), float(lateral / elongation)),
        angle=float(rng.uniform(0, np.pi)),
        harmonics=_outline(rng, 0.22 - 0.12 * roundness),
    )


def _scatter_cells(grid: Grid, count: int, rng: np.random.Generator) -> list[Body]:
    """Up to `count` cells, half of them in clumps, that overlap from above but not in space."""
    bodies: list[Body] = []
    centers, extents = np.zeros((count, 3)), np.zeros((count, 3))
    for _ in range(6 * count):
        if len(bodies) == count:
            break
        z, y, x = _somewhere(grid, rng)
        if bodies and rng.uniform() < 0.5:
            neighbor = bodies[rng.integers(len(bodies))].center
            y, x = (neighbor[i] + rng.normal(0, 11) for i in (1, 2))
        body = _new_cell(grid, (z, float(y), float(x)), rng)
        lateral = np.sqrt(body.radii[1] * body.radii[2])
        extent = np.array([body.radii[0], lateral, lateral])
        # Ellipsoids of the mean radius; what the bound lets overlap is no more than a rim.
        apart = (centers[: len(bodies)] - body.center) / (extents[: len(bodies)] + extent)
        if ((apart**2).sum(axis=1) > 0.75).all():
            centers[len(bodies)], extents[len(bodies)] = body.center, extent
            bodies.append(body)
    return bodies


def _nucleus_of(cell: Body, rng: np.random.Generator) -> Body:
    vertical, _, minor = cell.radii
    lateral = min(rng.uniform(3.6, 5.2), 0.72 * minor)
    elongation = rng.uniform(1, 1.25)
    away = rng.uniform(0, 0.5 * (minor - lateral)), rng.uniform(0, 2 * np.pi)
    return Body(
        center=(
            cell.center[0],
            cell.center[1] + away[0] * np.sin(away[1]),
            cell.center[2] + away[0] * np.cos(away[1]),
        ),
        radii=(0.72 * vertical, lateral * elongation, lateral / elongation),
        angle=cell.angle + rng.normal(0, 0.4),
        harmonics=_outline(rng, 0.06),
    )


def _nucleolus_of(nucleus: Body, rng: np.random.Generator) -> Body:
    """A dense spot inside a nucleus, where DNA dye binds less."""
    radius = rng.uniform(0.5, 1.0)
    away = rng.uniform(0, 0.5 * nucleus.radii[2]), rng.uniform(0, 2 * np.pi)
    z, y, x = nucleus.center
    return Body(
        center=(
            z + rng.uniform(-0.3, 0.3) * nucleus.radii[0],
            y + away[0] * np.sin(away[1]),
            x + away[0] * np.cos(away[1]),
        ),
        radii=(0.9 * radius, radius, radius),
        angle=0.0,
    )


def _draw_cell(
    sample: Sample, grid: Grid, cell: Body, texture: np.ndarray, rng: np.random.Generator
) -> None:
    where = body_window(grid, cell)
    nucleus = _nucleus_of(cell, rng)
    nucleoli = [_nucleolus_of(nucleus, rng) for _ in range(rng.integers(1, 4))]
    membrane_dye, nuclear_dye = rng.uniform(0.6, 1.2), rng.uniform(0.7, 1.2)
    # Cells differ in density whatever their dye.
    density, graininess = np.exp(rng.normal(0, 0.15)), rng.uniform(0.2, 1.3)
    index = sample.index_difference[where]
    grain, chromatin = _patch(texture, index.shape, rng), _patch(texture, index.shape, rng)
    if not index.size:
        return
    depth, nuclear_depth = depth_inside(grid, cell, where), depth_inside(grid, nucleus, where)
    skin, rim = shell(depth, 0.4), shell(nuclear_depth, 0.35)
    in_nucleus = filled(nuclear_depth, 0.6)
    in_cytoplasm = filled(depth, 0.8) * (1 - in_nucleus)
    granules = graininess * np.maximum(grain - 1.2, 0)
    bent = in_cytoplasm * (CYTOPLASM * (1 + 0.2 * grain) + GRANULE * granules)
    bent += in_nucleus * (NUCLEUS * (1 + 0.1 * chromatin)) + MEMBRANE * skin + NUCLEAR_RIM * rim
    bound = in_nucleus * np.clip(1 + 0.2 * chromatin, 0.3, 1.7)
    for nucleolus in nucleoli:
        inside = filled(depth_inside(grid, nucleolus, where), 0.5)
        bent += NUCLEOLUS * inside
        bound *= 1 - 0.6 * inside
    index += density * bent
    sample.nuclear_dye[where] += nuclear_dye * bound
    sample.membrane_dye[where] += membrane_dye * (skin + 0.08 * in_cytoplasm)


def _draw_neurite(sample: Sample, grid: Grid, bodies: list[Body], rng: np.random.Generator) -> None:
    """A process that leaves a cell, or comes from elsewhere, and wanders at a slowly varying z."""
    start = np.array(_somewhere(grid, rng))
    if bodies and rng.uniform() < 0.7:
        start = np.array(bodies[rng.integers(len(bodies))].center)
    step = grid.pixel_size
    count = max(2, round(rng.uniform(40, 150) / step))
    drift = scipy.ndimage.gaussian_filter1d(rng.standard_normal(count), 8 / step)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(drift) * step * 0.09
    climb = scipy.ndimage.gaussian_filter1d(rng.standard_normal(count), 6 / step)
    path = np.stack(
        [
            start[0] + np.cumsum(climb) * step * 0.35,
            start[1] + np.cumsum(np.sin(heading)) * step,
            start[2] + np.cumsum(np.cos(heading)) * step,
        ],
        axis=-1,
    )
    beads = scipy.ndimage.gaussian_filter1d(rng.standard_normal(count), 1.5 / step)
    beads = np.clip(1 + 0.25 * beads / beads.std(), 0.6, 1.8)
    radii = rng.uniform(0.3, 0.65) * np.linspace(1.3, 0.8, count) * beads
    places, profile = fiber(grid, path, radii)
    dye = np.float32(rng.uniform(0.4, 0.9))
    np.maximum.at(sample.index_difference, places, np.float32(NEURITE) * profile)
    np.maximum.at(sample.membrane_dye, places, dye * profile)


def _draw_dead_cell(sample: Sample, grid: Grid, rng: np.random.Generator) -> None:
    """A shrunken cell: dense, round, its nucleus small and bright."""
    radius = rng.uniform(1.8, 3.2)
    body = Body(
        center=_somewhere(grid, rng),
        radii=(0.8 * radius, radius, radius * rng.uniform(0.75, 1)),
        angle=rng.uniform(0, np.pi),
        harmonics=_outline(rng, 0.12),
    )
    core = dataclasses.replace(body, radii=tuple(0.6 * r for r in body.radii))
    dye = rng.uniform(1.0, 1.8)
    where = body_window(grid, body)
    if not sample.index_difference[where].size:
        return
    depth = depth_inside(grid, body, where)
    sample.index_difference[where] += DEAD * filled(depth, 0.6)
    sample.nuclear_dye[where] += dye * filled(depth_inside(grid, core, where), 0.6)
    sample.membrane_dye[where] += 0.5 * shell(depth, 0.4)


def _draw_debris(sample: Sample, grid: Grid, rng: np.random.Generator) -> None:
    """A speck of any height; it refracts, and some specks are vacuoles with less index."""
    radius = np.exp(rng.normal(np.log(0.7), 0.5))
    body = Body(
        center=_somewhere(grid, rng),
        radii=(0.8 * radius, radius, radius * rng.uniform(0.5, 1)),
        angle=rng.uniform(0, np.pi),
        harmonics=_outline(rng, 0.2),
    )
    strength = DEBRIS * rng.choice([1.0, 1.0, -0.5])
    where = body_window(grid, body)
    if sample.index_difference[where].size:
        depth = depth_inside(grid, body, where)
        sample.index_difference[where] += strength * filled(depth, 0.5)
