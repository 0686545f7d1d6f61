"""Calibration of a model folder: a temperature that is known is found, and the copy says so."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import tifffile
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.labeling.dataset import Field, Manifest, load_manifest, write_manifest
from isl.labeling.fields import load_field
from isl.labeling.label_scale import LabelScale
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl_eval.calibrate import _manifest
from isl_eval.calibrate import calibrate as calibrate_command
from isl_eval.labeling.calibrate import (
    Sample,
    _calibrated,
    calibrate,
    draw_samples,
    figures,
    write_calibrated,
)

ARCHITECTURE = UNetConfig(levels=2, width=4)
SIZE = (52, 44)
SHARPER = 6.0


def save_small(folder: Path, **further) -> Path:
    """Logits of fresh weights are close to even; sharper ones tell bins apart."""
    network = build_network(
        ARCHITECTURE, planes=2, labels=("NUCLEI", "DIRT"), autoencode=False, rngs=nnx.Rngs(1)
    )
    for head in network.label_heads.values():
        for _, parameter in nnx.to_flat_state(nnx.state(head, nnx.Param)):
            parameter.set_value(parameter.get_value() * SHARPER)
    config = ModelConfig(
        name="small",
        labels=("NUCLEI", "DIRT"),
        architecture=ARCHITECTURE,
        input=InputContract(planes=2),
        **further,
    )
    save_model(folder, network, config, "# small\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small", trained_on=("seen",))


def write_fields(folder: Path, model_folder: Path, temperature: float) -> Path:
    """NUCLEI that follow the model's own distributions at a temperature; DIRT is not measured."""
    model = load_model(model_folder)
    rng = np.random.default_rng(0)
    fields = []
    for name, split in (("a", "validation"), ("b", "validation"), ("seen", "train")):
        planes = rng.normal(0.5, 0.125, (2, *SIZE)).clip(0, 1).astype(np.float32)
        tifffile.imwrite(folder / f"{name}.tif", planes, metadata={"axes": "ZYX"})
        empty = np.zeros(SIZE, np.uint16)
        tifffile.imwrite(folder / f"{name}-nuclei.tif", empty)
        fields.append(
            Field.model_validate(
                {
                    "name": name,
                    "split": split,
                    "transmitted": f"{name}.tif",
                    "axes": "ZYX",
                    "labels": {"NUCLEI": {"file": f"{name}-nuclei.tif"}},
                }
            )
        )
    path = folder / "dataset.toml"
    write_manifest(path, Manifest(fields=tuple(fields)))
    for stated in load_manifest(path).fields:
        field = load_field(stated, model.labels)
        logits = logits_of(model, field)[..., 0, :] / temperature
        cumulative = np.cumsum(scipy.special.softmax(logits, axis=-1), axis=-1)
        drawn = (cumulative < rng.random((*SIZE, 1)) * cumulative[..., -1:]).sum(axis=-1)
        tifffile.imwrite(folder / f"{field.name}-nuclei.tif", (drawn * 257).astype(np.uint16))
    return path


