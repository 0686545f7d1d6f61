"""Networks, ensembles and their words."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit, softmax
from simulated_development import FILM, film, write_model

from isl.errors import InputError
from isl.model_folder import arrays_of
from isl.viability.films import network_input
from isl.viability.frame_features import DEPTH, FrameEncoder, frame_encoder, sequence_input
from isl.viability.inspect import describe_model, summary
from isl.viability.model import TargetConfig, check_apart, load_viability_model, word_of
from isl.viability.network import FilmCNNConfig, FrameSequenceConfig, build_network, measure

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
    pair = np.asarray(nnx.jit(lambda network, x: network(x))(model.members[2], x), float)
    pair = pair.reshape(2, 2)
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


SEQUENCES = [
    FrameSequenceConfig(width=4, pooling="mean"),
    FrameSequenceConfig(width=4, pooling="attention", queries=3),
    FrameSequenceConfig(width=4, pooling="attention", queries=3, waves=2),
    FrameSequenceConfig(width=4, pooling="attention", queries=3, frames=3),
    FrameSequenceConfig(width=4, pooling="mean", frames=5),
    FrameSequenceConfig(width=4, pooling="gru"),
    FrameSequenceConfig(width=4, last_only=True),
]


def sequences(seed: int = 0, seen: int = 6) -> np.ndarray:
    """Two films' features, as a network takes them: 8 frames, of which `seen` are seen."""
    rng = np.random.default_rng(seed)
    hours = np.linspace(2, 119, 8)[:seen]
    return np.stack(
        [sequence_input(rng.normal(size=(seen, DEPTH)), hours, count=8) for _ in range(2)]
    )


@pytest.mark.parametrize(
    "config", SEQUENCES, ids=lambda c: f"{c.pooling}-{c.waves}-{c.frames}-{c.last_only}"
)
def test_sequences_see_what_is_seen(config: FrameSequenceConfig) -> None:
    """Whatever stands where nothing is seen counts for nothing; what is seen counts."""
    network = build_network(config, 2, 4, rngs=nnx.Rngs(0))
    x = sequences()
    measure(network, x[:, :6, :-1].reshape(-1, DEPTH))
    run = nnx.jit(lambda network, x: network(x))
    logits = np.asarray(run(network, jnp.asarray(x)))
    assert logits.shape == (2, 4)
    unseen = x.copy()
    unseen[:, 6:, :-1] = 7
    np.testing.assert_allclose(run(network, jnp.asarray(unseen)), logits, atol=1e-6)
    for frame, counts in ((0, not config.last_only), (5, True)):
        changed = x.copy()
        changed[:, frame, :-1] = 0
        moved = np.abs(np.asarray(run(network, jnp.asarray(changed))) - logits).max()
        assert (moved > 1e-5) == counts
    dropped = nnx.jit(lambda network, x, key: network(x, key))
    noisy = dropped(network, jnp.asarray(x), jax.random.key(0))
    assert np.any(noisy != dropped(network, jnp.asarray(x), jax.random.key(1)))


