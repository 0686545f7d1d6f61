"""People's columns, their majority and their films, by hand; and discrepancies of embryos."""

import numpy as np
import pytest
from simulated_polarity import held_out, make_embryo, write_dataset

from isl.errors import InputError
from isl.labeling.dataset import load_manifest
from isl.polarity.embryo import load_embryos
from isl_eval.polarity.config import PolarityEvaluation, RatersConfig
from isl_eval.polarity.judge import compare, judge_arm, judge_calls
from isl_eval.polarity.raters import (
    COMPACTION,
    MAJORITY,
    WITH_TIME,
    WITHOUT_TIME,
    Ratings,
    compare_discrepancies,
    judge_people,
    majority,
    read_raters,
)
from isl_eval.statistics.bootstrap import Resampling

RESAMPLING = Resampling(replicates=50, level=0.95, seed=0)
EMBRYOS = (
    make_embryo("a", 1, frames=4, interval=20.0, compaction=0),
    make_embryo("b", 2, frames=4, interval=30.0, compaction=4),
    make_embryo("c", None, frames=4, interval=20.0),
)


def calls(*rows):
    return tuple(np.array([call == "1" for call in row]) for row in rows)


RATINGS = Ratings(
    frames={
        "anna": calls("0111", "0011", "0000"),
        "ben": calls("0101", "1111", "0010"),
        "eva": calls("1111", "0001", "0000"),
    },
    ordered={"anna film": (1, 3, None), "ben film": (3, 2, 3)},
)


def test_a_majority_by_hand_with_ties_that_are_drawn():
    said = [np.array([False, True, True, False]), np.array([False, True, False, True])]
    drawn = [majority(said, np.random.default_rng(seed)).tolist() for seed in range(30)]
    assert all(each[:2] == [False, True] for each in drawn)
    for place in (2, 3):
        assert {each[place] for each in drawn} == {False, True}
    assert drawn[0] == majority(said, np.random.default_rng(0)).tolist()
    odd = [*said, np.array([True, False, True, True])]
    assert majority(odd, np.random.default_rng(0)).tolist() == [False, True, True, True]


@pytest.fixture(scope="module")
def arm():
    return judge_arm("dic", held_out(EMBRYOS), EMBRYOS, RESAMPLING)


@pytest.fixture(scope="module")
def people(arm):
    return judge_people(RATINGS, [arm], EMBRYOS, RESAMPLING)


def test_people_are_judged_by_their_frames_and_by_their_films(people):
    assert [each.name for each in people.all] == [
        *(MAJORITY, "anna", "ben", "eva"),
        *("anna film, with time", "ben film, with time"),
    ]
    anna, ben, eva = people.raters
    assert anna.confusion.accuracy == 1.0
    # One frame of a missed, two of b and one of c too early.
    assert (ben.confusion.false_negative, ben.confusion.false_positive) == (1, 3)
    # Smoothed: a 0101 becomes 0011 (the ends stay), b from the first, c's single call stays, since
    # smoothing leaves nothing.
    assert [row.predicted for row in ben.onset("smoothed").rows] == [2, 0, 2]
    assert people.majority.calls.tolist() == [0, 1, 1, 1] + [0, 0, 1, 1] + [0] * 4
    film = people.ordered[1]
    assert [row.predicted for row in film.onset("smoothed").rows] == [3, 2, 3]
    assert [row.error for row in film.onset("smoothed").rows] == [2, 0, 1]
    assert eva.score is None


def test_every_arm_stands_beside_everybody(people, arm):
    assert [each.against for each in people.comparisons] == [each.name for each in people.all]
    of_ben = people.comparisons[2]
    assert of_ben.auc is None
    assert of_ben.accuracy.estimate == pytest.approx(4 / 12)
    pooled = (12 + 8) / 24
    z = (12 - 8) / 12 / np.sqrt(pooled * (1 - pooled) * 2 / 12)
    assert of_ben.z.z == pytest.approx(z)


