import numpy as np
import pytest

from isl.imaging.image import PixelSize
from isl_eval.metrics.live_dead import live_and_dead
from isl_eval.metrics.points import Points


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
