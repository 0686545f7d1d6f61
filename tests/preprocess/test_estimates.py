"""What a set shares, from samples of images whose share is known."""

import dataclasses

import numpy as np
import pytest
import tifffile

from isl.config import parse
from isl.errors import InputError
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates
from isl.preprocess.estimate_files import (
    digest_of_estimates,
    has_estimates,
    inputs_of_estimates,
    load_estimates,
    save_estimates,
)
from isl.preprocess.estimates import (
    ChannelOfSet,
    check_estimable,
    estimate,
    needs_estimates,
    sample_of_set,
)
from isl.preprocess.layout.fields import PlaneSource
from isl.workers import Workers

SHAPE = (48, 40)


def settings(stages=("downscale", "flat_field", "multiplicative_dust"), **changed):
    given = {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}, "stages": stages}
    given |= {"sample": {"least": 3}}
    return parse(given | changed, PreprocessConfig, source="test")


def channel_of(folder, images, *, fluorescence=False, name="phase", pixel_size=0.5):
    """A set of tiles of one plane each."""
    folder.mkdir(exist_ok=True)
    planes = []
    for number, image in enumerate(images):
        file = folder / f"{number:03d}.tif"
        tifffile.imwrite(file, image)
        planes.append(((PlaneSource(file=file),),))
    return ChannelOfSet(
        name=name, fluorescence=fluorescence, planes=tuple(planes), pixel_size=pixel_size
    )


