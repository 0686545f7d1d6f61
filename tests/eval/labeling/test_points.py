"""Points of several people in several fields: matched, compared in pairs, and refused by name."""

import re

import numpy as np
import pytest
import tifffile
from simulated_labeling import SIZE, write_field, write_ground

from isl.config import parse
from isl.errors import InputError
from isl.labeling.dataset import Manifest, load_manifest, write_manifest
from isl_eval.labeling.config import LabelingEvaluation
from isl_eval.labeling.ground import survey_ground
from isl_eval.labeling.points import judge_points, read_annotations

PLACES = [(20, 20), (20, 40), (45, 20), (45, 40)]


def write_points(path, places, kinds=None):
    path.parent.mkdir(exist_ok=True)
    kinds = kinds or [""] * len(places)
    lines = [f"{y},{x},{kind}" for (y, x), kind in zip(places, kinds, strict=True)]
    path.write_text("\n".join(["y,x,kind", *lines]) + "\n", encoding="utf-8")


def config_of(**points):
    entry = {
        "label": "DAPI",
        "measured": {"ann": "ann/{field}.csv", "bo": "bo/{field}.csv"},
        "predicted": {"ann": "ann/{field}-predicted.csv"},
        "diameter": 9,
        **points,
    }
    given = {"task": "labeling", "model": "m", "dataset": "dataset.toml", "points": [entry]}
    return parse(given, LabelingEvaluation, source="test")


@pytest.fixture
def ground(tmp_path):
    write_ground(tmp_path)
    return survey_ground(load_manifest(tmp_path / "dataset.toml"), predicted=["DAPI"])


def judged(config, folder, ground):
    return judge_points(config, read_annotations(config, folder, ground))


def test_one_person_misses_one_and_adds_one(ground, tmp_path):
    write_points(tmp_path / "ann" / "f0.csv", PLACES)
    write_points(tmp_path / "ann" / "f0-predicted.csv", [*PLACES[:3], (32, 30)])
    write_points(tmp_path / "bo" / "f0.csv", PLACES[:2])
    (scores,) = judged(config_of(), tmp_path, ground)
    assert scores.fields == ("f0",)
    assert set(scores.predicted) == {("f0", "ann")}
    assert scores.predicted_rates["missing"] == (0.25, None, 1, "")
    assert scores.predicted_rates["added"] == (0.25, None, 1, "")
    assert set(scores.annotators) == {("f0", "ann", "bo"), ("f0", "bo", "ann")}
    # Of 4 nuclei 2 are missing to one, of 2 nuclei 2 are added to the other.
    assert scores.annotator_rates["missing"].mean == pytest.approx(0.25)
    assert scores.annotator_rates["added"].mean == pytest.approx(0.5)
    assert scores.annotator_rates["added"].deviation == pytest.approx(np.std([0, 1], ddof=1))


def test_kinds_and_masks_count_by_themselves(ground, tmp_path):
    for name in ("f0", "f1"):
        write_points(tmp_path / "ann" / f"{name}.csv", PLACES, ["dead", "", "dead", "live"])
        write_points(tmp_path / "ann" / f"{name}-predicted.csv", PLACES[:1], ["dead"])
    mask = np.ones(SIZE, np.uint8)
    mask[:30] = 0
    tifffile.imwrite(tmp_path / "dense.tif", mask)
    every, dead, live = judged(config_of(mask="dense.tif"), tmp_path, ground)
    assert [each.kind for each in (every, dead, live)] == ["", "dead", "live"]
    assert [each.predicted["f1", "ann"].true_count for each in (every, dead, live)] == [2, 1, 1]
    assert dead.predicted_rates["missing"] == (1.0, None, 1, "")


def test_rates_are_of_annotators_and_of_ordered_pairs_over_all_fields(ground, tmp_path):
    # ann: all right in a field of 4, and 2 added in a field of none; bo: 1 of 1 missing.
    write_points(tmp_path / "ann" / "f0.csv", PLACES)
    write_points(tmp_path / "ann" / "f0-predicted.csv", PLACES)
    write_points(tmp_path / "ann" / "f1.csv", [])
    write_points(tmp_path / "ann" / "f1-predicted.csv", PLACES[:2])
    write_points(tmp_path / "bo" / "f0.csv", PLACES[:1])
    write_points(tmp_path / "bo" / "f0-predicted.csv", [])
    for name in ("f0", "f1"):
        write_points(tmp_path / "cy" / f"{name}.csv", [])
        write_points(tmp_path / "cy" / f"{name}-predicted.csv", PLACES[:1])
    people = ("ann", "bo", "cy")
    measured = {who: f"{who}/{{field}}.csv" for who in people}
    predicted = {who: f"{who}/{{field}}-predicted.csv" for who in people}
    (scores,) = judged(config_of(measured=measured, predicted=predicted), tmp_path, ground)
    rates = scores.predicted_rates
    assert rates["added"][:3] == (pytest.approx(0.25), pytest.approx(np.sqrt(0.125)), 2)
    assert rates["missing"][:3] == (pytest.approx(0.5), pytest.approx(np.sqrt(0.5)), 2)
    assert rates["added"].note.endswith("in any field: cy (2 predicted)")
    # Of 6 ordered pairs two have cy for the truth.
    between = scores.annotator_rates["missing"]
    assert between.comparisons == 4
    assert between.mean == pytest.approx(np.mean([3 / 4, 1, 0, 1]))
    assert "ann beside cy (4 predicted), bo beside cy (1 predicted)" in between.note


