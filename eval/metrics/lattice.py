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

OUTSTANDING = 4.0
"""A lattice has so many times its neighbours' energy; structures of all sizes hardly ever have."""
NOTABLE = 1e-3
"""And this share of the image's deviation: less, no eye sees."""


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
    power, kinds, floor = _spectrum(image, stride)
    return max(
        float(np.mean([_peak_ratio(power, place, floor) for place in places])) for places in kinds
    )


def lattice_share(image: np.ndarray, stride: int) -> float:
    """How strong a lattice is beside everything else in an image: a share of its deviation.

    An image that is smooth has next to no energy at a lattice's frequencies, nor beside them, and
    the ratio of two next to nothings can be anything. So a lattice is what stands out from its
    neighbours (`lattice_ratio`) and is more than next to nothing.

    Args:
        image: As in `lattice_ratio`.
        stride: As there.

    Returns:
        Root of the energy at the lattice's frequencies, rows and columns or diagonals, less what
        their neighbours let expect, in that of the whole image; 0 of a flat one.
    """
    power, kinds, floor = _spectrum(image, stride)
    whole = float(power.sum()) - float(power[0, 0])
    if whole <= floor:
        return 0.0
    excess = max(sum(_peak_excess(power, place) for place in places) for places in kinds)
    # Every frequency but the highest has a conjugate, with as much.
    return float(np.sqrt((1 if stride == 2 else 2) * excess / whole))


def has_lattice(image: np.ndarray, stride: int) -> bool:
    """Whether a lattice stands out and is more than next to nothing; arguments as above."""
    return lattice_ratio(image, stride) > OUTSTANDING and lattice_share(image, stride) > NOTABLE


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


def _spectrum(
    image: np.ndarray, stride: int
) -> tuple[np.ndarray, tuple[list[tuple[int, int]], ...], float]:
    """Power float64 [Y, X], where in it a lattice is by its kinds, and what rounding leaves."""
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
    return power, kinds, floor


def _peak_excess(power: np.ndarray, place: tuple[int, int]) -> float:
    """Energy at a lattice's frequency above what as many of its neighbours hold."""
    around, distance = _around(power, place)
    peak = around[distance <= _PEAK]
    return max(0.0, float(peak.sum() - peak.size * around[distance >= _NEAR].mean()))


def _around(power: np.ndarray, place: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Power around a place, and how far off each of these frequencies is."""
    reach = np.arange(-_FAR, _FAR + 1)
    rows, columns = ((at + reach) % n for at, n in zip(place, power.shape, strict=True))
    return power[np.ix_(rows, columns)], np.maximum(np.abs(reach)[:, None], np.abs(reach)[None, :])


def _peak_ratio(power: np.ndarray, place: tuple[int, int], floor: float) -> float:
    around, distance = _around(power, place)
    peak = around[distance <= _PEAK].mean()
    return float((peak + floor) / (around[distance >= _NEAR].mean() + floor))
