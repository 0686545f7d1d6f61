"""Crops: all ground is cut up, the right ones are chosen, and they show what they say."""

import dataclasses

import numpy as np
import pytest

from isl.imaging.image import ZStack
from isl_eval.labeling.config import LabelingEvaluation
from isl_eval.labeling.crops import crop_picture, crop_places, overview, ranked_crops
from isl_eval.labeling.ground import GroundField
from isl_eval.labeling.predictions import Predicted

SIZE = (900, 700)
CONFIG = LabelingEvaluation(task="labeling", dataset="d.toml", predictions={"m": "m"})


def scene():
    """A bright square in each quarter; the prediction misses that of the last one."""
    true = np.full(SIZE, 0.1, np.float32)
    for y in (100, 750):
        for x in (80, 560):
            true[y : y + 60, x : x + 60] = 0.9
    predicted = true.copy()
    predicted[750:810, 560:620] = 0.1
    return true, predicted


def test_all_ground_is_cut_up():
    true, predicted = scene()
    mask = np.ones(SIZE, bool)
    mask[:, :20] = False
    places = crop_places(true, predicted, mask, "a")
    covered = np.zeros(SIZE, int)
    for place in places:
        covered[place.window] += 1
    assert (covered[:, 20:] == 1).all()
    assert not covered[:, :20].any()
    assert {(place.height, place.width) for place in places} == {(300, 340)}
    errors = np.abs(true - predicted)
    for place in places:
        assert place.error == pytest.approx(errors[place.window].mean(), rel=1e-4)
    assert max(places, key=lambda place: place.error).words == (
        "a, rows 600 to 900, columns 360 to 700"
    )


def test_small_fields_are_whole_and_ground_that_is_hardly_measured_is_left_out():
    true, predicted = scene()
    mask = np.ones((200, 100), bool)
    (place,) = crop_places(true[:200, :100], predicted[:200, :100], mask, "a")
    assert (place.top, place.left, place.height, place.width) == (0, 0, 200, 100)
    mask = np.zeros(SIZE, bool)
    mask[:300, :350] = True
    mask[-1, -1] = True
    (place,) = crop_places(true, predicted, mask, "a")
    assert (place.top, place.left, place.height, place.width) == (0, 0, 300, 350)


def crop(error, foreground):
    true, predicted = scene()
    first = crop_places(true, predicted, np.ones(SIZE, bool), "a")[0]
    return dataclasses.replace(first, error=error, foreground=foreground)


def test_the_best_and_the_median_hold_something_and_the_worst_may_not():
    places = [crop(0.5, 0.0), crop(0.0, 0.0), crop(0.3, 0.4), crop(0.1, 0.3), crop(0.2, 0.3)]
    assert ranked_crops(places) == {3: "best", 4: "median", 0: "worst"}
    assert ranked_crops(places[2:4]) == {1: "best", 0: "median and worst"}
    assert ranked_crops(places[:1]) == {0: "the only one"}
    assert ranked_crops([]) == {}


def drawn(label, *, nuclei_measured=True):
    true, predicted = scene()
    nuclei = true[:, ::-1]
    labels = ("MAP2", "DAPI")
    measured = np.ones((2, *SIZE), bool)
    measured[0, -1, -1] = False
    true = true.copy()
    true[-1, -1] = np.nan
    measured[1] = nuclei_measured
    field = GroundField(
        name="a",
        group="a",
        condition="drug",
        stack=ZStack(name="a", planes=np.zeros((3, *SIZE), np.uint8)),
        labels=labels,
        truth=np.stack([true, nuclei]),
        measured=measured,
    )
    images = np.stack([predicted, np.flip(nuclei, 0)])
    made = Predicted(labels=labels, images={"median": images}, distributions={}, warnings=())
    places = crop_places(true, predicted, measured[0], "a")
    worst = max(places, key=lambda place: place.error)
    shown = crop_picture(
        field, made, worst, contender="m", label=label, rank="worst", config=CONFIG
    )
    return field, shown


def test_crops_show_the_label_in_green_and_nuclei_in_blue():
    _, shown = drawn("MAP2")
    assert shown.condition == "drug"
    # Pixel (760, 570) of the field: bright in the measured label and in both images of nuclei.
    at = 760 - 600, 570 - 350
    measured, predicted = (shown.panels[name][at].astype(int) for name in ("measured", "predicted"))
    assert measured[1] == 255
    assert predicted[1] < 150
    assert min(measured[2], predicted[2]) > 200
    # The floor is not cut off: the ground is not black.
    assert shown.panels["measured"][10, 10, 1] > 20
    assert shown.panels["error"][at][1] > 100
    _, nuclear = drawn("DAPI")
    assert not nuclear.panels["measured"][:-1, :, 2].any()
    _, without = drawn("MAP2", nuclei_measured=False)
    assert not without.panels["measured"][:-1, :, 2].any()
    assert without.panels["predicted"][at][2] > 200


def test_ground_that_was_not_measured_is_grey_whatever_it_holds():
    _, shown = drawn("MAP2")
    assert {tuple(shown.panels[name][-1, -1]) for name in ("measured", "predicted")} == {(46,) * 3}


def test_an_overview_frames_crops():
    field, shown = drawn("MAP2")
    image = overview(field, "MAP2", {"worst": shown.place})
    assert image.shape == (450, 350, 3)
    framed = (image == (255, 214, 64)).all(axis=2)
    assert framed[300, 175:350].all()
    assert framed[300:450, 175].all()
    assert not framed[:300].any()
