"""Images on another pixel size: to the model's before predicting, and back to the input's after."""

import numpy as np


def resampled_size(size: tuple[int, int], scale: tuple[float, float]) -> tuple[int, int]:
    """Y, X after enlarging by `scale`, at least one pixel each."""
    rows, columns = (max(1, round(n * s)) for n, s in zip(size, scale, strict=True))
    return rows, columns


def resample(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images with `size` pixels over the same area, linear between pixel centers.

    Where pixels become larger the image is blurred first (Gaussian, deviation (factor - 1) / 2), so
    that nothing finer than the new pixels is folded into them.

    Args:
        images: float32 [C, Y, X].
        size: New Y, X.

    Returns:
        float32 [C, *size], within the range of the input.
    """
    # Where pixel sizes agree, nothing is resampled, and nobody waits for SciPy.
    from scipy import ndimage

    factors = [new / old for new, old in zip(size, images.shape[1:], strict=True)]
    blur = [max(0.0, (1 / factor - 1) / 2) for factor in factors]
    resampled = np.empty((len(images), *size), np.float32)
    for image, output in zip(images, resampled, strict=True):
        smooth = ndimage.gaussian_filter(image, blur, mode="nearest") if any(blur) else image
        ndimage.zoom(smooth, factors, output=output, order=1, mode="nearest", grid_mode=True)
    return resampled
