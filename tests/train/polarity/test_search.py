"""One member on trial: judged by embryos that neither it nor its EZRIN knew."""

import jax
import numpy as np
import pytest
from flax import nnx
from simulated_embryos import write_embryos

from isl.config import load_toml
from isl.errors import InputError
from isl_train.loop import fit
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.ensemble import member_on_trial
from isl_train.search.search import searchable

LABELS = {"A": (0, 1, 1), "B": (0, 0, 1), "C": (0, 1), "D": (1, 1)}


class Known:
    """A cross-fit that knows EZRIN, and whom it was told to leave out."""

    told: tuple = ()

    def __init__(self, experiment, folder, workdir, folds, **_):
        type(self).told = (tuple(experiment.leave_out), tuple(folds))

    def predicted(self, embryo, **_):
        return embryo.measured

    def model_without(self, groups):
        return "ezrin"


@pytest.fixture
def trial(tmp_path, monkeypatch):
    write_embryos(tmp_path, LABELS)
    monkeypatch.setattr("isl_train.polarity.ensemble.Crossfit", Known)
    monkeypatch.setattr("isl_train.polarity.ensemble.load_model", lambda name: name)
    monkeypatch.setattr(
        "isl_train.polarity.ensemble.predicted_ezrin", lambda model, embryo: embryo.measured
    )

    def make(*changes):
        small = ["arm=ezrin", "training.reestimate_batches=0", "encoder_start=fresh", *changes]
        experiment = load_toml(tmp_path / "polarity.toml", PolarityExperiment, small)
        return experiment, member_on_trial(experiment, tmp_path, tmp_path / "run", say=print)

    return make


def test_a_fold_is_held_out_of_everything_where_no_split_is(trial):
    _, task = trial()
    # Two folds: A and C, which are judged, and B and D.
    assert Known.told == (("A", "C"), (("B",), ("D",)))
    assert {name.split()[0] for name in task._ground.names} == {"B", "D"}
    assert len(task._judged.targets) == 5
    assert (task.selection.metric, task.selection.higher_is_better) == ("cross_entropy", False)


def test_it_is_judged_by_the_cross_entropy_of_hard_labels(trial):
    _, task = trial("loss.softness=3")
    params, state = task.initial(jax.random.key(0))
    found = task.evaluate(params, state, pictures=False).metrics
    network = task.predicting(params, state)
    views = task._judged.views
    mean, deviation = (f(views, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    logits = np.asarray(network((views - mean) / deviation), np.float64)
    after = np.array([0, 1, 1, 0, 1])
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(chances[np.arange(5), after]).mean()
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-3)
    assert found["accuracy"] == np.mean((logits[:, 1] > logits[:, 0]) == after)


def test_a_member_of_an_ensemble_is_not_judged(trial):
    _, task = trial()
    task._judged = None
    params, state = nnx.State({}), nnx.State({})
    assert task.evaluate(params, state, pictures=False).metrics == {}


def test_the_best_of_a_run_is_what_a_search_goes_by(trial, tmp_path):
    experiment, task = trial("training.evaluate_every=1", "training.steps=2")
    progress = fit(task, experiment, tmp_path / "fit")
    assert progress.best is not None
    assert np.isfinite(progress.best)


def test_it_can_be_searched_and_several_optimizers_cannot(trial, tmp_path):
    kind, single = searchable(tmp_path / "polarity.toml", ())
    assert kind is PolarityExperiment
    experiment = load_toml(tmp_path / "polarity.toml", kind)
    elsewhere = single.from_anywhere(experiment, tmp_path)
    assert elsewhere.dataset.is_absolute()
    assert elsewhere.ezrin.experiment.is_absolute()
    with pytest.raises(InputError, match="a search trains one member"):
        trial("optimizers=[{kind = 'sgd'}, {kind = 'adam'}]")
