import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from isl.labeling import bins
from isl_train.labeling.misregistration import moved_labels

BATCH, SIZE, LABELS = 2, 24, 3


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Smooth, no two alike, in [0.1, 0.9]: float32 [B, Y, X, L]."""
    noise = np.random.default_rng(0).normal(size=(BATCH, SIZE, SIZE, LABELS))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    return (0.5 + 0.4 * smooth / np.abs(smooth).max()).astype(np.float32)


def all_pixels(array: jax.Array) -> jax.Array:
    return array.reshape(array.shape[0], -1, array.shape[-1])


def certain_of(images: np.ndarray) -> jax.Array:
    """Logits [B, N, L, 256] of distributions with all but nothing beside the true bin."""
    return 30.0 * jax.nn.one_hot(bins.to_bins(all_pixels(jnp.asarray(images))), bins.BINS)


def test_every_label_of_every_crop_is_moved_to_where_it_fits(labels: np.ndarray) -> None:
    moves = np.array([[(0, 0), (2, -1), (-2, 2)], [(1, 1), (0, -2), (-1, 0)]])
    light = np.empty_like(labels)
    for (crop, label), _ in np.ndenumerate(np.empty((BATCH, LABELS))):
        light[crop, :, :, label] = np.roll(labels[crop, :, :, label], moves[crop, label], (0, 1))
    measured = np.ones(labels.shape, bool)
    targets, there = moved_labels(
        certain_of(light), jnp.asarray(labels), jnp.asarray(measured), all_pixels, most=2
    )
    shape = labels.shape
    moved = np.reshape(np.where(there, targets, light.reshape(targets.shape)), shape)
    np.testing.assert_array_equal(moved, light)
    for (crop, label), _ in np.ndenumerate(np.empty((BATCH, LABELS))):
        rows, columns = moves[crop, label]
        inside = np.ones((SIZE, SIZE), bool)
        for axis, step in ((0, rows), (1, columns)):
            at = np.arange(SIZE)
            known = (at >= max(step, 0)) & (at < SIZE + min(step, 0))
            inside &= np.expand_dims(known, 1 - axis)
        np.testing.assert_array_equal(np.reshape(there, shape)[crop, :, :, label], inside)


def test_labels_in_place_stay_and_what_was_not_measured_has_no_say(labels: np.ndarray) -> None:
    measured = np.ones(labels.shape, bool)
    measured[0, :, :12] = False
    measured[1, :, :, 2] = False
    unknown = np.where(measured, labels, np.nan)
    targets, there = moved_labels(
        certain_of(labels), jnp.asarray(unknown), jnp.asarray(measured), all_pixels, most=2
    )
    np.testing.assert_array_equal(np.reshape(there, labels.shape), measured)
    np.testing.assert_array_equal(np.reshape(targets, labels.shape), unknown)


def test_a_label_farther_off_is_moved_no_farther() -> None:
    """Of moves that fit alike, here all along the columns, it is the smallest."""
    slope = np.broadcast_to(np.linspace(0.2, 0.8, SIZE)[:, None, None], (1, SIZE, SIZE, 1))
    light = slope - 3 * (slope[0, 1] - slope[0, 0])
    everywhere = jnp.ones(slope.shape, bool)
    targets, there = moved_labels(
        certain_of(light), jnp.asarray(slope), everywhere, all_pixels, most=2
    )
    moved = np.reshape(np.where(there, targets, np.nan), slope.shape)
    np.testing.assert_allclose(moved[:, 2:], slope[:, :-2], rtol=1e-6)
    assert np.isnan(moved[:, :2]).all()


def test_no_move_wins_by_what_it_moves_out_of_the_crop(labels: np.ndarray) -> None:
    """Two rows at the border fit nowhere; moved out, nothing would be left that does not."""
    measured = np.zeros(labels.shape, bool)
    measured[:, -2:] = True
    targets, there = moved_labels(
        certain_of(1 - labels), jnp.asarray(labels), jnp.asarray(measured), all_pixels, most=2
    )
    np.testing.assert_array_equal(np.reshape(there, labels.shape), measured)
    np.testing.assert_array_equal(np.reshape(targets, labels.shape), labels)
