"""Ensembles: what they are taught, that they learn it, and that an interruption changes nothing."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import simulated_embryos
from flax import nnx
from safetensors.numpy import load_file
from simulated_embryos import make_embryo

from isl.backbones.unet import UNetConfig
from isl.config import parse
from isl.errors import InputError
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.model_folder import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from isl.polarity.model import load_polarity_model, middles_of, views_of
from isl_train.polarity.augment import moved, relit
from isl_train.polarity.config import PolarityExperiment, SightConfig
from isl_train.polarity.ensemble import train_ensemble
from isl_train.polarity.ground import Ground, drawing_weights, onset_targets
from isl_train.polarity.task import PolarityTask

EMBRYOS = [make_embryo("A", 2), make_embryo("B", 4), make_embryo("C", None, frames=4)]
EZRIN = {embryo.name: embryo.measured for embryo in EMBRYOS}
KEY = jax.random.key(3)
MOVED = jax.jit(moved, static_argnums=1)
ENCODER = {"kind": "encoder", "unet": {"levels": 1, "width": 2}}
STILL = {"rotation": 0.0, "scale": 0.0, "shift": 0.0, "contrast": 0.0, "brightness": 0.0}


def make_experiment(**tables) -> PolarityExperiment:
    given = {
        "task": "polarity",
        "dataset": "manifest.toml",
        "arm": "ezrin",
        "members": 2,
        "symmetries": False,
        "ezrin": {"experiment": "ezrin.toml", "model": "ezrin-aif"},
        "backbone": {"kind": "resnet", "depth": 10, "width": 4, "stem": "small"},
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        **tables,
    }
    given["sight"] = {"size": 16, **given.get("sight", {})}
    training = {"steps": 24, "batch_size": 8, "ema_decay": 0.8, "reestimate_batches": 4}
    given["training"] = {**training, **given.get("training", {})}
    return parse(given, PolarityExperiment, source="test")


def after_onset(model, embryo, ezrin):
    logits = model.member_logits(embryo.dic, ezrin).mean(axis=0)
    return logits[:, 1] > logits[:, 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, uninterrupted."""
    folder = tmp_path_factory.mktemp("runs") / "through"
    model = train_ensemble(make_experiment(), EMBRYOS, EZRIN, folder, name="tiny")
    assert model == folder / "model"
    return folder


def test_a_tiny_ensemble_learns_in_a_few_steps(trained):
    model = load_polarity_model(trained / "model")
    for embryo in (*EMBRYOS, make_embryo("unseen", 3)):
        found = after_onset(model, embryo, embryo.measured)
        np.testing.assert_array_equal(found, embryo.after)
    logits = model.member_logits(EMBRYOS[0].dic, EZRIN["A"])
    assert logits.shape == (2, 6, 2)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_the_model_says_what_it_is_and_whom_it_knows(trained):
    model = load_polarity_model(trained / "model")
    assert model.name == "tiny"
    assert model.config.arm == "ezrin"
    assert model.config.ezrin == "ezrin-aif"
    assert model.config.embryos == ("A", "B", "C")
    assert (model.config.size, model.config.members) == (16, 2)
    assert "24 updates of 8 frames each (adamw); seeds 0 to 1" in model.card
    assert "- B, 6 frames" in model.card
    assert "not for clinical use" in model.card
    one = load_polarity_model(trained / "member_1" / "model")
    views = model.views(EMBRYOS[0].dic, EZRIN["A"])
    np.testing.assert_allclose(
        one.logits_of_views(views)[0], model.logits_of_views(views)[1], atol=1e-6
    )


def test_interrupted_and_resumed_equals_uninterrupted(trained, tmp_path, monkeypatch):
    """SIGINT in the middle of the second member."""

    def stop(display, done):
        if (tmp_path / "member_1").exists() and done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as stopped:
        stopped.setattr("isl_train.progress.ProgressDisplay.advance", stop)
        with pytest.raises(KeyboardInterrupt):
            train_ensemble(make_experiment(), EMBRYOS, EZRIN, tmp_path, name="tiny")
    assert (tmp_path / "member_0" / "model").is_dir()
    assert not (tmp_path / "member_1" / "model").exists()
    assert not (tmp_path / "model").exists()
    first = (tmp_path / "member_0" / "model" / WEIGHTS_FILE).stat().st_mtime_ns
    train_ensemble(make_experiment(), EMBRYOS, EZRIN, tmp_path, name="tiny")
    for name in (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE):
        expected = (trained / "model" / name).read_bytes()
        assert (tmp_path / "model" / name).read_bytes() == expected
    assert (tmp_path / "member_0" / "model" / WEIGHTS_FILE).stat().st_mtime_ns == first


