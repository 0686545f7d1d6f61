"""How sharp a plane is: how much of its detail is fine, whatever its contrast and brightness.

Gradients and Laplacians measure contrast along with focus; a plane in focus has the least contrast
of all in bright field, and often in DIC, so that they point away from it. The ratio of the power in
a fine band to that in a coarser one has no such fault: defocus takes fine detail first. Camera
noise, which is finest of all, is estimated and taken off both bands.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.fft
import scipy.ndimage

from isl.errors import InputError

# Standard deviations of the Gaussians, in pixels, that the fine and the coarse band lie between.
SCALES = (1.0, 2.0, 8.0)
# Of the coarse band's power at least this share must be more than noise.
LEAST_SIGNAL = 0.25
BLOCK = 1024
# Along rows and columns: blind to whatever is a plane or has straight edges (Immerkaer, Comput.
# Vis. Image Underst. 64, 300, 1996).
_NOISE_KERNEL = np.array([1, -2, 1])
_MEDIAN_TO_DEVIATION = 1.4826


def sharpness(plane: np.ndarray, covered: np.ndarray | None = None) -> float:
    """How much of a plane's detail is fine.

    It does not change with brightness, contrast or an offset, and is to be compared within one
    modality and magnification. Large planes are measured block by block.

    Args:
        plane: Integers or floats [Y, X], in any unit.
        covered: bool [Y, X], where the plane shows something; None: everywhere.

    Returns:
        The power between 1 and 2 pixels relative to that between 2 and 8, from 0; 0 where there is
        nothing but noise.
    """
    pixels, fine, coarse, noise = 0, 0.0, 0.0, 0.0
    for block, mask in blocks(plane, covered):
        count, *powers = _powers(block, mask)
        pixels += count
        fine, coarse, noise = (
            total + count * power
            for total, power in zip((fine, coarse, noise), powers, strict=True)
        )
    fine_signal = fine - noise * _noise_gain(*SCALES[:2])
    coarse_signal = coarse - noise * _noise_gain(*SCALES[1:])
    if pixels == 0 or coarse_signal <= LEAST_SIGNAL * coarse:
        return 0.0
    return float(max(fine_signal, 0.0) / coarse_signal)


def index_of_sharpest(measured: Sequence[float]) -> int:
    """The index of the largest of measured sharpnesses, the first of equals.

    Raises:
        InputError: There is none.
    """
    if not measured:
        raise InputError("there is no plane to choose the sharpest of; give at least one")
    return int(np.argmax(np.asarray(measured)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """White noise of an image: its standard deviation, in the image's unit."""

    deviation: float

    def after(self, narrow: float, wide: float) -> float:
        """Its deviation in the difference of two Gaussians of these deviations (pixels)."""
        return self.deviation * float(np.sqrt(_noise_gain(narrow, wide)))


def estimate_noise(image: np.ndarray, covered: np.ndarray | None = None) -> Noise:
    """White noise of an image by the median of its finest detail.

    An image that is full of fine detail looks noisier than it is.

    Args:
        image: float32 [Y, X].
        covered: bool [Y, X], where the image shows something; None: everywhere.
    """
    around = np.pad(image, 1, mode="symmetric")
    detail = np.diff(np.diff(around, 2, axis=0), 2, axis=1)
    np.abs(detail, out=detail)
    seen = detail if covered is None else detail[covered]
    if seen.size == 0:
        return Noise(deviation=0.0)
    length = float((_NOISE_KERNEL**2).sum())
    return Noise(
        deviation=_MEDIAN_TO_DEVIATION * float(np.median(seen, overwrite_input=True)) / length
    )


