"""Cross-fitting: nobody's EZRIN comes from a network that knew them, and nothing is done twice."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from simulated_embryos import make_embryo, write_embryos

from isl.config import load_toml, to_toml
from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.labeling.dataset import load_manifest
from isl.labeling.model import load_model
from isl.polarity.embryo import load_embryos
from isl.polarity.model import load_polarity_model
from isl_train.checkpoint import Progress
from isl_train.labeling.config import LabelingConfig
from isl_train.polarity import crossfit as module
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.crossfit import Crossfit, folds_of, predicted_ezrin, set_apart
from isl_train.polarity.ensemble import train_polarity

EMBRYOS = [make_embryo(name, 1, frames=2) for name in "ABCDE"]


@pytest.fixture
def experiment(tmp_path):
    write_embryos(tmp_path, {"A": (0, 1), "B": (0, 1), "C": (0, 0)})
    return load_toml(tmp_path / "ezrin.toml", LabelingConfig)


def make_crossfit(experiment, tmp_path, folds, **changes):
    said = []
    fit_of = Crossfit(
        experiment.model_copy(update=changes), tmp_path, tmp_path / "runs", folds, say=said.append
    )
    return fit_of, said


@pytest.fixture
def trained(monkeypatch):
    """Training costs nothing: a list of what each run left out, by its folder's name."""
    runs = {}

    def fit(task, experiment, run, *, freeze, console):
        runs[run.name] = experiment.leave_out
        (run / "model").mkdir(parents=True)
        (run / "experiment.toml").write_text(to_toml(experiment), encoding="utf-8")
        return Progress(update=experiment.training.steps)

    def predict(model, embryo):
        assert embryo.group not in model.left_in
        return np.full(embryo.dic.shape, 0.1 * len(model.left_in))

    monkeypatch.setattr(module, "LabelingTask", lambda *_, **__: None)
    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(
        module,
        "load_model",
        lambda folder: SimpleNamespace(left_in=set("ABCDE") - set(runs[folder.parent.name])),
    )
    monkeypatch.setattr(module, "predicted_ezrin", predict)
    return runs


def test_embryos_are_dealt_out_in_turn():
    assert folds_of(EMBRYOS, 2) == (("A", "C", "E"), ("B", "D"))
    assert folds_of(EMBRYOS, 5) == (("A",), ("B",), ("C",), ("D",), ("E",))


def test_recordings_of_one_embryo_are_in_one_fold():
    twice = [make_embryo(name, 1, frames=2, group=name[0]) for name in ("A1", "B1", "A2", "C1")]
    assert folds_of(twice, 2) == (("A", "C"), ("B",))
    with pytest.raises(InputError, match="3 embryos cannot be cut into 4 folds; give fewer folds"):
        folds_of(twice, 4)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_embryo_is_predicted_by_a_network_that_saw_it(experiment, tmp_path, trained, count):
    """The stand-in for prediction refuses; nor has the network seen who else is left out."""
    folds = folds_of(EMBRYOS, count)
    fit_of, _ = make_crossfit(experiment, tmp_path, folds, leave_out=("Z",))
    for embryo, others in itertools.product(EMBRYOS, [(), ("A",), ("B", "D")]):
        predicted = fit_of.predicted(embryo, leave_out=others)
        own = next(fold for fold in folds if embryo.group in fold)
        left_out = {*own, *others, "Z"}
        run = "without_" + "_".join(sorted(left_out))
        assert set(trained[run]) == left_out
        seen = len(set("ABCDE") - left_out)
        np.testing.assert_allclose(predicted, 0.1 * seen, rtol=1e-3)
        assert predicted.dtype == np.float32
        assert (tmp_path / "runs" / run / "predicted" / f"{embryo.name}.npy").is_file()


def test_every_network_is_trained_once_and_every_embryo_predicted_once(
    experiment, tmp_path, trained, monkeypatch
):
    folds = folds_of(EMBRYOS, 2)
    fit_of, said = make_crossfit(experiment, tmp_path, folds)
    for embryo in EMBRYOS:
        fit_of.predicted(embryo)
    assert fit_of.model_without(()) == tmp_path / "runs" / "all" / "model"
    assert said == ["EZRIN without A, C, E", "EZRIN without B, D", "EZRIN of all embryos"]
    again, said = make_crossfit(experiment, tmp_path, folds)
    monkeypatch.setattr(module, "predicted_ezrin", None)
    for embryo in EMBRYOS:
        again.predicted(embryo)
    again.model_without(())
    assert said == []


def test_embryos_that_are_in_no_fold_are_refused(experiment, tmp_path, trained):
    fit_of, _ = make_crossfit(experiment, tmp_path, (("A",), ("B",)))
    with pytest.raises(InputError, match=r"unknown embryo 'C'.*\(known: A, B\)"):
        fit_of.predicted(EMBRYOS[2])
    assert trained == {}