def test_members_of_other_settings_are_refused(trained):
    """They would otherwise be taken for members that know nothing of who is now left out."""
    before = (trained / "model" / WEIGHTS_FILE).read_bytes()
    for changes in (
        {"arm": "dic"},
        {"sight": {"size": 24}},
        {"loss": {"softness": 3.0}},
        {"leave_out": ["A"]},
        {"seed": 5},
        {"optimizer": {"kind": "sgd"}},
    ):
        with pytest.raises(InputError, match="member_0: holds a run of other settings"):
            train_ensemble(make_experiment(**changes), EMBRYOS, EZRIN, trained, name="tiny")
    assert (trained / "model" / WEIGHTS_FILE).read_bytes() == before


@pytest.mark.parametrize("onset", [0, 3, None])
def test_targets_are_a_step_or_a_logistic_rise(onset):
    embryo = make_embryo("A", onset, frames=6)
    step = onset_targets(embryo, 0.0)
    assert step.dtype == np.float32
    np.testing.assert_array_equal(step, embryo.after)
    soft = onset_targets(embryo, 1.5)
    place = 6 if onset is None else onset
    expected = [1 / (1 + np.exp(-(t + 0.5 - place) / 1.5)) for t in range(6)]
    np.testing.assert_allclose(soft, expected, rtol=1e-6)
    np.testing.assert_array_equal(soft > 0.5, embryo.after)


def test_frames_before_and_after_are_drawn_equally_often():
    after = np.array([False] * 8 + [True] * 4)
    weights = drawing_weights(after, 4)
    assert weights[~after].sum() == pytest.approx(weights[after].sum())
    # A single frame is not drawn more often than if there were four of its kind.
    weights = drawing_weights(np.array([False] * 8 + [True]), 4)
    assert weights[-1] == pytest.approx(1 / 4)
    assert weights[:-1].sum() == pytest.approx(1)
    np.testing.assert_array_equal(drawing_weights(after, 0), np.ones(12))


@pytest.mark.parametrize(
    ("arm", "auxiliary", "channels"),
    [("dic", 0, 1), ("ezrin", 0, 1), ("dic+ezrin", 0, 2), ("measured", 0, 1), ("dic", 0.1, 2)],
)
def test_ground_holds_the_views_of_the_arm(arm, auxiliary, channels):
    ground = Ground(make_experiment(arm=arm, loss={"auxiliary": auxiliary}), EMBRYOS, EZRIN)
    assert ground.views.shape == (16, 16, 16, channels)
    assert ground.targets.shape == ground.chances.shape == (16,)
    assert ground.chances.sum() == pytest.approx(1)
    assert ground.names[7] == "B frame 1"
    drawn = ground.draw(np.random.default_rng(0))
    np.testing.assert_array_equal(drawn["views"], ground.views[drawn["frame"]])
    assert drawn["targets"] == ground.targets[drawn["frame"]]


def test_frames_and_labels_are_what_a_run_knows_its_data_by():
    experiment = make_experiment()

    def hash_with(**changes):
        embryos = [dataclasses.replace(EMBRYOS[0], **changes), *EMBRYOS[1:]]
        return PolarityTask(experiment, Ground(experiment, embryos, EZRIN)).ground_hash()

    dic, after = EMBRYOS[0].dic.copy(), EMBRYOS[0].after.copy()
    dic[-1, 3, 3] += 0.01
    after[1] ^= True
    hashes = {hash_with(), hash_with(dic=dic), hash_with(after=after), hash_with(measured=dic)}
    assert len(hashes) == 4
    assert hash_with(group="another") in hashes
    ground = Ground(experiment, EMBRYOS, EZRIN)
    assert PolarityTask(experiment, ground, judged=ground).ground_hash() not in hashes


def test_measured_ezrin_is_what_that_arm_sees_where_predicted_ezrin_says():
    predicted = {name: (image > 0.15).astype(np.float32) for name, image in EZRIN.items()}
    ground = Ground(make_experiment(arm="measured"), EMBRYOS[:1], predicted)
    middles = middles_of(predicted["A"])
    expected, other = (
        views_of("measured", EMBRYOS[0].dic, images["A"], middles, window=0.656, size=16)
        for images in (EZRIN, predicted)
    )
    np.testing.assert_array_equal(ground.views, expected)
    assert np.abs(ground.views - other).max() > 0.1


@pytest.mark.parametrize("tables", [{"arm": "measured"}, {"loss": {"auxiliary": 0.1}}])
def test_measured_ezrin_that_is_missing_is_refused_by_name(tables):
    embryos = [EMBRYOS[0], make_embryo("B", 4, measured=False)]
    with pytest.raises(InputError, match="embryo 'B' has no measured EZRIN, which this needs"):
        Ground(make_experiment(**tables), embryos, EZRIN)


