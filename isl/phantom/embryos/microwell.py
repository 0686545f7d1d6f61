"""The walls of the microwell that an embryo lies in, where they come into the picture."""

import numpy as np
import scipy.ndimage


def draw_well(
    height: int, width: int, pixel_size: float, chance: float, rng: np.random.Generator
) -> np.ndarray:
    """Log of the intensity behind the walls, float32 [Y, X]; it tends to 0 inside the well.

    Args:
        height: Rows of the picture.
        width: Columns of the picture.
        pixel_size: um.
        chance: Of each side of the picture to show a wall.
        rng: Source of chance.
    """
    y, x = np.meshgrid(
        *((np.arange(n, dtype=np.float32) + 0.5) * pixel_size for n in (height, width)),
        indexing="ij",
    )
    well = np.zeros((height, width), np.float32)
    # Distance from the side, position along it, and whether it lies level.
    sides = ((y, x, True), (y[::-1], x, True), (x, y, False), (x[:, ::-1], y, False))
    for depth, along, level in sides:
        place, slope, shown = rng.uniform(0.02, 0.1), rng.normal(0, 0.03), rng.uniform()
        streaks = _streaks(depth.shape, level, rng)
        if shown >= chance:
            continue
        inward = depth - place * depth.max() - slope * along
        edge = np.exp(-np.where(inward > 0, inward / 3.0, -inward / 1.5))
        well += np.where(inward < 0, -0.15 + 0.12 * streaks, 0) - 0.9 * edge
    return well.astype(np.float32)


def _streaks(shape: tuple[int, ...], level: bool, rng: np.random.Generator) -> np.ndarray:
    """Scratches along a wall, float32 [Y, X], deviation 1."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    smooth = scipy.ndimage.gaussian_filter(noise, (1, 8) if level else (8, 1))
    return smooth / smooth.std()
