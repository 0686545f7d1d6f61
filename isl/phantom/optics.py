r"""Transmitted light through a weak phase object: bright field, phase contrast and DIC.

The sample is a pile of thin slabs, slab k at height z_k with phase
phi_k(y, x) = (2 pi / wavelength) * index_difference * thickness. Illumination comes from straight
below. Each slab scatters once (first Rytov approximation), the objective filters the scattered
light by its pupil, and the focal plane at height z_p sees

    log I_p = sum_k F^-1[ H(f, z_p - z_k) F[phi_k] ],
    H(f, d) = G(f, d) + conj(G(-f, d)),
    G(f, d) = i A(f) / A(0) * exp(-i chi(f, d)) * P(f) * E(f, d).

- f: spatial frequency, cycles/um; n: index of the medium.
- chi(f, d) = 2 pi d (n / wavelength - sqrt((n / wavelength)^2 - f^2)), the phase a wave of
  frequency f lags behind the unscattered one over a distance d (angular spectrum; for small f it
  is pi wavelength d f^2 / n).
- A(f): what the modality does to the pupil. Bright field: 1. Phase contrast: the ring advances
  and dims the unscattered light and, being of finite width, some of the light that is scattered at
  small angles, which makes the halo. DIC: two images a shear s apart, with a bias phase b between
  them, A(f) = sin(b / 2 + pi f . s).
- P(f): the aperture, with a soft edge.
- E(f, d) = exp(-2 (pi f d a / n)^2): a condenser whose rays spread by an aperture a (standard
  deviation) smears a plane that lies d out of focus.

For bright field H = 2 sin(chi): a phase object is invisible in focus and of opposite contrast
above and below. For phase contrast without halo H = -(2/t) cos(chi). For DIC in focus
H = 2 i cot(b / 2) sin(pi f . s): the phase's slope along the shear. (Born and Wolf, Principles of
Optics, chapter 8; Streibl, JOSA A 2, 121, 1985.)
"""

import dataclasses
from typing import Literal, get_args

import numpy as np

Modality = Literal["PHASE_CONTRAST", "DIC", "BRIGHTFIELD"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Microscope:
    """A transmitted-light microscope.

    Attributes:
        modality: "PHASE_CONTRAST", "DIC" or "BRIGHTFIELD".
        wavelength: In vacuum, um.
        numerical_aperture: Of the objective.
        medium_index: Refractive index around the cells.
        source_aperture: Spread of the condenser's rays, as the standard deviation of their
            numerical aperture; 0 is fully coherent.
        ring_transmission: Amplitude that the phase ring lets through (phase contrast).
        ring_width: Scattered light of up to about this frequency also meets the ring, cycles/um
            (phase contrast).
        annulus_offset: How far the annulus is off center, as the slope of the pupil's amplitude
            along the shear direction, um (phase contrast); it shades cells that are out of focus.
        shear: Distance of DIC's two images, um.
        shear_angle: Direction of the shear from the x axis, radians.
        bias: Phase between DIC's two images, radians.
    """

    modality: Modality
    wavelength: float = 0.55
    numerical_aperture: float = 0.6
    medium_index: float = 1.34
    source_aperture: float = 0.03
    ring_transmission: float = 0.5
    ring_width: float = 0.07
    annulus_offset: float = 0.3
    shear: float = 0.45
    shear_angle: float = np.pi / 4
    bias: float = np.pi / 3


def defocus_phase(microscope: Microscope, frequency: np.ndarray) -> np.ndarray:
    """The lag chi of scattered light per um of defocus, radians/um; frequency in cycles/um."""
    wave_number = microscope.medium_index / microscope.wavelength
    axial = np.sqrt(np.maximum(wave_number**2 - frequency**2, 0))
    return 2 * np.pi * (wave_number - axial)


def aperture(microscope: Microscope, frequency: np.ndarray) -> np.ndarray:
    """The pupil's amplitude P in [0, 1]: 1 inside, 0 from 1.15 times the cutoff on."""
    cutoff = microscope.numerical_aperture / microscope.wavelength
    return np.clip((1.15 - frequency / cutoff) / 0.3, 0, 1)


def pupil_filter(microscope: Microscope, fy: np.ndarray, fx: np.ndarray) -> np.ndarray:
    """The modality's A(f) / A(0), complex, at frequencies (fy, fx) in cycles/um."""
    along = fx * np.cos(microscope.shear_angle) + fy * np.sin(microscope.shear_angle)
    if microscope.modality == "DIC":
        half = microscope.bias / 2
        return np.sin(half + np.pi * along * microscope.shear) / np.sin(half) + 0j
    if microscope.modality == "PHASE_CONTRAST":
        ring = -1j * microscope.ring_transmission
        caught = np.exp(-0.5 * (fy**2 + fx**2) / microscope.ring_width**2)
        return (1 + (ring - 1) * caught) / ring * (1 + microscope.annulus_offset * along)
    return np.ones_like(fy) + 0j


def log_intensity(
    phase: np.ndarray,
    slab_heights: np.ndarray,
    focal_heights: np.ndarray,
    microscope: Microscope,
    pixel_size: float,
) -> np.ndarray:
    """Log of the intensity, relative to an empty field, at each focal plane.

    Args:
        phase: float32 [K, Y, X], radians, the phase each slab adds; it wraps around at the edges.
        slab_heights: float [K], um.
        focal_heights: float [Z], um.
        microscope: The optics.
        pixel_size: um.

    Returns:
        float32 [Z, Y, X]; 0 where there is no object.
    """
    rows, columns = phase.shape[-2:]
    fy, fx = np.meshgrid(
        np.fft.fftfreq(rows, pixel_size),
        np.fft.rfftfreq(columns, pixel_size),
        indexing="ij",
    )
    frequency = np.hypot(fy, fx)
    passed = aperture(microscope, frequency) > 0
    fy, fx, frequency = fy[passed], fx[passed], frequency[passed]
    pupil = aperture(microscope, frequency)
    scattered = 1j * pupil * pupil_filter(microscope, fy, fx)
    mirrored = np.conj(1j * pupil * pupil_filter(microscope, -fy, -fx))
    # scattered exp(-i chi) + mirrored exp(i chi), taken apart into cosine and sine of chi
    even = (scattered + mirrored).astype(np.complex64)
    odd = (-1j * (scattered - mirrored)).astype(np.complex64)
    lag = defocus_phase(microscope, frequency).astype(np.float32)
    spread = 2 * (np.pi * frequency * microscope.source_aperture / microscope.medium_index) ** 2
    spread = spread.astype(np.float32)

    images = np.zeros((len(focal_heights), *frequency.shape), np.complex64)
    for slab, height in zip(phase, slab_heights, strict=True):
        if not slab.any():
            continue
        spectrum = np.fft.rfft2(slab)[passed]
        for image, focus in zip(images, focal_heights, strict=True):
            distance = np.float32(focus - height)
            coherence = np.exp(-spread * distance**2)
            transfer = (even * np.cos(lag * distance) + odd * np.sin(lag * distance)) * coherence
            image += transfer * spectrum
    full = np.zeros((rows, columns // 2 + 1), np.complex64)
    planes = np.empty((len(focal_heights), rows, columns), np.float32)
    for plane, image in zip(planes, images, strict=True):
        full[passed] = image
        plane[:] = np.fft.irfft2(full, s=(rows, columns))
    return planes