def test_views_that_are_not_moved_are_only_mirrored():
    views = np.random.default_rng(0).normal(size=(16, 12, 12, 2)).astype(np.float32)
    found = np.asarray(MOVED(views, SightConfig(size=16, **STILL), jax.random.key(0)))
    same = np.abs(found - views).max(axis=(1, 2, 3)) < 1e-4
    mirrored = np.abs(found - views[:, :, ::-1]).max(axis=(1, 2, 3)) < 1e-4
    assert (same ^ mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_views_may_be_upside_down_and_only_some_are_turned():
    """The paper's augmentation: each axis mirrored half the time, half of the views turned."""
    views = np.random.default_rng(0).normal(size=(64, 12, 12, 1)).astype(np.float32)
    sight = SightConfig(size=16, **{**STILL, "rotation": 15.0}, turned=0.5, flip_rows=True)
    found = np.asarray(MOVED(views, sight, jax.random.key(0)))
    ways = [views[:, ::up, ::left] for up in (1, -1) for left in (1, -1)]
    same = np.array([np.abs(found - way).max(axis=(1, 2, 3)) < 1e-4 for way in ways])
    assert (same.sum(axis=0) <= 1).all()
    assert 20 < same.any(axis=0).sum() < 44
    assert same.any(axis=1).all()


def test_views_are_moved_no_further_than_asked():
    """Brightness that grows to the right tells by how much each view was moved."""
    sight = SightConfig(**{**STILL, "size": 16, "shift": 0.1})
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32), (64, 20, 20))[..., None]
    found = np.asarray(MOVED(ramp, sight, jax.random.key(1)))
    mirrored = found[:, 10, 9, 0] > found[:, 10, 10, 0]
    places = np.where(mirrored, 19 - found[:, 10, 9, 0], found[:, 10, 9, 0])
    assert np.abs(places - 9).max() <= 2.01
    assert np.abs(places - 9).max() > 1.5


