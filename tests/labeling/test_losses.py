"""Losses: analytic values, masks that equal deletion, and gradients that vanish exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from isl.labeling import losses

# As training runs them, in one program each: operation by operation, each would be compiled alone.
cross_entropy = jax.jit(losses.cross_entropy, static_argnames="softening")
ranked_probability_score = jax.jit(losses.ranked_probability_score)
local_error = jax.jit(losses.local_error, static_argnames="width")
correlation = jax.jit(losses.correlation, static_argnames="width")
LOSSES = [cross_entropy, ranked_probability_score, jax.jit(losses.squared_error)]


def _example(seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array]:
    keys = jax.random.split(jax.random.key(seed), 3)
    logits = jax.random.normal(keys[0], (2, 5, 3, 256))
    intensity = jax.random.uniform(keys[1], (2, 5, 3))
    measured = jax.random.bernoulli(keys[2], 0.6, (2, 5, 3))
    return logits, intensity, measured


def test_a_uniform_prediction_scores_one() -> None:
    sums, counts = cross_entropy(
        jnp.zeros((4, 2, 256)), jnp.full((4, 2), 0.3), jnp.ones((4, 2), bool)
    )
    assert losses.ratio(sums, counts).tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


def test_ranked_probability_score_is_that_of_a_slow_loop() -> None:
    logits, intensity, _ = _example()
    sums, _ = ranked_probability_score(logits, intensity, jnp.ones(intensity.shape, bool))
    expected = np.zeros(3)
    for index in np.ndindex(*intensity.shape):
        row = np.asarray(logits[index], np.float64)
        p = np.exp(row) / np.exp(row).sum()
        true = np.arange(256) >= round(float(intensity[index]) * 255)
        expected[index[-1]] += np.mean((np.cumsum(p) - true) ** 2)
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def test_neighbouring_bins_count_for_the_ranked_score_and_not_for_cross_entropy() -> None:
    certain = 50 * jax.nn.one_hot(jnp.array([[[101], [200]]]), 256)
    truth, measured = jnp.full((1, 2, 1), 100 / 255), jnp.ones((1, 1), bool)
    near, far = certain[:, 0], certain[:, 1]

    def score(loss, logits: jax.Array) -> float:
        return float(loss(logits, truth[:, 0], measured)[0][0])

    assert score(ranked_probability_score, near) == pytest.approx(1 / 256, rel=1e-3)
    assert score(ranked_probability_score, far) == pytest.approx(100 / 256, rel=1e-3)
    assert score(cross_entropy, near) == pytest.approx(score(cross_entropy, far))


def test_softening_prefers_near_misses() -> None:
    near, far = (5 * jax.nn.one_hot(jnp.array([[k]]), 256) for k in (101, 200))
    truth, measured = jnp.full((1, 1), 100 / 255), jnp.ones((1, 1), bool)
    softened = [
        float(cross_entropy(logits, truth, measured, softening=2.0)[0][0]) for logits in (near, far)
    ]
    assert softened[0] < softened[1]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mask_equals_deletion(loss) -> None:
    logits, intensity, measured = _example()
    sums, counts = loss(logits, intensity, measured)
    for label in range(3):
        kept = measured[..., label]
        expected, count = loss(
            logits[..., label, :][kept][:, None],
            intensity[..., label][kept][:, None],
            jnp.ones((int(kept.sum()), 1), bool),
        )
        assert counts[label] == count[0] == kept.sum()
        assert sums[label] == pytest.approx(float(expected[0]), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unmeasured_label_has_gradients_of_exactly_zero(loss) -> None:
    logits, intensity, measured = _example()
    measured = measured.at[..., 1].set(False)

    def total(logits: jax.Array, intensity: jax.Array) -> jax.Array:
        return losses.weighted_mean(loss(logits, intensity, measured), jnp.ones(3))

    # What was not measured may hold anything.
    gradients = jax.jit(jax.grad(total))(logits, intensity.at[..., 1].set(jnp.nan))
    assert jnp.all(jnp.isfinite(gradients))
    assert jnp.all(gradients[..., 1, :] == 0)
    assert jnp.any(gradients[..., 0, :] != 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_batch_scores_zero_with_gradients_of_zero(loss) -> None:
    logits, intensity, measured = _example()

    def total(logits: jax.Array) -> jax.Array:
        nothing = jnp.zeros_like(measured)
        return losses.weighted_mean(loss(logits, intensity, nothing), jnp.ones(3))

    value, gradients = jax.jit(jax.value_and_grad(total))(logits)
    assert value == 0
    assert jnp.all(gradients == 0)


def test_labels_are_weighted_among_those_present() -> None:
    sums, counts = jnp.array([2.0, 9.0, 8.0]), jnp.array([2.0, 0.0, 4.0])
    mean = losses.weighted_mean((sums, counts), jnp.array([1.0, 5.0, 3.0]))
    assert mean == pytest.approx((1 * 1.0 + 3 * 2.0) / 4)


@pytest.mark.parametrize("part", [1, 3, 10, 1000])
def test_parts_add_up_to_the_whole_and_so_do_their_gradients(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten pixels of three labels; parts of three leave one over."""
    monkeypatch.setattr(losses, "_PART_NUMBERS", part * 3 * 256)
    logits, intensity, measured = _example()
    weights = jnp.asarray([1.0, -2.0, 0.5])

    def objective(*arrays: jax.Array) -> tuple[jax.Array, losses.Sums]:
        plain = cross_entropy(*arrays)
        return plain[0] + 20 * ranked_probability_score(*arrays)[0], plain

    def weighted(logits: jax.Array, take) -> tuple[jax.Array, losses.Sums]:
        sums, others = take(logits, intensity, measured)
        return jnp.sum(weights * sums), (sums, *others)

    def by_parts(*arrays: jax.Array) -> tuple[jax.Array, losses.Sums]:
        return losses.by_parts(objective, *arrays)

    evaluated = jax.jit(jax.value_and_grad(weighted, has_aux=True), static_argnums=1)
    (_, expected), gradient = evaluated(logits, objective)
    for found in (weighted(logits, by_parts)[1], jax.jit(by_parts)(logits, intensity, measured)):
        np.testing.assert_allclose(jax.tree.leaves(found), expected, rtol=1e-5)
    (_, found), of_parts = evaluated(logits, by_parts)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(of_parts, gradient, atol=1e-6)


