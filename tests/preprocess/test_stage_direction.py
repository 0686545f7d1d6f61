"""A stage that runs against the image is seen from which neighbours fit."""

import numpy as np
import pytest

from isl.preprocess.placement import Placed
from isl.preprocess.stages.springs import Link, Placement

NOMINAL = np.array([[0, 0], [0, 90], [90, 0], [90, 90]], float)
ACROSS, DOWN = [(0, 1), (2, 3)], [(0, 2), (1, 3)]


def placed(trusted):
    pairs = [*ACROSS, *DOWN]
    links = tuple(
        Link(i=i, j=j, offset=tuple(NOMINAL[j] - NOMINAL[i]), confidence=1.0) for i, j in pairs
    )
    return Placed(
        nominal=NOMINAL,
        links=links,
        placement=Placement(
            positions=NOMINAL,
            residuals=np.zeros(4),
            trusted=np.array(trusted),
            anchored=(),
            stage=np.eye(2),
        ),
    )


@pytest.mark.parametrize(
    ("trusted", "doubted"),
    [
        ([True, True, True, True], None),
        ([True, True, False, False], "rows"),
        ([False, False, True, True], "columns"),
        ([False, False, False, False], None),
        ([True, False, True, False], None),
    ],
)
def test_neighbours_of_one_direction_tell(trusted, doubted):
    assert placed(trusted).doubted_direction() == doubted


def test_tiles_without_neighbours_tell_nothing():
    alone = Placed(
        nominal=NOMINAL[:1],
        links=(),
        placement=Placement(
            positions=NOMINAL[:1],
            residuals=np.zeros(0),
            trusted=np.zeros(0, bool),
            anchored=(),
            stage=np.eye(2),
        ),
    )
    assert alone.doubted_direction() is None