def test_debris_is_seen_in_transmitted_light_by_someone_else(ground, tmp_path):
    write_points(tmp_path / "ann" / "f0.csv", PLACES)
    write_points(tmp_path / "ann" / "f0-predicted.csv", [*PLACES, (32, 30), (58, 30)])
    write_points(tmp_path / "eva" / "f0.csv", [(33, 31), (58, 30)], ["debris", "cell"])
    given = {"measured": {"ann": "ann/{field}.csv"}, "debris": "eva/{field}.csv"}
    (scores, *_) = judged(config_of(**given), tmp_path, ground)
    rates = scores.predicted_rates
    assert (rates["added"].mean, rates["debris"].mean) == (0.25, 0.25)
    assert rates["precision"].mean == pytest.approx(5 / 6)
    assert (rates["recall"].mean, rates["accuracy"].mean) == (1, 0.75)


def test_micrometres_of_fiji_are_pixels_of_the_field(ground, tmp_path):
    # Pixels of the field are half a micrometre.
    for name, places in (("f0", PLACES), ("f0-predicted", PLACES[:3])):
        path = tmp_path / "ann" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        lines = [f"{n},{x / 2},{y / 2}" for n, (y, x) in enumerate(places, 1)]
        path.write_text("\n".join([" ,X,Y", *lines]) + "\n", encoding="utf-8")
    given = {"measured": {"ann": "ann/{field}.csv"}, "unit": "micrometres"}
    (scores,) = judged(config_of(**given), tmp_path, ground)
    assert scores.predicted_rates["missing"].mean == 0.25
    assert scores.predicted["f0", "ann"].edge == 0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"measured": {"ann": "{field}.csv"}, "predicted": {}}, "give 'predicted', or two"),
        ({"predicted": {"cy": "x.csv"}}, "annotator 'cy' of 'predicted' has no points in"),
        ({"measured": {"ann": "no/{field}.csv"}}, "no field has a file such as"),
        ({"mask": "small.tif"}, "small.tif: is 1 x 9 x 9, but the field is 70 x 60"),
        ({"debris": "no/{field}.csv"}, "no/f0.csv; correct 'debris'"),
        ({"predicted": {"bo": "no/{field}.csv"}}, "no/f0.csv; correct 'predicted'"),
        (
            {"predicted": {"ann": "late/{field}.csv"}},
            "field 'f1' has predicted points of 'ann' and no measured ones",
        ),
        (
            {"predicted": {}, "debris": "x.csv"},
            "'debris' is where predicted points were added; give 'predicted'",
        ),
        ({"diameter": 0.5}, "diameter: Input should be greater than or equal to 1"),
        ({"diameter": np.inf}, "diameter: Input should be a finite number"),
        ({"measured": {"ann": "bad/{field}.csv"}}, "marks y 700, x 5, outside of the image"),
        ({"predicted": {"ann": "ann/f0.csv"}}, "'ann/f0.csv' is one file for 2 fields; write"),
        ({"mask": "nan.tif"}, "nan.tif: has pixels that are no numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(ground, tmp_path, points, message):
    write_points(tmp_path / "ann" / "f0.csv", PLACES)
    write_points(tmp_path / "ann" / "f0-predicted.csv", PLACES)
    write_points(tmp_path / "late" / "f1.csv", PLACES)
    write_points(tmp_path / "bad" / "f0.csv", [(700, 5)])
    tifffile.imwrite(tmp_path / "nan.tif", np.full(SIZE, np.nan, np.float32))
    tifffile.imwrite(tmp_path / "small.tif", np.ones((9, 9), np.uint8))
    with pytest.raises(InputError, match=re.escape(message)):
        judged(config_of(**points), tmp_path, ground)


def test_points_of_a_label_that_was_not_measured_are_refused(tmp_path):
    fields = [
        write_field(tmp_path, name, 0, labels=(label,), group=name)[0]
        for name, label in (("f0", "DAPI"), ("f1", "NFH"))
    ]
    write_manifest(tmp_path / "dataset.toml", Manifest(fields=tuple(fields)))
    ground = survey_ground(load_manifest(tmp_path / "dataset.toml"), predicted=["DAPI", "NFH"])
    for name in ("f0", "f1"):
        write_points(tmp_path / "ann" / f"{name}.csv", PLACES)
    with pytest.raises(InputError, match="field 'f1' has some, but DAPI was not measured there"):
        read_annotations(config_of(), tmp_path, ground)