def test_discrepancies_are_in_time_and_the_mean_over_people(people, arm):
    found = compare_discrepancies([arm], "dic", people, EMBRYOS)
    assert (found.unit, found.embryos) == ("min", ("a", "b", "c"))
    assert list(found.values) == ["dic", WITHOUT_TIME, WITH_TIME, COMPACTION]
    assert found.values["dic"].tolist() == [0, 0, 0]
    # anna 0 0 0, ben 1 2 2, eva 1 1 0 frames of 20, 30 and 20 minutes.
    np.testing.assert_allclose(found.values[WITHOUT_TIME], [40 / 3, 30, 40 / 3])
    np.testing.assert_allclose(found.values[WITH_TIME], [20, 15, 10])
    # Compacted 1 frame early, and never: the frame after the last, 2 late; c's is not known.
    np.testing.assert_array_equal(found.values[COMPACTION], [20, 60, np.nan])
    assert found.tests[WITHOUT_TIME].pairs == 3
    assert found.tests[COMPACTION].pairs == 2
    assert found.tests[WITH_TIME].p == pytest.approx(2 / 2**3)


def test_without_every_interval_discrepancies_are_in_frames(arm):
    unknown = make_embryo("d", 1, frames=4)
    embryos = (*EMBRYOS, unknown)
    own = judge_arm("dic", held_out(embryos, late=1), embryos, RESAMPLING)
    found = compare_discrepancies([own], "dic", None, embryos)
    assert found.unit == "frames"
    # c is never called after onset: one late, that is its own frame after the last.
    assert found.values["dic"].tolist() == [1, 1, 0, 1]
    assert COMPACTION in found.values


def test_recordings_of_one_embryo_are_one_pair():
    """Wilcoxon takes embryos for independent; two recordings of one are not."""
    twins = (
        make_embryo("a1", 1, frames=6, group="a", interval=10.0),
        make_embryo("a2", 3, frames=6, group="a", interval=10.0),
        make_embryo("b", 2, frames=6, interval=30.0),
    )
    sides = np.concatenate([embryo.after for embryo in twins])
    one = judge_calls("one", twins, sides, [1, 3, 2], RESAMPLING)
    other = judge_calls("other", twins, sides, [2, 6, 4], RESAMPLING)
    assert other.discrepancies("smoothed").tolist() == [20.0, 60.0]
    test = compare(one, other, RESAMPLING).wilcoxon["smoothed"]
    assert (test.pairs, test.median_difference) == (2, -40.0)


def with_people(folder, columns):
    path = write_dataset(folder)
    table = folder / "labels.csv"
    head, *rows = table.read_text().splitlines()
    texts = [f"{head},{','.join(columns)}"]
    texts += [
        f"{row},{','.join(said[number] for said in columns.values())}"
        for number, row in enumerate(rows)
    ]
    table.write_text("\n".join(texts) + "\n")
    manifest = load_manifest(path.parent / "manifest.toml")
    return manifest, load_embryos(manifest)


def test_columns_of_people_are_read(tmp_path):
    said = {"anna": "011100010000", "film": "001101110001"}
    manifest, embryos = with_people(tmp_path, said)
    found = read_raters(RatersConfig(frames=("anna",), ordered=("film",)), manifest, embryos)
    assert [own.tolist() for own in found.frames["anna"]] == [
        [bool(int(call)) for call in said["anna"][first : first + 4]] for first in (0, 4, 8)
    ]
    assert found.ordered["film"] == (2, 1, 3)
    assert read_raters(RatersConfig(), manifest, embryos) is None


@pytest.mark.parametrize(
    ("said", "config", "message"),
    [
        ({"anna": "011100010000"}, {"frames": ("ana",)}, "'A' has no column 'ana' of 0 and 1"),
        ({"film": "011001110001"}, {"ordered": ("film",)}, r"column 'film' .*goes back to 0"),
        ({"anna": "01x100010000"}, {"frames": ("anna",)}, "column 'anna' says 'x' of t = 2"),
    ],
)
def test_columns_that_say_something_else_are_refused(tmp_path, said, config, message):
    manifest, embryos = with_people(tmp_path, said)
    with pytest.raises(InputError, match=message):
        read_raters(RatersConfig(**config), manifest, embryos)


def test_a_column_is_named_once():
    with pytest.raises(ValueError, match="column 'anna' is named twice"):
        PolarityEvaluation(
            task="polarity",
            experiment="polarity.toml",
            raters={"frames": ["anna"], "ordered": ["anna"]},
        )
