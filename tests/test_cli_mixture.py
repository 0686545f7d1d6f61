"""`isl predict --symmetries` and `--model A,B`: what is written, recorded, resumed and refused."""

import json

import numpy as np
import pytest
import tifffile
from flax import nnx

import isl
from isl import cli
from isl.backbones.unet import UNetConfig
from isl.imaging.inputs.read import read_fluorescence, read_transmitted
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network

LABELS = ("DAPI", "MAP2")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of two models that go together, and of one that predicts something else."""
    folder = tmp_path_factory.mktemp("models")
    for seed, (name, labels) in enumerate((("a", LABELS), ("b", LABELS), ("c", ("NFH",)))):
        architecture = UNetConfig(levels=1, width=4)
        network = build_network(architecture, planes=2, labels=labels, rngs=nnx.Rngs(seed))
        config = ModelConfig(
            name=name, labels=labels, architecture=architecture, input=InputContract(planes=2)
        )
        save_model(folder / name, network, config, "# A card")
    return folder


@pytest.fixture
def stack(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (2, 11, 14), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "field.tif", values, metadata={"axes": "ZYX"}, ome=True)
    return tmp_path / "field.tif"


@pytest.fixture
def run(stack, tmp_path, capsys):
    def call(*words):
        code = cli.main(["predict", str(stack), "--out", str(tmp_path / "out"), *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_symmetries_are_written_recorded_and_resumed(run, models, stack, tmp_path):
    given = ("--model", models / "a", "--dtype", "float32", "--statistics", "mean")
    code, _, err = run(*given, "--symmetries")
    assert code == 0, err
    image, record = tmp_path / "out" / "field.ome.tif", tmp_path / "out" / "field.json"
    model = isl.load_model(models / "a")
    expected = model.predict(read_transmitted(stack), statistics=["mean"], symmetries=True)
    np.testing.assert_array_equal(read_fluorescence(image).channels, expected.statistics["mean"])
    made = json.loads(record.read_text())
    assert made["settings"]["symmetries"] is True
    assert "done before" in run(*given, "--symmetries", "--resume")[2]
    code, _, err = run(*given, "--resume")
    assert (code, err.count("\n")) == (2, 1)

    # Records of before there were symmetries stay good for what they are of.
    assert run(*given, "--overwrite")[0] == 0
    made = json.loads(record.read_text())
    assert made["settings"].pop("symmetries") is False
    record.write_text(json.dumps(made))
    (tmp_path / "out" / "isl-run.jsonl").unlink(missing_ok=True)
    assert "done before" in run(*given, "--resume")[2]
    assert run(*given, "--symmetries", "--resume")[0] == 2


def test_several_models_are_averaged_and_recorded_together(run, models, stack, tmp_path):
    names = f"{models / 'a'},{models / 'b'}"
    given = ("--dtype", "float32", "--statistics", "mean")
    code, _, err = run("--model", names, *given)
    assert code == 0, err
    both = isl.load_models([models / "a", models / "b"])
    expected = both.predict(read_transmitted(stack), statistics=["mean"]).statistics["mean"]
    found = read_fluorescence(tmp_path / "out" / "field.ome.tif").channels
    np.testing.assert_array_equal(found, expected)
    # A mixture's mean is the mean of the means.
    alone = [
        isl.load_model(models / name).predict(read_transmitted(stack), statistics=["mean"])
        for name in "ab"
    ]
    means = [prediction.statistics["mean"] for prediction in alone]
    assert np.abs(means[0] - means[1]).max() > 1e-3
    np.testing.assert_allclose(found, np.mean(means, axis=0), atol=1e-6)
    made = json.loads((tmp_path / "out" / "field.json").read_text())
    assert made["model"]["name"] == "a,b"
    assert made["model"]["sha256"] == both.hash
    assert "done before" in run("--model", names, *given, "--resume")[2]
    code, _, err = run("--model", models / "a", *given, "--resume")
    assert (code, err.count("\n")) == (2, 1)


def test_a_dry_run_of_several_models_and_symmetries_loads_none(run, models, tmp_path):
    (models / "b" / "card.md").rename(models / "b" / "kept.md")
    try:
        code, out, err = run("--model", f"{models}/a,{models}/b", "--symmetries", "--dry-run")
    finally:
        (models / "b" / "kept.md").rename(models / "b" / "card.md")
    assert code == 0, err
    assert "model a,b: DAPI, MAP2" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "words", "said"),
    [
        ("{0}/a,{0}/c", (), "cannot be averaged: they predict DAPI, MAP2 and NFH"),
        ("{0}/a,{0}/a", (), "twice"),
        ("{0}/a,{0}/absent", (), "absent"),
        (",", (), "names no model"),
        ("{0}/a,{0}/b", ("--stitch", "exact"), "defined for towers only; model 'a,b' is a unet"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(run, models, tmp_path, names, words, said):
    code, out, err = run("--model", names.format(models), *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "out").exists()
