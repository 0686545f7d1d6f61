"""`isl check`: what it prints and writes, its exit codes, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
import tifffile

from isl import cli
from isl.labeling import plan as planning
from isl.phantom import PhantomConfig, make_phantom


def write_stack(path, frames, axes):
    tifffile.imwrite(
        path, frames, metadata={"axes": axes, "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}, ome=True
    )
    return path


@pytest.fixture(scope="module")
def frames():
    """Two time points of a simulated field, uint16 [T, Z, Y, X]; wider than high."""
    config = PhantomConfig(height=41, width=54)
    return np.stack([make_phantom(config, seed)[0].planes for seed in (1, 2)])


@pytest.fixture
def movie(frames, tmp_path):
    return write_stack(tmp_path / "movie.ome.tif", frames, "TZYX")


@pytest.fixture
def run(capsys):
    def call(*words):
        code = cli.main(["check", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_phantom_model_passes_on_a_phantom_and_its_figures_are_kept(
    run, frames, movie, tmp_path
):
    code, out, err = run("phantom", movie, "--out", tmp_path / "out", "--labels", "NUCLEI")
    assert code == 0, err
    assert "[1/1] movie: checked (" in err
    assert f"phantom on {movie}: all of 41 x 54 pixels" in out
    assert "MEMBRANE" not in out
    assert "passed: tilings differ by at most" in out
    record = tmp_path / "out" / "movie.check.json"
    assert out.splitlines()[-1] == str(record)
    made = json.loads(record.read_text())
    assert made["passed"] is True
    assert made["largest"] <= made["tolerance"] == 2e-5
    assert made["model"]["name"] == "phantom"
    assert made["input"]["part"] == {
        "rows": [0, 41],
        "columns": [0, 54],
        "of": [41, 54],
        "time point": 0,
    }
    assert [tiling["tiles"] for tiling in made["tilings"]] == [[1, 1], [2, 2], [3, 3]]
    assert list(made["shifts"]) == ["1", "2", "3"]
    assert len(made["turns"]) == 7
    # It was trained on turned crops: turned it says about the same, and never quite the same.
    for (agreement,) in made["turns"].values():
        assert 0.8 < agreement["pearson"] < 1
        assert 0 < agreement["mean"] < 0.05

    # Of a movie the first time point; and what exists stays.
    code, out, err = run("phantom", movie, "--out", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "exists already (give --overwrite" in err
    alone = write_stack(tmp_path / "movie.tif", frames[0], "ZYX")
    again = ("--out", tmp_path / "out", "--labels", "NUCLEI", "--overwrite")
    assert run("phantom", alone, *again)[0] == 0
    assert json.loads(record.read_text())["turns"] == made["turns"]


def test_a_broken_tiling_has_an_exit_code_of_its_own(run, movie, tmp_path, monkeypatch):
    plan_tiles = planning.plan_tiles

    def late(*given, **options):
        tiles = plan_tiles(*given, **options)
        rows = tuple(
            dataclasses.replace(strip, read=strip.read + 4 * place)
            for place, strip in enumerate(tiles.rows)
        )
        return dataclasses.replace(tiles, rows=rows)

    monkeypatch.setattr(planning, "plan_tiles", late)
    code, out, _ = run("phantom", movie, "--labels", "NUCLEI", "--out", tmp_path)
    assert code == 3
    assert "FAILED: tilings differ by at most" in out
    made = json.loads((tmp_path / "movie.check.json").read_text())
    assert made["passed"] is False
    assert made["largest"] > 0.1
    scores = [(tiling["seams"], tiling["seams_without"]) for tiling in made["tilings"][1:]]
    assert max(seams / without for seams, without in scores) > 1.2


def test_the_middle_of_a_large_image_is_what_is_checked(run, movie, monkeypatch):
    monkeypatch.setattr("isl.labeling.check.part_to_check.__defaults__", (400,))
    code, out, _ = run("phantom", movie, "--labels", "NUCLEI")
    assert code == 0
    first = out.splitlines()[0]
    assert first.endswith("rows 12 to 28, columns 18 to 34 of 41 x 54 pixels (--all: all of them)")


def test_an_image_too_large_to_check_whole_is_refused(run, movie, monkeypatch):
    monkeypatch.setattr("isl.labeling.run.check_image.memory_to_check", lambda *given: 2**60)
    code, out, err = run("phantom", movie, "--all")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--all needs 1.1e+09 GiB" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["phantom", "{}/absent.tif"], "absent.tif"),
        (["phantm", "{}/movie.ome.tif"], "phantm"),
        (["phantom,phantom", "{}/movie.ome.tif"], "names 'phantom' twice"),
        (["phantom,neurons-phase", "{}/movie.ome.tif"], "cannot be averaged"),
        (["phantom", "{}/movie.ome.tif", "--labels", "NUCLEUS"], "NUCLEUS"),
        (["phantom", "{}/movie.ome.tif", "--planes", "0,1"], "--planes names 2 planes"),
        (["phantom", "{}/movie.ome.tif", "--pixel-size", "-1"], "above 0"),
        (["phantom", "{}/movie.ome.tif", "--device", "tpu"], "JAX sees no TPU here"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, movie, tmp_path, words, said):
    code, out, err = run(*(word.format(tmp_path) for word in words), "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert len([line for line in err.splitlines() if not line.startswith("warning")]) == 1
    assert not (tmp_path / "out").exists()
