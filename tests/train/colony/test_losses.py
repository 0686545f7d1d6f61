"""Losses against NumPy loops, and what they do at their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isl_train.colony.losses import (
    cluster_contrast,
    confident,
    consistency,
    cross_entropy,
    masked_mean,
    normalized_contrast,
    ramp,
    sharpened,
    triplet_similarity,
)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(row: np.ndarray) -> np.ndarray:
    exponents = np.exp(row.astype(float) - row.max())
    return exponents / exponents.sum()


def test_cross_entropy_of_labels_and_of_shares() -> None:
    logits, labels = numbers(5, 3), np.array([0, 2, 1, 1, 0])
    expected = [-np.log(softmax(row)[label]) for row, label in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(cross_entropy(logits, jnp.asarray(labels)), expected, rtol=1e-5)
    shares = np.eye(3, dtype=np.float32)[labels]
    np.testing.assert_allclose(cross_entropy(logits, jnp.asarray(shares)), expected, rtol=1e-5)


def test_consistency_is_that_of_a_loop() -> None:
    plain, augmented = numbers(6, 4) * 2, numbers(6, 4, seed=1)
    total = 0.0
    for one, other in zip(plain, augmented, strict=True):
        target = softmax(one / 0.7)
        if target.max() >= 0.6:
            total += -(target * np.log(softmax(other))).sum()
    found = consistency(jnp.asarray(plain), jnp.asarray(augmented), temperature=0.7, threshold=0.6)
    assert 0 < total
    assert float(found) == pytest.approx(total / 6, rel=1e-5)


def test_no_gradient_goes_through_what_is_aimed_at() -> None:
    plain, augmented = jnp.asarray(numbers(4, 3)), jnp.asarray(numbers(4, 3, seed=1))
    gradient = jax.grad(
        lambda plain: consistency(plain, augmented, temperature=1.0, threshold=0.0)
    )(plain)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_sharpening(temperature: float) -> None:
    logits = numbers(3, 5)
    expected = np.stack([softmax(row / temperature) for row in logits])
    np.testing.assert_allclose(sharpened(logits, temperature), expected, rtol=1e-5)


def test_threshold_includes_its_own_value() -> None:
    probabilities = jnp.asarray([[0.65, 0.35], [0.64, 0.36], [0.1, 0.9]])
    np.testing.assert_array_equal(confident(probabilities, 0.65), [1, 0, 1])


def test_ramp() -> None:
    found = [float(ramp(jnp.asarray(step), 8.0, 4)) for step in range(7)]
    assert found == [2, 4, 6, 8, 8, 8, 8]
    assert float(ramp(jnp.asarray(0), 8.0, 0)) == 8


def test_an_empty_mask_gives_nothing_to_learn() -> None:
    logits, labels = jnp.asarray(numbers(4, 3)), jnp.zeros(4, int)

    def loss(logits: jax.Array) -> jax.Array:
        return masked_mean(cross_entropy(logits, labels), jnp.zeros(4))

    assert float(loss(logits)) == 0
    np.testing.assert_array_equal(jax.grad(loss)(logits), 0)


def test_a_mask_equals_leaving_out() -> None:
    values = jnp.asarray(numbers(5))
    mask = jnp.asarray([1.0, 0, 1, 1, 0])
    assert float(masked_mean(values, mask)) == pytest.approx(float(values[mask > 0].mean()))


def test_contrast_is_that_of_a_loop() -> None:
    first, second = numbers(3, 4), numbers(3, 4, seed=1)
    vectors = [v / np.linalg.norm(v) for v in np.concatenate([first, second])]
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        powers = {j: np.exp(vectors[i] @ vectors[j] / 0.5) for j in others}
        total += -np.log(powers[(i + 3) % 6] / sum(powers.values()))
    found = normalized_contrast(jnp.asarray(first), jnp.asarray(second), 0.5)
    assert float(found) == pytest.approx(total / 6, rel=1e-4)


def test_clusters_that_agree_and_are_even_cost_least() -> None:
    even = jnp.asarray(np.tile(np.eye(3, dtype=np.float32), (4, 1)))
    uneven = jnp.asarray(np.eye(3, dtype=np.float32)[[0] * 10 + [1, 2]])
    other = jnp.roll(even, 1, axis=0)
    best = float(cluster_contrast(even, even))
    assert best < float(cluster_contrast(even, other))
    assert best < float(cluster_contrast(uneven, uneven))


def test_vectors_of_zeros_have_finite_slopes() -> None:
    """A narrow layer with relu makes some; a length has no slope there."""
    some = jnp.asarray(numbers(4, 3)).at[1].set(0.0)
    slopes = [
        jax.grad(lambda v: normalized_contrast(v, v[::-1]))(some),
        jax.grad(lambda v: triplet_similarity(*[jnp.stack([v, v[::-1]])] * 3))(some),
    ]
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert all(np.abs(slope[0]).max() > 0 for slope in slopes)


def test_triplets() -> None:
    one = jnp.asarray(numbers(2, 4, 3))
    same = jnp.stack([one[0], one[0]])
    assert float(triplet_similarity(same, same, same)) == pytest.approx(-2, abs=1e-4)
    opposite = -same
    assert float(triplet_similarity(same, opposite, same)) == pytest.approx(0, abs=1e-4)
