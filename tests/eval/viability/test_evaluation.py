"""`isl eval` of a viability model, from a table to a report; what is refused."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "viability"))

from simulated_development import FILM, film, write_model

from isl.errors import InputError
from isl.viability.films import save_key_film
from isl.viability.model import PURPOSE, load_viability_model
from isl.viability.recording import read_recordings
from isl_eval.viability.evaluation import chance_error, evaluate_viability, without_pictures
from isl_eval.viability.predictions import last_frame, logits_of, seen_until
from isl_eval.viability.transfers import SELECTION
from isl_train.viability.ground import Case, film_key

CONFIG = """
task = "viability"
model = "model"
dataset = "recordings.csv"
truth = "truth.csv"
orders = ["grade"]
groups = ["clinic"]
replicates = 50
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 embryos of eight patients whose key frames are kept already."""
    rows = ["recording,file,patient,split,clinic,grade,heartbeat,euploid"]
    truth = ["recording,chance"]
    for number in range(24):
        name = f"film {number}"
        rows.append(
            f"{name},{number}.mp4,q{number // 3},test,c{number // 12},{number},{number % 2},"
        )
        truth.append(f"{name},{0.2 + 0.5 * (number % 2) + number / 1000}")
        (tmp_path / f"{number}.mp4").write_bytes(b"never opened")
    (tmp_path / "recordings.csv").write_text("\n".join(rows) + "\n")
    for number, place in enumerate(read_recordings(tmp_path / "recordings.csv")):
        kept = dataclasses.replace(film(number), key=film_key(place, FILM))
        save_key_film(tmp_path / "out" / "key_frames" / f"{place.name}.npz", kept)
    (tmp_path / "truth.csv").write_text("\n".join(truth) + "\n")
    (tmp_path / "eval.toml").write_text(CONFIG)
    write_model(tmp_path / "model")
    return tmp_path


def test_report_and_metrics(folder: Path) -> None:
    evaluate_viability(folder / "eval.toml", [], folder / "out")
    found = json.loads((folder / "out" / "metrics.json").read_text())
    assert found["embryos"] == 24
    assert found["patients"] == 8
    assert 0 <= found["auroc"]["estimate"] <= 1
    # The truth's chances tell these outcomes apart without fault.
    assert found["best reachable"]["of these outcomes"]["estimate"] == 1
    assert set(found["by group"]["clinic"]) == {"c0", "c1"}
    assert set(found["controls"]) == {"frames in random order", "last frame alone"}
    assert len(found["by hour"]) == 4
    assert "grade: transfers per pregnancy" in found["transfers"]
    html = (folder / "out" / "report.html").read_text()
    assert PURPOSE in html.partition("<footer>")[2]
    assert SELECTION in html
    assert "about 1.6 transfers per pregnancy" in html
    lines = (folder / "out" / "predictions.csv").read_text().splitlines()
    assert len(lines) == 25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("target=beauty", "target 'beauty'"),
        ("target=euploid", "no two outcomes of 'euploid' differ"),
        ("groups=['mood']", "column 'mood'"),
        ("orders=['clinic']", "column 'clinic' orders embryos and holds no numbers"),
    ],
)
def test_evaluations_that_are_refused(folder: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_viability(folder / "eval.toml", [override], folder / "out")


def test_patients_that_the_model_knew_are_refused(folder: Path) -> None:
    write_model(folder / "knowing", patients=("q2",))
    with pytest.raises(InputError, match="was trained on patient 'q2'"):
        evaluate_viability(folder / "eval.toml", ["model=knowing"], folder / "out")


def test_without_pictures() -> None:
    def case(number: int, patient: str, outcome: int) -> Case:
        return Case(
            film=film(number),
            patient=patient,
            split="test",
            outcomes=np.array([outcome]),
            row={},
        )

    cases = [case(0, "a", 1), case(1, "a", 0), case(2, "a", 1), case(3, "b", 0)]
    found = without_pictures(cases)
    assert found["cohort size"].tolist() == [3, 3, 3, 1]
    # Of the other two of patient a; for b nobody else is known.
    assert found["patient's share"].tolist() == [0.5, 1, 0.5, 0.5]
    assert found["hours covered"].tolist() == pytest.approx([117] * 4)


def test_shuffled_films_and_last_frames(folder: Path) -> None:
    model = load_viability_model(folder / "model")
    films = [film(n) for n in range(4)]
    plain = logits_of(model, films, 0)
    assert np.abs(logits_of(model, films, 0, seed=1) - plain).max() > 0
    np.testing.assert_array_equal(
        logits_of(model, films, 0, seed=1), logits_of(model, films, 0, seed=1)
    )
    alone = last_frame(films[0])
    assert np.ptp(alone.pictures[:-1]) == 0
    np.testing.assert_array_equal(alone.pictures[-1], films[0].pictures[-1])
    assert seen_until(films[0], 60.0).hours.max() <= 60


def test_calibration_error_of_right_probabilities_is_not_zero() -> None:
    """One bin of n outcomes at p is off by sqrt(2 p (1 - p) / (pi n)) on average."""
    found = chance_error(np.full(400, 0.5), np.random.default_rng(0))
    assert found["mean"] == pytest.approx(np.sqrt(2 * 0.25 / np.pi / 400), rel=0.1)
    assert found["low"] < found["mean"] < found["high"]
