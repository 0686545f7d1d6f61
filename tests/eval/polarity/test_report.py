"""Tables, the record and the report of predictions that are known."""

import csv
import html.parser
import io
import json
import math

import numpy as np
import pytest
from simulated_polarity import FRAMES, ONSETS, held_out, make_embryo, make_embryos

from isl.files.records import plain
from isl_eval.polarity.config import PolarityEvaluation
from isl_eval.polarity.crossval import CrossValidation
from isl_eval.polarity.evaluation import judge, write
from isl_eval.polarity.examples import OUTCOMES, Example
from isl_eval.polarity.ezrin import FIGURES, SEEN
from isl_eval.polarity.judge import RULES
from isl_eval.polarity.raters import Ratings
from isl_eval.polarity.report import polarity_page
from isl_eval.polarity.tables import (
    arm_rows,
    combination_rows,
    discrepancy_rows,
    frame_rows,
    metrics_record,
    onset_rows,
    people_rows,
)

FOLDS = (("A", "D"), ("B", "E"), ("C", "F"))
LATE = {"dic": 1, "ezrin": 2, "dic+ezrin": 0, "measured": 3}
SETTINGS = PolarityEvaluation(task="polarity", experiment="polarity.toml", replicates=20)
COUNT = FRAMES * len(ONSETS)


def findings_of(
    embryos, late, *, folds=FOLDS, reference="dic", agreement=None, ratings=None, examples=None
):
    done = CrossValidation(
        predictions={arm: held_out(embryos, late=by, noise=0.5) for arm, by in late.items()},
        agreement=agreement or {},
        examples=examples or {},
    )
    return judge(
        SETTINGS,
        embryos,
        done,
        title="A title",
        reference=reference,
        folds=folds,
        ratings=ratings,
    )


def ratings_of(embryos):
    """Three people of shuffled frames, each further off, and one of films."""
    return Ratings(
        frames={
            f"person {by}": tuple(np.roll(embryo.after, by) for embryo in embryos)
            for by in (1, 2, 3)
        },
        ordered={"person 1 film": tuple(embryo.onset for embryo in embryos)},
    )


def examples_of(embryos):
    """For every arm a frame of each outcome, with a map of its own."""
    return {
        arm: [
            Example(
                outcome=outcome,
                embryo="A",
                frame=number,
                confidence=0.5 + number / 10,
                map=np.full(embryos[0].dic.shape[1:], number - 2.0, np.float16),
            )
            for number, outcome in enumerate(OUTCOMES)
        ]
        for arm in LATE
    }


@pytest.fixture(scope="module")
def findings():
    embryos = make_embryos(interval=20.0, compaction=4)
    rng = np.random.default_rng(0)
    agreement = {name: rng.random((FRAMES, len(SEEN), len(FIGURES))) for name in ONSETS}
    return findings_of(
        embryos,
        LATE,
        agreement=agreement,
        ratings=ratings_of(embryos),
        examples=examples_of(embryos),
    )


