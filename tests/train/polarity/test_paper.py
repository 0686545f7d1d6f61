"""The paper's configuration in miniature: its optimizers, schedule, labels, and start."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from simulated_embryos import make_embryo, write_embryos

from isl.backbones.imagenet_weights import _published_name, _published_shape
from isl.backbones.resnet import ResNet
from isl.config import load_toml, to_toml
from isl.errors import InputError
from isl.model_folder import abstract_arrays, arrays_of
from isl.polarity.classifier import Classifier, build_classifier
from isl.polarity.model import load_polarity_model
from isl_train.optimizer import build_optimizer, learning_rates
from isl_train.parameters import Functional
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.ensemble import train_ensemble, train_polarity
from isl_train.polarity.ground import Ground
from isl_train.polarity.task import PolarityTask
from isl_train.state import TrainState, initial_state
from isl_train.step import device_mesh, make_train_step

PAPER = Path(__file__).parents[3] / "configs" / "polarity_paper.toml"
SMALL = ["backbone.depth=10", "backbone.width=2", "sight.size=32", "training.steps=2"]
SMALL += [
    "training.batch_size=2",
    "dataset=manifest.toml",
    "ezrin.experiment=ezrin.toml",
    "ezrin.folds=2",
]
EMBRYOS = [make_embryo("A", 2), make_embryo("B", 4)]
EZRIN = {embryo.name: embryo.measured for embryo in EMBRYOS}


def write_weights(folder: Path, experiment: PolarityExperiment) -> dict[str, np.ndarray]:
    """ImageNet weights as timm's are, of the experiment's own small network."""
    network = build_classifier(experiment.backbone, 3, rngs=nnx.Rngs(5)).backbone
    assert isinstance(network, ResNet)
    rng = np.random.default_rng(0)
    state = {}
    for path, array in abstract_arrays(network).items():
        name = _published_name(path, experiment.backbone)
        if name is not None:
            shape = _published_shape(array.shape)
            state[name] = np.abs(rng.normal(size=shape)).astype(np.float32)
    safetensors.numpy.save_file(state, folder / "resnetv2_50.safetensors")
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Embryos, the paper's configuration made small beside them, and weights beside that."""
    folder = tmp_path_factory.mktemp("paper")
    write_embryos(folder, {"A": (0, 1, 1), "B": (0, 0, 1)})
    experiment = load_toml(PAPER, PolarityExperiment, SMALL)
    (folder / "paper.toml").write_text(to_toml(experiment), encoding="utf-8")
    write_weights(folder, experiment)
    return folder


def test_six_members_three_by_sgd_and_three_by_adam_and_hard_labels():
    paper = load_toml(PAPER, PolarityExperiment)
    kinds = [paper.of_member(member).optimizer.kind for member in range(paper.members)]
    assert (kinds.count("sgd"), kinds.count("adam")) == (3, 3)
    assert len({paper.of_member(member).seed for member in range(6)}) == 6
    sgd, adam = paper.optimizers
    assert (sgd.b1, sgd.weight_decay, adam.weight_decay) == (0.9, 1e-4, 0)
    # 40 epochs of 337 frames, 16 at a time, and 3/4 of the rate after every tenth.
    epoch = 337 / 16
    assert paper.training.batch_size == 16
    assert paper.training.steps == pytest.approx(40 * epoch, abs=1)
    for optimizer in paper.optimizers:
        rates = learning_rates(optimizer, paper.training.steps)
        for number in range(4):
            at = rates[round((10 * number + 5) * epoch)]
            assert at == pytest.approx(1e-3 * 0.75**number)
    assert (paper.sight.size, paper.backbone.depth, paper.backbone.width) == (512, 50, 64)
    assert round(paper.sight.window * 600) == 512
    ground = Ground(load_toml(PAPER, PolarityExperiment, SMALL), EMBRYOS, EZRIN)
    np.testing.assert_array_equal(
        ground.targets, np.concatenate([embryo.after for embryo in EMBRYOS])
    )
    assert np.ptp(ground.chances) == 0


