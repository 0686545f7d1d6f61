"""Figures of arms and baselines, by hand: embryos of four to six frames."""

import numpy as np
import pytest
from simulated_polarity import held_out, logits_of, make_embryo

from isl_eval.polarity.ezrin import FIGURES, PREDICTION, RIVALS
from isl_eval.polarity.judge import (
    compare,
    judge_arm,
    judge_baselines,
    judge_compaction,
    judge_ezrin,
)
from isl_eval.polarity.predictions import HeldOut
from isl_eval.statistics.bootstrap import Interval, Resampling

RESAMPLING = Resampling(replicates=50, level=0.95, seed=0)
# Onsets at 1, 2, 3; the last one never.
EMBRYOS = (
    make_embryo("a", 1, frames=4, interval=20.0, compaction=0),
    make_embryo("b", 2, frames=4, interval=30.0, compaction=2),
    make_embryo("c", 3, frames=6, compaction=2),
    make_embryo("d", None, frames=4),
)
# P(after) of one member: a is called one frame late, b rightly, c from 3 but for a slip in frame 1,
# which smoothing carries to frame 2, and d never.
SAID = {
    "a": [0.1, 0.4, 0.8, 0.9],
    "b": [0.2, 0.3, 0.6, 0.7],
    "c": [0.1, 0.7, 0.3, 0.8, 0.8, 0.9],
    "d": [0.1, 0.1, 0.2, 0.2],
}


def said_by(table):
    """The logits [1, T, 2] of one member that says P(after) of every frame."""
    odds = {name: np.log(np.array(said) / (1 - np.array(said))) for name, said in table.items()}
    return {name: np.stack([0 * after, after], -1)[None] for name, after in odds.items()}


@pytest.fixture(scope="module")
def arm():
    made = HeldOut(logits=said_by(SAID), combine="mean", threshold=0.5, seconds=3.0)
    return judge_arm("dic", [made], EMBRYOS, RESAMPLING)


def test_frames_by_hand(arm):
    cells = arm.confusion
    assert arm.truth.tolist() == [0, 1, 1, 1] + [0, 0, 1, 1] + [0, 0, 0, 1, 1, 1] + [0] * 4
    # Missed: frame 1 of a. Too early: frame 1 of c.
    assert (cells.false_negative, cells.false_positive) == (1, 1)
    assert (cells.true_positive, cells.true_negative) == (7, 9)
    assert arm.by_embryo["accuracy"].estimate == pytest.approx(16 / 18)
    assert arm.by_embryo["sensitivity"].estimate == pytest.approx(7 / 8)
    assert arm.by_embryo["specificity"].estimate == pytest.approx(9 / 10)
    # Of 80 pairs of an after and a before, (0.4; 0.7) and those of c's 0.7 that tie or beat.
    after = [0.4, 0.8, 0.9, 0.6, 0.7, 0.8, 0.8, 0.9]
    before = [0.1, 0.2, 0.3, 0.1, 0.7, 0.3, 0.1, 0.1, 0.2, 0.2]
    pairs = [(x > y) + 0.5 * (abs(x - y) < 1e-9) for x in after for y in before]
    assert arm.by_embryo["auc"].estimate == pytest.approx(np.mean(pairs))


def test_intervals_over_frames_and_over_embryos_draw_as_many_as_there_are(arm):
    assert {each.units for each in arm.by_embryo.values()} == {4}
    assert {each.units for each in arm.by_frame.values()} == {18}
    assert arm.by_frame["auc"].estimate == arm.by_embryo["auc"].estimate


def test_onsets_by_hand_and_by_either_rule(arm):
    rows = arm.onset("smoothed").rows
    assert [row.predicted for row in rows] == [2, 2, 2, None]
    assert [row.error for row in rows] == [1, 0, 1, 0]
    assert [row.minutes for row in rows] == [20.0, 0.0, None, None]
    assert arm.onset("smoothed").mean.estimate == 0.5
    assert arm.onset("smoothed").minutes.estimate == 10.0
    # One slip is outweighed by two frames that are sure.
    assert [row.predicted for row in arm.onset("change_point").rows] == [2, 2, 3, None]
    assert arm.onset("smoothed").accuracy.estimate == pytest.approx(16 / 18)
    # The intervals of two hold all of their few frames and what follows.
    assert arm.onset("smoothed").verdicts == {"onset": 1, "censored": 1, "cannot_tell": 2}
    assert arm.onset("smoothed").coverage.count == 4
    shares, errors = zip(*arm.onset("smoothed").by_share, strict=True)
    assert shares == (0.25, 0.5, 0.75, 1)
    assert errors[-1] == pytest.approx(arm.onset("smoothed").mean.estimate)


