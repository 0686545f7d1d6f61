"""A phantom embryo's matter in one frame: what refracts, what absorbs, and where Ezrin is."""

import dataclasses

import numpy as np
import scipy.ndimage

from isl.phantom.embryos.development import CELLS, Blastomeres
from isl.phantom.grid import Grid
from isl.phantom.shapes import Window, filled, shell, window

# Refractive index above the medium's. Single scattering through a whole embryo holds for less
# than real cells have.
CYTOPLASM, GRANULE, NUCLEUS, SURFACE, CONTACT = 0.0026, 0.0070, 0.0019, 0.004, 0.004
CAP, ZONA, SPECK = 0.007, 0.0022, 0.015
# Light lost for each um of path, as the logarithm of amplitude: what steep surfaces bend beyond the
# objective's aperture, and what granules absorb.
RIM_LOSS, GRANULE_LOSS, CAP_LOSS = 0.026, 0.016, 0.025
# Dye per volume; the cytoplasm's is drawn for each embryo.
SURFACE_DYE, CONTACT_DYE, CAP_DYE = 0.25, 0.1, 2.8
SKIN = 1.2
"""Deviation of a membrane's Gaussian profile, um: about a voxel."""
DIMMING = 150.0
"""Depth, um, over which the light of Ezrin falls to 1/e on its way to the objective."""
_MARGIN = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EmbryoSample:
    """What light meets in one frame.

    Attributes:
        index_difference: float32 [K, Y, X], refractive index above the medium's.
        absorbance: float32 [K, Y, X], logarithm of the amplitude lost, per um.
        ezrin: float32 [K, Y, X], dye per volume.
        nuclei: float32 [K, Y, X], dye per volume.
    """

    index_difference: np.ndarray
    absorbance: np.ndarray
    ezrin: np.ndarray
    nuclei: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What stays the same about an embryo.

    Attributes:
        densities: float64 [8], relative refractive power of the cells.
        expressions: float64 [8], Ezrin in the cells' cytoplasm, dye per volume.
        graininess: How many granules there are, about 1.
        nuclei: float64 [8, 3], the nuclei's places as shares of the cells' radii.
        zona_radius: Inner radius of the zona pellucida, um.
        zona_thickness: um.
        polar_body: float64 [3], unit vector (z, y, x) from the embryo's middle to its polar body.
        specks: float64 [N, 4], debris: (z, y, x) from the middle of the field and radius, um.
    """

    densities: np.ndarray
    expressions: np.ndarray
    graininess: float
    nuclei: np.ndarray
    zona_radius: float
    zona_thickness: float
    polar_body: np.ndarray
    specks: np.ndarray


def draw_look(reach: float, rng: np.random.Generator) -> Look:
    """A random look.

    Args:
        reach: How far the cells reach from the embryo's middle at most, um; the zona lies outside.
        rng: Source of chance.
    """
    specks = rng.uniform(-60, 60, (rng.poisson(3), 4))
    specks[:, 3] = rng.uniform(0.8, 2.0, len(specks))
    toward = rng.standard_normal(3) * [0.3, 1, 1]
    return Look(
        densities=np.exp(rng.normal(0, 0.08, CELLS)),
        expressions=rng.uniform(0.25, 0.5) * np.exp(rng.normal(0, 0.1, CELLS)),
        graininess=float(rng.uniform(0.7, 1.3)),
        nuclei=rng.normal(0, 0.12, (CELLS, 3)),
        zona_radius=reach + float(rng.uniform(1, 3)),
        zona_thickness=float(rng.uniform(5.5, 7.5)),
        polar_body=toward / np.linalg.norm(toward),
        specks=specks,
    )


def build(
    grid: Grid, cells: Blastomeres, look: Look, rng: np.random.Generator, *, caps: float = 1.0
) -> EmbryoSample:
    """The matter of one frame.

    Args:
        grid: The box; its middle is the middle of the field.
        cells: Where the cells are.
        look: What they are like.
        rng: Source of the granules, which are drawn anew in every frame, as cytoplasm streams.
        caps: How strongly caps bend and absorb light; see `EmbryoConfig`.
    """
    sample = EmbryoSample(
        index_difference=np.zeros(grid.shape, np.float32),
        absorbance=np.zeros(grid.shape, np.float32),
        ezrin=np.zeros(grid.shape, np.float32),
        nuclei=np.zeros(grid.shape, np.float32),
    )
    _add_zona(sample, grid, cells.middle, look)
    _add_polar_body(sample, grid, cells.middle, look, rng)
    for speck in look.specks:
        where = ball_window(grid, speck[:3], speck[3])
        depth = speck[3] - distance_to(grid, speck[:3], where)
        sample.index_difference[where] += SPECK * filled(depth, 2.0)
    _add_cells(sample, grid, cells, look, rng, caps)
    fading = np.exp((grid.heights - grid.heights[-1]) / DIMMING).astype(np.float32)
    for dye in (sample.ezrin, sample.nuclei):
        dye *= fading[:, None, None]
    return sample


def _absolute(grid: Grid, place: np.ndarray) -> tuple[float, float, float]:
    """A place counted from the middle of the field as grids count: y, x from the first voxel."""
    _, height, width = grid.size
    return float(place[0]), float(place[1] + height / 2), float(place[2] + width / 2)


def ball_window(grid: Grid, center: np.ndarray, radius: float) -> Window:
    """The voxels that a ball, counted from the middle of the field, can touch."""
    reach = float(radius) + _MARGIN
    return window(grid, _absolute(grid, center), (reach, reach))


def offsets_from(
    grid: Grid, center: np.ndarray, where: Window
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(z, y, x) from a place, um, as float32 [k, 1, 1], [y, 1] and [x]."""
    origin = _absolute(grid, center)
    z = grid.heights[where[0]] - origin[0]
    y, x = (
        np.arange(place.start, place.stop) * grid.pixel_size - start
        for place, start in zip(where[1:], origin[1:], strict=True)
    )
    return z.astype(np.float32)[:, None, None], y.astype(np.float32)[:, None], x.astype(np.float32)


