import dataclasses

import numpy as np
import pytest

from isl.phantom.optics import MODALITIES, Microscope, aperture, log_intensity, pupil_filter

PIXEL = 0.3


def microscope(modality, **changes):
    coherent = Microscope(modality=modality, source_aperture=0, annulus_offset=0)
    return dataclasses.replace(coherent, **changes)


def grating(periods, size=96, amplitude=0.01):
    """One slab whose phase is a cosine along x, and its frequency in cycles/um."""
    x = np.arange(size)
    wave = amplitude * np.cos(2 * np.pi * periods * x / size)
    return np.broadcast_to(wave, (1, size, size)).astype(np.float32), periods / (size * PIXEL)


def smooth_phase(rng, slabs, size):
    """Random phase without frequencies near the aperture's edge, radians."""
    noise = np.fft.fft2(rng.standard_normal((slabs, size, size)))
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)) / PIXEL
    phase = np.fft.ifft2(noise * np.exp(-((f / 0.25) ** 2))).real
    return (phase / phase.std()).astype(np.float32)


@pytest.mark.parametrize("modality", MODALITIES)
def test_nothing_is_seen_of_nothing(modality):
    empty = np.zeros((2, 16, 20), np.float32)
    seen = log_intensity(
        empty, np.zeros(2), np.array([-3.0, 0, 3]), Microscope(modality=modality), 0.3
    )
    assert seen.shape == (3, 16, 20)
    assert seen.dtype == np.float32
    assert not seen.any()


@pytest.mark.parametrize("distance", [-6.0, -2.0, 0.0, 1.0, 5.0])
@pytest.mark.parametrize("periods", [3, 8])
def test_defocus_makes_a_phase_grating_visible_as_sine(periods, distance):
    optics = microscope("BRIGHTFIELD")
    phase, f = grating(periods)
    seen = log_intensity(phase, np.zeros(1), np.array([distance]), optics, PIXEL)[0]
    # The paraxial contrast transfer of a weak phase object; here f is at most 0.28 cycles/um.
    chi = np.pi * optics.wavelength / optics.medium_index * distance * f**2
    np.testing.assert_allclose(seen, 2 * np.sin(chi) * phase[0], atol=1e-4)


def test_phase_contrast_turns_phase_into_darkness():
    optics = microscope("PHASE_CONTRAST")
    phase, f = grating(16)
    assert f > 5 * optics.ring_width
    seen = log_intensity(phase, np.zeros(1), np.zeros(1), optics, PIXEL)[0]
    np.testing.assert_allclose(seen, -2 / optics.ring_transmission * phase[0], atol=1e-6)


def test_phase_contrast_surrounds_a_disk_with_a_halo():
    y, x = np.indices((128, 128)) - 64
    radius = np.hypot(y, x) * PIXEL
    phase = (0.3 * (radius < 6))[None].astype(np.float32)
    optics = microscope("PHASE_CONTRAST")
    seen = log_intensity(phase, np.zeros(1), np.zeros(1), optics, PIXEL)[0]
    inner, rim, halo, far = (
        seen[(radius > low) & (radius < high)].mean()
        for low, high in [(0, 2), (4, 5.5), (6.5, 8), (14, 17)]
    )
    assert rim < inner < 0
    assert halo > 0.2
    assert abs(far) < 0.1 * halo


@pytest.mark.parametrize("direction", [1, -1])
def test_dic_of_a_phase_ramp_is_a_constant_shift(direction):
    optics = microscope("DIC", shear_angle=0.0, bias=np.pi / 3)
    size, slope = 128, 0.02
    distance = np.abs((np.arange(size) - size // 2) * PIXEL)
    roof = np.broadcast_to(-slope * distance, (1, size, size)).astype(np.float32)
    seen = log_intensity(roof, np.zeros(1), np.zeros(1), optics, PIXEL)[0]
    middle = size // 2 - direction * size // 4
    flank = seen[:, middle - 8 : middle + 8]
    expected = direction * slope * optics.shear / np.tan(optics.bias / 2)
    np.testing.assert_allclose(flank, expected, rtol=0.02)


@pytest.mark.parametrize("modality", MODALITIES)
def test_phase_redistributes_light_and_makes_none(modality):
    phase = smooth_phase(np.random.default_rng(0), 3, 48) + np.float32(1)
    seen = log_intensity(
        phase, np.array([-2.0, 0, 2]), np.array([-4.0, 0, 5]), Microscope(modality=modality), PIXEL
    )
    assert np.abs(seen).max() > 0.1
    np.testing.assert_allclose(seen.mean(axis=(1, 2)), 0, atol=1e-5)


@pytest.mark.parametrize("modality", MODALITIES)
def test_agrees_with_a_wave_followed_through_the_microscope(modality):
    """To first order in the phase; what is left falls with its square."""
    size, heights, focus = 64, np.array([-3.0, 1.0]), 2.5
    optics = microscope(modality, annulus_offset=0.3)
    fy, fx = np.meshgrid(np.fft.fftfreq(size, PIXEL), np.fft.fftfreq(size, PIXEL), indexing="ij")
    f = np.hypot(fy, fx)
    shape = smooth_phase(np.random.default_rng(1), 2, size)

    def propagated(wave, distance):
        inside = (optics.medium_index / optics.wavelength) ** 2 - f**2
        kz = 2 * np.pi * (np.sqrt(inside + 0j) - optics.medium_index / optics.wavelength)
        return np.fft.ifft2(np.fft.fft2(wave) * np.exp(1j * kz * distance))

    def wave_intensity(phase):
        wave = np.exp(1j * phase[0].astype(float))
        wave = propagated(wave, heights[1] - heights[0]) * np.exp(1j * phase[1])
        np.testing.assert_allclose((np.abs(wave) ** 2).mean(), 1, rtol=1e-6)
        wave = propagated(wave, focus - heights[1])
        image = np.fft.ifft2(np.fft.fft2(wave) * aperture(optics, f) * pupil_filter(optics, fy, fx))
        return np.abs(image) ** 2

    errors = []
    for strength in (0.01, 0.005):
        phase = np.float32(strength) * shape
        seen = log_intensity(phase, heights, np.array([focus]), optics, PIXEL)[0]
        errors.append(np.abs(seen - np.log(wave_intensity(phase))).max() / np.abs(seen).max())
    assert errors[1] < 0.05
    assert errors[1] < 0.6 * errors[0]


def test_a_wide_source_blurs_what_is_out_of_focus_only():
    phase, _ = grating(10)
    heights = np.array([0.0, 6.0])
    sharp, wide = (
        log_intensity(
            phase,
            np.zeros(1),
            heights,
            microscope("PHASE_CONTRAST", source_aperture=a),
            PIXEL,
        ).std(axis=(1, 2))
        for a in (0.0, 0.15)
    )
    assert wide[0] == pytest.approx(sharp[0])
    assert wide[1] < 0.7 * sharp[1]
