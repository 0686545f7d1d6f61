"""Members joined in every way and alone, by hand."""

import numpy as np
import pytest
from simulated_polarity import held_out, logits_of, make_embryo, make_embryos

from isl_eval.polarity.combinations import SINGLE, judge_combinations
from isl_eval.polarity.judge import judge_arm
from isl_eval.polarity.predictions import HeldOut
from isl_eval.statistics.bootstrap import Resampling

RESAMPLING = Resampling(replicates=50, level=0.95, seed=0)


def of_probabilities(*members):
    """Logits [M, T, 2] of members that say P(after) of every frame."""
    odds = np.log(np.array(members) / (1 - np.array(members)))
    return np.stack([0 * odds, odds], -1)


def test_ways_of_joining_part_where_one_member_is_sure():
    # Two are nearly sure of "before", one is wholly sure of "after": the mean of probabilities is
    # 0.52, two of three vote before, and the sum of logits is far above 0.
    embryos = [make_embryo("a", 0, frames=2), make_embryo("b", None, frames=2)]
    said = of_probabilities([0.3, 0.3], [0.3, 0.3], [0.96, 0.96])
    before = of_probabilities([0.1, 0.1], [0.1, 0.1], [0.1, 0.1])
    made = HeldOut(logits={"a": said, "b": before}, combine="vote", threshold=0.5)
    found = judge_combinations("dic", [made], embryos, RESAMPLING)
    rows = {row.name: row for row in found.rows}
    assert list(rows) == ["mean", "logits", "vote", SINGLE, "member 1", "member 2", "member 3"]
    assert found.used == "vote"
    accuracy = {name: row.accuracy.estimate for name, row in rows.items()}
    assert accuracy == {
        "mean": 1.0,
        "logits": 1.0,
        "vote": 0.5,
        SINGLE: pytest.approx(2 / 3),
        "member 1": 0.5,
        "member 2": 0.5,
        "member 3": 1.0,
    }
    assert rows["mean"].gain.estimate == pytest.approx(1 / 3)
    assert rows["vote"].gain.estimate == pytest.approx(-1 / 6)
    assert rows["mean"].auc_gain.estimate == pytest.approx(0)
    assert rows["member 1"].gain is None
    # a's onset is missed by both of its frames by who calls them before.
    assert rows["vote"].onset_error == 1.0
    assert rows["mean"].onset_error == 0.0
    assert rows[SINGLE].onset_error == pytest.approx(2 / 3)


def test_the_way_that_is_used_is_judged_as_the_arm_is():
    embryos = make_embryos()
    made = held_out(embryos, noise=2.0)
    arm = judge_arm("dic", made, embryos, RESAMPLING)
    rows = {row.name: row for row in judge_combinations("dic", made, embryos, RESAMPLING).rows}
    assert rows["mean"].accuracy == arm.by_embryo["accuracy"]
    assert rows["mean"].auc == arm.by_embryo["auc"]
    assert rows["mean"].onset_error == arm.onset("smoothed").summary.mean
    assert [rows[f"member {m + 1}"].auc.estimate for m in range(3)] == list(arm.members_auc)


def test_one_member_or_differing_numbers_have_nothing_to_join():
    embryos = make_embryos()
    assert judge_combinations("dic", held_out(embryos, members=1), embryos, RESAMPLING) is None
    logits = {e.name: logits_of(e, members=2 + (e.name == "A")) for e in embryos}
    made = HeldOut(logits=logits, combine="mean", threshold=0.5)
    assert judge_combinations("dic", [made], embryos, RESAMPLING) is None
