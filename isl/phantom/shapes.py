"""Bodies and fibers as voxels: soft-edged shapes measured in micrometres."""

import dataclasses

import numpy as np

from isl.phantom.grid import Grid

Window = tuple[slice, slice, slice]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """An ellipsoid whose outline, seen from above, is bent by a few harmonics.

    Attributes:
        center: (z, y, x), um; y and x from the grid's first voxel, z from height 0.
        radii: Half axes (vertical, major, minor), um.
        angle: Direction of the major axis, radians.
        harmonics: Relative radius over the angle, [(amplitude, phase)] for orders 2, 3, ...
    """

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    angle: float
    harmonics: tuple[tuple[float, float], ...] = ()


def window(grid: Grid, center: tuple[float, float, float], reach: tuple[float, float]) -> Window:
    """The voxels within `reach` (vertical, lateral; um) of a center; empty outside the grid."""
    middle = (
        center[0] / grid.thickness + (grid.slabs - 1) / 2,
        center[1] / grid.pixel_size,
        center[2] / grid.pixel_size,
    )
    half = (reach[0] / grid.thickness, reach[1] / grid.pixel_size, reach[1] / grid.pixel_size)
    first = [max(0, int(np.floor(m - h))) for m, h in zip(middle, half, strict=True)]
    last = [
        max(low, min(n, int(np.ceil(m + h)) + 1))
        for m, h, n, low in zip(middle, half, grid.shape, first, strict=True)
    ]
    z, y, x = (slice(low, high) for low, high in zip(first, last, strict=True))
    return z, y, x


def body_window(grid: Grid, body: Body, margin: float = 1.0) -> Window:
    """The voxels that a body, with `margin` um around it, can touch."""
    bulge = 1 + sum(abs(amplitude) for amplitude, _ in body.harmonics)
    vertical, major, minor = body.radii
    return window(grid, body.center, (vertical + margin, max(major, minor) * bulge + margin))


def depth_inside(grid: Grid, body: Body, where: Window) -> np.ndarray:
    """How deep each voxel lies in a body, to first order in the distance from its surface.

    Args:
        grid: The simulated box.
        body: The body.
        where: The voxels asked for.

    Returns:
        float32 [k, y, x], um; positive inside, 0 on the surface, negative outside.
    """
    vertical, major, minor = body.radii
    z = (grid.heights[where[0]] - body.center[0]).astype(np.float32)
    y = np.arange(where[1].start, where[1].stop, dtype=np.float32) * grid.pixel_size
    x = np.arange(where[2].start, where[2].stop, dtype=np.float32) * grid.pixel_size
    y, x = (y - body.center[1])[:, None], (x - body.center[2])[None, :]
    along = (np.cos(body.angle) * x + np.sin(body.angle) * y) / major
    across = (np.cos(body.angle) * y - np.sin(body.angle) * x) / minor
    lateral = np.hypot(along, across)
    bearing = np.arctan2(across, along)
    for order, (amplitude, phase) in enumerate(body.harmonics, start=2):
        lateral = lateral / (1 + amplitude * np.cos(order * bearing + phase))
    upward = (z / vertical)[:, None, None]
    radius = np.sqrt(lateral**2 + upward**2)
    # (1 - radius) / |gradient of radius|; at the center, where the gradient vanishes, the body's
    # smallest radius stands in.
    slope = np.sqrt((lateral / np.sqrt(major * minor)) ** 2 + (upward / vertical) ** 2)
    steepest = 1 / min(body.radii)
    return ((1 - radius) * radius / np.maximum(slope, 1e-3 * steepest)).astype(np.float32)


def filled(depth: np.ndarray, softness: float) -> np.ndarray:
    """Share of each voxel that is inside, [0, 1], for an edge `softness` um wide."""
    return np.clip(0.5 + depth / softness, 0, 1)


def shell(depth: np.ndarray, thickness: float) -> np.ndarray:
    """A Gaussian skin on the surface, peak 1, standard deviation `thickness` um."""
    return np.exp(-0.5 * (depth / thickness) ** 2)


def fiber(
    grid: Grid, path: np.ndarray, radii: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """A tapering fiber along a path.

    Args:
        grid: The simulated box.
        path: float [N, 3], (z, y, x) in um, points at most about a voxel apart.
        radii: float [N], um.

    Returns:
        Voxel indices (z, y, x), each [M], and at each the Gaussian profile in (0, 1]. A voxel may
        occur many times: the largest profile counts.
    """
    reach = 2 * float(radii.max())
    voxel = np.array([grid.thickness, grid.pixel_size, grid.pixel_size], np.float32)
    half = np.ceil(reach / voxel).astype(int)
    offsets = np.stack(
        np.meshgrid(*(np.arange(-h, h + 1, dtype=np.int32) for h in half), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    offsets = offsets[((offsets * voxel) ** 2).sum(-1) <= (reach + voxel[1]) ** 2]
    origin = np.array([grid.heights[0], 0, 0])
    nearest = np.rint((path - origin) / voxel).astype(np.int32)
    remainder = (nearest * voxel + origin - path).astype(np.float32)
    z, y, x = (nearest[:, None, axis] + offsets[:, axis] for axis in range(3))
    squared = np.zeros(z.shape, np.float32)
    for axis in range(3):
        squared += (remainder[:, None, axis] + (offsets[:, axis] * voxel[axis])) ** 2
    profile = np.exp(squared / (-2 * radii[:, None] ** 2).astype(np.float32))
    kept = profile > 0.05
    for places, length in zip((z, y, x), grid.shape, strict=True):
        kept &= (places >= 0) & (places < length)
    return (z[kept], y[kept], x[kept]), profile[kept]
