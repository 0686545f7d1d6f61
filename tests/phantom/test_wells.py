import tomllib

import numpy as np
import pytest

from isl import cli
from isl.config import parse
from isl.errors import InputError
from isl.imaging.inputs.read import read_picture
from isl.phantom import WellConfig, write_wells
from isl.phantom.wells.damage import (
    Damage,
    damaged,
    draw_bad_pixels,
    draw_disks,
    draw_flat_field,
    record,
)
from isl.phantom.wells.wells import draw_damage, make_well, raw_images, well_name

CONFIG = WellConfig(
    rows=2,
    columns=3,
    tile=48,
    overlap=16,
    jitter=3,
    planes=2,
    label_planes=3,
    exposures=2,
    depth=4.0,
    dust_diameter=12,
    hot=0.01,
    dead=0.01,
)


def damage(shape, **changed):
    parts = {
        "flat_field": np.ones(shape, np.float32),
        "dust_factor": np.ones(shape, np.float32),
        "dust_light": np.zeros(shape, np.float32),
        "hot": np.zeros(shape, bool),
        "dead": np.zeros(shape, bool),
        "offset": 100.0,
        "noise": 0.0,
    }
    return Damage(**parts | changed)


def test_flat_fields_are_smooth_with_mean_one():
    for seed in range(5):
        field = draw_flat_field((40, 50), 0.3, np.random.default_rng(seed))
        assert field.dtype == np.float32
        assert field.mean() == pytest.approx(1, abs=1e-5)
        assert field[18:22, 23:27].min() > field[[0, 0, -1, -1], [0, -1, 0, -1]].max()
        assert 0.15 < 1 - field.min() / field.max() < 0.6
        assert np.abs(np.diff(field, n=2, axis=0)).max() < 2e-3
    np.testing.assert_allclose(draw_flat_field((8, 9), 0, np.random.default_rng(0)), 1)


def test_disks_are_as_large_as_they_should_be():
    disks = draw_disks((400, 300), 1, 40, np.random.default_rng(3))
    inside = disks > disks.max() / 2
    rows, columns = np.nonzero(inside)
    assert 0.6 <= disks.max() <= 1
    assert 32 <= np.ptp(rows) + 1 <= 49
    assert 32 <= np.ptp(columns) + 1 <= 49
    assert inside.sum() == pytest.approx(np.pi / 4 * np.ptp(rows) * np.ptp(columns), rel=0.1)
    assert not draw_disks((40, 30), 0, 10, np.random.default_rng(0)).any()


def test_bad_pixels_have_their_share_and_are_either_hot_or_dead():
    hot, dead = draw_bad_pixels((300, 300), 0.02, 0.01, np.random.default_rng(0))
    assert hot.mean() == pytest.approx(0.02, rel=0.15)
    assert dead.mean() == pytest.approx(0.01, rel=0.15)
    assert not (hot & dead).any()


def test_damage_is_what_it_says():
    rng = np.random.default_rng(0)
    light = rng.uniform(0, 9000, (20, 21)).astype(np.float32)
    parts = {
        "flat_field": rng.uniform(0.7, 1.3, light.shape).astype(np.float32),
        "dust_factor": rng.uniform(0.7, 1, light.shape).astype(np.float32),
        "dust_light": rng.uniform(0, 900, light.shape).astype(np.float32),
    }
    hot, dead = draw_bad_pixels(light.shape, 0.1, 0.1, rng)
    one = damage(light.shape, hot=hot, dead=dead, **parts)
    expected = light * parts["flat_field"] * parts["dust_factor"] + parts["dust_light"] + 100
    np.testing.assert_allclose(damaged(light, one), expected, rtol=1e-6)
    image = record(light, one, rng)[0]
    assert image.dtype == np.uint16
    assert (image[hot] == 65535).all()
    assert (image[dead] == 0).all()
    fine = ~(hot | dead)
    np.testing.assert_allclose(image[fine], expected[fine], atol=0.51)


def test_exposures_differ_by_shot_and_readout_noise_alone():
    light = np.full((120, 130), 2500, np.float32)
    images = record(light, damage(light.shape, noise=1.0), np.random.default_rng(0), 3)
    assert images.shape == (3, 120, 130)
    assert images.mean() == pytest.approx(2600, abs=1)
    difference = images[0].astype(float) - images[1]
    assert difference.std() == pytest.approx(np.sqrt(2 * (2500 + 25)), rel=0.03)


