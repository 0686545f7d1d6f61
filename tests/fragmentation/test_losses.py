"""Losses against plain loops; what is not labelled has a gradient of exactly zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isl_train.fragmentation.losses import (
    cross_entropy,
    dice_loss,
    mean,
    range_loss,
    smooth_l1,
)


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5, 2)).astype(np.float32)
    truth = (rng.random((3, 4, 5, 2)) < 0.4).astype(np.float32)
    known = np.ones((3, 4, 5, 2), np.float32)
    known[1, ..., 1] = 0
    known[2] = 0
    known[0, 0] = 0
    return logits, truth, known


def test_segmentation_losses_against_loops(
    maps: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    logits, truth, known = maps
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    entropies = [-np.log(p[i] if truth[i] else 1 - p[i]) for i in np.ndindex(p.shape) if known[i]]
    assert mean(cross_entropy(*map(jnp.asarray, maps))) == pytest.approx(np.mean(entropies), 1e-5)
    losses = []
    for b, n in np.ndindex(3, 2):
        places = [i for i in np.ndindex(4, 5) if known[b, *i, n]]
        if places:
            both = sum(p[b, *i, n] * truth[b, *i, n] for i in places)
            total = sum(p[b, *i, n] + truth[b, *i, n] for i in places)
            losses.append(1 - (2 * both + 1) / (total + 1))
    assert mean(dice_loss(*map(jnp.asarray, maps))) == pytest.approx(np.mean(losses), 1e-5)


@pytest.mark.parametrize("loss", [cross_entropy, dice_loss])
def test_unlabelled_places_have_no_gradient_and_equal_deletion(
    loss, maps: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    logits, truth, known = map(jnp.asarray, maps)
    gradient = np.asarray(jax.grad(lambda x: mean(loss(x, truth, known)))(logits))
    assert (gradient[np.asarray(known) == 0] == 0).all()
    assert (gradient[np.asarray(known) > 0] != 0).all()
    without = mean(loss(logits[:2], truth[:2], known[:2]))
    assert mean(loss(logits, truth, known)) == pytest.approx(float(without), rel=1e-6)
    nothing = jnp.zeros_like(known)
    value, gradient = jax.value_and_grad(lambda x: mean(loss(x, truth, nothing)))(logits)
    assert value == 0
    assert (np.asarray(gradient) == 0).all()


def test_range_loss_is_zero_inside_and_has_slope_one_outside() -> None:
    share = jnp.asarray([0.05, 0.15, 0.4, 0.3])
    low, high = jnp.asarray([0.1, 0.1, 0.1, 0.3]), jnp.asarray([0.25, 0.25, 0.25, 0.3])
    known = jnp.ones(4)
    total, count = range_loss(share, low, high, known)
    assert float(total) == pytest.approx(0.05 + 0 + 0.15 + 0)
    assert float(count) == 4
    slopes = jax.grad(lambda r: range_loss(r, low, high, known)[0])(share)
    np.testing.assert_array_equal(slopes[:3], [-1, 0, 1])


def test_a_point_label_is_judged_by_its_absolute_error() -> None:
    share, point = jnp.asarray([0.2, 0.7, 0.31]), jnp.asarray([0.5, 0.5, 0.3])
    total, _ = range_loss(share, point, point, jnp.ones(3))
    assert float(total) == pytest.approx(float(jnp.abs(share - point).sum()))


@pytest.mark.parametrize("label", [np.nan, 0.3])
def test_unknown_shares_and_ranges_have_no_gradient(label: float) -> None:
    known = jnp.asarray([1.0, 0.0])
    labels = jnp.asarray([0.3, label])

    def total(share: jax.Array) -> jax.Array:
        ranged = mean(range_loss(share, labels, labels, known))
        return ranged + mean(smooth_l1(share, labels, known))

    gradient = np.asarray(jax.grad(total)(jnp.asarray([0.5, 0.9])))
    assert gradient[0] != 0
    assert gradient[1] == 0


def test_smooth_l1_against_a_loop() -> None:
    share, truth = np.array([0.1, 0.105, 0.4]), np.array([0.1, 0.1, 0.1])
    expected = [0, 0.5 * 0.005**2 / 0.02, 0.3 - 0.01]
    total, _ = smooth_l1(*map(jnp.asarray, (share, truth, np.ones(3))))
    assert float(total) == pytest.approx(sum(expected), rel=1e-4)