def logits_of(model, field) -> np.ndarray:
    """[Y, X, L, 256] of the whole field in one tile, reflected beyond its edges."""
    margin = model.geometry.margin
    sizes = [model.geometry.input_size(n) for n in SIZE]
    padding = [(0, 0)] + [(margin, size - n - margin) for size, n in zip(sizes, SIZE, strict=True)]
    read = np.pad(field.transmitted.planes, padding, mode="reflect")
    logits = np.asarray(model.logits(np.moveaxis(read, 0, -1)[None], model.labels))[0]
    return logits[: SIZE[0], : SIZE[1]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    return write_fields(tmp_path_factory.mktemp("data"), folder, 2.5)


def test_samples_are_the_models_logits_where_a_label_was_measured(folder, dataset):
    model = load_model(folder)
    field = load_field(load_manifest(dataset).fields[0], model.labels)
    everything = draw_samples(model, field, "validation", 10**6, np.random.default_rng(0))
    assert set(everything) == {"NUCLEI"}
    found = everything["NUCLEI"]
    expected = logits_of(model, field)[..., 0, :]
    # Tiles come in rows, pixels within them, too: one tile holds this field.
    np.testing.assert_allclose(found.logits, expected.reshape(-1, 256), atol=1e-3)
    np.testing.assert_allclose(found.true, field.labels.channels[0].ravel() / 65535, atol=1e-6)
    few = draw_samples(model, field, "validation", 17, np.random.default_rng(0))["NUCLEI"]
    assert few.true.shape == (17,)
    assert draw_samples(model, field, "train", 17, np.random.default_rng(0)) == {}


def test_a_known_temperature_is_found_and_covers_what_it_says(folder, dataset):
    (found,) = calibrate(load_model(folder), load_manifest(dataset))
    assert found.label == "NUCLEI"
    assert found.fitted == pytest.approx(2.5, rel=0.1)
    assert found.helps
    assert (found.crossed, found.groups) == ("group", ("a", "b"))
    # Truth was drawn pixel by pixel: what little neighbours share is short.
    assert found.coherence is None or found.coherence[0] > 0.3
    assert found.before.coverage[0.9] < 0.85
    for level, share in found.after.coverage.items():
        assert share == pytest.approx(level, abs=0.03)


def sample(field: str, group: str, temperature: float) -> Sample:
    """Bells of any place and width, and truth that follows them at a temperature."""
    rng = np.random.default_rng(hash_of(field))
    centre, width = rng.uniform(80, 170, (800, 1)), rng.uniform(4, 16, (800, 1))
    logits = (-np.square((np.arange(256) - centre) / width) / 2).astype(np.float32)
    cumulative = np.cumsum(scipy.special.softmax(logits / temperature, axis=1), axis=1)
    bins = (cumulative < rng.random((800, 1)) * cumulative[:, -1:]).sum(axis=1)
    return Sample(
        field=field,
        group=group,
        logits=logits,
        true=(bins / 255).astype(np.float32),
        scores=np.zeros((1, 800)),
        measured=np.ones((1, 800), bool),
    )


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode(), "big")


def test_fields_of_one_group_do_not_judge_each_others_temperature():
    samples = [sample("a1", "a", 0.5), sample("b", "b", 3.0), sample("a2", "a", 0.5)]
    found = _calibrated("NUCLEI", samples)
    assert (found.crossed, found.groups) == ("group", ("a", "b"))
    # Those of group a are judged with the temperature of b alone, and the other way round.
    crossed, within = (figures(samples, t).cross_entropy for t in ([3, 0.5, 3], [0.5, 3, 0.5]))
    assert found.after.cross_entropy == pytest.approx(crossed, rel=0.01)
    assert crossed > 1.1 * within
    # By fields, a would be judged by what fits it half.
    by_field = figures(samples, [1.2, 0.5, 1.2]).cross_entropy
    assert by_field < 0.97 * crossed
    alone = _calibrated("NUCLEI", [samples[0], samples[2]])
    assert (alone.crossed, alone.groups) == ("field", ("a",))
    assert _calibrated("NUCLEI", samples[:1]).crossed is None


def test_a_temperature_that_does_not_help_is_not_taken(tmp_path, folder):
    # What one group is too sure by, the other is too little: neither helps the other.
    samples = [sample("a", "a", 0.5), sample("b", "b", 2.0)]
    found = _calibrated("NUCLEI", samples)
    assert not found.helps
    assert found.temperature == 1.0
    write_calibrated(load_model(folder), [found], tmp_path / "copy", ground="made-up fields")
    copy = load_model(tmp_path / "copy")
    assert (copy.config.temperature, copy.config.chosen_on) == ({}, ())
    assert "| no |" in copy.card


@pytest.mark.parametrize("score", ["cross_entropy", "ranked_probability_score"])
def test_coverage_is_not_bought_dearly(score):
    samples = [sample("a", "a", 2.0), sample("b", "b", 2.0)]
    found = _calibrated("NUCLEI", samples)
    assert found.helps
    # What happened once: intervals three times as wide, nearer to what they say, at a worse score.
    worse = dataclasses.replace(found.after, **{score: 1.11 * getattr(found.before, score)})
    refused = dataclasses.replace(found, after=worse)
    assert not refused.helps
    assert refused.temperature == 1.0
    cheap = dataclasses.replace(found.after, **{score: 1.09 * getattr(found.before, score)})
    assert dataclasses.replace(found, after=cheap).helps