class Page(html.parser.HTMLParser):
    """Checks that every element that is opened is closed, and keeps what is read."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.headings, self.images = [], [], [], []
        self.tables = 0
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.tables += tag == "table"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.texts.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


@pytest.mark.filterwarnings("error")
def test_the_report_is_whole_and_says_who_won(findings):
    page = Page(polarity_page(findings))
    assert page.headings == [
        "Arms",
        "Frames",
        "Onsets",
        "Differences",
        "As in the paper",
        "Ensembles",
        "People",
        "Time discrepancies",
        "Clips that start anywhere",
        "Predicted EZRIN",
        "Compaction",
        "Where the networks looked",
        "Calibration",
        "How it was done",
    ]
    assert "AUC per frame: dic+ezrin wins with 1.000" in page.text
    assert "Mean onset error by the smoothed rule: dic+ezrin wins with 0.00 frames" in page.text
    assert "excludes zero" in page.text
    assert "Rule: the default arm is the best one that uses predicted EZRIN" in page.text
    assert "Outcome: dic+ezrin is the default." in page.text
    assert "Measured Ezrin in place of transmitted light" in page.text
    assert "not for clinical use" in page.text
    assert "mean probability (used)" in page.text
    assert "people, majority" in page.text
    assert "Odds of a right call" in page.text
    assert len(page.images) == 6 + 4 + len(LATE)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert all(image["alt"] for image in page.images)


def test_a_report_of_one_model_leaves_out_what_it_does_not_have():
    embryos = make_embryos(measured=False)
    found = findings_of(embryos, {"mine": 1}, folds=(), reference="mine")
    assert found.decision is None
    page = Page(polarity_page(found))
    for heading in ("Predicted EZRIN", "Compaction", "People", "Where the networks looked"):
        assert heading not in page.headings
    assert "Rule:" not in page.text
    assert "held out" not in page.text.lower()
    assert "AUC per frame: mine has" in page.text
    assert {each.against for each in found.comparisons} == {"frame index", "median onset"}


def test_one_embryo_has_neither_intervals_nor_baselines():
    found = findings_of([make_embryo("A", 3)], {"mine": 1}, folds=(), reference="mine")
    assert found.baselines == ()
    assert found.comparisons == ()
    assert found.arms[0].by_embryo["accuracy"].low is None
    assert "Differences" not in Page(polarity_page(found)).headings


def test_what_is_undefined_everywhere_is_no_error():
    agreement = {"A": np.full((FRAMES, len(SEEN), len(FIGURES)), np.nan)}
    embryos = [make_embryo(name, None) for name in "AB"]
    found = findings_of(embryos, {"dic": 0, "ezrin": 0}, agreement=agreement)
    assert found.arms[0].by_embryo["auc"].estimate is None
    assert found.arms[0].roc is None
    page = Page(polarity_page(found))
    assert "AUC per frame: undefined." in page.text
    assert "Accuracy per frame: dic and ezrin are equal and best" in page.text
    assert "sensitivity and AUC are undefined" in page.text
    # So is the agreement of EZRIN here.
    assert "undefined for every embryo" in page.text
    json.dumps(metrics_record(found), allow_nan=False)


def test_a_row_for_each_arm(findings):
    rows = arm_rows(findings)
    assert [row["arm"] for row in rows] == [*LATE, "frame index", "median onset"]
    for row in rows:
        cells = ("true_negative", "false_positive", "false_negative", "true_positive")
        assert sum(int(row[cell]) for cell in cells) == COUNT
        right = int(row["true_negative"]) + int(row["true_positive"])
        assert float(row["accuracy"]) == pytest.approx(right / COUNT, abs=1e-5)
        assert float(row["accuracy_low"]) <= float(row["accuracy_high"])
        minutes = 20 * float(row["onset_error"])
        assert float(row["onset_error_minutes"]) == pytest.approx(minutes, abs=1e-3)
    best = rows[2]
    assert (best["auc"], best["accuracy"], best["onset_error"]) == ("1", "1", "0")
    assert float(rows[0]["onset_error"]) == pytest.approx(5 / 6, abs=1e-5)
    assert (rows[5]["auc"], rows[5]["brier"], rows[5]["change_point_error"]) == ("", "", "")


def test_a_row_for_each_frame_and_arm(findings):
    rows = frame_rows(findings)
    assert len(rows) == COUNT * len(LATE)
    of_b = [row for row in rows if (row["arm"], row["embryo"]) == ("dic", "B")]
    assert [row["frame"] for row in of_b] == [str(t) for t in range(FRAMES)]
    assert [row["label"] for row in of_b] == list("000001111")
    assert [row["smoothed"] for row in of_b] == list("000000111")
    assert {row["fold"] for row in of_b} == {"2"}
    assert all((float(row["probability"]) > 0.5) == (row["call"] == "1") for row in rows)


def test_a_row_for_each_embryo_rule_and_contender(findings):
    rows = onset_rows(findings)
    assert len(rows) == len(ONSETS) * (len(RULES) * len(LATE) + 2)
    (row,) = [
        row
        for row in rows
        if (row["arm"], row["rule"], row["embryo"]) == ("dic", "change_point", "C")
    ]
    assert (row["annotated"], row["predicted"], row["error"]) == ("6", "7", "1")
    assert (row["error_minutes"], row["verdict"], row["frames"]) == ("20", "onset", str(FRAMES))
    assert int(row["low"]) <= 7
    (row,) = [row for row in rows if (row["arm"], row["embryo"]) == ("median onset", "F")]
    assert (row["annotated"], row["predicted"], row["rule"], row["verdict"]) == ("", "5", "", "")


def test_a_row_for_each_way_of_joining_and_for_each_person(findings):
    ways = combination_rows(findings)
    assert len(ways) == len(LATE) * (3 + 1 + 3)
    assert [row["members"] for row in ways if row["used"] == "1"] == ["mean"] * len(LATE)
    people = people_rows(findings)
    assert len(people) == len(LATE) * (1 + 3 + 1)
    (row,) = [row for row in people if (row["arm"], row["person"]) == ("dic+ezrin", "person 2")]
    assert row["accuracy_of_arm"] == "1"
    assert float(row["accuracy_difference"]) == pytest.approx(
        1 - float(row["accuracy_of_person"]), abs=1e-5
    )
    assert float(row["z"]) > 0
    rows = discrepancy_rows(findings)
    assert [row["embryo"] for row in rows] == list(ONSETS)
    assert set(rows[0]) >= {"unit", "dic", "people without time", "people with time", "compaction"}
    # The arm is one frame of 20 minutes late but for F, which never polarizes; compaction is at 4.
    assert [row["dic"] for row in rows] == ["20"] * 5 + ["0"]
    assert [row["compaction"] for row in rows] == ["20", "20", "40", "0", "60", "100"]


def test_the_record_holds_every_number(findings):
    record = json.loads(json.dumps(metrics_record(findings), allow_nan=False))
    assert record["task"] == "polarity"
    assert record["frames"] == COUNT
    assert [embryo["fold"] for embryo in record["embryos"]] == [1, 2, 3, 1, 2, 3]
    assert record["embryos"][0]["interval_minutes"] == 20.0
    assert record["intervals"] == {
        "level": 0.95,
        "replicates": 20,
        "seed": 0,
        "over": "embryos, unless named by_frame",
    }
    assert list(record["arms"]) == list(LATE)
    assert list(record["baselines"]) == ["frame index", "median onset"]
    arm = record["arms"]["dic"]
    assert set(arm) == {
        "confusion",
        "undefined",
        "by_embryo",
        "by_frame",
        "in_time",
        "roc",
        "onsets",
        "within_embryos",
        "calibration",
        "members_auc",
        "likeliest_temper",
        "seconds",
    }
    assert set(arm["by_embryo"]) == {"accuracy", "sensitivity", "specificity", "auc"}
    assert set(arm["by_embryo"]["auc"]) >= {"estimate", "low", "high", "level", "replicates"}
    assert set(arm["onsets"]) == {"smoothed", "change_point", "posterior"}
    assert arm["onsets"]["smoothed"]["embryos"][1]["predicted"] == 6
    assert arm["onsets"]["smoothed"]["interval_90"]["count"] == 6
    assert len(arm["members_auc"]) == 3
    assert record["decision"]["default"] == "dic+ezrin"
    assert [(each["name"], each["against"]) for each in record["comparisons"][:3]] == [
        ("ezrin", "dic"),
        ("dic+ezrin", "dic"),
        ("measured", "dic"),
    ]
    assert set(record["comparisons"][0]) == {
        "name",
        "against",
        "auc",
        "accuracy",
        "onset_error",
        "z",
        "wilcoxon",
    }
    assert {each["name"] for each in record["compaction"]} == set(LATE)
    assert [each["name"] for each in record["ensembles"]] == list(LATE)
    assert set(record["people"]) == {"majority", "without_time", "with_time", "comparisons"}
    assert record["time_discrepancies"]["unit"] == "min"
    assert record["skill"][-1]["is_chance"]
    assert record["examples"]["dic"][1] == {
        "outcome": "FP",
        "embryo": "A",
        "frame": 1,
        "confidence": 0.6,
    }
    assert set(record["ezrin"]["embryos"]) == set(ONSETS)
    assert record["settings"]["experiment"] == "polarity.toml"


def test_files_are_written_and_replaced(findings, tmp_path, monkeypatch):
    monkeypatch.setattr("isl_eval.polarity.evaluation.polarity_page", lambda _: "page")
    for _ in range(2):
        write(findings, tmp_path)
    names = {"arms.csv", "frames.csv", "onsets.csv", "metrics.json", "report.html"}
    names |= {"ensembles.csv", "people.csv", "discrepancies.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    table = csv.DictReader(io.StringIO((tmp_path / "frames.csv").read_text(encoding="utf-8")))
    assert list(table) == frame_rows(findings)


def test_plain_values():
    given = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": math.nan, 3: (np.bool_(True), None)}
    assert plain(given) == {"a": 0.5, "b": [1, 2], "c": None, "3": [True, None]}
