"""Which fields are shown, and how."""

import numpy as np
import pytest

from isl_eval.labeling.pictures import field_picture, ranked_fields
from isl_eval.metrics.error_pictures import FALSE_NEGATIVE, FALSE_POSITIVE


@pytest.mark.parametrize(
    ("correlations", "ranks"),
    [
        ([], {}),
        ([None, None], {0: "undefined"}),
        ([0.3], {0: "the only one"}),
        ([None, 0.3], {1: "the only one defined"}),
        ([0.3, 0.5], {1: "best", 0: "worst"}),
        ([0.1, 0.9, None, 0.5, 0.7, 0.6], {1: "best", 5: "median", 0: "worst"}),
    ],
)
def test_best_median_and_worst(correlations, ranks):
    assert ranked_fields(correlations) == ranks


def picture(true, predicted, mask):
    named = {"contender": "m", "label": "DAPI", "field": "a", "rank": "best", "pearson": 0.5}
    return field_picture(true, predicted, mask, **named)


def test_errors_have_their_colors_and_unmeasured_ground_none():
    true, predicted = np.zeros((40, 30)), np.zeros((40, 30))
    true[5:10, 5:10] = 1
    predicted[20:25, 5:10] = 1
    mask = np.zeros((40, 30), bool)
    mask[2:32, 3:27] = True
    mask[30:32, :10] = False
    shown = picture(true, predicted, mask)
    assert shown.true.shape == shown.predicted.shape == shown.error.shape[:2] == (30, 24)
    assert shown.true[5, 4] == 255
    assert shown.predicted[5, 4] < 20
    assert (shown.error[5, 4] <= FALSE_NEGATIVE).all()
    assert shown.error[5, 4, 1] > 100 > shown.error[5, 4, 0]
    assert (shown.error[20, 4] <= FALSE_POSITIVE).all()
    assert shown.error[20, 4, 0] > 100 > shown.error[20, 4, 1]
    assert shown.true[29, 0] == shown.predicted[29, 0] == 46


def test_a_large_field_is_made_smaller_by_means():
    true = np.zeros((1000, 1301))
    true[::2] = 1
    shown = picture(true, true, np.ones(true.shape, bool))
    assert shown.true.shape == (333, 433)
    assert np.ptp(shown.true[1:-1].astype(int)) < 100
    assert not shown.error.any()
