"""Bursts of exposures: one image as bright as all of them together."""

from collections.abc import Sequence

import numpy as np

from isl.errors import InputError


def sum_exposures(
    exposures: Sequence[np.ndarray], *, source: object = "burst of exposures"
) -> np.ndarray:
    """The sum of exposures of one field, before anything else is done to them.

    Integers are summed as int64, floats as float64, and rounded to float32 once; integer sums up
    to 2^24 (256 full 16-bit exposures) are therefore exact. Christiansen et al. 2018 acquired
    high dynamic range images as such bursts.

    Args:
        exposures: Integers or floats [Y, X], in counts, all of one size and type.
        source: The field, tile or files, named in messages.

    Returns:
        float32 [Y, X], in counts.

    Raises:
        InputError: No exposure, sizes or types that differ, or something that is no image.
    """
    if not len(exposures):
        raise InputError(f"{source}: no exposure to sum; give at least one file")
    first = exposures[0]
    if first.ndim != 2 or first.size == 0 or first.dtype.kind not in "uif":
        raise InputError(
            f"{source}: an exposure is a gray image [Y, X] of numbers; "
            f"this is {first.dtype} of shape {first.shape}"
        )
    total = np.zeros(first.shape, np.float64 if first.dtype.kind == "f" else np.int64)
    for index, exposure in enumerate(exposures):
        if exposure.shape != first.shape or exposure.dtype != first.dtype:
            raise InputError(
                f"{source}: exposure {index} is {exposure.dtype} of shape {exposure.shape}, the "
                f"first is {first.dtype} of shape {first.shape}; leave out what is not of the burst"
            )
        total += exposure
    return total.astype(np.float32)
