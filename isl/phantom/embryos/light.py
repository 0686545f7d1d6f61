"""Transmitted light through a phantom embryo: the weak-object optics, prepared for many frames.

`isl.phantom.optics` gives the transfer of one slab's phase to one focal plane. Here all transfers
that a movie needs are computed once, and the object may absorb too: with amplitude exp(-mu) beside
phase phi, the transmitted wave is exp(i (phi + i mu)), so that mu is transferred like phi but for a
factor i before the two halves of the pupil are joined.
"""

import dataclasses

import numpy as np

from isl.phantom.grid import Grid
from isl.phantom.optics import Microscope, aperture, defocus_phase, pupil_filter


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Light:
    """A microscope set up for one grid and its focal planes.

    Attributes:
        grid: The box of sample.
        wavelength: In vacuum, um.
        passed: bool [Y, X // 2 + 1], frequencies that the objective lets through, F of them.
        distances: intp [Z, K], which transfer leads from slab k to plane z.
        phase_transfers: complex64 [D, F], of the logarithm of intensity to phase.
        loss_transfers: complex64 [D, F], of the logarithm of intensity to lost amplitude.
    """

    grid: Grid
    wavelength: float
    passed: np.ndarray
    distances: np.ndarray
    phase_transfers: np.ndarray
    loss_transfers: np.ndarray


def set_up(microscope: Microscope, grid: Grid, focal_heights: np.ndarray) -> Light:
    """Computes every transfer that frames on `grid` need.

    Args:
        microscope: The optics.
        grid: The box of sample; it wraps around at its edges.
        focal_heights: float [Z], um.
    """
    fy, fx = np.meshgrid(
        np.fft.fftfreq(grid.rows, grid.pixel_size),
        np.fft.rfftfreq(grid.columns, grid.pixel_size),
        indexing="ij",
    )
    frequency = np.hypot(fy, fx)
    passed = aperture(microscope, frequency) > 0
    fy, fx, frequency = fy[passed], fx[passed], frequency[passed]
    pupil = aperture(microscope, frequency)
    here = pupil * pupil_filter(microscope, fy, fx)
    there = np.conj(pupil * pupil_filter(microscope, -fy, -fx))
    steps = np.round(np.asarray(focal_heights)[:, None] - grid.heights, 6)
    distances, which = np.unique(steps, return_inverse=True)
    lag = np.exp(-1j * defocus_phase(microscope, frequency) * distances[:, None])
    spread = np.pi * frequency * microscope.source_aperture / microscope.medium_index
    coherence = np.exp(-2 * (spread * distances[:, None]) ** 2)
    return Light(
        grid=grid,
        wavelength=microscope.wavelength,
        passed=passed,
        distances=which.reshape(steps.shape),
        phase_transfers=(coherence * (1j * here * lag - 1j * there * lag.conj())).astype("c8"),
        loss_transfers=(-coherence * (here * lag + there * lag.conj())).astype("c8"),
    )


def log_intensity(light: Light, index_difference: np.ndarray, absorbance: np.ndarray) -> np.ndarray:
    """Log of the intensity, relative to an empty field, at each focal plane.

    Args:
        light: The microscope.
        index_difference: float32 [K, Y, X], refractive index above the medium's.
        absorbance: float32 [K, Y, X], logarithm of the amplitude lost, per um.

    Returns:
        float32 [Z, Y, X]; 0 where there is no object.
    """
    grid = light.grid
    images = np.zeros((len(light.distances), int(light.passed.sum())), np.complex64)
    radians = np.float32(2 * np.pi / light.wavelength * grid.thickness)
    for volume, scale, transfers in (
        (index_difference, radians, light.phase_transfers),
        (absorbance, np.float32(grid.thickness), light.loss_transfers),
    ):
        for k, slab in enumerate(volume):
            if slab.any():
                spectrum = np.fft.rfft2(slab)[light.passed].astype(np.complex64) * scale
                images += transfers[light.distances[:, k]] * spectrum
    full = np.zeros((len(images), *light.passed.shape), np.complex64)
    full[:, light.passed] = images
    return np.fft.irfft2(full, s=(grid.rows, grid.columns)).astype(np.float32)