@pytest.mark.parametrize("member", [0, 1], ids=["sgd", "adam"])
def test_an_update_at_full_size_is_a_program_for_a_gpu(member):
    """Traced and lowered with shapes in place of arrays; nothing is compiled."""
    experiment = load_toml(PAPER, PolarityExperiment).of_member(member)
    assert experiment.optimizer.kind == ("sgd", "adam")[member]
    ground = Ground(experiment, EMBRYOS[:1], EZRIN)
    task = PolarityTask(experiment, ground)
    # timm's has 25.55 million: 1,000 classes, of which these are two, and colours.
    assert task.parameters == pytest.approx(25.55e6 - 998 * 2049 - 2 * 49 * 64, abs=5e3)

    def start() -> TrainState:
        params, model_state = Functional.take_apart(Classifier(experiment.backbone, 1))
        moments = build_optimizer(experiment.optimizer, params, steps=1).init(params)
        return initial_state(params, model_state, moments, jax.random.key(0), average=False)

    state = jax.eval_shape(start)
    batch = {
        name: jax.ShapeDtypeStruct((experiment.training.batch_size, *array.shape), array.dtype)
        for name, array in ground.draw(np.random.default_rng(0)).items()
    }
    assert batch["views"].shape == (16, 512, 512, 1)
    optimizer = build_optimizer(experiment.optimizer, state.params, steps=1)
    step = make_train_step(task, optimizer, device_mesh())
    traced = step.trace(state, batch, jax.ShapeDtypeStruct((), jnp.float32))
    new, sums = traced.lower(lowering_platforms=("cuda",)).out_info
    assert jax.tree.map(_shape, new) == jax.tree.map(_shape, state)
    assert set(sums) == {"loss", "gradient_norm", "cross_entropy", "accuracy"}
    assert {array.shape for array in jax.tree.leaves(sums)} == {()}


def _shape(array):
    return array.shape, array.dtype


def test_it_trains_from_weights_beside_the_configuration(folder, tmp_path, monkeypatch):
    """Whatever folder the command is given in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isl_train.polarity.ensemble.Crossfit", Known)
    experiment = load_toml(folder / "paper.toml", PolarityExperiment, ["members=2"])
    model = load_polarity_model(
        train_polarity(experiment, folder, tmp_path / "run", name="paper", say=print)
    )
    assert model.config.members == 2
    assert "(sgd, adam); seeds 0 to 1" in model.card
    stem = safetensors.numpy.load_file(folder / "resnetv2_50.safetensors")["stem.conv.weight"]
    grey = stem.sum(axis=1, keepdims=True).transpose(2, 3, 1, 0)
    for member in model.members:
        # Two updates at a rate of 0.001 leave the start in sight; Adam's are as long as the rate.
        found = arrays_of(member.backbone)["stem/kernel"]
        assert 0 < np.abs(found - grey).max() < 0.05


class Known:
    """A cross-fit that knows EZRIN."""

    def __init__(self, experiment, folder, workdir, folds, **_):
        self.folds, self.unseen = folds, experiment.leave_out

    def predicted(self, embryo, **_):
        return embryo.measured

    def model_without(self, groups):
        return Path("ezrin")


def test_weights_that_are_missing_are_refused_before_anything_is_trained(folder, tmp_path):
    experiment = load_toml(folder / "paper.toml", PolarityExperiment, ["imagenet_weights=no.st"])
    with pytest.raises(InputError, match=r"no\.st: there is no such file of imagenet_weights"):
        train_polarity(experiment, folder, tmp_path / "run", name="paper", say=print)
    assert not (tmp_path / "run").exists()
    without = load_toml(folder / "paper.toml", PolarityExperiment, ["imagenet_weights="])
    assert without.imagenet_weights is None


def test_a_member_of_another_optimizer_learns_otherwise(folder, tmp_path):
    """The third optimizer of a configuration is that of the third member."""
    overrides = ["members=3", "imagenet_weights="]
    experiment = load_toml(PAPER.parent / "polarity_ezrin.toml", PolarityExperiment)
    assert experiment.members >= len(experiment.optimizers)
    assert experiment.of_member(2).optimizer.kind == "adam"
    small = load_toml(folder / "paper.toml", PolarityExperiment, overrides)
    assert [small.of_member(m).optimizer.kind for m in range(3)] == ["sgd", "adam", "sgd"]


def test_train_ensemble_reads_weights_from_the_folder_it_is_given(folder, tmp_path):
    """As cross-validation calls it."""
    experiment = load_toml(folder / "paper.toml", PolarityExperiment, ["members=1"])
    with pytest.raises(InputError, match=r"resnetv2_50\.safetensors"):
        train_ensemble(experiment, EMBRYOS, EZRIN, tmp_path / "a", name="p", folder=tmp_path)
