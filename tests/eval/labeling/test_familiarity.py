"""Familiarity in evaluations: every field's score in the report, the record and the table."""

import csv
import json

import numpy as np
import pytest
import tifffile
from simulated_labeling import write_field, write_model, write_prediction

from isl import cli
from isl.imaging.normalize import normalize
from isl.labeling.dataset import Manifest, write_manifest
from isl.labeling.familiarity import LearnedField, learn_familiarity

SIZE = (192, 192)
CONFIG = """
task = "labeling"
dataset = "dataset.toml"
replicates = 20
model = ["knowing", "silent"]
predictions = { elsewhere = "elsewhere" }
"""


def learned(folder):
    """What fields like those judged look like."""
    folder.mkdir()
    fields = []
    for seed in range(10, 14):
        write_field(folder, str(seed), seed, size=SIZE)
        planes, _ = normalize(tifffile.imread(folder / f"{seed}.tif"))
        usable = np.ones(SIZE, bool)
        fields.append(LearnedField(group=str(seed), transmitted=planes, usable=usable))
    return learn_familiarity(fields)


@pytest.fixture
def judge(tmp_path):
    """A field like the training ground, its negative, and one too small; runs `isl eval`."""
    fields = []
    for seed, (name, size) in enumerate(
        {"like": SIZE, "negative": SIZE, "small": (60, 70)}.items()
    ):
        field, truth = write_field(tmp_path, name, seed, size=size, group=f"g{seed}")
        fields.append(field)
        write_prediction(tmp_path / "elsewhere", name, truth)
    stack = tifffile.imread(tmp_path / "negative.tif")
    tifffile.imwrite(tmp_path / "negative.tif", 65535 - stack, metadata={"axes": "ZYX"})
    write_manifest(tmp_path / "dataset.toml", Manifest(fields=tuple(fields)))
    familiarity = learned(tmp_path / "training")
    write_model(tmp_path / "knowing", "knowing", familiarity=familiarity)
    write_model(tmp_path / "silent", "silent", seed=1)
    (tmp_path / "eval.toml").write_text(CONFIG, encoding="utf-8")

    def call():
        words = ["eval", tmp_path / "eval.toml", "--out", tmp_path / "out", "--device", "cpu"]
        return cli.main([str(word) for word in words])

    return call


def test_every_field_has_its_score(judge, tmp_path, capsys):
    out = tmp_path / "out"
    # The second time, predictions are taken from the folder.
    for _ in range(2):
        assert judge() == 0
        record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        found = record["familiarity"]
        assert found["silent"] == found["elsewhere"] == {}
        assert list(found["knowing"]) == ["like", "negative"]
        like, negative = found["knowing"].values()
        assert like["score"] < like["limit"] == negative["limit"] < negative["score"]
        assert (like["unlike"], negative["unlike"]) == (False, True)
        (line,) = (line for line in record["warnings"]["knowing"] if "is unlike what" in line)
        assert line.startswith("negative: ")
        with (out / "familiarity.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [(r["contender"], r["field"], r["group"], r["unlike"]) for r in rows] == [
            ("knowing", "like", "g0", "False"),
            ("knowing", "negative", "g1", "True"),
        ]
        assert float(rows[1]["score"]) == pytest.approx(negative["score"], abs=1e-3)
        assert rows[1]["deviations"].split(":")[0] == next(iter(negative["deviations"]))
        report = (out / "report.html").read_text(encoding="utf-8")
        assert "knowing: 1 of 3 fields are beyond the limit" in report
        assert report.count(">beyond</span>") == 1
        assert "not known: too small, or a plane stands for several" in report
        assert "silent does not say what its training ground looks like" in report


def test_scores_of_another_training_ground_are_not_taken(judge, tmp_path, capsys):
    assert judge() == 0
    path = tmp_path / "knowing" / "model.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("limit = ", "limit = 1"), encoding="utf-8")
    assert judge() == 2
    assert "familiarity.knowing" in capsys.readouterr().err
