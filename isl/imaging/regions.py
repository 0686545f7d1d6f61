"""Connected regions of masks."""

import numpy as np
from scipy import ndimage


def connected_regions(mask: np.ndarray, *, corners: bool = False) -> np.ndarray:
    """Regions of a mask, numbered from 1 in the order of their first pixels.

    Args:
        mask: bool [Y, X].
        corners: Whether pixels that meet at a corner alone are connected, too.

    Returns:
        int32 [Y, X]; 0 is outside.
    """
    structure = np.ones((3, 3), bool) if corners else None
    regions = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure, output=regions)
    return regions
