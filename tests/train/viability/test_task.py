"""A tiny network learns films apart; parts of a batch, resuming and starting weights."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from simulated_development import FILM, NETWORK, film

from isl.config import load_toml
from isl.errors import InputError
from isl.viability.films import KeyFilm
from isl.viability.frame_features import FrameEncoder, frame_encoder
from isl.viability.model import load_viability_model
from isl.viability.network import FrameSequence, FrameSequenceConfig
from isl_train.loop import fit
from isl_train.optimizer import OptimizerConfig
from isl_train.viability import ensemble
from isl_train.viability.config import AugmentConfig, ViabilityExperiment, ViabilityTraining
from isl_train.viability.ensemble import join
from isl_train.viability.ground import Case, keep_features
from isl_train.viability.task import ViabilityTask, shuffled

CONFIGS = Path(__file__).parents[3] / "configs"


def experiment(**settings) -> ViabilityExperiment:
    training = {"steps": 30, "batch_size": 8, "evaluate_every": 0, "checkpoint_every": 0}
    network = settings.pop("network", NETWORK)
    return ViabilityExperiment(
        task="viability",
        dataset=Path("recordings.csv"),
        targets=("heartbeat", "euploid"),
        film=FILM,
        network=network,
        members=1,
        augment=AugmentConfig(rotation=0, cut=0.2),
        training=ViabilityTraining(**{**training, **settings.pop("training", {})}),
        optimizer=OptimizerConfig(kind="adamw", learning_rate=3e-3),
        **settings,
    )


def case(number: int, split: str = "train") -> Case:
    """Bright middles in the later half are 1; of the second outcome little is known."""
    made = film(number)
    outcome = number % 2
    pictures = made.pictures // 4 + 60
    pictures[4:, 8:16, 8:16] += 110 * outcome
    return Case(
        film=KeyFilm(
            name=made.name,
            pictures=pictures,
            hours=made.hours,
            indices=made.indices,
            why=made.why,
        ),
        patient=f"p{number}",
        split=split,
        outcomes=np.array([outcome, -1 if number % 3 else 1]),
        row={},
    )


CASES = [*[case(n) for n in range(16)], *[case(n, "validation") for n in range(16, 24)]]


def test_learns_films_apart_and_leaves_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = experiment()
    task = ViabilityTask(settings, CASES, say=lambda _: None)
    fit(task, settings, tmp_path / "run")
    lines = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    found = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    assert float(found["heartbeat/auroc"]) == 1
    asked = []

    def with_temperature(target, logits, outcomes, patients):
        asked.append((logits, outcomes.tolist(), patients.tolist()))
        return target.model_copy(update={"temperature": 1.5})

    monkeypatch.setattr(ensemble, "with_temperature", with_temperature)
    joined = join(settings, CASES, [tmp_path / "run"] * 2, tmp_path / "model", name="joined")
    model = load_viability_model(joined)
    assert model.name == "joined"
    assert model.config.patients == tuple(f"p{n}" for n in range(16))
    assert model.config.targets[0].prevalence == 0.5
    assert model.config.targets[0].temperature == 1.5
    logits = model.logits([each.film for each in CASES[-8:]]).mean(axis=0)
    # What it is judged by: the validation films' mean logits, outcomes and patients.
    np.testing.assert_allclose(asked[0][0], logits[:, 0], atol=1e-2)
    assert asked[0][1:] == ([0, 1] * 4, [f"p{n}" for n in range(16, 24)])
    assert min(logits[1::2, 0]) > max(logits[::2, 0])
    assert "must not be used to choose" in model.card


def test_pictures_and_outcomes_are_what_a_run_knows_its_data_by() -> None:
    def hash_with(**changes) -> str:
        cases = [dataclasses.replace(CASES[0], **changes), *CASES[1:]]
        return ViabilityTask(experiment(), cases, say=lambda _: None).ground_hash()

    pictures = CASES[0].film.pictures.copy()
    pictures[-1, 0, 0] ^= 1
    hashes = [
        hash_with(),
        hash_with(film=dataclasses.replace(CASES[0].film, pictures=pictures)),
        hash_with(outcomes=1 - CASES[0].outcomes),
        hash_with(split="validation"),
    ]
    assert len(set(hashes)) == 4
    assert hash_with(patient="another") == hashes[0]


def test_frozen_encoder_and_what_is_learned_of_its_features(tmp_path: Path) -> None:
    """Features are computed once, their mean and deviation measured."""
    network = FrameSequenceConfig(side=32, width=8, queries=2, noise=0.1, dropout=0.0)
    training = {"steps": 40, "checkpoint_every": 20}
    settings = experiment(network=network, training=training)
    keep_features(CASES, network, tmp_path)
    assert (tmp_path / "features_efficientnet-lite0_32.npz").is_file()
    task = ViabilityTask(settings, CASES, say=lambda _: None)
    fit(task, settings, tmp_path / "run")
    lines = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    found = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    assert float(found["heartbeat/auroc"]) > 0.8
    member = load_viability_model(tmp_path / "run" / "model").members[0]
    assert isinstance(member, FrameSequence)
    encoder = frame_encoder("efficientnet-lite0", 32)
    features = np.concatenate([encoder.features(each.film.pictures) for each in CASES[:16]])
    np.testing.assert_allclose(member.mean[...], features.mean(axis=0), atol=1e-5)


def counted_encoders(
    monkeypatch: pytest.MonkeyPatch, computed: list[int], fails_after: int
) -> None:
    """New encoders for `keep_features`, which note their frames; one call too many fails."""

    def maps(encoder: FrameEncoder, pictures: np.ndarray) -> list[np.ndarray]:
        if len(computed) >= fails_after:
            raise KeyboardInterrupt
        computed.append(len(pictures))
        return [np.broadcast_to(pictures.mean(axis=(1, 2))[:, None, None, None], (8, 1, 1, 512))]

    monkeypatch.setattr(FrameEncoder, "maps", maps)
    monkeypatch.setattr("isl_train.viability.ground.frame_encoder", FrameEncoder)


def test_features_are_kept_from_where_a_run_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = FrameSequenceConfig(side=32)
    monkeypatch.setattr("isl_train.viability.ground._KEPT_AT_ONCE", 2)
    computed: list[int] = []
    counted_encoders(monkeypatch, computed, fails_after=2)
    with pytest.raises(KeyboardInterrupt):
        keep_features(CASES[:5], network, tmp_path)
    assert computed == [8, 8]
    counted_encoders(monkeypatch, computed, fails_after=9)
    keep_features(CASES[:5], network, tmp_path)
    assert computed == [8] * 5
    keep_features(CASES[:5], network, tmp_path)
    assert computed == [8] * 5


def test_more_features_are_kept_than_are_otherwise_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isl.viability.frame_features._KEPT", 20)
    monkeypatch.setattr("isl_train.viability.ground._KEPT_AT_ONCE", 2)
    counted_encoders(monkeypatch, [], fails_after=9)
    keep_features(CASES[:5], FrameSequenceConfig(side=32), tmp_path)
    with np.load(tmp_path / "features_efficientnet-lite0_32.npz") as kept:
        assert len(kept["keys"]) == 40


def test_parts_in_memory_change_no_gradient() -> None:
    network = NETWORK.model_copy(update={"stochastic_depth": 0.0})
    tasks = [
        ViabilityTask(
            experiment(network=network, training={"films_in_memory": size}),
            CASES,
            say=lambda _: None,
        )
        for size in (0, 2)
    ]
    params, state = tasks[0].initial(jax.random.key(0))
    drawn = [tasks[0].examples(0)[i] for i in range(8)]
    batch = {name: jnp.asarray(np.stack([each[name] for each in drawn])) for name in drawn[0]}
    key = jax.random.key(1)
    gradients = [
        jax.jit(jax.grad(lambda p, task=task: task.loss(p, state, batch, key)[0]))(params)
        for task in tasks
    ]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), *gradients)


def test_memory_of_a_step_grows_with_its_films() -> None:
    said: list[str] = []
    task = ViabilityTask(experiment(training={"films_in_memory": "auto"}), CASES, say=said.append)
    assert said == ["films_in_memory = 8: so many of 8 films are in memory at a time"]
    one, four = (task._bytes_needed(films) for films in (1, 4))
    assert four > 2 * one


def test_shuffled_outcomes_are_the_same_ones() -> None:
    made = shuffled(CASES, experiment())
    own, other = ([tuple(c.outcomes) for c in cases[:16]] for cases in (CASES, made))
    assert own != other
    assert sorted(own) == sorted(other)
    assert [c.film.name for c in made] == [c.film.name for c in CASES]


def test_shuffled_outcomes_choose_the_checkpoint_too() -> None:
    settings = experiment(shuffle_outcomes=True)
    task = ViabilityTask(settings, CASES, say=lambda _: None)
    for split, own in (("train", task._train), ("validation", task._validation)):
        dealt = [c for c in shuffled(CASES, settings) if c.split == split]
        assert [tuple(c.outcomes) for c in own] == [tuple(c.outcomes) for c in dealt]
        assert own


def test_every_film_once_a_round() -> None:
    task = ViabilityTask(experiment(), CASES, say=lambda _: None)
    examples = task.examples(0)
    assert sorted(int(examples[i]["case"]) for i in range(16)) == list(range(16))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("viability_*.toml")), ids=lambda p: p.stem)
def test_configurations_are_valid(path: Path) -> None:
    found = load_toml(path, ViabilityExperiment)
    assert found.task == "viability"
    assert found.targets


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": (1.0,)}, "1 weights but 2 targets"),
        (
            {"training": {"films_in_memory": 3}},
            "cannot be cut into equal parts of films_in_memory = 3",
        ),
    ],
)
def test_configurations_that_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment(**settings)


def test_members_begun_with_key_frames_of_another_way_are_refused(tmp_path: Path, monkeypatch):
    """And those of a folder that says no way; a fresh folder has none, and nothing is written."""
    ensemble._check_same_way(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run" / "member_0").mkdir(parents=True)
    (tmp_path / "run" / "way.txt").write_text(f"{ensemble.key_frames.WAY}\n")
    ensemble._check_same_way(tmp_path / "run")
    monkeypatch.setattr(ensemble.key_frames, "WAY", -1)
    with pytest.raises(InputError, match="begun with key frames chosen in another way"):
        ensemble._check_same_way(tmp_path / "run")
    (tmp_path / "older" / "member_0").mkdir(parents=True)
    with pytest.raises(InputError, match="name another folder"):
        ensemble._check_same_way(tmp_path / "older")