def test_the_command_writes_a_copy_and_leaves_the_model_alone(tmp_path, folder, dataset, capsys):
    before = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(f'task = "labeling"\ndataset = "{dataset}"\n')
    calibrate_command(str(folder), tmp_path / "warm", config=experiment)
    assert before == {
        path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()
    }
    printed, told = capsys.readouterr()
    assert re.search(r"^\[1/\d\] .*: read and predicted \(", told, re.MULTILINE)
    assert "NUCLEI" in printed
    assert "90%" in printed
    assert printed.endswith(f"{tmp_path / 'warm'}\n")
    copy = load_model(tmp_path / "warm")
    assert copy.config.temperature["NUCLEI"] == pytest.approx(2.5, rel=0.1)
    assert "DIRT" not in copy.config.temperature
    # Whoever judges it on this ground is told that it had its say.
    assert copy.config.chosen_on == ("a", "b")
    assert "each group with a temperature fitted on the others:" in copy.card
    assert "## Calibration" in copy.card
    assert "dataset.toml" in copy.card
    # Calibrated again, there is nothing left to do, and what was done is kept.
    (again,) = calibrate(copy, load_manifest(dataset))
    assert again.fitted == pytest.approx(1.0, abs=0.02)
    write_calibrated(copy, [again], tmp_path / "warmer", ground="the same")
    twice = load_model(tmp_path / "warmer").config.temperature["NUCLEI"]
    assert twice == pytest.approx(copy.config.temperature["NUCLEI"] * again.temperature)


def test_ground_that_the_model_saw_is_refused_unless_allowed(folder, dataset):
    model, manifest = load_model(folder), load_manifest(dataset)
    with pytest.raises(InputError, match=r"learned from group 'seen'.*`allow_seen`"):
        calibrate(model, manifest, split="train")
    (found,) = calibrate(model, manifest, split="train", allow_seen=True)
    assert (found.crossed, found.groups) == (None, ("seen",))


def test_included_ground_that_the_model_saw_is_refused_by_its_own_name(folder, dataset):
    model = load_model(folder)
    config = model.config.model_copy(update={"trained_on": ("clinic/seen",)})
    model = dataclasses.replace(model, config=config)
    with pytest.raises(InputError, match=r"learned from group 'seen'"):
        calibrate(model, load_manifest(dataset), split="train")


def test_a_unit_that_measured_images_are_not_in_is_refused(folder, dataset):
    model = load_model(folder)
    scale = {"clinic": {label: LabelScale(low=0.1, high=0.3) for label in model.labels}}
    config = model.config.model_copy(update={"label_scales": scale})
    model = dataclasses.replace(model, config=config)
    with pytest.raises(InputError, match=r"label_scales in model\.toml"):
        calibrate(model, load_manifest(dataset))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({}, "give an experiment or --dataset"),
        ({"config": "c.toml", "dataset": "d.toml"}, "give an experiment or --dataset"),
        ({"split": "training"}, "split 'training'"),
        ({"dataset": "DATASET", "split": "test"}, "no field has split 'test'"),
        ({"dataset": "DATASET", "out": "taken"}, "already exists"),
        ({"dataset": "DATASET", "out": "taken/file/deep"}, "is a file"),
        ({"config": "empty.toml"}, "names no dataset"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, folder, dataset, words, complaint):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    (tmp_path / "empty.toml").write_text('task = "labeling"\n')
    out = tmp_path / words.pop("out", "out")
    paths = {
        key: (dataset if value == "DATASET" else tmp_path / value)
        for key, value in words.items()
        if key != "split"
    }
    with pytest.raises(InputError, match=complaint):
        calibrate_command(str(folder), out, split=words.get("split", "validation"), **paths)
    assert not (tmp_path / "out").exists()


def test_other_planes_and_labels_are_refused(tmp_path, folder, dataset):
    manifest = load_manifest(dataset)
    stated = manifest.fields[0].model_copy(update={"planes": (0,)})
    one = Manifest(fields=(stated,))
    with pytest.raises(InputError, match="field 'a': planes: 1; model 'small' expects 2"):
        calibrate(load_model(folder), one)
    other = Manifest(fields=(manifest.fields[0].model_copy(update={"labels": {}}),))
    with pytest.raises(InputError, match="none of NUCLEI, DIRT is measured"):
        calibrate(load_model(folder), other)


def test_configurations_that_come_with_isl_are_named_as_for_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = _manifest(Path("eval_phantom"), None)
    assert named.parts[-4:] == ("configs", "data", "phantom_test", "dataset.toml")
    with pytest.raises(InputError, match="configuration"):
        calibrate_command("phantom", tmp_path / "out", Path("eval_fantom"))
