"""What the inside of a colony looks like in phase contrast, one texture for each class.

They follow the words of Witmer and Bhanu (2024, "Dataset and ground-truth"): dense colonies are
fine-grained and uniform; spread cells are large, flat and uneven; differentiated cells have dark
bodies and long processes; debris are shiny balls. They are pictures, not optics.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree
from skimage.draw import line

CLASSES = ("debris", "dense", "differentiated", "spread")
"""In the paper's order, which is the alphabet's."""


def debris(shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> np.ndarray:
    """Balls with a shiny rim, pressed together; see `TEXTURES`."""
    apart = 15 * zoom
    centers = _scattered(shape, apart, 0.45, rng)
    distance, index = _nearest(shape, centers, 1)
    radius = rng.uniform(0.32, 0.55, len(centers))[index] * apart
    rim = np.exp(-(((distance - radius) / (0.14 * apart)) ** 2))
    core = np.clip(1 - distance / radius, 0, 1)
    return 0.30 * rim - 0.10 * core + 0.02 * _grain(shape, 0.8 * zoom, rng)


def dense(shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> np.ndarray:
    """Small cells side by side: fine, even grain; see `TEXTURES`."""
    fine = _grain(shape, 1.1 * zoom, rng) - 0.4 * _grain(shape, 2.6 * zoom, rng)
    return 0.055 * fine + 0.03


def differentiated(shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> np.ndarray:
    """Dark bodies, and processes from one to another; see `TEXTURES`."""
    centers = _scattered(shape, 34 * zoom, 0.4, rng)
    distance, _ = _nearest(shape, centers, 1)
    bodies = np.exp(-((distance / (6 * zoom)) ** 2))
    drawn = np.zeros(shape)
    tree = KDTree(centers)
    for center in centers:
        _, neighbours = tree.query(center, k=min(4, len(centers)))
        for neighbour in np.atleast_1d(neighbours)[1:]:
            if rng.random() < 0.6:
                ends = np.rint([*center, *centers[neighbour]]).astype(int)
                rows, columns = line(*ends)
                inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
                drawn[rows[inside], columns[inside]] = 1
    width = 0.9 * zoom
    processes = gaussian_filter(drawn, width) * width * np.sqrt(2 * np.pi)
    grain = 0.022 * _grain(shape, 1.3 * zoom, rng)
    return grain - 0.24 * bodies - 0.13 * np.clip(processes, 0, 1)


def spread(shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> np.ndarray:
    """Large flat cells with pale borders and a nucleus each; see `TEXTURES`."""
    centers = _scattered(shape, 42 * zoom, 0.4, rng)
    distances, indices = _nearest(shape, centers, 2)
    border = np.exp(-(distances[..., 1] - distances[..., 0]) / (3.0 * zoom))
    nuclei = np.exp(-((distances[..., 0] / (6.5 * zoom)) ** 2))
    brightness = rng.normal(0, 0.02, len(centers))[indices[..., 0]]
    grain = 0.026 * _grain(shape, 1.8 * zoom, rng)
    return brightness + grain + 0.07 * border - 0.06 * nuclei


TEXTURES: dict[str, Callable[[tuple[int, int], float, np.random.Generator], np.ndarray]] = {
    "debris": debris,
    "dense": dense,
    "differentiated": differentiated,
    "spread": spread,
}
"""By class: (shape (Y, X), size of cells as a share of the usual one at 0.8 um a pixel, source of
randomness) to float64 [Y, X], added to the light of the background, which is about 0.45."""


def halo(distance: np.ndarray, kind: str, zoom: float) -> np.ndarray:
    """The bright seam around a colony, by the distance outward from its edge in pixels."""
    strength = {"dense": 0.16, "debris": 0.08, "differentiated": 0.03, "spread": 0.04}[kind]
    return strength * np.exp(-((distance / (2.2 * zoom)) ** 2))


def _grain(shape: tuple[int, int], width: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1, with grains of this width in pixels."""
    smooth = gaussian_filter(rng.standard_normal(shape), width, mode="wrap")
    return (smooth - smooth.mean()) / max(smooth.std(), 1e-9)


def _scattered(
    shape: tuple[int, int], apart: float, jitter: float, rng: np.random.Generator
) -> np.ndarray:
    """Places float64 [N, 2] about `apart` pixels from each other, beyond the border too."""
    rows, columns = (np.arange(-apart, length + 2 * apart, apart) for length in shape)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    grid[:, 0] += 0.5 * apart * (np.arange(len(grid)) % 2)
    return grid + rng.uniform(-jitter, jitter, grid.shape) * apart


def _nearest(shape: tuple[int, int], centers: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the k nearest places, and which they are, for every pixel."""
    pixels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    distance, index = KDTree(centers).query(pixels.reshape(-1, 2), k=k)
    tail = () if k == 1 else (k,)
    return np.reshape(distance, (*shape, *tail)), np.reshape(index, (*shape, *tail))
