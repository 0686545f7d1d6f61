"""`isl eval` for colonies on pictures of stripes: trains once, resumes, and reports."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tomli_w

sys.path.insert(0, str(Path(__file__).parents[2] / "train" / "colony"))

from stripes import experiment, write_stripes

from isl.config import to_toml
from isl.errors import InputError
from isl_eval.colony import evaluation as module
from isl_eval.colony.evaluation import evaluate_colony
from isl_train.colony.recipe import train_colony

TABLES = {
    "task": "colony",
    "experiment": "training.toml",
    "shares": [0.6],
    "folds": 3,
    "replicates": 20,
}


def test_an_evaluation_from_files_to_files(tmp_path: Path, monkeypatch) -> None:
    path = write_stripes(tmp_path / "stripes.npz", (24, 12))
    own = experiment(path, method="supervised", training={"steps": 12, "evaluate_every": 6})
    (tmp_path / "training.toml").write_text(to_toml(own))
    tables = {
        **TABLES,
        "judged": [0, 1],
        "patches": [1, 2],
        "compare": [["more", "less"]],
        "arms": [
            {"name": "more"},
            {"name": "less", "changes": ["training.steps=1", "training.evaluate_every=0"]},
        ],
    }
    (tmp_path / "eval.toml").write_text(tomli_w.dumps(tables))
    evaluate_colony(tmp_path / "eval.toml", [], tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "figures.csv").read_text().splitlines()))
    value = {
        (row["arm"], row["patches"]): float(row["value"])
        for row in rows
        if row["figure"] == "balanced_accuracy"
    }
    assert set(value) == {(arm, patches) for arm in ("more", "less") for patches in "12"}
    assert value["more", "1"] > 0.9
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert np.sum(record["results"][0]["confusion"]) == 24
    report = (tmp_path / "out" / "report.html").read_text()
    for words in ("By class", "Differences", "Composition", "Table 4", "Mistakes"):
        assert words in report

    def never(*given, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_colony", never)
    evaluate_colony(tmp_path / "eval.toml", [], tmp_path / "out")
    again = list(csv.DictReader((tmp_path / "out" / "figures.csv").read_text().splitlines()))
    assert again == rows
    with pytest.raises(InputError, match="was made from other settings or images"):
        evaluate_colony(
            tmp_path / "eval.toml", ['changes=["optimizer.learning_rate=0.01"]'], tmp_path / "out"
        )
    elsewhere = ["changes=['description=else', 'training.workers=1']"]
    evaluate_colony(tmp_path / "eval.toml", elsewhere, tmp_path / "out")
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "light": arrays["light"][:, ::-1]})
    with pytest.raises(InputError, match="was made from other settings or images"):
        evaluate_colony(tmp_path / "eval.toml", [], tmp_path / "out")
    write_stripes(path, (25, 12))
    with pytest.raises(InputError, match="was made from other settings or images"):
        evaluate_colony(tmp_path / "eval.toml", [], tmp_path / "out")


def test_heads_go_through_the_trainer_where_models_stay_or_settings_ask_for_it(
    tmp_path: Path, monkeypatch
) -> None:
    """Heads behind a frozen backbone; both ways tell stripes, and the trainer's leaves models."""
    path = write_stripes(tmp_path / "stripes.npz", (24, 12))
    backbone = {"kind": "efficientnet-lite0", "strides": [2], "size": 16, "turns": 1}
    own = experiment(
        path,
        method="supervised",
        network={"scales": 1, "backbone": backbone},
        frozen={"views": 1},
        training={"steps": 100, "evaluate_every": 50},
    )
    (tmp_path / "training.toml").write_text(to_toml(own))
    tables = {**TABLES, "judged": [0], "arms": [{"name": "quick"}]}
    went = []

    def trained(*given, **settings):
        went.append(settings)
        return train_colony(*given, **settings)

    monkeypatch.setattr(module, "train_colony", trained)
    found = []
    for name, changes, times in (
        ("quick", {}, 0),
        ("stay", {"keep_models": True}, 1),
        ("averaged", {"changes": ["training.ema_decay=0.5"]}, 2),
    ):
        (tmp_path / "eval.toml").write_text(tomli_w.dumps({**tables, **changes}))
        evaluate_colony(tmp_path / "eval.toml", [], tmp_path / name)
        assert len(went) == times
        rows = csv.DictReader((tmp_path / name / "figures.csv").read_text().splitlines())
        found += [float(row["value"]) for row in rows if row["figure"] == "balanced_accuracy"]
        models = list((tmp_path / name).rglob("weights.safetensors"))
        assert bool(models) == (name == "stay")
    # Twelve are judged, four of one class: a single miss among these costs an eighth.
    assert min(found) > 0.8
