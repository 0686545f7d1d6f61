"""The demonstration and the commands around simulated cells, with small fields."""

import functools
from pathlib import Path

import pytest

from isl import cli, demo, registry
from isl.errors import InputError
from isl.imaging.inputs.read import read_fluorescence
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.phantom import PhantomConfig


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(
        demo, "PhantomConfig", functools.partial(PhantomConfig, height=160, width=160)
    )


def test_the_demonstration_writes_images_figures_and_a_page(small, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("ISL_DATA", raising=False)
    out = tmp_path / "demo"
    assert cli.main(["demo", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    predicted = read_fluorescence(out / "predicted" / "phantom.ome.tif")
    assert predicted.labels == ("NUCLEI", "MEMBRANE")
    assert predicted.channels.shape == (2, 160, 160)
    assert predicted.pixel_size is not None
    for name in ("phantom.tif", "phantom.truth.ome.tif", "phantom.png", "index.html"):
        assert (out / name).is_file()
        assert name in printed
    figures = [float(line.split()[-1]) for line in printed.splitlines() if "Pearson" in line]
    assert len(figures) == 2
    # The whole-field figures of the model's card are 0.79 and 0.84; this is a tenth of a field.
    assert min(figures) > 0.6
    assert "NUCLEI" in (out / "index.html").read_text()
    # What can be typed next is there: the commands, and what they are called with here.
    lines = printed.partition("Next:\n")[2].splitlines()
    words = [line.strip().partition("  #")[0].split() for line in lines]
    assert [line[1] for line in words] == ["models", "data", "predict", "train"]
    known = registry.registered(registry.COMMANDS)
    for isl, command, *_ in words:
        assert command in known
        assert isl == "isl" or Path(isl).is_file()
    # A second demonstration replaces the first.
    assert cli.main(["demo", "--out", str(out)]) == 0


def test_a_folder_without_the_real_field_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no folder condition_b_A4"):
        demo.run(out=tmp_path / "demo", data=tmp_path)
    assert not (tmp_path / "demo").exists()


def test_phantoms_become_a_data_set_that_training_takes(tmp_path, capsys):
    folder = tmp_path / "phantoms"
    words = ["phantom", "--out", str(folder), "--count", "2", "--validation", "1"]
    size = ["--set", "height=48", "--set", "width=40", "--set", "planes=3"]
    assert cli.main([*words, *size]) == 0
    manifest = load_manifest(folder / "dataset.toml")
    assert [field.split for field in manifest.fields] == ["train", "validation"]
    loaded = load_field(manifest.fields[0])
    assert loaded.transmitted.planes.shape == (3, 48, 40)
    capsys.readouterr()
    assert cli.main([*words, *size]) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_unknown_phantom_setting_is_refused(tmp_path, capsys):
    words = ["phantom", "--out", str(tmp_path / "phantoms"), "--set", "modalty=DIC"]
    assert cli.main(words) == 2
    assert "did you mean 'modality'?" in capsys.readouterr().err
    assert not (tmp_path / "phantoms").exists()
