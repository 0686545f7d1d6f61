import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess.stages.additive_dust import DISK_DIAMETER, estimate_additive_dust, subtract

SHAPE = (192, 240)
DIAMETER = 32
OFFSET = 100


def dust(height=40.0, centers=((50, 60), (62, 75), (140, 180)), soft=0.5):
    """Gray disks, float64 [Y, X]; two of them overlap."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    away = [np.hypot(y - cy, x - cx) - DIAMETER / 2 for cy, cx in centers]
    return sum(height / (1 + np.exp(np.clip(d / soft, -50, 50))) for d in away) + np.zeros(SHAPE)


def vignetting():
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in SHAPE), indexing="ij")
    return 1 - 0.15 * (x**2 + y**2)


def well(artifact, count=40, cells=0, light=1.0, seed=0):
    """Images of a dim background and bright cells, with shot noise and the sensor's offset."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        image = np.full(SHAPE, 200.0)
        for _ in range(cells):
            y, x = rng.integers(SHAPE[0]), rng.integers(SHAPE[1])
            image[max(0, y - 4) : y + 4, max(0, x - 4) : x + 4] += 500 * rng.random()
        yield (rng.poisson(image * light + artifact) + OFFSET).astype(np.uint16)


def estimate(images, **keywords):
    return estimate_additive_dust(images, **{"disk_diameter": DIAMETER, **keywords})


@pytest.mark.parametrize("soft", [0.5, 2.0])
@pytest.mark.parametrize("light", [1.0, vignetting()], ids=["even", "vignetted"])
def test_the_artifact_is_recovered_within_its_noise(light, soft):
    artifact = dust(soft=soft)
    found = estimate(well(artifact, light=light))
    assert found.note is None
    assert found.images == 40
    assert found.artifact.dtype == np.float32
    # The standard error of a mean of 40 counts of 200, and of 240 on the disks.
    assert found.noise == pytest.approx(np.sqrt(200 * np.mean(light) / 40), rel=0.05)
    lies = found.mask | (artifact > 2)
    error = (found.artifact - artifact)[lies]
    assert np.sqrt(np.mean(error**2)) < 1.25 * np.sqrt(240 / 40)
    assert abs(error.mean()) < 0.3
    assert (found.artifact[~found.mask] == 0).all()
    assert found.mask[artifact > 20].all()


def test_images_are_clean_again():
    artifact, light = dust(), vignetting()
    found = estimate(well(artifact, cells=20, light=light))
    damaged = list(well(artifact, 3, light=light, seed=9))
    clean = list(well(0.0, 3, light=light, seed=9))
    for image, truth in zip(damaged, clean, strict=True):
        before = image.copy()
        restored = subtract(image, found)
        assert restored.dtype == np.float32
        lies = artifact > 20
        assert abs((image.astype(float) - truth)[lies].mean()) > 35
        assert abs((restored - truth)[lies].mean()) < 3
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(restored[~found.mask], image[~found.mask])


def test_vignetting_stays_out_of_an_artifact_filled_from_nearby():
    artifact, light = dust(), vignetting()
    bias = {
        fill: (estimate(well(artifact, light=light), fill=fill).artifact - artifact)[artifact > 20]
        for fill in ("nearby", "mean")
    }
    assert abs(bias["nearby"].mean()) < 0.5
    assert abs(bias["mean"].mean()) > 3


