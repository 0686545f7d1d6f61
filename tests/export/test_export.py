"""What a model becomes elsewhere: the same numbers at every size, and refusals in one line."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from command_line import caller, refusal
from flax import nnx

import isl
from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.export import webpage
from isl.export.formats import FORMS, README, write_export
from isl.export.program import Wanted, program_of
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.model_kinds import installed_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny U-Net with weights that are not zero, and a temperature."""
    architecture = UNetConfig(levels=2, width=3)
    labels = ("A", "B")
    network = build_network(architecture, planes=2, labels=labels, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    state = nnx.state(network)
    drawn = jax.tree.map(lambda a: a + 0.1 * rng.random(a.shape, np.float32), state)
    nnx.update(network, drawn)
    config = ModelConfig(
        name="tiny",
        architecture=architecture,
        labels=labels,
        input=InputContract(planes=2, normalized_by="recording"),
        temperature={"B": 2.0},
    )
    path = tmp_path_factory.mktemp("model") / "tiny"
    save_model(path, network, config, "# tiny\n")
    return path


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return refusal(caller("export", capsys, out=tmp_path / "out"), tmp_path)


def stack_of(size, seed=1):
    return np.random.default_rng(seed).random((2, *size), np.float32)


@pytest.mark.parametrize("size", [(17, 30), (40, 23)])
def test_a_program_gives_what_predicting_gives(folder, size):
    names = ("mean", "standard_deviation")
    stack = stack_of(size)
    ours = isl.load_model(folder).predict(stack, axes="ZYX", statistics=names).statistics
    found = program_of(folder, Wanted(statistics=names)).call(stack[None])
    # A deviation is a difference of sums (isl.labeling.bins), whose rounding is all that is left of
    # it where one bin has next to everything.
    for name, rounding in zip(names, (1e-5, 3e-4), strict=True):
        np.testing.assert_allclose(found[name][0], ours[name], atol=rounding)


def test_planes_that_are_normal_are_left_alone_as_in_predicting(folder):
    normal = 0.5 + 0.125 * np.random.default_rng(0).choice([-1.0, 1.0], (2, 20, 21))
    stack = normal.astype(np.float32)
    ours = isl.load_model(folder).predict(stack, axes="ZYX", statistics=("mean",)).statistics
    found = program_of(folder, Wanted(statistics=("mean",))).call(stack[None])
    np.testing.assert_allclose(found["mean"][0], ours["mean"], atol=1e-5)


def test_the_distribution_is_one_and_has_the_mean(folder):
    found = program_of(folder, Wanted(labels=("B",), statistics=("distribution", "mean"))).call(
        stack_of((16, 19))[None]
    )
    distribution = found["distribution"]
    assert distribution.shape == (1, 1, 256, 16, 19)
    np.testing.assert_allclose(distribution.sum(axis=2), 1, atol=1e-5)
    mean = np.tensordot(np.arange(256) / 255, distribution, (0, 2))
    np.testing.assert_allclose(mean[None].reshape(found["mean"].shape), found["mean"], atol=1e-5)


def test_an_export_is_replaced_only_when_asked_and_nothing_else_is(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(FORMS, "onnx", lambda program, out, modules: 0.0)
    program = program_of(folder)
    out = tmp_path / "out"
    write_export(program, out, "onnx")
    assert "# tiny" in (out / README).read_text()
    with pytest.raises(InputError, match="exists"):
        write_export(program, out, "onnx")
    write_export(program, out, "onnx", overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        write_export(program, other, "onnx", overwrite=True)
    assert (other / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["phantom", "--to", "onyx"], "unknown format 'onyx'; did you mean 'onnx'?"),
        (["fantom", "--to", "onnx"], "unknown model 'fantom'; did you mean 'phantom'?"),
        (["phantom", "--to", "onnx", "--labels", "NUCLEUS"], "did you mean 'NUCLEI'?"),
        (["phantom", "--to", "onnx", "--statistics", "medium"], "did you mean 'median'?"),
        (["phantom", "--to", "onnx", "--statistics", "sample"], "is drawn by isl predict"),
        (["viability-phantom", "--to", "onnx"], "of kind 'viability' cannot be exported"),
        (["colony", "--to", "onnx", "--labels", "A"], "leave --labels and --statistics out"),
        (["colony", "--to", "web"], "a page shows pictures"),
        (["phantom", "--to", "published", "--labels", "NUCLEI"], "--labels: published weights"),
        (["phantom", "--to", "published", "--statistics", "mean"], "leave it out"),
        (["phantom", "--to", "published", "--node-modules", "x"], "leave it out"),
        (["phantom", "--to", "web"], "run npm install onnxruntime-web@"),
        (["phantom", "--to", "web", "--statistics", "distribution"], "a page shows pictures"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(refused, words, said):
    assert said in refused(*words).replace("`", "")


@pytest.mark.parametrize(
    ("form", "package"),
    [("onnx", "onnx"), ("bioimageio", "bioimageio"), ("web", "onnx"), ("stablehlo", "flatbuffers")],
)
def test_a_missing_package_is_named_with_what_installs_it(
    refused, tmp_path, monkeypatch, form, package
):
    for name in (*webpage.SCRIPTS, *(f"{webpage.WASM}.{end}" for end in ("mjs", "wasm"))):
        (tmp_path / "node_modules" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "node_modules" / name).write_text("")
    monkeypatch.setitem(sys.modules, package, None)
    said = refused("phantom", "--to", form)
    assert f"({package})" in said
    assert "pip install 'isl[export]'" in said


def test_where_fewer_planes_stand_is_said():
    said = " ".join(program_of("nuclei-brightfield").left_out)
    assert "of 1 it stands at all 6 places, of 2 (planes 0 and 1) at 0, 0, 0, 1, 1, 1" in said
    assert "any number of planes" not in " ".join(program_of("phantom").left_out)


def test_every_bundled_model_but_those_of_whole_recordings_can_be_exported():
    kept = {"efficientnet-lite0", "embryo-chain", "viability-phantom"}
    for name in installed_models().keys() - kept:
        program = program_of(name)
        assert program.trial.shape[1] == program.input.shape[1]
        assert Path(program.model.directory).name == name