def test_hours_stand_beside_their_sines_and_cosines() -> None:
    """In NumPy, frame by frame."""
    network = build_network(
        FrameSequenceConfig(width=4, pooling="mean", waves=3), 2, 4, rngs=nnx.Rngs(0)
    )
    arrays = {path: array.astype(float) for path, array in arrays_of(network).items()}
    for one in sequences(seen=8):
        states = []
        for *features, hour in one.astype(float):
            turns = [240 / 2**wave for wave in range(3)]
            waves = [
                part(2 * np.pi * 120 * hour / turn) for part in (np.sin, np.cos) for turn in turns
            ]
            x = np.concatenate([features, [hour], waves])
            x = x @ arrays["embed/kernel"] + arrays["embed/bias"]
            states.append(np.asarray(jax.nn.gelu(jnp.asarray(x))))
        expected = np.mean(states, axis=0) @ arrays["head/kernel"] + arrays["head/bias"]
        np.testing.assert_allclose(network(jnp.asarray(one[None]))[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "config", SEQUENCES, ids=lambda c: f"{c.pooling}-{c.waves}-{c.frames}-{c.last_only}"
)
def test_what_sequences_say_of_features_is_their_slope(config: FrameSequenceConfig) -> None:
    """A small step along one feature of one frame, against the gradient."""
    network = build_network(config, 2, 2, rngs=nnx.Rngs(0))
    x = sequences()
    run = nnx.jit(lambda network, x: network(x))
    logits, slopes = nnx.jit(lambda network, x: network.activation_maps(x))(network, jnp.asarray(x))
    np.testing.assert_allclose(logits, run(network, jnp.asarray(x)), atol=1e-6)
    assert slopes.shape == (2, 8, DEPTH, 2)
    np.testing.assert_array_equal(slopes[:, 6:], 0)
    up, down = x.copy(), x.copy()
    up[1, 5, 17] += 0.1
    down[1, 5, 17] -= 0.1
    step = np.asarray(run(network, jnp.asarray(up)) - run(network, jnp.asarray(down)))
    np.testing.assert_allclose(step[1] / 0.2, slopes[1, 5, 17], atol=2e-4)


def test_frames_are_convolved_as_in_a_plain_loop() -> None:
    """Three frames at a time; nothing lies before the first or after the last that is seen."""
    network = build_network(
        FrameSequenceConfig(width=4, pooling="mean", frames=3), 2, 2, rngs=nnx.Rngs(0)
    )
    arrays = {path: array.astype(float) for path, array in arrays_of(network).items()}
    x = sequences()

    def gelu(values: np.ndarray) -> np.ndarray:
        return np.asarray(jax.nn.gelu(jnp.asarray(values)))

    for one, made in zip(x.astype(float), network(jnp.asarray(x)), strict=True):
        inner = gelu(one[:6] @ arrays["embed/kernel"] + arrays["embed/bias"])
        states = []
        for t in range(6):
            three = [inner[n] if 0 <= n < 6 else np.zeros(4) for n in (t - 1, t, t + 1)]
            among = np.concatenate(three) @ arrays["conv/kernel"] + arrays["conv/bias"]
            states.append(inner[t] + gelu(among))
        expected = np.mean(states, axis=0) @ arrays["head/kernel"] + arrays["head/bias"]
        np.testing.assert_allclose(made, expected, atol=1e-5)


def test_attention_is_a_plain_loop() -> None:
    network = build_network(SEQUENCES[1], 2, 2, rngs=nnx.Rngs(0))
    x = sequences()
    measure(network, x[:, :6, :-1].reshape(-1, DEPTH))
    arrays = {path: np.asarray(value, float) for path, value in arrays_of(network).items()}
    for film_number, sequence in enumerate(x.astype(float)):
        embedded, scores = [], []
        for frame in sequence[:6]:
            features = (frame[:-1] - arrays["mean"]) / arrays["deviation"]
            inner = np.append(features, frame[-1]) @ arrays["embed/kernel"] + arrays["embed/bias"]
            inner = np.asarray(jax.nn.gelu(jnp.asarray(inner)))
            embedded.append(inner)
            scores.append(inner @ arrays["query/kernel"] + arrays["query/bias"])
        weights = softmax(np.array(scores), axis=0)
        pooled = [sum(w * e for w, e in zip(own, embedded, strict=True)) for own in weights.T]
        expected = np.concatenate(pooled) @ arrays["head/kernel"] + arrays["head/bias"]
        found = np.asarray(network(jnp.asarray(x[film_number : film_number + 1])))[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_features_are_means_of_maps_and_are_kept(tmp_path: Path) -> None:
    """Each frame by itself, whatever its brightness and contrast are, computed once."""
    encoder = frame_encoder("efficientnet-lite0", 32)
    pictures = film(count=3).pictures // 2
    found = encoder.features(pictures)
    assert found.shape == (3, DEPTH)
    maps = encoder.maps(pictures)
    assert [level.shape[1] for level in maps] == [16, 8, 4, 2, 1]
    np.testing.assert_allclose(
        found, np.concatenate([level.mean(axis=(1, 2)) for level in maps], axis=1), atol=1e-6
    )
    brighter = encoder.features(2 * pictures + 1)
    np.testing.assert_allclose(brighter, found, atol=1e-3)
    np.testing.assert_array_equal(encoder.features(pictures[::-1]), found[::-1])
    alone = FrameEncoder("efficientnet-lite0", 32)
    np.testing.assert_allclose(alone.features(pictures[1:2]), found[1:2], atol=1e-4)
    encoder.write_down(tmp_path / "features.npz")
    other = FrameEncoder("efficientnet-lite0", 32)
    other.remember(tmp_path / "features.npz")
    known = len(other)
    np.testing.assert_array_equal(other.features(pictures), found)
    assert len(other) == known == len(encoder)
    larger = FrameEncoder("efficientnet-lite0", 64)
    larger.remember(tmp_path / "features.npz")
    assert len(larger) == 0
    (tmp_path / "features.npz").write_bytes(b"PK damaged")
    with pytest.raises(InputError, match="cannot be read as features of frames"):
        other.remember(tmp_path / "features.npz")


def test_model_of_frames_gives_words_and_evidence(tmp_path: Path) -> None:
    network = FrameSequenceConfig(width=4, queries=2, side=32)
    model = load_viability_model(write_model(tmp_path / "m", network=network))
    logits = model.logits([film(0), film(1)])
    assert logits.shape == (3, 2, 2)
    features = frame_encoder("efficientnet-lite0", 32).features(film(1).pictures)
    x = sequence_input(features, film(1).hours, 8)[None]
    pair = np.asarray(model.members[2](jnp.asarray(x)), float).reshape(2, 2)
    np.testing.assert_allclose(logits[2, 1], pair[:, 1] - pair[:, 0], atol=1e-5)
    found = model.evidence(film())
    assert found.shape == (8, 24, 24)
    assert np.std(found) > 0


def test_last_frame_that_is_seen_is_the_one_looked_at() -> None:
    network = build_network(CNNS[3], 2, 2, rngs=nnx.Rngs(0))
    x = network_input(film(), FILM)[None]
    cut = x.copy()
    cut[:, 5:, ..., 0], cut[:, 5:, ..., 1] = 0, -1
    last = np.repeat(x[:, 4:5], 8, axis=1)
    run = nnx.jit(lambda network, x: network(x))
    np.testing.assert_allclose(run(network, cut), run(network, last), atol=1e-6)


def test_dropout_needs_a_key() -> None:
    network = build_network(CNNS[0], 2, 2, rngs=nnx.Rngs(0))
    x = jnp.asarray(network_input(film(), FILM)[None])
    run = nnx.jit(lambda network, x, key: network(x, key))
    np.testing.assert_array_equal(run(network, x, None), run(network, x, None))
    assert np.any(run(network, x, jax.random.key(0)) != run(network, x, None))


def test_model_folders_say_what_they_are(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", simulated=True)
    assert "trained on simulated embryos" in summary(folder)
    facts = dict(describe_model(folder))
    assert facts["gives the chance of"] == "heartbeat"
    assert facts["tells besides"] == "euploid"
    assert "must not be used to choose" in facts["purpose"]
    assert "simulated" in facts["warning"]
    assert "warning" not in dict(describe_model(write_model(tmp_path / "n")))


def test_patients_it_was_trained_on_are_refused(tmp_path: Path) -> None:
    model = load_viability_model(write_model(tmp_path / "m"))
    check_apart(model, ["p2", "p3"])
    with pytest.raises(InputError, match="was trained on patient 'p1'"):
        check_apart(model, ["p2", "p1"])
