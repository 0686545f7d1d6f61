"""Stage 5: dust that takes a share of transmitted light, at the same place in every image."""

import numpy as np

from isl.errors import InputError
from isl.preprocess.stages.flat_field import as_divisor, correct_flat_field


def estimate_dust(median: np.ndarray, *, source: object = "dust field") -> np.ndarray:
    """What share of the light passes, of mean 1 (Christiansen et al. 2018, Dust artifact removal).

    Not blurred: dust is as sharp as the median of many images shows it, whose noise goes into
    every corrected image. The sensor's offset must be gone from the images before (stage 4).

    Args:
        median: Integers or floats [Y, X], in counts: `medians.pixelwise_median` of the set.
        source: The set, named in messages.

    Returns:
        float32 [Y, X], of mean 1.

    Raises:
        InputError: The field is dark somewhere, so that nothing can be divided by it.
    """
    if median.ndim != 2 or median.size == 0:
        raise InputError(f"{source}: a median is [Y, X]; this has shape {median.shape}")
    return as_divisor(median.astype(np.float64), source)


def remove_dust(
    image: np.ndarray,
    field: np.ndarray,
    *,
    most: float | None = None,
    source: object = "dust field",
) -> np.ndarray:
    """An image as it would be without dust: divided by the field, clipped.

    Args:
        image: Integers or floats [Y, X], in counts; left as it is.
        field: float [Y, X], of mean 1.
        most: Values above are clipped to it; None: nothing is clipped at the top.
        source: Where the field comes from, named in messages.

    Returns:
        float32 [Y, X], in counts, never below 0.

    Raises:
        InputError: Sizes differ, or the field is dark somewhere.
    """
    return correct_flat_field(image, field, most=most, source=source)