def distance_to(grid: Grid, center: np.ndarray, where: Window) -> np.ndarray:
    """Distance of each voxel from a place counted from the middle of the field, float32, um."""
    z, y, x = offsets_from(grid, center, where)
    return np.sqrt(z**2 + y**2 + x**2)


def _add_zona(sample: EmbryoSample, grid: Grid, middle: np.ndarray, look: Look) -> None:
    """A clear shell around the embryo, a little denser at its two faces."""
    everywhere = (slice(0, grid.slabs), slice(0, grid.rows), slice(0, grid.columns))
    distance = distance_to(grid, middle, everywhere)
    depth = look.zona_thickness / 2 - np.abs(distance - look.zona_radius - look.zona_thickness / 2)
    near = depth > -_MARGIN
    depth = depth[near]
    sample.index_difference[near] += ZONA * (filled(depth, 2.5) + 0.6 * shell(depth, 0.8))
    sample.absorbance[near] += 0.12 * RIM_LOSS * shell(depth, 0.8)


def _add_polar_body(
    sample: EmbryoSample, grid: Grid, middle: np.ndarray, look: Look, rng: np.random.Generator
) -> None:
    radius = 5.5
    center = middle + look.polar_body * (look.zona_radius - radius)
    where = ball_window(grid, center, radius)
    depth = radius - distance_to(grid, center, where)
    inside, skin = filled(depth, 2.0), shell(depth, SKIN)
    grain = rng.standard_normal(depth.shape, dtype=np.float32)
    sample.index_difference[where] += inside * (CYTOPLASM + 0.3 * GRANULE * grain) + SURFACE * skin
    sample.absorbance[where] += 0.5 * RIM_LOSS * skin
    sample.ezrin[where] += 0.5 * look.expressions.mean() * inside


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Territory:
    """Which voxels belong to which cell.

    Attributes:
        owner: intp [k, y, x], the cell whose power distance is smallest.
        outside: float32 [k, y, x], depth under the owner's ball, um; negative outside the embryo.
        contact: float32 [k, y, x], distance from the flat face to the nearest neighbor, um.
    """

    owner: np.ndarray
    outside: np.ndarray
    contact: np.ndarray


def divide(grid: Grid, cells: Blastomeres, where: Window) -> Territory:
    """Shares the voxels among the cells: balls that meet are divided by the plane of their ring."""
    shape = tuple(place.stop - place.start for place in where)
    best = np.full(shape, np.inf, np.float32)
    second, owner, rival = best.copy(), np.zeros(shape, np.intp), np.zeros(shape, np.intp)
    for number, (center, radius) in enumerate(zip(cells.centers, cells.radii, strict=True)):
        z, y, x = offsets_from(grid, center, where)
        power = (z**2 - np.float32(radius**2)) + y**2 + x**2
        wins = power < best
        places = ~wins & (power < second)
        second = np.where(wins, best, np.where(places, power, second))
        rival = np.where(wins, owner, np.where(places, number, rival))
        best = np.where(wins, power, best)
        owner = np.where(wins, number, owner)
    apart = np.linalg.norm(cells.centers[:, None] - cells.centers, axis=-1).astype(np.float32)
    radii = cells.radii.astype(np.float32)[owner]
    return Territory(
        owner=owner,
        outside=radii - np.sqrt(np.maximum(best + radii**2, 0)),
        contact=(second - best) / np.maximum(2 * apart[owner, rival], 1e-3),
    )