def test_local_error_is_that_of_a_slow_loop() -> None:
    keys = jax.random.split(jax.random.key(4), 2)
    logits = 2 * jax.random.normal(keys[0], (2, 7, 6, 1, 256))
    intensity = jax.random.uniform(keys[1], (2, 7, 6, 1))
    measured = jnp.ones(intensity.shape, bool).at[0, 6, 5].set(False)
    sums, counts = local_error(logits, intensity, measured, width=3)
    p = np.asarray(jax.nn.softmax(logits), np.float64)[:, :, :, 0]
    error = p @ (np.arange(256) / 255) - np.asarray(intensity, np.float64)[..., 0]
    total, count = 0.0, 0
    for b, y, x in np.ndindex(2, 5, 4):
        square = np.s_[b, y : y + 3, x : x + 3]
        if np.asarray(measured)[..., 0][square].all():
            total += (error[b, y + 1, x + 1] - error[square].mean()) ** 2
            count += 1
    assert counts.tolist() == [count] == [39]
    np.testing.assert_allclose(sums, [total], rtol=1e-4)


def test_shade_is_no_local_error() -> None:
    """A prediction that is too bright by the same everywhere, or along a ramp, shows all detail."""
    ramp = jnp.broadcast_to(jnp.arange(9) / 20, (1, 9, 9))[..., None]
    bins = jnp.arange(256).reshape(1, 1, 1, 1, 256)
    logits = -0.5 * ((bins - 255 * (0.3 + ramp[..., None])) / 3.0) ** 2
    intensity = jnp.full((1, 9, 9, 1), 0.25)
    sums, counts = local_error(logits, intensity, jnp.ones((1, 9, 9, 1), bool), width=5)
    assert float(losses.ratio(sums, counts)[0]) < 1e-6


def test_local_error_of_nothing_measured_is_zero_with_zero_gradients() -> None:
    logits = jax.random.normal(jax.random.key(5), (1, 6, 6, 2, 256))
    intensity = jnp.full((1, 6, 6, 2), jnp.nan)
    nothing = jnp.zeros(intensity.shape, bool)

    def loss(logits: jax.Array) -> jax.Array:
        return losses.ratio(*local_error(logits, intensity, nothing, width=3)).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss))(logits)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, np.zeros(logits.shape))


def test_correlation_is_pearsons_of_intensities_and_of_detail_where_it_is_bright() -> None:
    keys = jax.random.split(jax.random.key(5), 2)
    logits = 2 * jax.random.normal(keys[0], (2, 9, 8, 1, 256))
    intensity = jax.random.uniform(keys[1], (2, 9, 8, 1)).at[:, :, 5:].multiply(0.02)
    measured = jnp.ones(intensity.shape, bool).at[1, 0, 0].set(False)
    sums, counts = correlation(logits, intensity, measured, width=3)
    p = np.asarray(jax.nn.softmax(logits), np.float64)[:, :, :, 0]
    seen, true = p @ (np.arange(256) / 255), np.asarray(intensity, np.float64)[..., 0]
    known = np.asarray(measured)[..., 0]
    seen, true = np.where(known, seen, 0), np.where(known, true, 0)
    total = 0.0
    for one, other, there in zip(seen, true, known, strict=True):
        shades = [ndimage.uniform_filter(image, 3, mode="nearest") for image in (one, other)]
        bright = there & (shades[1] > 0.25 * shades[1].max())
        total += 1 - np.corrcoef(one[bright], other[bright])[0, 1] / 2
        total -= np.corrcoef((one - shades[0])[bright], (other - shades[1])[bright])[0, 1] / 2
    assert counts.tolist() == [2]
    np.testing.assert_allclose(sums, [total], rtol=1e-4)


def test_correlation_where_nothing_is_bright_is_zero_with_zero_gradients() -> None:
    logits = jax.random.normal(jax.random.key(6), (1, 5, 5, 1, 256))
    dark = jnp.zeros((1, 5, 5, 1))

    def loss(logits: jax.Array) -> jax.Array:
        sums = correlation(logits, dark, jnp.ones(dark.shape, bool), width=3)
        return losses.ratio(*sums).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss))(logits)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, np.zeros(logits.shape))
