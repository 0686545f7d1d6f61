"""Intensities back to counts: analytic, through files, and all that is refused."""

import numpy as np
import pytest

from isl import cli
from isl.errors import InputError
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage
from isl.imaging.inputs.read import read_fluorescence
from isl.labeling import bins
from isl.labeling.abstention import ABSTAINED
from isl.labeling.renormalize import INTENSITIES
from isl.preprocess.raw_units import (
    SPREADS,
    UNITLESS,
    in_counts,
    read_normalization,
    write_normalization,
)
from isl.preprocess.stages.normalization import Normalization, apply

DAPI = Normalization(scale=1 / 4000, offset=0.05, mean=800.0, deviation=500.0)


@pytest.fixture
def counts():
    return np.random.default_rng(0).uniform(0, 3800, (1, 6, 7)).astype(np.float32)


def image_of(channels, labels=("DAPI",)):
    return FluorescenceImage(name="field", channels=channels, labels=labels)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_counts_come_back(counts, dtype):
    values = apply(counts, DAPI)
    stored = np.rint(values * 65535).astype(np.uint16) if dtype == np.uint16 else values
    back = in_counts(image_of(stored), {"DAPI": DAPI})
    assert back.channels.dtype == np.float32
    np.testing.assert_allclose(back.channels, counts, atol=0.5 / 65535 * 4000 + 1e-2)


def test_a_deviation_has_no_zero():
    spread = in_counts(image_of(np.full((1, 2, 2), 0.1, np.float32)), {"DAPI": DAPI}, spread=True)
    np.testing.assert_allclose(spread.channels, 400.0, rtol=1e-5)


def test_movies_keep_their_axes(counts):
    movie = np.stack([apply(counts, DAPI)] * 2)
    np.testing.assert_allclose(
        in_counts(image_of(movie), {"DAPI": DAPI}).channels, np.stack([counts] * 2), atol=1e-2
    )


def test_an_unknown_label_is_refused():
    with pytest.raises(InputError, match="nothing says how 'MAP2' was normalized"):
        in_counts(image_of(np.zeros((1, 2, 2), np.float32), ("MAP2",)), {"DAPI": DAPI})


def test_normalization_is_read_as_written(tmp_path):
    write_normalization(tmp_path / "normalization.json", {"DAPI": DAPI})
    assert read_normalization(tmp_path / "normalization.json") == {"DAPI": DAPI}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"DAPI": 3}', '{"normalization": 3}'])
def test_what_says_nothing_of_normalization_is_refused(tmp_path, text):
    path = tmp_path / "normalization.json"
    path.write_text(text)
    with pytest.raises(InputError, match="says nothing of normalization"):
        read_normalization(path)


@pytest.fixture
def files(tmp_path, counts):
    like = tmp_path / "normalization.json"
    write_normalization(like, {"DAPI": DAPI})
    predicted = tmp_path / "field.ome.tif"
    write_ome_tiff(predicted, image_of(apply(counts, DAPI)))
    return predicted, like, tmp_path / "out"


def run(capsys, *words):
    code = cli.main(["raw-units", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_writes_counts(files, counts, capsys):
    predicted, like, out = files
    before = predicted.read_bytes()
    code, said, err = run(capsys, predicted, "--like", like, "--out", out)
    assert (code, err) == (0, "")
    assert said.strip() == str(out / "field.ome.tif")
    np.testing.assert_allclose(read_fluorescence(out / "field.ome.tif").channels, counts, atol=1e-2)
    assert predicted.read_bytes() == before


def test_every_statistic_is_an_intensity_a_difference_or_neither(files, capsys):
    known = {*bins.STATISTICS, *bins.FURTHER_STATISTICS, ABSTAINED}
    assert {*INTENSITIES, *SPREADS, *UNITLESS} == known
    assert len(INTENSITIES + SPREADS + UNITLESS) == len(known)
    predicted, like, out = files
    width = predicted.with_name("field.interval_90.ome.tif")
    width.write_bytes(predicted.read_bytes())
    assert run(capsys, width, "--like", like, "--out", out)[0] == 0
    expected = in_counts(read_fluorescence(width), {"DAPI": DAPI}, spread=True)
    found = read_fluorescence(out / width.name)
    np.testing.assert_allclose(found.channels, expected.channels, rtol=1e-6)


def test_the_command_refuses_in_one_line(files, capsys, tmp_path):
    predicted, like, out = files
    entropy, mask = (tmp_path / f"field.{name}.ome.tif" for name in ("entropy", "abstained"))
    for path in (entropy, mask):
        path.write_bytes(predicted.read_bytes())
    for words, reason in (
        ((entropy, "--like", like, "--out", out), "entropy is no intensity"),
        ((mask, "--like", like, "--out", out), "abstained is no intensity"),
        ((predicted, predicted, "--like", like, "--out", out), "another input has that name"),
        ((predicted, "--like", like, "--out", predicted.parent), "give another --out"),
        ((predicted, "--like", tmp_path / "none.json", "--out", out), "there is no such file"),
    ):
        code, said, err = run(capsys, *words)
        assert (code, said, err.count("\n")) == (2, "", 1)
        assert reason in err
    assert not out.exists()
    assert run(capsys, predicted, "--like", like, "--out", out)[0] == 0
    code, _, err = run(capsys, predicted, "--like", like, "--out", out)
    assert code == 2
    assert "--overwrite" in err
    assert run(capsys, predicted, "--like", like, "--out", out, "--overwrite")[0] == 0


def test_an_image_that_fails_does_not_keep_others_back(files, capsys, tmp_path):
    predicted, like, out = files
    other = tmp_path / "other.ome.tif"
    write_ome_tiff(other, image_of(np.zeros((1, 4, 4), np.float32), ("MAP2",)))
    code, said, err = run(capsys, other, predicted, "--like", like, "--out", out)
    assert code == 3
    assert said.strip() == str(out / "field.ome.tif")
    assert "1 of 2 images failed" in err
    assert "nothing says how 'MAP2' was normalized" in err
    assert [path.name for path in out.iterdir()] == ["field.ome.tif"]
