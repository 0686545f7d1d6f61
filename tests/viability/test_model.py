"""Networks, ensembles and their words."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit
from simulated_development import FILM, film, write_model

from isl.errors import InputError
from isl.viability.films import network_input
from isl.viability.inspect import describe_model, summary
from isl.viability.model import TargetConfig, check_apart, load_viability_model, word_of
from isl.viability.network import FilmCNNConfig, build_network

CNNS = [
    FilmCNNConfig(widths=(4, 6)),
    FilmCNNConfig(widths=(4, 6), frames=1),
    FilmCNNConfig(widths=(4, 6), frames=1, pooling="gru"),
    FilmCNNConfig(widths=(4, 6), frames=1, last_only=True),
]


def test_members_are_joined_by_their_mean_logit(tmp_path: Path) -> None:
    model = load_viability_model(write_model(tmp_path / "m"))
    logits = model.logits([film(0), film(1)])
    assert logits.shape == (3, 2, 2)
    x = jnp.asarray(network_input(film(1), FILM)[None])
    pair = np.asarray(model.members[2](x), float).reshape(2, 2)
    np.testing.assert_allclose(logits[2, 1], pair[:, 1] - pair[:, 0], atol=1e-5)
    word = model.words(logits[:, 0])[0]
    assert word.target == "heartbeat"
    assert word.probability == pytest.approx(expit(logits[:, 0, 0].mean()))
    assert word.low < word.probability < word.high


def test_temperature_is_for_probabilities_alone() -> None:
    """It moves no order; the interval follows Student's t with one degree of freedom less."""
    cold, hot = (TargetConfig(name="a", temperature=t) for t in (1.0, 4.0))
    one, other = np.array([1.0, 1.2, 0.8]), np.array([2.0, 2.2, 1.8])
    for target in (cold, hot):
        assert word_of(one, target, 0.5).probability < word_of(other, target, 0.5).probability
    word = word_of(one, cold, 0.5)
    reach = 2.919986 * 0.2 * np.sqrt(4 / 3)
    assert word.high == pytest.approx(expit(1 + reach), abs=1e-6)
    assert word.low == pytest.approx(expit(1 - reach), abs=1e-6)
    assert word.can_tell


def test_what_cannot_be_told() -> None:
    target = TargetConfig(name="a")
    assert not word_of(np.array([-3.0, 3.0, 0.0]), target, 0.5).can_tell
    alone = word_of(np.array([5.0]), target, 0.5)
    assert (alone.low, alone.high, alone.can_tell) == (0.0, 1.0, False)


def test_evidence_has_the_films_shape(tmp_path: Path) -> None:
    model = load_viability_model(write_model(tmp_path / "m"))
    found = model.evidence(film())
    assert found.shape == (8, 24, 24)
    assert np.std(found) > 0


@pytest.mark.parametrize("config", CNNS, ids=lambda c: f"{c.frames}-{c.pooling}-{c.last_only}")
def test_contenders_see_what_they_say(config: FilmCNNConfig) -> None:
    network = build_network(config, 2, 4, rngs=nnx.Rngs(0))
    run = nnx.jit(lambda network, x: network(x))
    x = np.stack([network_input(film(seed), FILM) for seed in (0, 1)])
    logits = np.asarray(run(network, jnp.asarray(x)))
    assert logits.shape == (2, 4)
    backwards = x.copy()
    backwards[..., 0] = x[:, ::-1, ..., 0]
    other = np.asarray(run(network, jnp.asarray(backwards)))
    moved = np.abs(other - logits).max() > 1e-5
    # Frames by themselves and their mean know hours, but these go with the pictures' places.
    assert moved or (config.frames == 1 and config.pooling == "mean" and not config.last_only)
    without_first = x.copy()
    without_first[:, 0] = 0
    without_first[:, 0, ..., 1] = x[:, 0, ..., 1]
    changed = np.abs(np.asarray(run(network, jnp.asarray(without_first))) - logits).max() > 1e-6
    assert changed != config.last_only


def test_last_frame_that_is_seen_is_the_one_looked_at() -> None:
    network = build_network(CNNS[3], 2, 2, rngs=nnx.Rngs(0))
    x = network_input(film(), FILM)[None]
    cut = x.copy()
    cut[:, 5:, ..., 0], cut[:, 5:, ..., 1] = 0, -1
    last = np.repeat(x[:, 4:5], 8, axis=1)
    np.testing.assert_allclose(network(jnp.asarray(cut)), network(jnp.asarray(last)), atol=1e-6)


def test_dropout_needs_a_key() -> None:
    network = build_network(CNNS[0], 2, 2, rngs=nnx.Rngs(0))
    x = jnp.asarray(network_input(film(), FILM)[None])
    np.testing.assert_array_equal(network(x), network(x))
    assert np.any(network(x, jax.random.key(0)) != network(x))


def test_model_folders_say_what_they_are(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", simulated=True)
    assert "trained on simulated embryos" in summary(folder)
    facts = dict(describe_model(folder))
    assert facts["targets"] == "heartbeat, euploid"
    assert "must not be used to choose" in facts["purpose"]
    assert "simulated" in facts["warning"]
    assert "warning" not in dict(describe_model(write_model(tmp_path / "n")))


def test_patients_it_was_trained_on_are_refused(tmp_path: Path) -> None:
    model = load_viability_model(write_model(tmp_path / "m"))
    check_apart(model, ["p2", "p3"])
    with pytest.raises(InputError, match="was trained on patient 'p1'"):
        check_apart(model, ["p2", "p1"])
