"""Whether an image has a lattice: the step of a network's strides, left in what it predicts."""

import numpy as np
import scipy.fft
from scipy.signal import windows

from isl.errors import InputError

STRIDES = (2, 4, 8, 16)
"""Of networks that halve the resolution up to four times."""

# Frequencies around a lattice's own: a Hann window spreads it over this far,
_PEAK = 1
# and its neighbours lie this far off.
_NEAR, _FAR = 3, 6
_FEWEST_PERIODS = 2 * _FAR
_ROUNDING = 1e-20


def lattice_ratio(image: np.ndarray, stride: int) -> float:
    """Energy at a lattice's own frequencies, in that of their neighbours.

    About 1 where there is no lattice, whatever else is in the image: neighbours hold as much. The
    lattice's rows and columns, and its diagonals, are looked at by themselves; the larger counts.

    Args:
        image: float [Y, X]; what lies beyond whole periods is left out.
        stride: Period of the lattice, in pixels.

    Raises:
        InputError: The image holds too few periods to tell.
    """
    size = [length - length % stride for length in image.shape]
    if min(size) < _FEWEST_PERIODS * stride:
        raise InputError(
            f"an image of {image.shape[0]} x {image.shape[1]} pixels is too small to look for a "
            f"lattice of {stride}; give {_FEWEST_PERIODS * stride} or more a side"
        )
    within = image[: size[0], : size[1]].astype(np.float64)
    taper = np.outer(*(windows.hann(length, sym=False) for length in size))
    level = np.average(within, weights=taper)
    power = np.abs(np.asarray(scipy.fft.fft2((within - level) * taper))) ** 2
    # Rounding has no neighbours worth comparing with.
    floor = _ROUNDING * float(taper.sum()) ** 2 * max(level**2, _ROUNDING)
    down, along = (length // stride for length in size)
    kinds = ([(down, 0), (0, along)], [(down, along), (down, -along)])
    return max(
        float(np.mean([_peak_ratio(power, place, floor) for place in places])) for places in kinds
    )


def lattice_amplitude(image: np.ndarray, stride: int) -> float:
    """Deviation of what repeats with a period, in the image's own units.

    For images of nothing, where energy has no neighbours to stand out from.

    Args:
        image: float [Y, X].
        stride: Period, in pixels.
    """
    rows, columns = (length // stride for length in image.shape)
    within = image[: rows * stride, : columns * stride].astype(np.float64)
    phases = within.reshape(rows, stride, columns, stride).mean(axis=(0, 2))
    return float(phases.std())


def _peak_ratio(power: np.ndarray, place: tuple[int, int], floor: float) -> float:
    reach = np.arange(-_FAR, _FAR + 1)
    around = power[
        np.ix_(*((at + reach) % length for at, length in zip(place, power.shape, strict=True)))
    ]
    distance = np.maximum(np.abs(reach)[:, None], np.abs(reach)[None, :])
    peak = around[distance <= _PEAK].mean()
    return float((peak + floor) / (around[distance >= _NEAR].mean() + floor))
