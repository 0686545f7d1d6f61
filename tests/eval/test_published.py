"""The paper's figures from its own table, tests/golden/polarity_onset.toml."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

from isl.polarity.embryo import Embryo
from isl_eval.polarity.judge import compare, judge_calls
from isl_eval.polarity.onset import onset_table, summarize
from isl_eval.polarity.paper_figures import stars
from isl_eval.polarity.skill import judge_skill, odds_of
from isl_eval.statistics.bootstrap import Resampling, bootstrap
from isl_eval.statistics.classification import Confusion, confusion
from isl_eval.statistics.tests import two_proportions

PUBLISHED = tomllib.loads(
    (Path(__file__).parents[1] / "golden" / "polarity_onset.toml").read_text(encoding="utf-8")
)
CELLS = ("true_negative", "false_positive", "false_negative", "true_positive")


def cells(of):
    return Confusion(**{name: PUBLISHED[of][name] for name in CELLS})


def frames(of):
    """Truth and calls of every frame that the cells count."""
    counts = [PUBLISHED[of][name] for name in CELLS]
    return np.repeat([False, False, True, True], counts), np.repeat([False, True] * 2, counts)


def test_errors_of_the_eleven_onsets():
    onsets = PUBLISHED["onsets"]
    rows = onset_table(
        [str(embryo) for embryo in onsets["embryo"]],
        onsets["true"],
        onsets["predicted"],
        onsets["frames"],
    )
    summary = summarize(rows)
    published = onsets["summary"]
    assert summary.count == 11
    assert round(summary.mean, 2) == published["mean"]
    assert summary.median == published["median"]
    assert summary.maximum == published["maximum"]
    assert round(summary.rmse, 2) == published["rmse"]
    assert summary.within_2 == published["within_2"]
    assert summary.within_3 == published["within_3"]


def test_shares_of_the_ensemble_and_of_people():
    ensemble, human = cells("ensemble"), cells("human")
    assert ensemble.total == human.total == 583
    assert round(100 * ensemble.accuracy, 1) == PUBLISHED["ensemble"]["accuracy"]
    assert round(100 * ensemble.sensitivity, 1) == PUBLISHED["ensemble"]["sensitivity"]
    assert round(100 * ensemble.specificity, 1) == PUBLISHED["ensemble"]["specificity"]
    assert round(100 * human.accuracy, 1) == PUBLISHED["human"]["accuracy"]


def test_cells_are_counted_again_from_the_frames():
    assert confusion(*frames("ensemble")) == cells("ensemble")
    assert confusion(*frames("human")) == cells("human")


def test_z_between_the_two():
    ensemble, human = cells("ensemble"), cells("human")
    test = two_proportions(
        ensemble.true_negative + ensemble.true_positive,
        ensemble.total,
        human.true_negative + human.true_positive,
        human.total,
    )
    assert round(test.z, 2) == PUBLISHED["comparison"]["z"]
    assert test.p < 0.0001


def frame_intervals(of, seed):
    def statistics(truth, calls):
        counted = confusion(truth, calls)
        return {
            "accuracy": counted.accuracy,
            "sensitivity": counted.sensitivity,
            "specificity": counted.specificity,
        }

    found = bootstrap(statistics, frames(of), groups=None, rng=np.random.default_rng(seed))
    return {
        name: [round(100 * interval.low, 1), round(100 * interval.high, 1)]
        for name, interval in found.items()
    }


@pytest.mark.parametrize("seed", range(6))
def test_frame_bootstrap_whatever_the_draw(seed):
    # A bound of 1,000 replicates has a deviation of about 0.085 deviations of the statistic, which
    # are 1.5 points (accuracy) to 2.2 (specificity): 0.8 points are four of the latter.
    ensemble, human = frame_intervals("ensemble", seed), frame_intervals("human", seed)
    for found, published in [
        *((ensemble[name], PUBLISHED["ensemble"][f"{name}_interval"]) for name in ensemble),
        (human["accuracy"], PUBLISHED["human"]["accuracy_interval"]),
    ]:
        assert found == pytest.approx(published, abs=0.8)


@pytest.fixture(scope="module")
def judged():
    """The ensemble and people as the report judges them: one recording of all frames."""
    truth, calls = frames("ensemble")
    _, human = frames("human")
    embryo = Embryo(
        name="all",
        group="all",
        split="test",
        dic=np.zeros((truth.size, 1, 1), np.float32),
        measured=None,
        after=truth,
        onset=int(truth.argmax()),
    )
    resampling = Resampling(seed=7)
    return [
        judge_calls(name, [embryo], said, [embryo.onset], resampling)
        for name, said in (("ensemble", calls), ("people", human))
    ]


def test_the_report_finds_the_papers_comparison(judged):
    ensemble, people = judged
    found = compare(ensemble, people, Resampling(replicates=20))
    assert round(found.z.z, 2) == PUBLISHED["comparison"]["z"]
    assert found.z.p < 0.0001
    for each, of in zip(judged, ("ensemble", "human"), strict=True):
        assert each.confusion == cells(of)
        interval = each.by_frame["accuracy"]
        assert round(100 * interval.estimate, 1) == PUBLISHED[of]["accuracy"]
        bounds = [100 * interval.low, 100 * interval.high]
        assert bounds == pytest.approx(PUBLISHED[of]["accuracy_interval"], abs=0.8)


def test_odds_of_calls_lie_within_the_papers_bounds(judged):
    """Printed 5.7 and 1.5, cut off: the cells give 5.78 and 1.57."""
    for each, of in zip(judged, ("ensemble", "human"), strict=True):
        odds = odds_of(each.by_frame["accuracy"])
        published = PUBLISHED[of]["odds"]
        assert math.floor(10 * odds.estimate) / 10 == published
        low, high = (share / (100 - share) for share in PUBLISHED[of]["accuracy_interval"])
        assert low < odds.estimate < high
        assert [odds.low, odds.high] == pytest.approx([low, high], rel=0.08)


def test_both_beat_no_skill(judged):
    ensemble, people, chance = judge_skill(judged, Resampling(replicates=100))
    assert chance.accuracy.estimate == pytest.approx(0.5, abs=0.001)
    assert chance.against_chance is None
    assert stars(ensemble.against_chance.p) == "****"
    assert stars(people.against_chance.p) == "***"
