"""What isl 0.1.0 wrote is still read: a model folder, a data set, a prediction and its records.

`golden/0.1.0` was written by that version's own code: a network as drawn, two planes of noise, and
what `isl predict` made of them.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import caller, files_in

from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.labeling.model import load_model

GOLDEN = Path(__file__).parent / "golden" / "0.1.0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "plate")
    monkeypatch.chdir(tmp_path / "plate")
    return tmp_path / "plate"


def test_a_model_folder_predicts_what_it_did(folder: Path, capsys) -> None:
    assert load_model(folder / "model").config.labels == ("DAPI", "NFH")
    run = caller("predict", capsys, model="model")
    # That version's medians were whole bins; now they lie within one unless one asks for this.
    code, _, err = run("fields/a.tif", "--out", "again", "--median", "published")
    assert code == 0, err
    before, now = (tifffile.imread(folder / name / "a.ome.tif") for name in ("out", "again"))
    np.testing.assert_allclose(now.astype(float), before.astype(float), atol=1)
    old, new = (json.loads((folder / name / "a.json").read_text()) for name in ("out", "again"))
    assert old["model"]["sha256"] == new["model"]["sha256"]
    assert old.keys() <= new.keys()


def test_a_run_is_resumed(folder: Path, capsys) -> None:
    before = files_in(folder / "out")
    code, _, err = caller("predict", capsys, model="model")(
        "fields/a.tif", "--out", "out", "--median", "published", "--resume"
    )
    assert code == 0, err
    assert "done before" in err
    after = files_in(folder / "out")
    assert {name: after[name] for name in before if not name.endswith(".jsonl")} == {
        name: content for name, content in before.items() if not name.endswith(".jsonl")
    }


def test_a_data_set_loads(folder: Path) -> None:
    (field,) = load_manifest(folder / "dataset.toml").fields
    loaded = load_field(field, ("DAPI",))
    assert loaded.transmitted.planes.shape == (2, 20, 24)
    assert loaded.labels.channels.shape == (1, 20, 24)
    assert field.validation_region == (0, 8, 0, 24)