def _add_cells(
    sample: EmbryoSample,
    grid: Grid,
    cells: Blastomeres,
    look: Look,
    rng: np.random.Generator,
    contrast: float,
) -> None:
    reach = float((np.linalg.norm(cells.centers - cells.middle, axis=-1) + cells.radii).max())
    where = ball_window(grid, cells.middle, reach)
    land = divide(grid, cells, where)
    smooth = scipy.ndimage.gaussian_filter(_noise(land, rng), (0.5, 1.2, 1.2)) * 4
    grain = scipy.ndimage.gaussian_filter(_noise(land, rng), (0.3, 0.55, 0.55)) * 2.2
    inside = filled(land.outside, 2.0)
    nuclei = _nuclei(grid, cells, look, where)
    plasma = inside * (1 - nuclei)
    granules = look.graininess * np.maximum(grain - 1.0, 0) * plasma
    granules *= filled(land.outside - 2.5, 2.0)
    skin = shell(land.outside, SKIN)
    contacts = shell(land.contact, SKIN) * inside
    density = look.densities.astype(np.float32)[cells.lineage][land.owner]
    caps = _caps(grid, cells, land, where, rng)

    bent = plasma * CYTOPLASM * (1 + 0.25 * smooth) + GRANULE * granules + NUCLEUS * nuclei * inside
    bent += SURFACE * skin + CONTACT * (1 - 0.75 * cells.compactness) * contacts
    sample.index_difference[where] += density * bent + contrast * CAP * caps
    steepness = _steepness(grid, cells, land, where)
    sample.absorbance[where] += RIM_LOSS * skin * steepness + GRANULE_LOSS * granules
    sample.absorbance[where] += contrast * CAP_LOSS * caps

    expressions = look.expressions.astype(np.float32)[cells.lineage]
    dye = expressions[land.owner] * inside * (1 - 0.3 * nuclei)
    dye *= 1 + 0.12 * grain
    dye += SURFACE_DYE * skin + CONTACT_DYE * contacts * filled(land.outside - 3, 4.0)
    sample.ezrin[where] += dye + CAP_DYE * caps
    sample.nuclei[where] += nuclei * inside * (1 + 0.1 * smooth)


def _noise(land: Territory, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(land.owner.shape, dtype=np.float32)


def _nuclei(grid: Grid, cells: Blastomeres, look: Look, where: Window) -> np.ndarray:
    """Share of each voxel that is in a nucleus, float32 [k, y, x]."""
    nuclei = np.zeros(tuple(place.stop - place.start for place in where), np.float32)
    own = look.nuclei[cells.lineage]
    for center, radius, away in zip(cells.centers, cells.radii, own, strict=True):
        # Nuclei keep some way off the middle of the embryo, where the flat faces are.
        place = center + 0.15 * (center - cells.middle) + away * radius
        depth = 0.38 * radius - distance_to(grid, place, where)
        nuclei = np.maximum(nuclei, filled(depth, 2.0))
    return nuclei


def _steepness(grid: Grid, cells: Blastomeres, land: Territory, where: Window) -> np.ndarray:
    """How upright a ball's surface stands, [0, 1]: 1 at its equator, 0 at its poles."""
    z = grid.heights[where[0]].astype(np.float32)[:, None, None]
    rise = z - cells.centers[:, 0].astype(np.float32)[land.owner]
    return np.clip(1 - (rise / cells.radii.astype(np.float32)[land.owner]) ** 2, 0, 1) ** 4


def _caps(
    grid: Grid, cells: Blastomeres, land: Territory, where: Window, rng: np.random.Generator
) -> np.ndarray:
    """The apical caps, float32 [k, y, x], about 1: a bright ring and a beaded disc inside it.

    They lie on the outer faces and keep off the contacts between cells.
    """
    caps = np.zeros(land.owner.shape, np.float32)
    for number in np.flatnonzero(cells.cap_angles):
        mine = (land.owner == number) & (np.abs(land.outside) < 4 * SKIN)
        k, y, x = np.nonzero(mine)
        offsets = [
            axis.ravel()[index]
            for axis, index in zip(
                offsets_from(grid, cells.centers[number], where), (k, y, x), strict=True
            )
        ]
        towards = np.stack(offsets, axis=-1)
        length = np.maximum(np.linalg.norm(towards, axis=-1), 1e-3)
        cosine = towards @ cells.cap_axes[number].astype(np.float32) / length
        # Along the surface from the cap's rim, um: positive inside.
        edge = (cells.cap_angles[number] - np.arccos(np.clip(cosine, -1, 1))) * cells.radii[number]
        ring = np.exp(-0.5 * ((edge - 1.5) / 1.5) ** 2)
        caps[mine] = np.maximum(ring, 0.3 * filled(edge, 2.0))
    beads = scipy.ndimage.gaussian_filter(_noise(land, rng), (0.4, 0.5, 0.5)) * 2
    caps *= np.clip(1 + 0.45 * beads, 0.2, 2.0)
    return caps * shell(land.outside, SKIN) * filled(land.contact - 1.5, 2.0)
