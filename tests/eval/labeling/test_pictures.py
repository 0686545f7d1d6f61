"""Which fields are shown, and how."""

import numpy as np
import pytest

from isl.imaging.image import PixelSize, ZStack
from isl_eval.labeling.ground import GroundField
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


def ground(true, mask, labels=("DAPI",), pixel=None):
    planes = np.stack([np.zeros(true.shape), np.arange(true.size).reshape(true.shape)])
    size = None if pixel is None else PixelSize(y=pixel, x=pixel)
    return GroundField(
        name="a",
        group="a",
        stack=ZStack(name="a", planes=planes.astype(np.float32), pixel_size=size),
        labels=labels,
        truth=np.broadcast_to(true, (len(labels), *true.shape)),
        measured=np.broadcast_to(mask, (len(labels), *true.shape)),
    )


def picture(true, predicted, mask, pixel=None):
    named = {"contender": "m", "label": "DAPI", "rank": "best", "pearson": 0.5}
    return field_picture(ground(true, mask, pixel=pixel), predicted, **named).panels


def test_errors_have_their_colors_and_unmeasured_ground_none():
    true, predicted = np.zeros((40, 30)), np.zeros((40, 30))
    true[5:10, 5:10] = 1
    predicted[20:25, 5:10] = 1
    mask = np.zeros((40, 30), bool)
    mask[2:32, 3:27] = True
    mask[30:32, :10] = False
    shown = picture(true, predicted, mask)
    assert {panel.shape[:2] for panel in shown.values()} == {(30, 24)}
    assert shown["measured"][5, 4] == 255
    assert shown["predicted"][5, 4] < 20
    error = shown["error"]
    assert (error[5, 4] <= FALSE_NEGATIVE).all()
    assert error[5, 4, 1] > 100 > error[5, 4, 0]
    assert (error[20, 4] <= FALSE_POSITIVE).all()
    assert error[20, 4, 0] > 100 > error[20, 4, 1]
    assert shown["measured"][29, 0] == shown["predicted"][29, 0] == 46
    # The second of two planes: 0.5 in the middle, and brighter below.
    light = shown["transmitted light"].astype(int)
    assert (np.diff(light[:, 0]) >= 0).all()
    assert abs(light[15, 12] - 110) < 12


def test_a_large_field_is_made_smaller_by_means():
    true = np.zeros((1000, 1301))
    true[::2] = 1
    shown = picture(true, true, np.ones(true.shape, bool))
    assert {panel.shape[:2] for panel in shown.values()} == {(333, 433)}
    assert np.ptp(shown["measured"][1:-1].astype(int)) < 100
    assert not shown["error"].any()


def test_a_scale_bar_is_as_long_as_it_says():
    true = np.zeros((200, 200))
    shown = picture(true, true, np.ones(true.shape, bool), pixel=0.5)["error"]
    # A quarter of 200 pixels of half a micrometre holds 20 um: 40 pixels, both ends included.
    white = (shown == 255).all(axis=2)
    assert white[188].sum() == 41
    assert not white[:150].any()
    assert not (picture(true, true, np.ones(true.shape, bool))["error"] == 255).any()