def test_every_channel_of_every_view_is_standardized_and_lit_anew():
    views = 3 + 5 * np.random.default_rng(0).normal(size=(200, 8, 8, 2)).astype(np.float32)
    plain = np.asarray(relit(jnp.asarray(views), SightConfig(**{**STILL, "size": 16}), KEY))
    np.testing.assert_allclose(plain.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(plain.std(axis=(1, 2)), 1, atol=1e-3)
    sight = SightConfig(**{**STILL, "size": 16, "contrast": 0.2, "brightness": 0.5})
    lit = np.asarray(relit(jnp.asarray(views), sight, KEY))
    assert np.log(lit.std(axis=(1, 2))).std() == pytest.approx(0.2, rel=0.2)
    assert lit.mean(axis=(1, 2)).std() == pytest.approx(0.5, rel=0.2)
    both = lit.mean(axis=(1, 2))
    assert abs(np.corrcoef(both[:, 0], both[:, 1])[0, 1]) < 0.3


def test_views_that_are_not_standardized_keep_their_brightness_about():
    views = 3 + 5 * np.random.default_rng(0).normal(size=(200, 8, 8, 1)).astype(np.float32)
    same = SightConfig(**{**STILL, "size": 16, "standardize": [False]})
    np.testing.assert_allclose(relit(jnp.asarray(views), same, KEY), views, atol=0.01)
    sight = same.model_copy(update={"brightness": 0.5, "contrast": 0.2})
    lit = np.asarray(relit(jnp.asarray(views), sight, KEY))
    assert np.log(lit.std(axis=(1, 2)) / views.std(axis=(1, 2))).std() == pytest.approx(
        0.2, rel=0.2
    )
    moved = (lit.mean(axis=(1, 2)) - views.mean(axis=(1, 2))) / views.std(axis=(1, 2))
    assert moved.std() == pytest.approx(0.5, rel=0.2)


def test_the_auxiliary_head_learns_measured_ezrin_and_is_left_out_of_the_model(tmp_path):
    experiment = make_experiment(arm="dic", loss={"auxiliary": 0.5}, backbone=ENCODER)
    task = PolarityTask(experiment, Ground(experiment, EMBRYOS, EZRIN))
    params, model_state = task.initial(KEY)
    batch = {
        name: np.stack([task.examples(0)[i][name] for i in range(4)])
        for name in ("views", "targets", "frame")
    }
    assert task.describe(batch).count(" frame ") == 4

    @jax.jit
    def gradient_of(head):
        """Through the head alone: the rest is compiled for longer than it is worth."""
        return jax.value_and_grad(
            lambda head: task.loss({**params, "auxiliary": head}, model_state, batch, KEY),
            has_aux=True,
        )(head)

    (total, (_, sums)), gradient = gradient_of(params["auxiliary"])
    entropy, error = (float(np.divide(*sums[name])) for name in ("cross_entropy", "auxiliary"))
    assert float(total) == pytest.approx(entropy + 0.5 * error, rel=1e-5)
    assert jnp.any(gradient["kernel"])
    task.export(params, model_state, tmp_path / "model", {})
    assert load_polarity_model(tmp_path / "model").members[0].auxiliary is None


def save_labeling(folder, levels=1, planes=1):
    architecture = UNetConfig(levels=levels, width=2)
    network = build_network(architecture, planes=planes, labels=("EZRIN",), rngs=nnx.Rngs(5))
    contract = InputContract(planes=planes, modality="DIC")
    config = ModelConfig(
        name="labels", labels=("EZRIN",), architecture=architecture, input=contract
    )
    save_model(folder, network, config, "# A card")
    return load_model(folder)


def test_an_encoder_goes_on_from_what_the_labeling_network_learned(tmp_path):
    labeling = save_labeling(tmp_path / "labeling")
    experiment = make_experiment(backbone=ENCODER)
    ground = Ground(experiment, EMBRYOS, EZRIN)
    task = PolarityTask(experiment, ground, start=tmp_path / "labeling")
    params, _ = task.initial(KEY)
    kernel = params["backbone"]["down"]["0"]["second"]["kernel"]
    np.testing.assert_array_equal(kernel, labeling.network.body.down[0].second.kernel[...])
    fresh, _ = PolarityTask(experiment, ground).initial(KEY)
    assert (np.asarray(fresh["backbone"]["down"]["0"]["second"]["kernel"]) != kernel).any()
    unlike = PolarityTask(
        make_experiment(backbone=ENCODER, encoder_start="fresh"),
        ground,
        start=tmp_path / "labeling",
    )
    drawn, _ = unlike.initial(KEY)
    jax.tree.map(np.testing.assert_array_equal, drawn, fresh)
    for folder, shape in (("deeper", {"levels": 2}), ("stacks", {"planes": 3})):
        save_labeling(tmp_path / folder, **shape)
        with pytest.raises(InputError, match=f"{folder} as a backbone: variable 'down/"):
            PolarityTask(experiment, ground, start=tmp_path / folder).initial(KEY)
    imagenet = PolarityTask(experiment.model_copy(update={"imagenet_weights": "w"}), ground)
    with pytest.raises(InputError, match="imagenet_weights are for a backbone of kind 'resnet'"):
        imagenet.initial(KEY)


def test_batch_statistics_are_taken_anew():
    """The mean over some batches of what each of them alone says."""
    experiment = make_experiment(training={"reestimate_batches": 3}, sight=STILL)
    task = PolarityTask(experiment, Ground(experiment, EMBRYOS, EZRIN))
    params, model_state = task.initial(KEY)
    settled = task.settled(params, model_state)
    batches = task.examples(experiment.seed).batch(experiment.training.batch_size)
    means = []
    for index in range(3):
        views = np.asarray(batches[index]["views"])
        deviations = views.std(axis=(1, 2), keepdims=True) + 1e-3
        lit = (views - views.mean(axis=(1, 2), keepdims=True)) / deviations
        means.append([np.mean(lit), np.var(lit)])
    norm = settled["backbone"]["input_norm"]
    mean, variance = np.mean(means, axis=0)
    np.testing.assert_allclose(norm["mean"], [mean], atol=1e-4)
    np.testing.assert_allclose(norm["var"], [variance], rtol=1e-3)
    kept = make_experiment(training={"reestimate_batches": 0})
    plain = PolarityTask(kept, Ground(kept, EMBRYOS, EZRIN))
    assert plain.settled(params, model_state) is model_state


# On as many devices as XLA is told that there are.
ON_DEVICES = """
import sys
from pathlib import Path
import jax
sys.path[:0] = {folders!r}
from test_task import EMBRYOS, EZRIN, make_experiment
from isl_train.polarity.ensemble import train_ensemble
training = dict(steps=6, ema_decay=0.0, reestimate_batches=0)
experiment = make_experiment(members=1, training=training)
train_ensemble(experiment, EMBRYOS, EZRIN, Path(sys.argv[1]), name="tiny")
print(jax.device_count())
"""


def test_two_devices_equal_one(tmp_path):
    """To rounding: sums over a batch are taken in another order."""
    folders = [str(Path(__file__).parent), str(Path(simulated_embryos.__file__).parent)]
    program = ON_DEVICES.format(folders=folders)
    found = []
    for devices in (1, 2):
        flags = os.environ.get("XLA_FLAGS", "")
        flags += f" --xla_force_host_platform_device_count={devices}"
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                program,
                str(tmp_path / str(devices)),
            ],
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == str(devices)
        found.append(load_file(tmp_path / str(devices) / "model" / WEIGHTS_FILE))
    assert found[0].keys() == found[1].keys()
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], atol=2e-4, err_msg=name)