def test_the_papers_fill_is_the_mean_of_all_others_blurred():
    # Without noise or vignetting it is as good.
    artifact = dust(height=50.0, soft=0.01)
    found = estimate([200.0 + artifact] * 3, fill="mean", sensor_offset=0.0)
    np.testing.assert_allclose(found.background, 200.0, rtol=1e-6)
    np.testing.assert_allclose(found.artifact, artifact, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_without_noise_it_is_exact(dtype):
    artifact = np.rint(dust(soft=0.01))
    image = (100 + artifact).astype(dtype)
    before = image.copy()
    found = estimate([image] * 3)
    np.testing.assert_allclose(found.artifact, artifact, atol=1e-4)
    np.testing.assert_allclose(subtract(image, found), 100, atol=1e-4)
    np.testing.assert_array_equal(image, before)
    assert (found.noise, found.sensor_offset) == (0, 100)


def test_cells_that_chance_left_in_the_mean_are_no_dust():
    for seed in range(3):
        found = estimate(well(0.0, 12, cells=60, light=vignetting(), seed=seed))
        assert "no disks found" in found.note
        assert not found.mask.any()
        assert (found.artifact == 0).all()


def test_noise_alone_is_no_dust():
    for seed in range(4):
        found = estimate(well(0.0, 10, seed=seed))
        assert "no disks found" in found.note


def test_faint_disks_among_many_cells_are_found_whole():
    artifact = dust(height=30.0)
    found = estimate(well(artifact, 20, cells=80))
    assert np.mean(found.mask[artifact > 15]) > 0.95
    assert found.mask.mean() < 2 * np.mean(artifact > 15)


def test_images_of_one_value_have_no_dust():
    found = estimate([np.full(SHAPE, 7, np.uint16)] * 3)
    assert "no disks found" in found.note
    np.testing.assert_allclose(found.background, 0, atol=1e-6)


def test_what_covers_too_much_is_no_dust():
    artifact = dust()
    share = np.mean(artifact > 20)
    assert estimate(well(artifact), most_share=1.5 * share).note is None
    found = estimate(well(artifact), most_share=0.8 * share)
    assert found.note.startswith("what rises from the background covers ")
    assert found.note.endswith("no dust")
    assert not found.artifact.any()
    assert not found.mask.any()


def test_thin_scratches_are_no_disks():
    scratch = np.zeros(SHAPE)
    scratch[:, 100:103] = 60
    assert "no disks found" in estimate(well(scratch)).note


def test_the_offset_comes_from_the_darkest_place_or_from_the_person():
    dark = np.ones(SHAPE)
    dark[10:40, 10:40] = 0
    dead = np.zeros(SHAPE)
    images = [image.copy() for image in well(dead, light=dark)]
    for image in images:
        image[100, 100] = 0
    assert estimate(images).sensor_offset == OFFSET
    told = estimate(images, sensor_offset=90.0)
    assert told.sensor_offset == 90
    assert told.background[100, 60] == pytest.approx(210, abs=2)


def test_the_artifact_does_not_depend_on_the_offset():
    images = list(well(dust(), 10))
    low, high = (estimate(images, sensor_offset=offset) for offset in (0.0, 250.0))
    np.testing.assert_array_equal(low.mask, high.mask)
    np.testing.assert_allclose(low.artifact, high.artifact, atol=1e-4)
    np.testing.assert_allclose(low.background - high.background, 250, atol=1e-3)


def test_nothing_goes_below_zero():
    found = estimate([100.0 + dust()] * 3)
    assert subtract(np.zeros(SHAPE, np.uint16), found).min() == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (41, 37)])
@pytest.mark.parametrize("diameter", [1.0, 9.5, 77.0])
def test_any_size_of_image_and_disk(shape, diameter):
    rng = np.random.default_rng(0)
    images = [rng.poisson(50, shape) for _ in range(4)]
    found = estimate(images, disk_diameter=diameter)
    assert found.artifact.shape == found.mask.shape == found.background.shape == shape
    assert np.isfinite(found.artifact).all()
    assert np.isfinite(found.background).all()


def test_the_papers_disks():
    assert DISK_DIAMETER == 50


@pytest.mark.parametrize(
    ("images", "keywords", "says"),
    [
        ([], {}, "no images"),
        ([np.zeros((9, 9))] * 2, {}, "2 images .* it takes 3 or more"),
        ([np.zeros((9, 9))] * 8, {"least": 9}, "8 images .* it takes 9 or more"),
        ([np.zeros((9, 9)), np.zeros((9, 8))], {}, r"image 1 .*\(9, 8\), the first \(9, 9\)"),
        ([np.zeros((9, 9, 3))] * 3, {}, "image 0 has shape"),
        ([np.zeros((9, 9)), np.full((9, 9), np.nan)], {}, "image 1 holds NaN"),
        ([np.full((9, 9), np.inf)], {}, "image 0 holds NaN or inf"),
        ([np.zeros((9, 9))] * 3, {"disk_diameter": 0.0}, "disk_diameter = 0 "),
        ([np.zeros((9, 9))] * 3, {"fill": "zero"}, "fill = 'zero'"),
    ],
)
def test_bad_sets_are_named(images, keywords, says):
    with pytest.raises(InputError, match="^plate 3, DAPI: .*" + says):
        estimate(iter(images), source="plate 3, DAPI", **keywords)


def test_another_size_is_refused():
    found = estimate([np.zeros((9, 9))] * 3)
    with pytest.raises(InputError, match=r"^tile.tif: .*\(9, 8\), the artifact \(9, 9\)"):
        subtract(np.zeros((9, 8)), found, source="tile.tif")


def test_everywhere_is_all_that_the_mean_differs_from_its_background_by():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = 200 + dust(soft=0.01) + 5 * np.sin(x / 3) * np.sin(y / 3)
    found = estimate([image] * 3, everywhere=True, sensor_offset=0.0)
    np.testing.assert_allclose(found.artifact, image - found.background, atol=1e-3)
    assert abs(found.artifact[~found.mask]).max() > 3
    assert (estimate([image] * 3, sensor_offset=0.0).artifact[~found.mask] == 0).all()
    # Without dust, nothing is taken off, everywhere or not.
    assert (estimate([image - dust(soft=0.01)] * 3, everywhere=True).artifact == 0).all()