def test_too_much_light_saturates():
    light = np.full((4, 5), 1e6, np.float32)
    images = record(light, damage(light.shape, noise=1.0), np.random.default_rng(0))
    assert (images == 65535).all()


def test_tiles_are_cut_where_the_truth_says(tmp_path):
    clean = CONFIG.model_copy(
        update={
            "noise": 0.0,
            "vignetting": 0.0,
            "dust_counts": 0.0,
            "specks": 0,
            "hot": 0.0,
            "dead": 0.0,
        }
    )
    wells = write_wells(tmp_path, 1, clean, 4)
    well = wells.well(0)
    truth = tomllib.loads((tmp_path / "truth.toml").read_text())
    transmitted = np.load(tmp_path / "truth" / "A1_transmitted.npy")
    labels = np.load(tmp_path / "truth" / "A1_labels.npy")
    np.testing.assert_array_equal(transmitted, well.transmitted)
    np.testing.assert_array_equal(labels, well.labels)
    places = truth["wells"]["A1"]["positions"]
    assert len(places) == 6
    assert np.min(list(places.values()), axis=0).tolist() == [0, 0]
    reached = np.max(list(places.values()), axis=0) + 48
    assert transmitted.shape == (2, *reached)
    assert labels.shape == (2, 3, *reached)
    stacks = dict(zip(clean.channels, (transmitted, *labels), strict=True))
    for place, (y, x) in places.items():
        for channel, stack in stacks.items():
            for z, plane in enumerate(stack):
                ending = "" if channel == "phase" else "_e1"
                picture = read_picture(tmp_path / f"A1_{place}_z{z}_{channel}{ending}.tif")
                expected = plane[y : y + 48, x : x + 48] + 100
                np.testing.assert_allclose(picture.array[0, 0, 0], expected, atol=0.51)
                assert picture.array.dtype == np.uint16
                assert picture.array.size == 48 * 48
                assert picture.pixel_size is not None
                assert picture.pixel_size.y == pytest.approx(0.3)
    assert len(list(tmp_path.glob("*.tif"))) == 6 * (2 + 2 * 3 * 2)


def test_the_stage_misses_by_the_jitter_at_most():
    well = make_well(CONFIG, 0, 0, 1)
    nominal = {at: np.array(at) * (48 - 16) for at in well.positions}
    missed = np.array([np.array(well.positions[at]) - nominal[at] for at in nominal])
    assert (np.ptp(missed, axis=0) <= 2 * 3).all()
    assert (np.ptp(missed, axis=0) > 0).all()
    still = make_well(CONFIG.model_copy(update={"jitter": 0}), 0, 0, 1)
    assert {at: tuple(place) for at, place in nominal.items()} == dict(still.positions)


def test_every_image_of_a_channel_suffers_the_same_damage(tmp_path):
    few = {"columns": 2, "label_planes": 2, "noise": 0.0}
    wells = write_wells(tmp_path, 2, CONFIG.model_copy(update=few), 1)
    for number, name in enumerate(wells.names):
        well = wells.well(number)
        stacks = dict(zip(CONFIG.channels, (well.transmitted, *well.labels), strict=True))
        y, x = well.positions[1, 1]
        for channel, one in wells.damage.items():
            light = stacks[channel][1, y : y + 48, x : x + 48]
            ending = "" if channel == "phase" else "_e0"
            image = read_picture(tmp_path / f"{name}_r1_c1_z1_{channel}{ending}.tif").array[0, 0, 0]
            fine = ~(one.hot | one.dead)
            np.testing.assert_allclose(image[fine], damaged(light, one)[fine], atol=0.51)
            assert (image[one.hot] == 65535).all()
            for part in ("flat_field", "dust_factor", "dust_light", "hot", "dead"):
                stored = np.load(tmp_path / "truth" / f"{channel}_{part}.npy")
                np.testing.assert_array_equal(stored, getattr(one, part))


def test_dust_dims_transmitted_light_and_shines_in_labels():
    phase, *labels = draw_damage(CONFIG, 0).values()
    assert 0.69 < phase.dust_factor.min() < 0.85
    assert not phase.dust_light.any()
    assert not phase.hot.any()
    for label in labels:
        assert 0.6 * CONFIG.dust_counts <= label.dust_light.max() <= CONFIG.dust_counts
        assert (label.dust_factor == 1).all()
        assert label.hot.any()
        np.testing.assert_array_equal(label.hot, labels[0].hot)
    assert (phase.flat_field != labels[0].flat_field).any()


