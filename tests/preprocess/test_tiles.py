"""Tiles corrected one by one: what is kept of each, and what is done only once."""

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isl.config import parse
from isl.errors import InputError
from isl.preprocess import estimate_files, scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates
from isl.preprocess.layout.fields import PlaneSource, RawField, Tile
from isl.preprocess.tiles import correct_tiles
from isl.workers import Workers

SHAPE = (16, 20)


def settings(stages=("downscale",), **changed):
    given = {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}, "stages": stages}
    return parse(given | changed, PreprocessConfig, source="test")


@pytest.fixture
def field(tmp_path):
    """Two tiles; two planes of phase, and one of a dye whose name no file could have."""
    rng = np.random.default_rng(0)
    tiles = []
    for number in range(2):
        images = {}
        for channel, z, dtype in (("phase", 0, "u2"), ("phase", 1, "u2"), ("a/b", 0, "u1")):
            sources = []
            for exposure in range(2 if channel == "a/b" else 1):
                file = tmp_path / "raw" / f"{number}{z}{exposure}{channel[0]}.tif"
                file.parent.mkdir(exist_ok=True)
                image = rng.integers(100, 200, SHAPE).astype(dtype)
                if number == 1 and channel == "a/b":
                    image[:4] = 255
                tifffile.imwrite(file, image)
                sources.append(PlaneSource(file=file))
            images[channel, z] = tuple(sources)
        tiles.append(
            Tile(name=f"t{number}", row=0, column=number, position=(0, number), images=images)
        )
    return RawField(
        name="A1",
        group="A1",
        tiles=tuple(tiles),
        size=SHAPE,
        dtype=np.dtype(np.uint16),
        planes={"phase": 2, "a/b": 1},
        pixel_size=None,
        z_step=None,
        warnings=(),
    )


def corrected(field, config, folder, channels=("phase", "a/b"), said=None):
    said = [] if said is None else said
    kinds = {channel: channel != "phase" for channel in channels}
    with Workers(1) as workers:
        return correct_tiles(
            field,
            kinds,
            config,
            folder,
            folder / "tiles",
            workers,
            lambda done, of: said.append((done, of)),
        )


def raw(field, tile, channel, z):
    sources = field.tiles[tile].images[channel, z]
    return np.sum([tifffile.imread(source.file) for source in sources], axis=0, dtype=np.float32)


def halved(image):
    return image.reshape(SHAPE[0] // 2, 2, SHAPE[1] // 2, 2).mean(axis=(1, 3))


def test_each_channel_is_kept_tile_by_tile(field, tmp_path):
    said = []
    found = corrected(field, settings(), tmp_path, said=said)
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert list(found) == ["phase", "a/b"]
    for tile in range(2):
        stack = scratch.load(found["phase"].files[tile])
        expected = [halved(raw(field, tile, "phase", z)) for z in range(2)]
        np.testing.assert_allclose(stack, expected, rtol=1e-6)
        dye = scratch.load(found["a/b"].files[tile])
        np.testing.assert_allclose(dye, [halved(raw(field, tile, "a/b", 0))], rtol=1e-6)
    assert (found["phase"].exposures, found["phase"].full) == (1, 65535)
    assert (found["a/b"].exposures, found["a/b"].full) == (2, 510)
    assert found["phase"].saturated == 0
    # A quarter of one of two tiles.
    assert found["a/b"].saturated == pytest.approx(0.25 / 2)


def test_noise_is_less_where_pixels_were_averaged(field, tmp_path):
    whole = corrected(field, settings(("stitching",)), tmp_path / "whole", ["phase"])
    less = corrected(field, settings(), tmp_path / "less", ["phase"])
    assert less["phase"].noise.deviation == pytest.approx(whole["phase"].noise.deviation / 2)
    plain = corrected(field, settings(), tmp_path / "plain", ["a/b"])
    filtered = corrected(
        field, settings(("salt_and_pepper", "downscale")), tmp_path / "filtered", ["a/b"]
    )
    assert filtered["a/b"].noise.deviation == pytest.approx(
        plain["a/b"].noise.deviation * math.sqrt(math.pi / 2)
    )


def test_estimates_of_the_run_are_used(field, tmp_path):
    flat = np.linspace(0.5, 1.5, 80).reshape(8, 10).astype(np.float32)
    estimate_files.save_estimates(
        tmp_path / estimate_files.FOLDER, "phase", Estimates(flat_field=flat), ""
    )
    found = corrected(field, settings(sensor_offset=50.0), tmp_path, ["phase"])
    expected = (halved(raw(field, 1, "phase", 1)) - 50) / flat
    np.testing.assert_allclose(scratch.load(found["phase"].files[1], plane=1), expected, rtol=1e-5)


def test_what_is_done_is_left_as_it_is(field, tmp_path):
    first = corrected(field, settings(), tmp_path)
    times = {file: file.stat().st_mtime_ns for each in first.values() for file in each.files}
    missing = first["phase"].files[1]
    missing.unlink()
    again = corrected(field, settings(), tmp_path)
    assert again["phase"].files == first["phase"].files
    assert again["a/b"].noise == first["a/b"].noise
    changed = [file for file, time in times.items() if file.stat().st_mtime_ns != time]
    assert changed == [missing]


def test_a_tile_that_cannot_be_read_is_named(field, tmp_path):
    Path(tmp_path / "raw" / "110p.tif").write_text("no image")
    with pytest.raises(InputError, match=r"110p\.tif: "):
        corrected(field, settings(), tmp_path)
