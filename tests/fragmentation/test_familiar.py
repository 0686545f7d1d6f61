"""Distances on features, and where an embryo is found at the second look."""

import numpy as np
import pytest

from isl.fragmentation.familiar import learned_familiar
from isl.fragmentation.separation import close_up, connected


def test_others_of_one_kind_are_near_and_another_kind_is_far() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (60, 40))
    familiar = learned_familiar(features, [f"e{i // 2}" for i in range(60)])
    assert familiar is not None
    np.testing.assert_allclose(familiar.mean, features.mean(axis=0), rtol=1e-4)
    off = (features[0] - features.mean(axis=0)) / features.std(axis=0)
    assert familiar.distance(features[0]) == pytest.approx(np.sqrt((off**2).mean()), rel=1e-3)
    new = rng.normal(3, 2, (200, 40))
    assert np.mean([familiar.distance(each) <= familiar.limit for each in new]) > 0.95
    assert familiar.distance(np.full(40, 9.0)) > familiar.limit
    assert learned_familiar(features[:8], ["a", "a", "b", "b", "c", "c", "d", "d"]) is None


def test_close_up_is_a_square_around_the_embryo_within_the_frame() -> None:
    inside = np.zeros((100, 120), bool)
    inside[40:60, 50:80] = True
    assert close_up(inside, 2.0) == (slice(20, 80), slice(35, 95))
    inside[:, :] = False
    inside[0:10, 110:120] = True
    assert close_up(inside, 2.0) == (slice(0, 15), slice(105, 120))


def test_connected_counts_parts_that_touch_by_corners_only_if_asked() -> None:
    mask = np.eye(4, dtype=bool)
    assert connected(mask)[1] == 4
    assert connected(mask, np.ones((3, 3)))[1] == 1
    assert connected(mask & False)[1] == 0