def test_a_run_of_other_settings_is_refused_finished_or_not(experiment, tmp_path, trained):
    folds = (("A",), ("B",))
    fit_of, _ = make_crossfit(experiment, tmp_path, folds)
    run = fit_of.model_without(("A",)).parent
    other, _ = make_crossfit(experiment, tmp_path, folds, seed=7)
    message = "without_A: holds a run of other settings; name another folder, or remove this one"
    with pytest.raises(InputError, match=message):
        other.model_without(("A",))
    (run / "model").rmdir()
    with pytest.raises(InputError, match=message):
        other.model_without(("A",))
    assert fit_of.model_without(("A",)) == run / "model"
    (run / "experiment.toml").unlink()
    with pytest.raises(InputError, match=message):
        fit_of.model_without(("A",))


def test_a_run_that_was_stopped_goes_on(experiment, tmp_path, trained, monkeypatch):
    fit_of, _ = make_crossfit(experiment, tmp_path, (("A",), ("B",)))
    with monkeypatch.context() as stopped:
        stopped.setattr(module, "fit", lambda *_, **__: Progress(update=1))
        with pytest.raises(KeyboardInterrupt):
            fit_of.model_without(("A",))
    assert fit_of.model_without(("A",)).is_dir()


def test_however_many_are_left_out_the_folder_can_be_made(experiment, tmp_path, trained):
    fit_of, _ = make_crossfit(experiment, tmp_path, (("A",), ("B",)))
    many = [f"embryo_{n:03}" for n in range(100)]
    models = {fit_of.model_without(many[:count]) for count in (99, 100)}
    assert len(models) == 2
    assert all(model.is_dir() for model in models)
    assert fit_of.model_without(reversed(many)) in models


def test_networks_are_trained_without_the_fold_and_asked(experiment, tmp_path, monkeypatch):
    """The real thing, two updates long."""
    embryos = load_embryos(load_manifest(tmp_path / "manifest.toml"))
    fit_of, _ = make_crossfit(experiment, tmp_path, (("A", "B"), ("C",)))
    predicted = fit_of.predicted(embryos[2])
    assert predicted.shape == embryos[2].dic.shape
    model = load_model(tmp_path / "runs" / "without_C" / "model")
    assert "- A/t5" in model.card
    assert "C/t" not in model.card
    exact = predicted_ezrin(model, embryos[2])
    np.testing.assert_array_equal(predicted, exact.astype(np.float16).astype(np.float32))
    assert 0 <= exact.min() < exact.max() <= 1
    monkeypatch.setattr(module, "fit", None)
    np.testing.assert_array_equal(fit_of.predicted(embryos[2]), predicted)


def test_the_network_is_told_how_large_pixels_and_how_far_planes_are(experiment, tmp_path):
    embryo = load_embryos(load_manifest(tmp_path / "manifest.toml"))[0]
    embryo = dataclasses.replace(embryo, pixel_size=0.5, z_step=2.0)
    told = []

    def predict(movie, **_):
        told.append(movie.pixel_size)
        return SimpleNamespace(statistics={"mean": movie.frames.astype(np.float32)})

    config = SimpleNamespace(input=SimpleNamespace(planes=1))
    predicted_ezrin(SimpleNamespace(config=config, labels=("EZRIN",), predict=predict), embryo)
    assert told == [PixelSize(y=0.5, x=0.5, z=2.0)]


@pytest.mark.parametrize(("share", "apart"), [(0.4, "CDE"), (0.5, "CDE"), (0.9, "E")])
def test_some_embryos_are_set_apart_for_the_onset(share, apart):
    assert [embryo.name for embryo in set_apart(EMBRYOS, share)] == list(apart)


@pytest.mark.parametrize(("share", "what"), [(0.05, "EZRIN"), (0.95, "the onset")])
def test_a_share_that_leaves_nobody_is_refused(share, what):
    with pytest.raises(InputError, match=f"leaves none to learn {what} from"):
        set_apart(EMBRYOS, share)


def test_one_network_learns_ezrin_from_some_and_predicts_it_for_the_others(tmp_path):
    """The real thing, two updates long: the network that predicted is the finished model's."""
    write_embryos(tmp_path, {"A": (0, 1), "B": (0, 1), "C": (0, 1)})
    experiment = load_toml(
        tmp_path / "polarity.toml",
        PolarityExperiment,
        ["ezrin.share=0.3", "ezrin.model=''", "encoder_start='fresh'"],
    )
    said = []
    folder = train_polarity(experiment, tmp_path, tmp_path / "run", name="whole", say=said.append)
    assert said[0] == "EZRIN without B, C"
    model = load_polarity_model(folder)
    assert model.config.embryos == ("B", "C")
    assert model.ezrin_model().config.trained_on == ("A",)
    run = tmp_path / "run" / "ezrin" / "without_B_C"
    assert model.ezrin_model().hash == load_model(run / "model").hash
    assert sorted(file.stem for file in (run / "predicted").iterdir()) == ["B", "C"]
