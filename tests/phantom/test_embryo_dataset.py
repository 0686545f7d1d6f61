import csv

import numpy as np
import pytest

from isl import cli
from isl.errors import InputError
from isl.imaging.image import Movie
from isl.imaging.inputs.read import read_fluorescence, read_transmitted
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.phantom import EmbryoConfig, make_embryo, write_embryos
from isl.polarity.embryo import load_embryos

SIZE = {"height": 32, "width": 40, "planes": 2, "z_step": 12.0, "pixel_size": 4.0}
CONFIG = EmbryoConfig(
    **SIZE, fewest_frames=2, most_frames=4, never=0.3, unfocused=0.3, dyed_nuclei=0.4
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embryos")
    assert write_embryos(folder, 3, CONFIG, 5, validation=1) == folder / "dataset.toml"
    return folder


@pytest.fixture(scope="module")
def embryos():
    return {
        f"embryo-{number:03d}": make_embryo(
            CONFIG, np.random.default_rng([5, number]), f"embryo-{number:03d}"
        )
        for number in range(3)
    }


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_frame_is_a_field_of_its_embryo(written, embryos):
    manifest = load_manifest(written / "dataset.toml")
    expected = [(name, t) for name, e in embryos.items() for t in range(e.development.frames)]
    assert [field.name for field in manifest.fields] == [f"{n}/t{t:03d}" for n, t in expected]
    for field, (name, t) in zip(manifest.fields, expected, strict=True):
        assert field.group == name
        assert field.split == ("validation" if name == "embryo-002" else "train")
        loaded = load_field(field, ("EZRIN",))
        np.testing.assert_array_equal(loaded.transmitted.planes, embryos[name].movie.frames[t])
        np.testing.assert_array_equal(loaded.labels.channels, embryos[name].ezrin.channels[t])
        assert loaded.transmitted.modality == "DIC"


def test_movies_hold_the_same_frames(written, embryos):
    for name, embryo in embryos.items():
        movie = read_transmitted(written / "movies" / f"{name}.ome.tif")
        assert isinstance(movie, Movie)
        assert (movie.name, movie.modality, movie.interval) == (name, "DIC", 20)
        assert movie.pixel_size == embryo.movie.pixel_size
        np.testing.assert_array_equal(movie.frames, embryo.movie.frames)
        ezrin = read_fluorescence(written / "ezrin" / f"{name}.ome.tif")
        assert ezrin.labels == ("EZRIN",)
        np.testing.assert_array_equal(ezrin.channels, embryo.ezrin.channels)


def test_nuclei_are_a_label_of_the_embryos_that_have_them(written, embryos):
    manifest = load_manifest(written / "dataset.toml")
    assert {embryo.nuclei is None for embryo in embryos.values()} == {True, False}
    for lapse in manifest.time_lapses:
        dyed = embryos[lapse.name].nuclei
        assert ("NUCLEI" in lapse.labels) == (dyed is not None)
        field = next(f for f in manifest.fields if f.name == f"{lapse.name}/t001")
        loaded = load_field(field, ("EZRIN", "NUCLEI"))
        assert loaded.labels.measured is not None
        assert loaded.labels.measured[1].all() == (dyed is not None)
        if dyed is not None:
            np.testing.assert_array_equal(loaded.labels.channels[1], dyed.channels[1, 0])


def test_tables_say_what_truly_happened(written, embryos):
    labels, truth = rows(written / "labels.csv"), rows(written / "truth.csv")
    assert [row["embryo"] for row in truth] == list(embryos)
    for row in truth:
        development = embryos[row["embryo"]].development
        own = [label for label in labels if label["embryo"] == row["embryo"]]
        assert [int(label["t"]) for label in own] == list(range(development.frames))
        onset = int(row["onset"]) if row["onset"] else None
        assert onset == development.onset
        compacted = [int(label["compacted"]) for label in own]
        end = development.frames if development.compaction is None else development.compaction
        assert compacted == [0] * end + [1] * (development.frames - end)
        polarized = [int(label["polarized"]) for label in own]
        before = development.frames if onset is None else onset
        assert polarized == [0] * before + [1] * (development.frames - before)
        caps = [int(row[f"cap_{n}"]) if row[f"cap_{n}"] else None for n in range(8)]
        assert caps == list(development.cap_onsets)
        compaction = int(row["compaction"]) if row["compaction"] else None
        assert compaction == development.compaction
        assert row["polarized_before"] == str(int(development.polarized_before))
        assert (int(row["eight_from"]), int(row["eight_to"])) == (
            development.stage[0],
            development.stage[-1],
        )
        blurred = [int(t) for t in row["unfocused"].split()]
        assert blurred == np.flatnonzero(embryos[row["embryo"]].focus).tolist()
    assert len({row["polarized"] for row in labels}) == 2


def test_an_embryo_does_not_depend_on_how_many_follow(written, tmp_path):
    write_embryos(tmp_path, 1, CONFIG, 5)
    for file in (
        "movies/embryo-000.ome.tif",
        "ezrin/embryo-000.ome.tif",
        "stacks/embryo-000/t001.tif",
        "ezrin_frames/embryo-000/t001.tif",
    ):
        assert (tmp_path / file).read_bytes() == (written / file).read_bytes()


def test_what_is_there_is_kept_unless_told_otherwise(tmp_path):
    one = EmbryoConfig(**SIZE, fewest_frames=1, most_frames=1)
    manifest = write_embryos(tmp_path, 1, one, 0)
    with pytest.raises(InputError, match="exists already"):
        write_embryos(tmp_path, 1, one, 1)
    assert write_embryos(tmp_path, 1, one, 1, overwrite=True) == manifest


def test_impossible_datasets_are_refused(tmp_path):
    with pytest.raises(InputError, match="3 of 2"):
        write_embryos(tmp_path / "new", 2, CONFIG, 0, validation=3)
    assert not (tmp_path / "new").exists()


def test_the_command_makes_embryos_when_asked(tmp_path, capsys):
    words = ["phantom", "--kind", "embryos", "--out", str(tmp_path / "e"), "--seed", "3"]
    few = {**SIZE, "fewest_frames": 2, "most_frames": 2}
    settings = [word for key, value in few.items() for word in ("--set", f"{key}={value}")]
    assert cli.main([*words, *settings]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "e" / "dataset.toml")
    assert len(load_manifest(tmp_path / "e" / "dataset.toml").fields) == 2
    assert cli.main([*words, *settings]) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_unknown_kind_is_refused(tmp_path, capsys):
    assert cli.main(["phantom", "--kind", "embrios", "--out", str(tmp_path / "e")]) == 2
    assert "did you mean 'embryos'?" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_its_manifest_trains_polarity(written, embryos):
    """Time-lapses with the onset and compaction that truly happened, fused from their stacks."""
    found = load_embryos(load_manifest(written / "dataset.toml"))
    assert [embryo.name for embryo in found] == list(embryos)
    for embryo in found:
        development = embryos[embryo.name].development
        assert embryo.onset == development.onset
        never = development.compaction is None
        assert embryo.compaction == (development.frames if never else development.compaction)
        assert (embryo.interval, embryo.group) == (20, embryo.name)
        assert embryo.dic.shape == (development.frames, SIZE["height"], SIZE["width"])
        assert embryo.measured is not None
        assert embryo.measured.shape == embryo.dic.shape
    assert [embryo.split for embryo in found] == ["train", "train", "validation"]
