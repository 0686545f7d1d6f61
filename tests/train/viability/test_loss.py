"""Masked heads: a mask is a deletion, unknown outcomes leave no gradient, parts are the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from isl_train.viability.loss import as_sums, divided, in_parts, masked_entropies
from isl_train.viability.memory import fitting_micro_batch

WEIGHTS = jnp.asarray([1.0, 0.5])


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def outcomes() -> tuple[jax.Array, jax.Array]:
    truth = jnp.asarray([[1, 0], [0, -1], [-1, 1], [1, -1], [0, 0], [1, 1]])
    return truth, truth >= 0


def loss(logits: jax.Array, truth: jax.Array, known: jax.Array) -> jax.Array:
    entropies, _, counts = masked_entropies(logits, truth, known)
    return divided(entropies, counts, WEIGHTS)


def test_loss_is_a_slow_loop() -> None:
    logits, (truth, known) = noise(6, 2, 2), outcomes()
    total = 0.0
    for target in range(2):
        values = [
            -log_softmax(np.asarray(logits[film, target], float))[int(truth[film, target])]
            for film in range(6)
            if known[film, target]
        ]
        total += float(WEIGHTS[target]) * np.mean(values)
    assert float(loss(logits, truth, known)) == pytest.approx(total, abs=1e-6)


def test_mask_is_deletion() -> None:
    """What is masked may hold anything, infinite logits and outcomes of 7 too."""
    logits, (truth, known) = noise(6, 2, 2), outcomes()
    masked = known.at[1].set(False).at[4].set(False)
    kept = np.array([0, 2, 3, 5])
    wild = jnp.where(masked[..., None], logits, jnp.inf * jnp.asarray([1.0, -1.0]))
    value, gradient = jax.value_and_grad(loss)(wild, jnp.where(masked, truth, 7), masked)
    expected, gradient_of = jax.value_and_grad(loss)(logits[kept], truth[kept], known[kept])
    assert float(value) == pytest.approx(float(expected), abs=1e-6)
    np.testing.assert_allclose(gradient[kept], gradient_of, atol=1e-6)


def test_target_that_nobody_measured_leaves_no_gradient() -> None:
    logits, (truth, known) = noise(6, 2, 2), outcomes()
    nobody = known.at[:, 1].set(False)
    value, gradient = jax.value_and_grad(loss)(logits, truth, nobody)
    np.testing.assert_array_equal(gradient[:, 1], 0)
    assert np.any(gradient[:, 0] != 0)
    assert np.isfinite(value)
    none, gradient = jax.value_and_grad(loss)(logits, truth, jnp.zeros_like(known))
    assert none == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_parts_have_the_gradient_of_the_whole_batch(parts: int) -> None:
    """However unevenly outcomes are known among parts, where a mean of means would be another."""
    films, weights, (truth, known) = noise(6, 5), noise(5, 4, seed=1), outcomes()
    known = known.at[:3].set(False).at[0, 0].set(True)

    def of(weights: jax.Array, parts: int) -> jax.Array:
        def sums(films: jax.Array, key: jax.Array, truth: jax.Array, known: jax.Array):
            logits = (films @ weights).reshape(-1, 2, 2)
            return masked_entropies(logits, truth, known)

        entropies, _, counts = in_parts(sums, parts, films, jax.random.key(0), truth, known)
        return divided(entropies, counts, WEIGHTS)

    whole, gradient = jax.value_and_grad(of)(weights, 1)
    cut, gradient_of_parts = jax.value_and_grad(of)(weights, parts)
    assert float(cut) == pytest.approx(float(whole), abs=1e-6)
    np.testing.assert_allclose(gradient_of_parts, gradient, atol=1e-6)


def test_parts_have_keys_of_their_own() -> None:
    def sums(films: jax.Array, key: jax.Array) -> tuple[jax.Array]:
        return (jax.random.uniform(key) * jnp.ones(1),)

    first = [float(jax.random.uniform(jax.random.fold_in(jax.random.key(3), i))) for i in (0, 1)]
    (total,) = in_parts(sums, 2, noise(4, 1), jax.random.key(3))
    assert float(total[0]) == pytest.approx(sum(first), abs=1e-6)


def test_diagnostics_are_sums_and_counts() -> None:
    logits = jnp.asarray([[[0.0, 2.0]], [[0.0, 2.0]], [[3.0, 0.0]]])
    truth, known = jnp.asarray([[1], [0], [0]]), jnp.ones((3, 1), bool)
    sums = as_sums(("a",), *masked_entropies(logits, truth, known))
    right, count = sums["a/accuracy"]
    assert (float(right), float(count)) == (2, 3)


def test_micro_batches_fit_and_divide() -> None:
    """The step needs 100 bytes and 10 for each film; 0.6 of the memory may be taken."""

    def needed(films: int) -> int:
        return 100 + 10 * films

    assert fitting_micro_batch(needed, 12, memory=1000) == 12
    assert fitting_micro_batch(needed, 12, memory=300) == 6
    assert fitting_micro_batch(needed, 12, memory=10) == 1
