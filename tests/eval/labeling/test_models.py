"""Models, ensembles and images from elsewhere; what they have seen; what they make of a field."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from simulated_labeling import SIZE, write_ground, write_model, write_prediction

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.normalize import normalize
from isl.labeling import losses
from isl.labeling.dataset import load_manifest
from isl.labeling.model_config import InputContract, ModelConfig
from isl_eval.labeling.config import LabelingEvaluation
from isl_eval.labeling.ground import survey_ground
from isl_eval.labeling.models import (
    Contender,
    check_unseen,
    find_contenders,
    read_prediction,
    seen_groups,
)
from isl_eval.labeling.predictions import KeptPredictions, predict_ground


def config_of(**keys):
    return LabelingEvaluation(task="labeling", dataset="dataset.toml", **keys)


@pytest.fixture
def ground(tmp_path):
    write_ground(tmp_path)
    return survey_ground(load_manifest(tmp_path / "dataset.toml"), predicted=["DAPI"])


def member(name, trained_on, chosen_on=()):
    config = ModelConfig(
        name=name,
        labels=("DAPI",),
        architecture=UNetConfig(),
        input=InputContract(planes=2),
        trained_on=trained_on,
        chosen_on=chosen_on,
    )
    return Contender(name=name, labels=("DAPI",), identity=name, members=(config,))


@pytest.mark.parametrize(
    ("trained_on", "message"),
    [
        (("g0",), "model 'm' was trained on group 'g0', as its model.toml says, and would be"),
        (("g1", "g0"), "on groups 'g0', 'g1', as its model.toml says, and would be judged on them"),
    ],
)
def test_a_group_that_was_trained_on_is_refused_by_name(ground, trained_on, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_unseen([member("ok", ("g7",)), member("m", trained_on)], ground)


def test_a_split_that_can_be_judged_is_named(ground):
    splits = {"validation": ["g0", "g8"], "test": ["g9"]}
    with pytest.raises(InputError, match=r'judged on it; judge it by split = "test", name it in'):
        check_unseen([member("m", ("g0",))], ground, splits)
    with pytest.raises(InputError, match=r"judged on it; name it in leave_out"):
        check_unseen([member("m", ("g0",))], ground, {"validation": ["g0"], "test": []})


def test_other_groups_are_not(ground):
    silent = member("silent", None)
    check_unseen([member("ok", ("g7",), ("g0",)), silent], ground)
    assert silent.silent
    assert seen_groups(member("m", ("g1", "g5")), ground) == ("g1",)


def test_images_from_elsewhere_are_read_and_refused_by_size(ground, tmp_path):
    contender = Contender(name="b", labels=("DAPI",), identity="", folder=tmp_path / "blurred")
    field = ground.read("f0")
    assert read_prediction(contender, field)["DAPI"].shape == SIZE
    predicted = predict_ground(contender, field, ground, config_of(model="m"))
    assert (set(predicted.images), predicted.distributions) == ({"median"}, {})
    write_prediction(tmp_path / "blurred", "f0", {"DAPI": np.zeros((50, 60))})
    with pytest.raises(InputError, match=r"f0.ome.tif: is 50 x 60 pixels, but field 'f0' is 70"):
        read_prediction(contender, field)
    (tmp_path / "blurred" / "f0.ome.tif").unlink()
    with pytest.raises(InputError, match=r"holds no f0\.ome\.tif for field 'f0'; predict it"):
        read_prediction(contender, field)


def test_images_of_an_included_experiment_lie_in_its_folder(tmp_path):
    images = tmp_path / "blurred" / "plate 1"
    images.mkdir(parents=True)
    write_prediction(images, "A1", {"DAPI": np.zeros(SIZE)})
    config = config_of(predictions={"b": "blurred"})
    (contender,) = find_contenders(config, tmp_path)
    assert contender.labels == ("DAPI",)


def test_an_image_without_a_label_is_refused(ground, tmp_path):
    contender = Contender(name="b", labels=("DAPI",), identity="", folder=tmp_path / "blurred")
    write_prediction(tmp_path / "blurred", "f0", {"NFH": np.zeros(SIZE)})
    with pytest.raises(InputError, match="image of field 'f0' has no channel DAPI"):
        predict_ground(contender, ground.read("f0"), ground, config_of(model="m"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "absent"}, "unknown model 'absent'"),
        ({"predictions": {"b": "nowhere"}}, "nowhere is no folder"),
        ({"predictions": {"b": "empty"}}, "empty holds no .ome.tif or .tif"),
        ({"model": ["one", "one"]}, "'one' is judged twice"),
    ],
)
def test_what_cannot_be_found_is_refused(tmp_path, keys, message):
    (tmp_path / "empty").mkdir()
    write_model(tmp_path / "one", "one")
    with pytest.raises(InputError, match=re.escape(message)):
        find_contenders(config_of(**keys), tmp_path)


def test_models_and_ensembles_are_told_apart(tmp_path):
    write_model(tmp_path / "one", "same", chosen_on=("g1",))
    write_model(tmp_path / "two", "same", seed=1, trained_on=("g8",))
    write_model(tmp_path / "three", "other", seed=2, trained_on=None)
    config = config_of(model=["one", "two", ["one", "three"]])
    one, two, both = find_contenders(config, tmp_path)
    assert (one.name, two.name, both.name) == ("same", "two", "mean of same, other")
    assert (one.trained_on, two.trained_on) == ({"g7"}, {"g8"})
    assert (both.trained_on, both.chosen_on, both.silent) == ({"g7"}, {"g1"}, True)
    assert len({each.identity for each in (one, two, both)}) == 3


def test_a_field_is_predicted_as_isl_predict_does(ground, tmp_path):
    write_model(tmp_path / "one")
    (contender,) = find_contenders(config_of(model="one"), tmp_path)
    field = ground.read("f0")
    mask = field.measured.copy()
    mask[:, :30] = False
    field = dataclasses.replace(field, measured=mask)
    predicted = predict_ground(contender, field, ground, config_of(model="one"))
    alone = contender.model.predict(field.stack, statistics=("median", "mean"), tile=64)
    # A median is whole bins, so a sum's last digit may move it by one.
    for name, tolerance in (("median", 1.01 / 255), ("mean", 1e-5)):
        np.testing.assert_allclose(predicted.images[name], alone.statistics[name], atol=tolerance)
    assert (predicted.images["width"] > 0).all()
    assert any("modality" in line for line in predicted.warnings)
    sums = predicted.distributions["DAPI"]
    assert set(sums) == {(0, 0)}
    assert sums[0, 0]["pit"].sum() == mask.sum()
    # Another field draws places within bins of its own, even where all else is the same.
    other = dataclasses.replace(field, name="f9")
    others = predict_ground(contender, other, ground, config_of(model="one")).distributions["DAPI"]
    np.testing.assert_array_equal(others[0, 0]["score"], sums[0, 0]["score"])
    assert (others[0, 0]["pit"] != sums[0, 0]["pit"]).any()


def test_scores_are_those_of_the_loss(ground, tmp_path):
    write_model(tmp_path / "one")
    (contender,) = find_contenders(config_of(model="one"), tmp_path)
    field = ground.read("f1")
    predicted = predict_ground(contender, field, ground, config_of(model="one"))
    sums = predicted.distributions["DAPI"][0, 0]
    geometry = contender.model.geometry
    m, n = geometry.margin, geometry.input_size(max(SIZE))
    planes, _ = normalize(field.stack.planes)
    padded = np.pad(planes, ((0, 0), (m, n - SIZE[0] - m), (m, n - SIZE[1] - m)), mode="reflect")
    logits = contender.model.logits(np.moveaxis(padded, 0, -1)[None], ("DAPI",))
    logits = logits[0, : SIZE[0], : SIZE[1]]
    true, measured = field.truth[0][..., None], field.measured[0][..., None]
    for name, loss in (
        ("cross_entropy", losses.cross_entropy),
        ("score", losses.ranked_probability_score),
    ):
        total, count = jax.device_get(loss(logits, true, measured))
        assert sums[name].sum() == pytest.approx(float(total[0]), rel=1e-4)
        assert count[0] == sums["pit"].sum()


def test_what_was_kept_is_taken(ground, tmp_path):
    write_model(tmp_path / "one")
    (contender,) = find_contenders(config_of(model="one"), tmp_path)
    made = predict_ground(contender, ground.read("f0"), ground, config_of(model="one"))
    kept = KeptPredictions(tmp_path / "out", {})
    assert kept.take("a/b", "f0") is None
    kept.put("a/b", "f0", made)
    taken = kept.take("a/b", "f0")
    assert (taken.labels, taken.warnings) == (made.labels, made.warnings)
    for name, image in made.images.items():
        np.testing.assert_array_equal(taken.images[name], image)
    for name, array in made.distributions["DAPI"][0, 0].items():
        np.testing.assert_array_equal(taken.distributions["DAPI"][0, 0][name], array)
    assert kept.take("a b", "f0") is None
