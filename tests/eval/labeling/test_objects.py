"""Nuclei of several fields: counts add up, and a field without any leaves nothing undefined."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from simulated_labeling import SIZE, blobs

from isl.errors import InputError
from isl.imaging.image import ZStack
from isl_eval.labeling import objects
from isl_eval.labeling.config import LabelingEvaluation
from isl_eval.labeling.ground import GroundField
from isl_eval.labeling.objects import judge_objects, score_objects
from isl_eval.metrics.object_matching import COUNTS

ALL = np.ones(SIZE, bool)


def config(**keys):
    given = {"task": "labeling", "model": "m", "dataset": "d.toml", "replicates": 30, **keys}
    return LabelingEvaluation(**given)


def field(name, true, group=""):
    stack = ZStack(name=name, planes=np.zeros((1, *SIZE), np.uint8))
    return GroundField(
        name=name,
        group=group or name,
        stack=stack,
        labels=("DAPI",),
        truth=true[None],
        measured=ALL[None],
    )


def found(number, predicted=None):
    true = blobs(number, count=5)
    given = true if predicted is None else predicted
    return score_objects(field(f"f{number}", true), true, given, ALL, config())


def test_the_same_images_have_no_error():
    scores = judge_objects([found(0), found(1)], config())
    counts = scores.counts
    assert counts["true_count"] == counts["predicted_count"] == scores.true_sizes.size > 4
    assert (counts["split"], counts["merged"], counts["added"], counts["missing"]) == (0,) * 4
    assert (scores.accuracy.estimate, scores.average_precision_50.estimate) == (1, 1)
    assert scores.sizes.statistic == 0
    assert (scores.over, scores.units, scores.accuracy.low) == ("blocks", 2, None)
    assert scores.accuracy.note == "no interval: 2 rows are too few"


def test_a_field_without_objects_is_counted_and_leaves_the_others_defined():
    dark = np.full(SIZE, 0.05, np.float32)
    empty = score_objects(field("dark", dark), dark, dark, ALL, config())
    assert empty.figures.accuracy is None
    both = judge_objects([found(0), empty], config())
    alone = judge_objects([found(0)], config())
    assert both.accuracy.estimate == alone.accuracy.estimate == 1
    assert both.average_precision_50.estimate == 1
    nothing = judge_objects([empty], config())
    assert nothing.accuracy.estimate is None
    assert nothing.average_precision_50.estimate is None
    assert nothing.sizes.statistic is None


def test_missing_nuclei_lower_the_accuracy_and_groups_are_drawn():
    dark = np.full(SIZE, 0.05, np.float32)
    fields = [found(n) for n in range(4)] + [found(4, dark)]
    scores = judge_objects(fields, config())
    missing = scores.counts["missing"]
    assert missing == fields[4].figures.true_count > 0
    true = scores.counts["true_count"]
    assert scores.accuracy.estimate == pytest.approx((true - missing) / true)
    assert scores.accuracy.units == 5
    assert scores.accuracy.low < scores.accuracy.estimate <= scores.accuracy.high
    assert (scores.over, scores.units) == ("groups", 5)


def test_with_few_groups_blocks_are_drawn():
    dark = np.full(SIZE, 0.05, np.float32)
    fields = [
        dataclasses.replace(found(n, dark if n > 3 else None), group=group)
        for n, group in enumerate("aabbcc")
    ]
    scores = judge_objects(fields, config())
    assert (scores.over, scores.units) == ("blocks", 6)
    for precise in (scores.accuracy, scores.average_precision_50):
        assert 0 < precise.low < precise.estimate < precise.high <= 1


def connected(image, *, mask, pixel_size, diameter):
    return ndimage.label((image > 0.5) & mask)[0]


def test_every_object_counts_in_the_block_of_its_centre_and_empty_blocks_are_drawn_too(monkeypatch):
    monkeypatch.setattr(objects, "segment_nuclei", connected)
    shape = (160, 384)
    true, predicted = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    place = GroundField(
        name="wide",
        group="wide",
        stack=ZStack(name="wide", planes=np.zeros((1, *shape), np.uint8)),
        labels=("DAPI",),
        truth=true[None],
        measured=np.ones((1, *shape), bool),
    )
    for image, column in ((true, 40), (true, 120), (predicted, 120), (predicted, 300)):
        image[60:81, column - 10 : column + 11] = 1
    mask = np.ones(shape, bool)
    mask[128:, :] = False
    counted = score_objects(place, true, predicted, mask, config()).by_block
    by_name = {name: column.tolist() for name, column in zip(COUNTS, counted.T, strict=True)}
    assert by_name["true_count"] == [2, 0, 0]
    assert by_name["predicted_count"] == [1, 0, 1]
    assert (by_name["missing"], by_name["added"]) == ([1, 0, 0], [0, 0, 1])
    assert (by_name["matched_75"], by_name["unmatched_75"]) == ([1, 0, 0], [0, 0, 1])


def test_no_fields_give_no_scores():
    assert judge_objects([], config()) is None


def test_a_diameter_needs_a_pixel_size():
    true = blobs(0)
    with pytest.raises(InputError, match="10 um needs a pixel size"):
        score_objects(field("a", true), true, true, ALL, config(diameter=10))
