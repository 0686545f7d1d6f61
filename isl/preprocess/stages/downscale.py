"""Stage 3: half the size in each dimension, and a quarter of the shot noise's variance."""

import numpy as np
from skimage.transform import downscale_local_mean

from isl.errors import InputError


def downscale(image: np.ndarray, factor: int = 2, *, source: object = "image") -> np.ndarray:
    """Averages of blocks of pixels: bilinear downscaling by two (Christiansen et al. 2018).

    Pixel (i, j) of the result is centred on (i + 1/2) * factor - 1/2 of the image; positions and
    pixel sizes go with it.

    Args:
        image: Integers or floats [Y, X], in counts; left as it is.
        factor: Height and width of a block, pixels.
        source: The file, named in messages.

    Returns:
        float32 [Y // factor, X // factor]; trailing rows and columns that fill no block are
        dropped.

    Raises:
        InputError: The image is smaller than one block.
    """
    if factor < 1 or image.ndim != 2 or min(image.shape) < factor:
        raise InputError(
            f"{source}: shape {image.shape} cannot be downscaled by {factor}; "
            "it takes an image [Y, X] of one block or more and a factor of 1 or more"
        )
    height, width = (length // factor * factor for length in image.shape)
    whole = image[:height, :width]
    # In float64: sums of large counts would not fit float32 exactly.
    return downscale_local_mean(whole.astype(np.float64), (factor, factor)).astype(np.float32)