def smoothed(image: np.ndarray, deviation: float, covered: np.ndarray | None) -> np.ndarray:
    """A Gaussian blur that takes nothing from where nothing is covered.

    Args:
        image: float32 [Y, X].
        deviation: Of the Gaussian, pixels.
        covered: bool [Y, X]; None: everywhere.

    Returns:
        float32 [Y, X]; 0 where no covered pixel is near.
    """
    if covered is None:
        return scipy.ndimage.gaussian_filter(image, deviation)
    weight = scipy.ndimage.gaussian_filter(covered.astype(np.float32), deviation)
    total = scipy.ndimage.gaussian_filter(np.where(covered, image, np.float32(0)), deviation)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6)


def blocks(
    plane: np.ndarray, covered: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The parts that a large plane is measured in, one in memory at a time.

    Args:
        plane: Integers or floats [Y, X].
        covered: bool [Y, X], where the plane shows something; None: everywhere.

    Yields:
        float32 [y, x], a copy, and where it is covered, None for everywhere; blocks that are
        covered nowhere are left out.
    """
    for top in range(0, plane.shape[0], BLOCK):
        for left in range(0, plane.shape[1], BLOCK):
            where = np.s_[top : top + BLOCK, left : left + BLOCK]
            mask = None if covered is None or covered[where].all() else covered[where]
            if mask is not None and not mask.any():
                continue
            yield plane[where].astype(np.float32), mask


def _powers(block: np.ndarray, covered: np.ndarray | None) -> tuple[int, float, float, float]:
    """Pixels, power of both bands, and of white noise."""
    # Centered first: float32 keeps a faint detail on a bright ground.
    seen = block if covered is None else block[covered]
    block = block - seen.mean(dtype=np.float64).astype(np.float32)
    if covered is None:
        return block.size, *_band_powers(block), estimate_noise(block).deviation ** 2
    narrow, middle, wide = (smoothed(block, scale, covered) for scale in SCALES)
    fine, coarse = (narrow - middle)[covered], (middle - wide)[covered]
    block = np.where(covered, block, narrow)
    noise = estimate_noise(block, covered).deviation ** 2
    return seen.size, float(fine.var(dtype=np.float64)), float(coarse.var(dtype=np.float64)), noise


def _band_powers(block: np.ndarray) -> tuple[float, float]:
    """Power of the fine and of the coarse band of a block float32 [Y, X] of mean 0.

    Blurring what its borders mirror multiplies a block's cosines, so that nothing need be blurred.
    """
    # In place: pages that are new to a process cost more than the sums.
    power = np.asarray(scipy.fft.dctn(block, norm="ortho"), np.float64)
    power *= power
    rows, columns = (_transfer(length) for length in block.shape)
    pairs = [[0, 0, 1, 1, 2], [0, 1, 1, 2, 2]]
    sums = np.einsum(
        "py,py->p",
        rows[pairs[0]] * rows[pairs[1]],
        (columns[pairs[0]] * columns[pairs[1]]) @ power.T,
    )
    one, both, two, other, three = (sums / block.size).tolist()
    return one - 2 * both + two, two - 2 * other + three


@functools.lru_cache(maxsize=16)
def _transfer(length: int) -> np.ndarray:
    """What each of the Gaussians leaves of the cosines along an axis: float64 [3, length]."""
    reach = int(4 * SCALES[-1] + 0.5)
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1
    kernels = np.stack([scipy.ndimage.gaussian_filter1d(impulse, scale) for scale in SCALES])
    away = np.arange(-reach, reach + 1)
    return kernels @ np.cos(np.pi / length * away[:, None] * np.arange(length)[None])


@functools.cache
def _noise_gain(narrow: float, wide: float) -> float:
    """Power that white noise of power 1 has in a difference of two Gaussians (pixels)."""
    reach = int(4 * wide + 0.5)
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1
    first, second = (scipy.ndimage.gaussian_filter1d(impulse, s) for s in (narrow, wide))
    # The Gaussians are separable: sums of squares and of products factorize over the axes.
    return float((first @ first) ** 2 - 2 * (first @ second) ** 2 + (second @ second) ** 2)
