import csv

import numpy as np
import pytest

from isl import cli
from isl.config import parse
from isl.errors import InputError
from isl.imaging.image import Movie
from isl.imaging.inputs.read import read_fluorescence, read_transmitted
from isl.phantom.embryos.fields import EmbryoField, EmbryoFieldConfig, write_fields
from isl.polarity.embryos_in_field import find_windows

SIZE = {"planes": 2, "z_step": 12.0, "pixel_size": 2.4, "height": 130, "width": 200}
CONFIG = EmbryoFieldConfig(**SIZE, embryos=4, fewest_frames=3, most_frames=3, never=0.0, early=0.0)


@pytest.fixture(scope="module")
def field():
    return EmbryoField(CONFIG, np.random.default_rng([7, 0]))


def test_every_embryo_is_where_it_is_said_to_be(field):
    assert field.frames.shape == (3, 2, 130, 200)
    assert field.ezrin.shape == (3, 1, 130, 200)
    bright = field.ezrin[0, 0] > 0.1 * 65535
    around = np.zeros_like(bright)
    for row, column in field.places:
        square = (slice(row - 26, row + 27), slice(column - 26, column + 27))
        assert 0.15 < bright[square].mean() < 0.8
        around[square] = True
    assert not bright[~around].any()
    assert [tuple(place) for place in field.places] == sorted(
        (tuple(place) for place in field.places), key=lambda place: (place[0] // 65, place[1])
    )


def test_onsets_are_seen_in_ezrin(field):
    brightest = field.ezrin[:, 0].astype(float) / 65535
    for (row, column), happens in zip(field.places, field.developments, strict=True):
        square = (slice(row - 26, row + 27), slice(column - 26, column + 27))
        peaks = np.array([np.sort(frame[square].ravel())[-4] for frame in brightest])
        assert happens.onset is not None
        np.testing.assert_array_equal(peaks > 0.5, np.arange(3) >= happens.onset)


def test_files_hold_the_field_and_its_truth(field, tmp_path):
    table = write_fields(tmp_path, 1, CONFIG, 7)
    movie = read_transmitted(tmp_path / "movies" / "field-000.ome.tif")
    assert isinstance(movie, Movie)
    np.testing.assert_array_equal(movie.frames, field.frames)
    ezrin = read_fluorescence(tmp_path / "ezrin" / "field-000.ome.tif")
    np.testing.assert_array_equal(ezrin.channels, field.ezrin)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[int(row["row"]), int(row["column"])] for row in rows] == field.places.tolist()
    assert [int(row["onset"]) for row in rows] == [each.onset for each in field.developments]
    with pytest.raises(InputError, match="exists already"):
        write_fields(tmp_path, 1, CONFIG, 7)


def test_embryos_of_a_field_are_found_by_isl_polarity(tmp_path):
    wide = EmbryoFieldConfig(
        height=300, width=300, planes=3, embryos=3, fewest_frames=2, most_frames=2
    )
    write_fields(tmp_path, 1, wide, 3)
    places = EmbryoField(wide, np.random.default_rng([3, 0])).places
    windows = find_windows(tmp_path / "movies" / "field-000.ome.tif")
    middles = np.array([window.corners[0] + window.side / 2 for window in windows])
    np.testing.assert_allclose(middles, places, atol=15)


def test_the_command_makes_fields(tmp_path, capsys):
    words = ["phantom", "--kind", "embryo-fields", "--out", str(tmp_path / "f")]
    few = {**SIZE, "embryos": 1, "fewest_frames": 1, "most_frames": 1}
    settings = [word for key, value in few.items() for word in ("--set", f"{key}={value}")]
    assert cli.main([*words, *settings]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "f" / "truth.csv")
    assert cli.main([*words, *settings, "--validation", "1"]) == 2
    assert "not for training" in capsys.readouterr().err


def test_more_embryos_than_have_room_are_refused():
    with pytest.raises(InputError, match="has room for 16 embryos, not 17"):
        parse({"embryos": 17}, EmbryoFieldConfig, source="--set")
