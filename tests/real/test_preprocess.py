"""Real images as raw tiles: what `isl preprocess` makes of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isl import cli
from isl.imaging.formats.published import read_published
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.preprocess.record import read_record

OVERLAP, JITTER = 300, 7
CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG = """
transmitted = "PHASE"
modality = "PHASE_CONTRAST"
pixel_size = 0.3
stages = ["flat_field", "stitching", "projection", "normalization", "quality"]
layout.root = "tiles"
layout.pattern = "{well}_r{row}_c{col}_z{z}_{channel}.tif"
layout.overlap = 300
"""


@pytest.fixture(scope="module")
def data():
    return Path(os.environ["ISL_DATA"])


@pytest.fixture(scope="module")
def stitched(data, tmp_path_factory):
    """The field of condition B, three of its planes, cut into 3 x 3 tiles and put together again.

    Every tile has a gain of its own, light that falls off by a fifth to its corners, and noise.
    """
    folder = tmp_path_factory.mktemp("stitched")
    (folder / "tiles").mkdir()
    (folder / "config.toml").write_text(CONFIG)
    planes = read_published(data / "condition_b_A4")[0].planes[[4, 6, 8]]
    rng = np.random.default_rng(3)
    size = (planes.shape[1] - 2 * JITTER + 2 * OVERLAP) // 3
    ramp = np.square(np.linspace(-1, 1, size))
    light = 1 - 0.2 * (ramp[:, None] + ramp) / 2
    true = []
    for row in range(3):
        for column in range(3):
            y, x = np.array([row, column]) * (size - OVERLAP) + rng.integers(0, 2 * JITTER + 1, 2)
            true.append((y, x))
            gain = rng.uniform(0.9, 1.1)
            for z, plane in enumerate(planes):
                tile = plane[y : y + size, x : x + size] * light * gain
                tile += rng.normal(0, 300, tile.shape)
                tifffile.imwrite(
                    folder / "tiles" / f"A4_r{row}_c{column}_z{z}_PHASE.tif",
                    np.clip(np.rint(tile), 0, 65535).astype(np.uint16),
                )
    call = ["preprocess", str(folder / "config.toml"), "--out", str(folder / "out")]
    assert cli.main([*call, "--workers", "1"]) == 0
    return folder / "out", np.array(true), planes


def test_every_tile_lies_within_half_a_pixel_of_the_truth(stitched):
    out, true, _ = stitched
    record = read_record(out / "fields" / "A4.json")
    placed = np.array([tile.position for tile in record.tiles])
    assert np.abs(placed - (true - true.min(axis=0))).max() < 0.1
    assert all(link.trusted for link in record.links)
    assert not any(tile.anchored for tile in record.tiles)


def test_the_field_is_what_was_cut(stitched):
    out, true, planes = stitched
    (field,) = load_manifest(out / "dataset.toml").fields
    made = load_field(field).transmitted.planes
    y, x = true.min(axis=0)
    height, width = made.shape[1:]
    covered = tifffile.imread(out / "fields" / "A4.measured.tif") > 0
    for ours, plane in zip(made, planes, strict=True):
        cut = plane[y : y + height, x : x + width]
        assert np.corrcoef(ours[covered], cut[covered])[0, 1] > 0.98


def test_the_field_is_kept(stitched):
    out, _, _ = stitched
    assert (out / "quality.csv").read_text().splitlines()[1].startswith("A4,yes,,")


def test_single_files_become_a_data_set(data, tmp_path):
    config = CONFIGS / "preprocess" / "sephace.toml"
    call = ["preprocess", str(config), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert cli.main(call) == 0
    (field,) = load_manifest(tmp_path / "out" / "dataset.toml").fields
    loaded = load_field(field)
    assert loaded.transmitted.planes.shape == (6, 1024, 1344)
    assert loaded.labels.labels == ("DAPI",)
    assert loaded.validation_region == (640, 1024, 0, 480)
    assert loaded.transmitted.pixel_size is not None
    assert loaded.transmitted.pixel_size.x == pytest.approx(0.2004, rel=1e-4)
    raw = np.asarray(tifffile.imread(tmp_path / "out" / "fields" / "set1.tif"), float) / 65535
    for plane in raw:
        assert plane.mean() == pytest.approx(0.5, abs=0.01)
        # What is clipped, the darkest and the brightest, is missing from the deviation.
        assert 0.105 < plane.std() < 0.126
    # The planes about the middle of the cells, less than a micrometre apart, are the sharpest.
    assert read_record(tmp_path / "out" / "fields" / "set1.json").sharpest in (2, 3)
