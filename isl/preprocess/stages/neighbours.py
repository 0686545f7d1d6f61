"""Which tiles of a field overlap, as far as the microscope's stage knows."""

import numpy as np

from isl.errors import InputError


def neighbouring(
    positions: np.ndarray, size: tuple[int, int], *, least_overlap: int, diagonal: bool = False
) -> tuple[tuple[int, int], ...]:
    """The pairs of tiles whose nominal rectangles share enough to be compared.

    Two tiles are neighbors when one lies beside or below the other: their rectangles overlap by at
    least `least_overlap` along both axes, and one is moved from the other along one axis at least
    twice as far, in tiles, as along the other. Diagonal neighbors share a corner, which holds less
    to compare and adds little that the edges do not say.

    Args:
        positions: float [n, 2], row and column of each tile's first pixel, pixels.
        size: Rows and columns of every tile.
        least_overlap: Rows, or columns, that neighbors share at least, pixels; at least 1.
        diagonal: Whether diagonal neighbors count too.

    Returns:
        (i, j) with i < j, sorted.

    Raises:
        InputError: `least_overlap` is below 1 or exceeds the tile.
    """
    if not 1 <= least_overlap <= min(size):
        raise InputError(
            f"a least overlap of {least_overlap} pixels is not within tiles of "
            f"{size[0]} x {size[1]}; give 1 to {min(size)}"
        )
    positions = np.asarray(positions, np.float64).reshape(-1, 2)
    # Sorted by row, so that only tiles less than one tile further down are looked at: a plate's
    # thousands of tiles need no table of all pairs.
    order = np.argsort(positions[:, 0], kind="stable")
    end = np.searchsorted(
        positions[order, 0], positions[order, 0] + size[0] - least_overlap, "right"
    )
    pairs = []
    for rank, tile in enumerate(order):
        others = order[rank + 1 : end[rank]]
        moved = np.abs(positions[others] - positions[tile])
        fits = (moved <= np.asarray(size) - least_overlap).all(axis=1)
        if not diagonal:
            tiles = moved / size
            fits &= 2 * tiles.min(axis=1, initial=np.inf) <= tiles.max(axis=1, initial=0)
        pairs += [(min(int(tile), int(o)), max(int(tile), int(o))) for o in others[fits]]
    return tuple(sorted(pairs))
