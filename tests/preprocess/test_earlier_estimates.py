"""New wells corrected with the estimates of an earlier run, where they show the same light."""

import shutil

import numpy as np
import pytest
import tifffile

from isl.errors import InputError
from isl.preprocess import estimate_files, pipeline
from isl.preprocess.earlier_estimates import light_share, speck_share

SIZE = (96, 80)


def vignette(depth):
    y, x = np.indices(SIZE)
    light = 1 - depth * (((y - 48) / 48) ** 2 + ((x - 40) / 40) ** 2) / 2
    return light / light.mean()


def cells(seed):
    rng = np.random.default_rng(seed)
    return 1 + 0.05 * rng.standard_normal(SIZE)


@pytest.mark.parametrize(("depth", "share"), [(0.3, 1.0), (0.15, 0.5), (0.0, 0.0)])
def test_a_flat_field_is_found_as_far_as_it_is_there(depth, share):
    images = np.stack([900 * vignette(depth) * cells(seed) for seed in range(4)])
    found = light_share(images, vignette(0.3))
    assert found.mean == pytest.approx(share, abs=0.06)
    assert found.error < 0.05
    assert light_share(images[:1], vignette(0.3)).error == np.inf


def test_an_even_flat_field_says_nothing():
    assert light_share(cells(0)[None], np.ones(SIZE)) is None


@pytest.mark.parametrize(("moved", "share"), [(0, 1.0), (30, 0.0)])
def test_specks_are_found_where_they_have_not_moved(moved, share):
    rng = np.random.default_rng(1)
    dust = 1 + 0.002 * rng.standard_normal(SIZE)
    now = dust.copy()
    dust[20:28, 10:18] -= 0.2
    now[20 + moved : 28 + moved, 10:18] -= 0.2
    assert speck_share(500 * now, dust) == pytest.approx(share, abs=0.1)
    assert speck_share(500 * now, 1 + 0.002 * rng.standard_normal(SIZE)) is None


@pytest.fixture
def new_well(wells, tmp_path):
    """The tiles of one well in a folder of their own, too few for estimates."""
    folder = tmp_path / "new"
    folder.mkdir()
    for file in wells.folder.glob("A2_*.tif"):
        shutil.copy(file, folder)
    return folder


def borrowing(whole, **changed):
    split = whole["config"].split.model_copy(update={"validation": 0.0, "train": 1.0})
    update = {"estimates": whole["out"], "split": split, **changed}
    return whole["config"].model_copy(update=update)


def test_a_new_well_comes_out_as_in_the_run_it_borrows_from(whole, new_well, run, tmp_path):
    config = borrowing(whole)
    few = config.sample.model_copy(update={"least": 9})
    alone = config.model_copy(update={"estimates": None, "sample": few})
    with pytest.raises(InputError, match="are too few for a median over the set"):
        pipeline.plan_run(alone, new_well)
    said = []
    run(config, new_well, tmp_path / "out", say=said.append)
    for ending in (".tif", ".labels.ome.tif"):
        one, other = (
            tifffile.imread(out / "fields" / f"A2{ending}")
            for out in (tmp_path / "out", whole["out"])
        )
        np.testing.assert_array_equal(one, other)
    assert any("of the flat field" in line for line in said)


def test_other_light_is_refused(whole, new_well, run, tmp_path):
    found = estimate_files.load_estimates(whole["out"] / "estimates", "phase")
    shade = np.kron(found.flat_field, np.ones((2, 2)))
    for file in new_well.glob("*_phase.tif"):
        offset = whole["config"].sensor_offset
        even = (tifffile.imread(file).astype(float) - offset) / shade + offset
        tifffile.imwrite(file, np.clip(np.rint(even), 0, 65535).astype(np.uint16))
    with pytest.raises(InputError, match=r"'phase' in .* do not fit: the new tiles show -?\d+%"):
        run(borrowing(whole), new_well, tmp_path / "out")


def test_what_is_no_run_or_another_camera_is_refused(whole, new_well, tmp_path):
    with pytest.raises(InputError, match=r"is no folder that isl preprocess wrote"):
        pipeline.plan_run(borrowing(whole, estimates=tmp_path), new_well)
    with pytest.raises(InputError, match=r"was made with downscale 2, and this run has 1"):
        pipeline.plan_run(borrowing(whole, downscale=1), new_well)


def test_copied_estimates_are_not_silently_made_anew(whole, new_well, run, tmp_path):
    shutil.copytree(whole["out"] / "estimates", tmp_path / "out" / "estimates")
    before = sorted((tmp_path / "out" / "estimates").iterdir())
    with pytest.raises(InputError, match="name that run as 'estimates'"):
        run(
            borrowing(
                whole,
                estimates=None,
                sample=whole["config"].sample.model_copy(update={"least": 3, "images": 4}),
            ),
            new_well,
            tmp_path / "out",
        )
    assert sorted((tmp_path / "out" / "estimates").iterdir()) == before