def test_a_well_depends_on_its_number_alone():
    for count in (1, 3):
        well = make_well(CONFIG, 7, 0, count)
        images = dict(raw_images(well, CONFIG, draw_damage(CONFIG, 7), [7, 0, 2]))
        if count == 1:
            before = images
    assert images.keys() == before.keys()
    assert all((images[name] == before[name]).all() for name in images)
    assert (
        make_well(CONFIG, 7, 1, 3).transmitted[0, :48, :48] != well.transmitted[0, :48, :48]
    ).any()


def test_labels_are_sharpest_in_the_middle():
    well = make_well(CONFIG, 0, 0, 1)
    for planes in well.labels:
        roughness = [np.abs(np.diff(plane, axis=0)).mean() for plane in planes]
        assert roughness[1] > 1.2 * roughness[0]
        np.testing.assert_array_equal(planes[0], planes[2])


def test_the_last_wells_may_be_empty_or_overexposed():
    config = CONFIG.model_copy(update={"empty": 1, "overexposed": 1})
    wells = [make_well(config, 0, number, 3) for number in range(3)]
    assert [well.condition for well in wells] == ["cells", "empty", "overexposed"]
    one = draw_damage(config, 0)
    shares = []
    for well in wells:
        images = dict(raw_images(well, config, one, [0]))
        shares.append(np.mean([(image == 65535).mean() for image in images.values()]))
    assert shares[2] > 0.98
    assert max(shares[:2]) < 0.02
    assert np.ptp(wells[1].transmitted) == 0
    assert np.ptp(wells[1].labels) == 0
    assert np.ptp(wells[0].labels) > 1000


def test_wells_are_named_as_on_a_plate():
    assert [well_name(number) for number in (0, 11, 12, 95)] == ["A1", "A12", "B1", "H12"]


@pytest.mark.parametrize(
    ("count", "seed", "changed", "complaint"),
    [
        (0, 0, {}, "0 wells make no plate; give 1 to 96"),
        (97, 0, {}, "97 wells"),
        (1, -1, {}, "seed -1"),
        (2, 0, {"empty": 1, "overexposed": 2}, "2 overexposed and 1 empty wells are more than 2"),
    ],
)
def test_impossible_plates_are_refused(tmp_path, count, seed, changed, complaint):
    with pytest.raises(InputError, match=complaint):
        write_wells(tmp_path / "new", count, CONFIG.model_copy(update=changed), seed)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"tile": 32, "overlap": 32}, "overlap of 32 leaves nothing of tiles of 32"),
        ({"tile": 4096, "rows": 3, "overlap": 0}, "more than 8192 a side"),
        ({"modality": "PHASE"}, "modality"),
        ({"tiles": 3}, "did you mean 'tile'"),
    ],
)
def test_impossible_tiles_are_refused(tables, complaint):
    with pytest.raises(InputError, match=complaint):
        parse(tables, WellConfig, source="--set")


def test_the_command_writes_wells_once(tmp_path, capsys):
    settings = ["tile=32", "overlap=8", "rows=1", "columns=2", "planes=1", "label_planes=1"]
    words = ["phantom", "--kind", "wells", "--out", str(tmp_path / "w"), "--count", "2"]
    for setting in [*settings, "exposures=1", "depth=3", "modality=BRIGHTFIELD"]:
        words += ["--set", setting]
    assert cli.main(words) == 0
    names = sorted(path.name for path in (tmp_path / "w").glob("*.tif"))
    assert names[:3] == [
        "A1_r0_c0_z0_brightfield.tif",
        "A1_r0_c0_z0_membrane.tif",
        "A1_r0_c0_z0_nuclei.tif",
    ]
    assert len(names) == 2 * 2 * 3
    capsys.readouterr()
    assert cli.main(words) == 2
    assert "truth.toml: exists already" in capsys.readouterr().err
    assert cli.main([*words, "--overwrite"]) == 0
    assert cli.main([*words, "--overwrite", "--validation", "1"]) == 2
    assert "--validation" in capsys.readouterr().err