def test_rules_part_where_one_frame_is_loud():
    # Two weak calls in a row are a smoothed onset; a sure "before" after them outweighs both.
    embryo = make_embryo("a", 4, frames=6)
    table = {"a": [0.1, 0.55, 0.55, 0.01, 0.9, 0.9]}
    made = HeldOut(logits=said_by(table), combine="mean", threshold=0.5)
    arm = judge_arm("dic", [made], [embryo], RESAMPLING)
    assert arm.onset("smoothed").rows[0].predicted == 1
    assert arm.onset("change_point").rows[0].predicted == 4


def test_within_an_embryo_auc_may_be_undefined(arm):
    assert arm.of_embryo["a"] == {"accuracy": 0.75, "auc": 1.0}
    assert arm.of_embryo["d"] == {"accuracy": 1.0, "auc": None}


def test_members_are_judged_alone_where_folds_have_as_many():
    logits = {each.name: logits_of(each, members=2, noise=0.5) for each in EMBRYOS}
    made = HeldOut(logits=logits, combine="mean", threshold=0.5)
    arm = judge_arm("dic", [made], EMBRYOS, RESAMPLING)
    assert len(arm.members_auc) == 2
    fewer = {"a": logits.pop("a")[:1]}
    parts = [made, HeldOut(logits=fewer, combine="mean", threshold=0.5)]
    assert judge_arm("dic", parts, EMBRYOS, RESAMPLING).members_auc is None


def test_the_ensemble_is_the_mean_of_its_members_or_their_vote():
    # Two members are nearly sure of "before", one is wholly sure of "after" (0.2, 0.2, 0.95).
    embryos = [make_embryo("a", 0, frames=1), make_embryo("b", None, frames=1)]
    odds = np.log(np.array([0.3, 0.3, 0.95]) / (1 - np.array([0.3, 0.3, 0.95])))
    logits = {name: np.stack([0 * odds, odds], -1)[:, None] for name in "ab"}
    called = {}
    for combine in ("mean", "vote"):
        made = HeldOut(logits=logits, combine=combine, threshold=0.5)
        called[combine] = judge_arm("dic", [made], embryos, RESAMPLING)
    assert called["mean"].score[0] == pytest.approx((0.3 + 0.3 + 0.95) / 3)
    assert called["mean"].calls.all()
    assert called["vote"].score[0] == pytest.approx(1 / 3)
    assert not called["vote"].calls.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits: logits.pop("b"), "embryo 'b' was predicted 0 times, not 1"),
        (lambda logits: logits.update(b=logits["a"][:, :2]), r"logits of 'b' have shape \(1, 2, 2"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change, message):
    logits = said_by(SAID)
    change(logits)
    made = HeldOut(logits=logits, combine="mean", threshold=0.5)
    with pytest.raises(ValueError, match=message):
        judge_arm("dic", [made], EMBRYOS, RESAMPLING)


def test_an_embryo_predicted_twice_is_refused():
    with pytest.raises(ValueError, match="embryo 'a' was predicted 2 times"):
        judge_arm("dic", held_out(EMBRYOS) * 2, EMBRYOS, RESAMPLING)


def test_baselines_by_hand():
    index, median = judge_baselines(EMBRYOS, RESAMPLING)
    # Onsets 1, 2, 3 and 4 (censored): the lower median of the three others.
    assert [row.predicted for row in median.onset("smoothed").rows] == [3, 3, 2, 2]
    assert [row.error for row in median.onset("smoothed").rows] == [2, 1, 1, 2]
    assert median.score is None
    assert median.roc is None
    assert "auc" not in median.by_embryo
    assert index.score.tolist() == [*range(4), *range(4), *range(6), *range(4)]
    # 80 pairs of the frames' numbers alone.
    after = [1, 2, 3, 2, 3, 3, 4, 5]
    before = [0, 0, 1, 0, 1, 2, 0, 1, 2, 3]
    pairs = [(x > y) + 0.5 * (x == y) for x in after for y in before]
    assert index.by_embryo["auc"].estimate == pytest.approx(np.mean(pairs))
    # Without d, the others' frames are called best from 2 on (of 14, two are wrong).
    assert index.onset("smoothed").rows[3].predicted == 2
    assert index.onset("change_point") is index.onset("smoothed")


