"""The bundled chain on published embryos, from their files to the tables.

The bundled models learned from these embryos, so this tests the chain and not how well it does on
others; their cards have figures on embryos that were held out.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isl import cli
from isl.imaging.inputs.read import read_fluorescence
from isl.labeling.dataset import load_manifest
from isl.labeling.timelapse import frame_files, read_event
from isl.polarity.focus import stretched
from isl.polarity.model import load_polarity_model
from isl.polarity.outputs import FRAME_COLUMNS, ONSET_COLUMNS
from isl.polarity.presence import watch_embryo
from isl.polarity.recording import read_recording
from isl_eval.polarity.ezrin import FIGURES, SEEN, ezrin_figures
from isl_train.polarity.logistic import probabilities

MANIFEST = Path(__file__).parents[2] / "configs" / "data" / "ai4embryo.toml"
NAMES = ("E052", "E160")
# Frames that the bundled model calls as the expert did, of 15 and of 27.
RIGHT = {"E052": 14, "E160": 23}
# The onsets that it tells.
SAID = {"E052": 9, "E160": 10}
# Of predicted EZRIN, a little below what networks have of the worse that never saw it, and how far
# its dull rivals are behind at least.
LEAST = {"inside": 0.45, "detail": 0.45, "fine": 0.36, "borders": 0.73}
LEAD = 0.02


@pytest.fixture(scope="module")
def embryos():
    return {each.name: each for each in load_manifest(MANIFEST).time_lapses}


@pytest.fixture(scope="module")
def assessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two embryos through `isl polarity`."""
    root = tmp_path_factory.mktemp("embryos")
    for name in NAMES:
        shutil.copytree(Path(os.environ["ISL_DATA"]) / "ai4embryo" / "dic_aif" / name, root / name)
    out = root / "out"
    assert cli.main(["polarity", str(root), "--out", str(out), "--interval-minutes", "20"]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables_have_the_promised_columns(assessed: Path, embryos) -> None:
    onsets, frames = rows(assessed / "onsets.csv"), rows(assessed / "frames.csv")
    assert tuple(onsets[0]) == ONSET_COLUMNS
    assert tuple(frames[0]) == FRAME_COLUMNS
    assert [row["embryo"] for row in onsets] == list(NAMES)
    for name in NAMES:
        own = [row for row in frames if row["embryo"] == name]
        assert [int(row["frame"]) for row in own] == list(range(len(frame_files(embryos[name]))))


def test_embryos_it_learned_from_are_told_rightly(assessed: Path, embryos) -> None:
    """As rightly as when the model was made, to a frame."""
    frames = rows(assessed / "frames.csv")
    for row in rows(assessed / "onsets.csv"):
        after = read_event(embryos[row["embryo"]], "polarized")
        called = [each["call"] == "1" for each in frames if each["embryo"] == row["embryo"]]
        assert abs(np.sum(np.array(called) == after) - RIGHT[row["embryo"]]) <= 1
        assert abs(int(row["onset_frame"]) - SAID[row["embryo"]]) <= 1
        assert int(row["onset_low"]) <= int(row["onset_frame"])
        assert float(row["onset_minutes"]) == 20 * int(row["onset_frame"])


@pytest.mark.parametrize(
    "name",
    [
        "E052",
        pytest.param(
            "E160",
            marks=pytest.mark.xfail(
                strict=True, reason="4 frames too early; the model before this one was within 3"
            ),
        ),
    ],
)
def test_onsets_of_embryos_it_learned_from_are_within_3_frames(
    assessed: Path, embryos, name: str
) -> None:
    (row,) = [row for row in rows(assessed / "onsets.csv") if row["embryo"] == name]
    after = read_event(embryos[name], "polarized")
    assert abs(int(row["onset_frame"]) - int(np.argmax(after))) <= 3


def test_predicted_ezrin_shows_more_than_an_outline_or_another_time(
    assessed: Path, embryos
) -> None:
    for name in NAMES:
        image = read_fluorescence(assessed / f"{name}.ezrin.ome.tif")
        folder = embryos[name].labels["EZRIN"]
        measured = [np.asarray(Image.open(folder / f.name)) for f in frame_files(embryos[name])]
        predicted = image.channels.reshape(-1, *measured[0].shape)
        found = ezrin_figures(predicted, np.stack(measured) / 255).mean(axis=0)
        scores = {seen: dict(zip(FIGURES, found[n], strict=True)) for n, seen in enumerate(SEEN)}
        for figure, least in LEAST.items():
            assert scores["prediction"][figure] > least, (name, figure)
            for rival in ("filled outline", "another time"):
                lead = scores["prediction"][figure] - scores[rival][figure]
                assert lead > LEAD, (name, figure, rival)


def test_every_embryo_has_its_pictures_and_its_record(assessed: Path) -> None:
    for name in NAMES:
        for ending in ("film_strip.png", "activation.png"):
            with Image.open(assessed / f"{name}.{ending}") as picture:
                assert min(picture.size) > 300
        record = json.loads((assessed / f"{name}.json").read_text())
        assert record["model"]["name"] == "polarity"
        assert record["ezrin_model"]["name"] == "ezrin-aif"
    page = (assessed / "report.html").read_text()
    assert all(name in page for name in NAMES)
    assert "For research only" in page


def test_no_published_embryo_is_refused(embryos) -> None:
    for embryo in embryos.values():
        recording = read_recording(embryo.frames)
        assert len(recording) == len(frame_files(embryo))
        presence = watch_embryo(recording.frames[:, 0].astype(np.float32) / 255)
        assert presence.leaves is None, embryo.name


@pytest.mark.parametrize("phase", ["tPNa", "t2", "t8"])
def test_human_embryos_in_an_incubator_are_like_nothing_it_knows(phase) -> None:
    folder = Path(os.environ["ISL_DATA"]) / "gomez"
    (row,) = [row for row in rows(folder / "AA83-7_phases.csv") if row["phase"] == phase]
    frames = [
        np.asarray(Image.open(next((folder / "AA83-7").glob(f"*_RUN{number}.jpeg"))).convert("L"))
        for number in (int(row["first"]), int(row["last"]) - 1)
    ]
    model = load_polarity_model()
    seen = stretched(np.stack(frames))
    assert "novelty" in (model.unfamiliar(seen, seen) or "")


def test_embryos_that_it_knows_are_familiar(embryos) -> None:
    model = load_polarity_model()
    for name in NAMES:
        seen = stretched(read_recording(embryos[name].frames).frames[:, 0])
        assert model.unfamiliar(seen, seen) is None


def test_a_frame_and_its_half_turn_are_told_alike(embryos) -> None:
    model = load_polarity_model()
    seen = stretched(read_recording(embryos["E052"].frames).frames[:4, 0])
    turned = seen[:, ::-1, ::-1].copy()
    one, other = (model.member_logits(each, each) for each in (seen, turned))
    np.testing.assert_allclose(one, other, atol=1e-3)
    # By a quarter turn the mean P of members moves by 0.03, as it does on embryos held out.
    quarter = np.rot90(seen, axes=(1, 2)).copy()
    plain, moved = (
        probabilities(each).mean(axis=0) for each in (one, model.member_logits(quarter, quarter))
    )
    assert np.abs(plain - moved).mean() < 0.1
