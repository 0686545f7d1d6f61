import numpy as np
import pytest

from isl.phantom import optics
from isl.phantom.embryos.light import log_intensity, set_up
from isl.phantom.grid import Grid
from isl.phantom.optics import Microscope

GRID = Grid(slabs=4, rows=30, columns=24, thickness=2.5, pixel_size=0.8)
FOCAL_HEIGHTS = np.array([-5.0, 0.0, 5.0])


@pytest.mark.parametrize("modality", optics.MODALITIES)
def test_prepared_transfers_give_what_slab_by_slab_optics_give(modality):
    microscope = Microscope(modality=modality, source_aperture=0.2)
    index = np.random.default_rng(0).normal(0, 0.002, GRID.shape).astype(np.float32)
    light = set_up(microscope, GRID, FOCAL_HEIGHTS)
    # Distances from -8.75 to 8.75 in steps of a slab, instead of planes times slabs.
    assert len(light.phase_transfers) == 8
    phase = index * np.float32(2 * np.pi / microscope.wavelength * GRID.thickness)
    expected = optics.log_intensity(phase, GRID.heights, FOCAL_HEIGHTS, microscope, GRID.pixel_size)
    seen = log_intensity(light, index, np.zeros(GRID.shape, np.float32))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, expected, atol=2e-6)


@pytest.mark.parametrize("distance", [0.0, 4.0, -7.0])
def test_an_absorbing_grating_dims_by_the_cosine_of_its_lag(distance):
    microscope = Microscope(modality="BRIGHTFIELD", source_aperture=0)
    grid = Grid(slabs=1, rows=16, columns=40, thickness=2.0, pixel_size=0.8)
    wave = 0.01 * np.cos(2 * np.pi * 3 * np.arange(40) / 40)
    absorbance = np.broadcast_to(wave, grid.shape).astype(np.float32)
    light = set_up(microscope, grid, np.array([distance]))
    seen = log_intensity(light, np.zeros(grid.shape, np.float32), absorbance)[0]
    chi = optics.defocus_phase(microscope, np.array(3 / (40 * 0.8))) * distance
    np.testing.assert_allclose(seen, -2 * np.cos(chi) * 2.0 * absorbance[0], atol=1e-6)


def test_nothing_is_seen_of_nothing():
    empty = np.zeros(GRID.shape, np.float32)
    light = set_up(Microscope(modality="DIC"), GRID, FOCAL_HEIGHTS)
    seen = log_intensity(light, empty, empty)
    assert seen.shape == (3, 30, 24)
    assert not seen.any()