def dimmed():
    """Uneven light and a speck, on the pixels of the result: both known."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n // 2) for n in SHAPE), indexing="ij")
    light = 1 + 0.2 * y - 0.1 * x * x
    speck = np.ones_like(light)
    speck[8:10, 5:7] = 0.7
    return light, speck


def images_of(count, *, seed=0, offset=100):
    light, speck = dimmed()
    rng = np.random.default_rng(seed)
    return [
        (
            np.kron(
                light * speck * 1000 * (1 + 0.02 * rng.normal(size=light.shape)), np.ones((2, 2))
            )
            + offset
        ).astype(np.uint16)
        for _ in range(count)
    ]


def dusty_images(count):
    """A gray disk of 50 um at 2 um a pixel, on uneven light that varies from place to place."""
    y, x = np.mgrid[:96, :120]
    disk = 200 * (np.hypot(y - 50, x - 40) < 12.5)
    light = 500 * (1 - 0.3 * (y / 95) ** 2) + 20 * np.sin(x / 5) * np.sin(y / 5)
    rng = np.random.default_rng(3)
    return [rng.poisson(light + disk).astype(np.uint16) for _ in range(count)]


def made(channel, config, folder):
    with Workers(1) as workers:
        return estimate(channel, config, folder / "unfinished", workers, lambda done, of: None)


def test_flat_field_and_dust_together_are_what_dimmed_the_images(tmp_path):
    config = settings(sensor_offset=100.0, flat_field={"transmitted_divisor": 4.0})
    found = made(channel_of(tmp_path / "raw", images_of(30)), config, tmp_path)
    light, speck = dimmed()
    both = found.flat_field * found.dust
    truth = light * speck
    np.testing.assert_allclose(both / both.mean(), truth / truth.mean(), atol=0.02)
    assert found.dust[8:10, 5:7].mean() == pytest.approx(0.7, abs=0.1)
    assert (found.images, found.of) == (30, 30)
    assert 0 < found.error < 0.005
    assert found.notes == ()
    assert not (tmp_path / "unfinished").exists()


def test_too_few_images_are_said_to_imprint_themselves(tmp_path):
    rng = np.random.default_rng(1)
    images = [(1000 + 300 * rng.normal(size=SHAPE)).astype(np.uint16) for _ in range(6)]
    found = made(channel_of(tmp_path / "raw", images), settings(), tmp_path)
    assert len(found.notes) == 1
    assert "the median of 6 images is known to" in found.notes[0]
    assert found.error > 0.005


@pytest.mark.parametrize(
    ("stages", "flat", "dust"),
    [
        (("downscale", "flat_field"), True, False),
        (("downscale", "multiplicative_dust"), False, True),
        (("flat_field",), True, False),
    ],
)
def test_only_what_runs_is_estimated(stages, flat, dust, tmp_path):
    config = settings(stages)
    found = made(channel_of(tmp_path / "raw", images_of(5)), config, tmp_path)
    assert (found.flat_field is not None, found.dust is not None) == (flat, dust)
    field = found.flat_field if flat else found.dust
    assert field.shape == ((24, 20) if "downscale" in stages else SHAPE)
    assert found.additive_dust is None


def test_full_and_broken_images_are_no_sample(tmp_path):
    images = images_of(12)
    config = settings(("downscale", "flat_field"))
    channel = channel_of(tmp_path / "raw", images)
    expected = made(channel, config, tmp_path)
    images[4:4] = [np.full(SHAPE, 65535, np.uint16)]
    channel = channel_of(tmp_path / "more", [*images, images[0]])
    (tmp_path / "more" / "013.tif").write_text("no image")
    found = made(channel, config, tmp_path)
    assert (found.images, found.of) == (12, 14)
    np.testing.assert_array_equal(found.flat_field, expected.flat_field)


def test_too_few_that_are_fit(tmp_path):
    full = np.full(SHAPE, 65535, np.uint16)
    channel = channel_of(tmp_path / "raw", [full, *images_of(2), full])
    with pytest.raises(InputError) as caught:
        made(channel, settings(), tmp_path)
    line = str(caught.value)
    assert "channel 'phase': 2 images are too few for a median over the set, which needs 3" in line
    assert "(2 others are not fit for it, e.g. " in line
    assert "000.tif: 100% of it is saturated)" in line


def test_images_without_light_are_named(tmp_path):
    channel = channel_of(tmp_path / "raw", [np.full(SHAPE, 100, np.uint16)] * 4)
    with pytest.raises(InputError, match=r"flat field of 'phase': its mean is 0"):
        made(channel, settings(sensor_offset=100.0), tmp_path)


def test_what_can_be_known_before(tmp_path):
    channel = channel_of(tmp_path / "raw", images_of(4))
    check_estimable(channel, settings())
    with pytest.raises(InputError, match=r"4 images are too few.*which needs 9; leave the stages"):
        check_estimable(channel, settings(sample={"least": 9}))
    dyed = dataclasses.replace(channel, fluorescence=True, pixel_size=None)
    check_estimable(dyed, settings())
    with pytest.raises(InputError, match=r"additive_dust: .*set pixel_size"):
        check_estimable(dyed, settings(("additive_dust",)))


def test_who_needs_estimates():
    def needs(*stages):
        config = settings(stages)
        return [needs_estimates(fluorescence=each, config=config) for each in (False, True)]

    assert needs("downscale", "stitching") == [False, False]
    assert needs("flat_field") == [True, True]
    assert needs("additive_dust") == [False, True]
    assert needs("multiplicative_dust") == [True, False]


def planes(tiles, depth):
    return ChannelOfSet(
        name="phase",
        fluorescence=False,
        planes=tuple(
            tuple((PlaneSource(file=f"{tile}", z=z),) for z in range(depth))
            for tile in range(tiles)
        ),
        pixel_size=None,
    )


@pytest.mark.parametrize(("tiles", "depth", "most"), [(5, 3, 100), (5, 3, 7), (40, 2, 10)])
def test_every_tile_is_looked_at_before_any_is_twice(tiles, depth, most):
    sample = sample_of_set(planes(tiles, depth), settings(sample={"images": most}))
    assert len(sample) == min(most, tiles * depth)
    shown = [(source.file, source.z) for (source,) in sample]
    assert len(set(shown)) == len(shown)
    counts = [sum(file == f"{tile}" for file, _ in shown) for tile in range(tiles)]
    assert max(counts) <= -(-most // tiles)
    assert [int(file) for file, _ in shown] == sorted(int(file) for file, _ in shown)
    if most >= tiles:
        assert min(counts) >= 1


def test_estimates_come_back_from_their_files(tmp_path):
    config = settings(
        ("additive_dust", "downscale", "flat_field"), additive_dust={"disk_diameter": 4.0}
    )
    channel = channel_of(tmp_path / "raw", images_of(8), fluorescence=True, name="Cy5/a")
    found = made(channel, config, tmp_path)
    assert not has_estimates(tmp_path, "Cy5/a")
    save_estimates(tmp_path, "Cy5/a", found, "of these")
    assert has_estimates(tmp_path, "Cy5/a")
    assert inputs_of_estimates(tmp_path, "Cy5/a") == "of these"
    back = load_estimates(tmp_path, "Cy5/a")
    np.testing.assert_array_equal(back.flat_field, found.flat_field)
    for name in ("artifact", "background", "mask"):
        np.testing.assert_array_equal(
            getattr(back.additive_dust, name), getattr(found.additive_dust, name)
        )
    assert back.additive_dust.mask.dtype == bool
    assert back.additive_dust.note == found.additive_dust.note
    assert (back.dust, back.images, back.of, back.notes) == (None, 8, 8, found.notes)


def test_nothing_estimated_is_nothing(tmp_path):
    nothing = load_estimates(tmp_path, "phase")
    assert nothing.flat_field is nothing.dust is nothing.additive_dust is None
    assert nothing.error == 0


def test_what_is_written_anew_is_read_anew(tmp_path):
    field = np.ones((3, 4), np.float32)
    save_estimates(tmp_path, "phase", Estimates(flat_field=field), "")
    first = digest_of_estimates(tmp_path, "phase")
    assert load_estimates(tmp_path, "phase").flat_field[0, 0] == 1
    save_estimates(tmp_path, "phase", Estimates(flat_field=field), "")
    assert digest_of_estimates(tmp_path, "phase") == first
    save_estimates(tmp_path, "phase", Estimates(flat_field=2 * field), "")
    assert load_estimates(tmp_path, "phase").flat_field[0, 0] == 2
    assert digest_of_estimates(tmp_path, "phase") != first


def test_the_papers_own_ways_are_keys(tmp_path):
    """Each reaches the stage that it is for; a record of a run without it has no such key."""
    stages = ("additive_dust", "flat_field")
    channel = channel_of(tmp_path / "raw", dusty_images(9), fluorescence=True, pixel_size=2.0)

    def estimated(**changed):
        return made(channel, settings(stages, sensor_offset=0.0, **changed), tmp_path)

    plain = estimated()
    assert "method" not in settings(stages).model_dump()["flat_field"]
    assert not {"fill", "subtract"} & set(settings(stages).model_dump()["additive_dust"])

    blurred = estimated(flat_field={"method": "blur"})
    assert abs(blurred.flat_field - plain.flat_field).max() > 0.01
    filled = estimated(additive_dust={"fill": "mean"})
    assert abs(filled.additive_dust.background - plain.additive_dust.background).max() > 1
    whole = estimated(additive_dust={"subtract": "everywhere"})
    outside = ~plain.additive_dust.mask
    assert (plain.additive_dust.artifact[outside] == 0).all()
    assert abs(whole.additive_dust.artifact[outside]).max() > 1
