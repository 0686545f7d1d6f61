"""The box of sample that is simulated: its voxels and their places in micrometres."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """A box of slabs around height 0, wider than the picture that is cut from it.

    Attributes:
        slabs: Number of slabs K.
        rows: Rows Y of the box, border included.
        columns: Columns X of the box, border included.
        thickness: Thickness of a slab, um.
        pixel_size: Width of a voxel in rows and columns, um.
    """

    slabs: int
    rows: int
    columns: int
    thickness: float
    pixel_size: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, Y, X)."""
        return self.slabs, self.rows, self.columns

    @property
    def heights(self) -> np.ndarray:
        """Heights of the slabs' centers, float64 [K], um, symmetric about 0."""
        return (np.arange(self.slabs) - (self.slabs - 1) / 2) * self.thickness

    @property
    def size(self) -> np.ndarray:
        """Extent of the box along (z, y, x), um."""
        return np.array(self.shape) * [self.thickness, self.pixel_size, self.pixel_size]

    def center_crop(self, images: np.ndarray, height: int, width: int) -> np.ndarray:
        """The picture in the middle of the box: [..., Y, X] -> [..., height, width]."""
        top, left = (self.rows - height) // 2, (self.columns - width) // 2
        return images[..., top : top + height, left : left + width]


def make_grid(
    *, height: int, width: int, pixel_size: float, depth: float, thickness: float, border: float
) -> Grid:
    """A grid for a picture of `height` x `width` pixels.

    Args:
        height: Rows of the picture.
        width: Columns of the picture.
        pixel_size: um.
        depth: Extent of the sample along the optical axis, um.
        thickness: Thickness of a slab, um.
        border: Ground kept on every side, um: Fourier optics wraps around at the box's edges, and
            what lies just outside the picture must be able to reach into it.
    """
    margin = 2 * round(border / pixel_size)
    return Grid(
        slabs=max(1, round(depth / thickness)),
        rows=_fast_length(height + margin),
        columns=_fast_length(width + margin),
        thickness=thickness,
        pixel_size=pixel_size,
    )


def _fast_length(at_least: int) -> int:
    """The next even length without prime factors over 5, which Fourier transforms are fast for."""
    length = at_least + at_least % 2
    # 30^20 holds the primes 2, 3 and 5 more often than any length that occurs.
    while 30**20 % length:
        length += 2
    return length
