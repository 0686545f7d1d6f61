"""Stage 7: a label's z-stack as one image, its brightest without its outliers."""

import numpy as np

from isl.errors import InputError

_ROWS = 64


def project(
    planes: np.ndarray, percentile: float = 90.0, *, source: object = "z-stack"
) -> np.ndarray:
    """A percentile over z: a robust maximum (Christiansen et al. 2018, stage 7).

    Between two planes it is interpolated linearly, as NumPy does. One plane is its own projection.

    Args:
        planes: Integers or floats [Z, Y, X], in counts; left as they are, and read band of rows by
            band of rows, so that they may be memory-mapped.
        percentile: 0 is the minimum, 50 the median, 100 the maximum.
        source: The field, named in messages.

    Returns:
        float32 [Y, X], in counts.

    Raises:
        InputError: No z-stack, or no percentile.
    """
    if not 0 <= percentile <= 100:
        raise InputError(f"projection: percentile = {percentile:g}; it lies between 0 and 100")
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"{source}: a z-stack is [Z, Y, X]; this has shape {planes.shape}")
    projected = np.empty(planes.shape[1:], np.float32)
    for start in range(0, planes.shape[1], _ROWS):
        band = slice(start, start + _ROWS)
        projected[band] = np.percentile(planes[:, band], percentile, axis=0)
    return projected