def test_differences_by_hand(arm):
    index, median = judge_baselines(EMBRYOS, RESAMPLING)
    found = compare(arm, median, RESAMPLING)
    assert (found.name, found.against, found.auc) == ("dic", "median onset", None)
    assert found.onset_error["smoothed"].estimate == 0.5 - 1.5
    assert found.by("onset_error") is found.onset_error["smoothed"]
    right = 18 - sum([2, 1, 1, 2])
    assert found.accuracy.estimate == pytest.approx((16 - right) / 18)
    pooled = (16 + right) / 36
    z = (16 - right) / 18 / np.sqrt(pooled * (1 - pooled) * 2 / 18)
    assert found.z.z == pytest.approx(z)
    # Errors 1 0 1 0 against 2 1 1 2: three differ, all one way.
    assert (found.wilcoxon["smoothed"].pairs, found.wilcoxon["smoothed"].zeros) == (4, 1)
    assert found.wilcoxon["smoothed"].p == pytest.approx(2 / 2**3)
    assert set(found.onset_error) == {"smoothed", "change_point", "posterior"}
    assert set(compare(index, median, RESAMPLING).onset_error) == {"smoothed"}


def test_an_arm_does_not_differ_from_itself(arm):
    found = compare(arm, arm, RESAMPLING)
    for difference in (found.auc, found.accuracy, *found.onset_error.values()):
        assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)
    assert found.wilcoxon["smoothed"].p is None


def test_recordings_of_one_embryo_are_drawn_together():
    twins = (make_embryo("a1", 1, group="a"), make_embryo("a2", 2, group="a"), EMBRYOS[1])
    arm = judge_arm("dic", held_out(twins), twins, RESAMPLING)
    assert arm.by_embryo["auc"].units == 2
    assert arm.onset("smoothed").mean.units == 2
    assert compare(arm, arm, RESAMPLING).onset_error["smoothed"].units == 2


def test_compaction_by_hand():
    said = {**SAID, "c": [0.1, 0.3, 0.3, 0.8, 0.8, 0.9]}
    made = HeldOut(logits=said_by(said), combine="mean", threshold=0.5)
    arm = judge_arm("dic", [made], EMBRYOS, RESAMPLING)
    found = judge_compaction(arm, EMBRYOS, RESAMPLING)
    # d's compaction is not known. Onsets found 2 2 3, compaction 0 2 2, annotated 1 2 3.
    assert found.pearson.pairs == 3
    assert found.pearson.interval.estimate == pytest.approx(np.corrcoef([2, 2, 3], [0, 2, 2])[0, 1])
    assert found.proxy.mean == pytest.approx((1 + 0 + 1) / 3)
    # Errors 1 0 0 against 1 0 1: one pair differs.
    assert (found.wilcoxon.pairs, found.wilcoxon.zeros) == (3, 2)


def test_a_censored_onset_stands_beside_compaction_as_the_frame_after_the_last():
    embryos = [make_embryo(name, at, frames=9, compaction=at) for name, at in (("x", 2), ("y", 4))]
    embryos.append(make_embryo("z", 8, frames=9, compaction=8))
    arm = judge_arm("dic", held_out(embryos, late=1), embryos, RESAMPLING)
    assert [row.predicted for row in arm.onset("smoothed").rows] == [3, 5, None]
    found = judge_compaction(arm, embryos, RESAMPLING)
    assert found.pearson.interval.estimate == pytest.approx(1.0)


def test_without_compaction_nothing_is_said_of_it(arm):
    unknown = [make_embryo(e.name, e.onset, frames=len(e.after)) for e in EMBRYOS]
    assert judge_compaction(arm, unknown, RESAMPLING) is None


def ezrin_agreement(**frames):
    """Figures of a few frames: the rivals have half of what the prediction has."""
    shares = np.array([1.0] + [0.5] * len(RIVALS))
    columns = np.ones(len(FIGURES))
    return {
        name: np.array(values)[:, None, None] * shares[:, None] * columns
        for name, values in frames.items()
    }


def test_ezrin_is_averaged_over_frames_then_embryos():
    agreement = ezrin_agreement(a=[0.2, 0.4, np.nan], b=[0.9], c=[np.nan, np.nan])
    found = judge_ezrin(agreement, EMBRYOS, RESAMPLING)
    assert found.embryos == {"a": pytest.approx(0.3), "b": 0.9, "c": None}
    assert found.lowest == {"a": 0.2, "b": 0.9, "c": None}
    for name in FIGURES:
        assert found.means[PREDICTION][name].estimate == pytest.approx(0.6)
        for rival in RIVALS:
            assert found.means[rival][name].estimate == pytest.approx(0.3)
            assert found.leads[rival][name].estimate == pytest.approx(0.3)
    assert judge_ezrin({}, EMBRYOS, RESAMPLING) is None


def test_seeds_decide_intervals():
    def interval(seed) -> Interval:
        noisy = held_out(EMBRYOS, noise=3.0)
        resampling = Resampling(replicates=50, level=0.9, seed=seed)
        return judge_arm("dic", noisy, EMBRYOS, resampling).by_frame["auc"]

    assert interval(0) == interval(0)
    assert interval(0) != interval(1)
