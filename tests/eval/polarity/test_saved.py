"""Models as they are, on embryos they do not know."""

import dataclasses
import json

import numpy as np
import pytest
from flax import nnx
from simulated_polarity import logits_of, make_embryo, write_dataset

from isl import cli
from isl.backbones.resnet import ResNetConfig
from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.polarity.classifier import build_classifier
from isl.polarity.model import (
    EZRIN_FOLDER,
    PolarityConfig,
    load_polarity_model,
    middles_of,
    save_polarity_model,
    views_of,
)
from isl_eval.polarity.crossval import held_out_logits
from isl_eval.polarity.saved import check_embryos, find_models
from isl_train.polarity.crossfit import predicted_ezrin, seen_by_labeling

EVALUATION = """
task = "polarity"
model = {models}
dataset = "manifest.toml"
replicates = 20
"""


def make_model(folder, *, name="tiny", arm="dic", embryos=("Z",), planes=1):
    backbone = ResNetConfig(depth=10, width=4, stem="small")
    channels = 1 + (arm == "dic+ezrin")
    member = build_classifier(backbone, channels, rngs=nnx.Rngs(0))
    config = PolarityConfig(
        name=name, arm=arm, backbone=backbone, members=1, size=16, window=0.8, embryos=embryos
    )
    save_polarity_model(folder, [member], config, "# Tiny")
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=planes, labels=("EZRIN",), rngs=nnx.Rngs(0))
    ezrin = ModelConfig(
        name="tiny-ezrin",
        labels=("EZRIN",),
        architecture=architecture,
        input=InputContract(planes=planes, modality="DIC"),
    )
    save_model(folder / EZRIN_FOLDER, network, ezrin, "# Tiny")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "tiny")
    make_model(folder / "measured", name="stained", arm="measured")
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Networks that are not asked: EZRIN is the frame, and the onset is seen a frame late."""
    asked = []

    def logits(folder, embryo, ezrin):
        asked.append((folder.name, embryo.name))
        return logits_of(embryo, late=1, members=1)

    monkeypatch.setattr("isl_eval.polarity.saved._predict", lambda _, embryo: embryo.dic)
    monkeypatch.setattr("isl_eval.polarity.saved.held_out_logits", logits)
    monkeypatch.setattr(
        "isl_eval.polarity.evaluation.polarity_page", lambda findings: findings.title
    )
    return asked


def evaluate(tmp_path, models, *words):
    config = tmp_path / "models.toml"
    names = json.dumps([str(models / name) for name in ("tiny", "measured")])
    config.write_text(EVALUATION.format(models=names), encoding="utf-8")
    return cli.main(
        ["eval", str(config), "--out", str(tmp_path / "out"), "--device", "cpu", *words]
    )


def test_models_are_judged_and_not_asked_twice(tmp_path, models, quick, capsys):
    write_dataset(tmp_path)
    assert evaluate(tmp_path, models) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    assert quick == [(model, name) for model in ("tiny", "measured") for name in "ABC"]
    record = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert list(record["arms"]) == ["tiny", "stained"]
    assert record["reference"] == "tiny"
    assert record["decision"] is None
    assert record["arms"]["tiny"]["onsets"]["smoothed"]["summary"]["mean"] == pytest.approx(2 / 3)
    # Predicted EZRIN is the frame itself here, whose noise the label does not share.
    assert set(record["ezrin"]["embryos"]) == set("ABC")
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert report == "tiny, stained on 3 embryos, 12 frames, that it was not trained on"
    tables = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")}
    quick.clear()
    assert evaluate(tmp_path, models) == 0
    assert quick == []
    assert tables == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")}


def test_one_side_of_the_splits(tmp_path, models, quick):
    write_dataset(tmp_path, splits={"A": "train", "B": "test", "C": "test"})
    assert evaluate(tmp_path, models, "--set", "split=test") == 0
    assert {name for _, name in quick} == {"B", "C"}


def test_an_embryo_that_a_model_was_trained_on_is_refused(tmp_path, quick, capsys):
    write_dataset(tmp_path)
    make_model(tmp_path / "tiny", embryos=("B", "C"))
    make_model(tmp_path / "measured", name="stained")
    assert evaluate(tmp_path, tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "embryos 'B', 'C' would be judged by what was trained on them; name them in" in line
    assert not (tmp_path / "out").exists()
    assert evaluate(tmp_path, tmp_path, "--set", 'leave_out=["B", "C"]') == 0
    assert {name for _, name in quick} == {"A"}


def test_a_recording_of_an_embryo_that_a_model_knows_is_refused(models, tmp_path):
    found = find_models([str(make_model(tmp_path / "known", embryos=("Z",)))], tmp_path)
    check_embryos(found, [make_embryo("A", 3)])
    with pytest.raises(InputError, match="embryo 'A2' would be judged"):
        check_embryos(found, [make_embryo("A2", 3, group="Z")])


def test_an_embryo_that_the_network_behind_its_ezrin_knows_is_refused(models):
    (tiny,) = find_models(["tiny"], models)
    assert tiny.ezrin_embryos == ()
    learned = dataclasses.replace(tiny, ezrin_embryos=("A", "Y"))
    check_embryos([learned], [make_embryo("B", 3)])
    with pytest.raises(InputError, match=r"its EZRIN model .*: embryo 'A' would be judged"):
        check_embryos([learned], [make_embryo("A", 3)])


def test_measured_ezrin_that_is_not_there_is_refused(models):
    found = find_models(["tiny", "measured"], models)
    check_embryos(found[:1], [make_embryo("A", 3, measured=False)])
    with pytest.raises(InputError, match="embryo 'A' has no measured EZRIN"):
        check_embryos(found, [make_embryo("A", 3, measured=False)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tiny", "tiny"], "model 'tiny' is named twice"),
        (["absent"], "absent"),
        (["tiny/ezrin"], "ezrin"),
    ],
)
def test_models_that_cannot_be_judged_are_refused(models, names, message):
    with pytest.raises(InputError, match=message):
        find_models(names, models)


def test_a_model_of_stacks_is_given_them_and_refused_without(tmp_path):
    found = find_models([str(make_model(tmp_path / "stacks", planes=3))], tmp_path)
    embryo = make_embryo("A", 1, frames=2)
    with pytest.raises(
        InputError, match=r"'A' has stacks of 1 planes, and EZRIN is to be .* from 3"
    ):
        check_embryos(found, [embryo])
    rng = np.random.default_rng(0)
    stacks = rng.integers(0, 255, (2, 3, 48, 48), dtype=np.uint8)
    whole = dataclasses.replace(embryo, dic=np.zeros((2, 48, 48), np.float32), stacks=stacks)
    check_embryos(found, [whole])
    np.testing.assert_array_equal(seen_by_labeling(3, whole), stacks)
    assert seen_by_labeling(1, whole).shape == (2, 1, 48, 48)
    ezrin = load_model(found[0].ezrin)
    predicted = predicted_ezrin(ezrin, whole)
    assert predicted.shape == (2, 48, 48)
    # All planes matter, not the frame that was fused from them.
    turned = dataclasses.replace(whole, stacks=stacks[:, ::-1])
    assert np.abs(predicted_ezrin(ezrin, turned) - predicted).max() > 1e-4


def test_identity_is_of_both_models(models):
    tiny, stained = find_models(["tiny", "measured"], models)
    assert (tiny.name, stained.name) == ("tiny", "stained")
    assert tiny.identity == (load_polarity_model(models / "tiny").hash, stained.identity[1])


@pytest.mark.parametrize("name", ["tiny", "measured"])
def test_views_are_cut_where_predicted_ezrin_shows_the_embryo(models, name):
    embryo = make_embryo("A", 1, frames=2)
    ezrin = np.zeros_like(embryo.dic)
    ezrin[:, 6:, 6:] = 1.0
    found = held_out_logits(models / name, embryo, ezrin)
    model = load_polarity_model(models / name)
    views = views_of(
        model.config.arm, embryo.dic, embryo.measured, middles_of(ezrin), window=0.8, size=16
    )
    np.testing.assert_array_equal(found, model.logits_of_views(views))
    assert found.shape == (1, 2, 2)
