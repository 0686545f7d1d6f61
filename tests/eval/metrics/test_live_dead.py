import numpy as np
import pytest

from isl.data.points import Points
from isl.imaging.image import PixelSize
from isl_eval.metrics.live_dead import live_and_dead, together


def test_a_point_within_reach_of_the_centre_makes_a_nucleus_dead():
    labels = np.zeros((40, 60), int)
    labels[10:15, 10:15] = 1  # Centre 12, 12; the point is 4.4 um away along x.
    labels[25:32, 30:37] = 2  # Centre 28, 33; the point is 4.6 um away along y.
    labels[36:39, 50:53] = 4
    dead = Points(yx=np.array([(12, 34.0), (28 + 2.3, 33)]), kinds=("dead", "dead"))
    pixel_size = PixelSize(y=2.0, x=0.2)
    found = live_and_dead(labels, dead, pixel_size)
    assert found.dead == pytest.approx([np.sqrt(25 * 0.4 / np.pi)])
    assert found.live == pytest.approx([np.sqrt(49 * 0.4 / np.pi), np.sqrt(9 * 0.4 / np.pi)])
    assert found.test.statistic == 0.5
    near = live_and_dead(labels, dead, pixel_size, reach=4.7)
    assert (near.dead.size, near.live.size) == (2, 1)


def test_nobody_dead_and_nothing_found():
    labels = np.zeros((9, 9), int)
    labels[2:5, 2:5] = 1
    nobody = Points(yx=np.zeros((0, 2)), kinds=())
    found = live_and_dead(labels, nobody, PixelSize(y=1, x=1))
    assert (found.dead.size, found.live.size, found.test) == (0, 1, (None, None))
    somebody = Points(yx=np.array([(1.0, 1.0)]), kinds=("dead",))
    empty = live_and_dead(np.zeros((9, 9), int), somebody, PixelSize(y=1, x=1))
    assert (empty.dead.size, empty.live.size) == (0, 0)
    assert (empty.points, empty.met) == (1, 0)


def test_live_cells_may_be_marked_instead_and_points_that_meet_no_nucleus_are_counted():
    labels = np.zeros((30, 30), int)
    labels[4:9, 4:9], labels[20:23, 20:23] = 1, 2
    marked = Points(yx=np.array([(6.0, 6), (7, 6), (6, 28)]), kinds=("",) * 3)
    found = live_and_dead(labels, marked, PixelSize(y=1, x=1), state="live")
    assert (found.live, found.dead) == (
        pytest.approx([np.sqrt(25 / np.pi)]),
        pytest.approx([np.sqrt(9 / np.pi)]),
    )
    assert (found.points, found.met) == (3, 2)


def test_nuclei_of_several_images_are_one_sample():
    rng = np.random.default_rng(0)
    pixel_size = PixelSize(y=1, x=1)
    parts = []
    for live, dead in ((5, 4), (3, 6)):
        labels = np.zeros((12, 9 * 12), int)
        for number in range(live + dead):
            height, width = rng.integers(3, 9, 2)
            labels[2 : 2 + height, 12 * number : 12 * number + width] = number + 1
        places = [np.argwhere(labels == number + 1).mean(axis=0) for number in range(dead)]
        parts.append(
            live_and_dead(
                labels, Points(yx=np.array(places), kinds=("",) * dead), pixel_size, reach=0.1
            )
        )
    both = together(parts)
    assert both.live == pytest.approx(np.concatenate([parts[0].live, parts[1].live]))
    assert (both.live.size, both.dead.size, both.points, both.met) == (8, 10, 10, 10)
    # The largest difference of the two empirical distributions, at every radius there is.
    shares = [
        abs(np.mean(both.live <= radius) - np.mean(both.dead <= radius))
        for radius in np.concatenate([both.live, both.dead])
    ]
    assert both.test.statistic == pytest.approx(max(shares))
    assert 0 < both.test.p <= 1
