"""Reading and correcting single planes, against arithmetic by hand."""

import numpy as np
import pytest
import tifffile

from isl.config import parse
from isl.errors import InputError
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates, acquire, correct, read_exposure
from isl.preprocess.layout.fields import PlaneSource
from isl.preprocess.stages.additive_dust import AdditiveDust

SHAPE = (12, 16)


def settings(**changed):
    given = {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}, "stages": ["downscale"]}
    return parse(given | changed, PreprocessConfig, source="test")


def write(path, image):
    tifffile.imwrite(path, image)
    return PlaneSource(file=path)


def noise(seed=0, dtype=np.uint16):
    return np.random.default_rng(seed).integers(100, 200, SHAPE).astype(dtype)


def test_exposures_are_summed(tmp_path):
    images = [noise(seed) for seed in range(3)]
    sources = [write(tmp_path / f"{n}.tif", image) for n, image in enumerate(images)]
    np.testing.assert_array_equal(read_exposure(sources[1]), images[1])
    found = acquire(sources, settings(), fluorescence=True)
    np.testing.assert_array_equal(found.image, np.sum(images, axis=0, dtype=np.float32))
    assert (found.exposures, found.full, found.saturated) == (3, 3 * 65535, 0)


def test_a_plane_of_a_stack(tmp_path):
    stack = np.stack([noise(seed) for seed in range(4)])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    found = read_exposure(PlaneSource(file=tmp_path / "a.tif", z=2))
    np.testing.assert_array_equal(found, stack[2])


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_each_file_is_full_by_its_own_type(dtype, full, tmp_path):
    image = noise(dtype=dtype)
    image[:3, :4] = full
    found = acquire([write(tmp_path / "a.tif", image)], settings(), fluorescence=False)
    assert found.saturated == pytest.approx(12 / image.size)
    assert found.full == full
    found = acquire(
        [write(tmp_path / "a.tif", image)], settings(full_pixel=150.0), fluorescence=False
    )
    assert found.saturated == pytest.approx((image >= 150).mean())
    assert found.full == 150


def test_the_fullest_exposure_counts(tmp_path):
    image = noise()
    image[:6] = 65535
    sources = [write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", image)]
    assert acquire(sources, settings(), fluorescence=True).saturated == 0.5


def test_floats_are_never_full(tmp_path):
    found = acquire(
        [write(tmp_path / "a.tif", np.ones(SHAPE, np.float32))], settings(), fluorescence=True
    )
    assert (found.saturated, found.full) == (0, 1)


def test_wrong_pixels_go_from_fluorescence_alone(tmp_path):
    image = noise()
    image[5, 5] = 65535
    source = write(tmp_path / "a.tif", image)
    config = settings(stages=["salt_and_pepper"])
    assert acquire([source], config, fluorescence=True).image.max() < 200
    assert acquire([source], config, fluorescence=False).image.max() == 65535
    assert acquire([source], settings(), fluorescence=True).image.max() == 65535


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers(value, tmp_path):
    image = noise(dtype=np.float32)
    image[2, 3] = value
    with pytest.raises(InputError, match=r"a\.tif: holds NaN or infinite pixels; replace them"):
        acquire([write(tmp_path / "a.tif", image)], settings(), fluorescence=True)


def test_all_stages_undo_what_made_the_image(tmp_path):
    """Light of a known field, dimmed by dust, under scattered light and the camera's offset."""
    rng = np.random.default_rng(4)
    light = np.kron(rng.uniform(1000, 3000, (6, 8)), np.ones((2, 2)))
    flat = np.kron(rng.uniform(0.7, 1.3, (6, 8)), np.ones((2, 2)))
    dust = np.kron(rng.uniform(0.8, 1.2, (6, 8)), np.ones((2, 2)))
    artifact = rng.uniform(0, 50, SHAPE)
    raw = light * flat * dust + 2 * 100 + artifact
    sources = [write(tmp_path / f"{n}.tif", (raw / 2).astype(np.float32)) for n in range(2)]
    config = settings(sensor_offset=100.0)
    nothing = np.zeros(SHAPE, np.float32)
    estimates = Estimates(
        additive_dust=AdditiveDust(
            artifact=artifact.astype(np.float32),
            mask=nothing > 0,
            background=nothing,
            sensor_offset=0.0,
            images=9,
            noise=0.0,
        ),
        flat_field=flat[::2, ::2].astype(np.float32),
        dust=dust[::2, ::2].astype(np.float32),
    )
    found = correct(acquire(sources, config, fluorescence=True), estimates, config)
    np.testing.assert_allclose(found, light[::2, ::2], rtol=1e-4)


@pytest.mark.parametrize("there", ["flat_field", "dust", None])
def test_the_offset_is_off_before_anything_is_divided(there, tmp_path):
    light = np.full((6, 8), 500.0)
    field = np.linspace(0.5, 1.5, 48).reshape(6, 8).astype(np.float32)
    shape = field if there else np.ones_like(field)
    raw = np.kron(light * shape + 100, np.ones((2, 2))).astype(np.float32)
    config = settings(sensor_offset=100.0)
    estimates = Estimates(**{there: field}) if there else Estimates()
    acquired = acquire([write(tmp_path / "a.tif", raw)], config, fluorescence=False)
    np.testing.assert_allclose(correct(acquired, estimates, config), light, rtol=1e-4)
    assert acquired.image.max() > 500


def test_what_division_lifts_above_a_full_pixel_is_cut_where_asked(tmp_path):
    image = np.full(SHAPE, 60000, np.uint16)
    dim = np.ones(SHAPE, np.float32)
    dim[:6], dim[6:] = 0.5, 1.5
    estimates = Estimates(flat_field=dim)
    acquired = acquire([write(tmp_path / "a.tif", image)], settings(), fluorescence=False)
    stages = {"stages": ["flat_field"], "sensor_offset": 100}
    plain = correct(acquired, estimates, settings(**stages))
    assert (plain[0, 0], plain[-1, 0]) == (119800, pytest.approx(39933.33))
    cut = correct(acquired, estimates, settings(**stages, flat_field={"clip": "full"}))
    assert (cut[0, 0], cut[-1, 0]) == (65535 - 100, pytest.approx(39933.33))
