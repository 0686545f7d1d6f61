"""Transfers against slow simulation, decision curves by hand, and what needs no picture."""

import itertools

import numpy as np
import pytest

from isl_eval.statistics.bootstrap import bootstrap
from isl_eval.viability.decision import decision_curve, net_benefit
from isl_eval.viability.transfers import (
    PUBLISHED,
    SELECTION,
    cohort_table,
    in_order,
    orders,
    top_hit,
)


def slow(outcomes: list[int], score: list[float]) -> tuple[float, float, float]:
    """Transfers, pregnancies and first successes, averaged over every order that scores allow."""
    made = []
    for order in itertools.permutations(range(len(outcomes))):
        if any(score[a] < score[b] for a, b in itertools.pairwise(order)):
            continue
        tried = [outcomes[i] for i in order]
        count = tried.index(1) + 1 if 1 in tried else len(tried)
        made.append((count, float(1 in tried), float(tried[0])))
    transfers, pregnancies, first = np.mean(made, axis=0)
    return float(transfers), float(pregnancies), float(first)


@pytest.mark.parametrize("outcomes", list(itertools.product([0, 1], repeat=4)))
@pytest.mark.parametrize("score", [[4, 3, 2, 1], [1, 1, 1, 1], [2, 1, 2, 1], [1, 3, 3, 3]])
def test_a_cohort_is_a_slow_simulation(outcomes: tuple[int, ...], score: list[float]) -> None:
    found = in_order(np.array(outcomes), np.array(score))
    transfers, pregnancies, first = slow(list(outcomes), score)
    assert found.transfers == pytest.approx(transfers)
    assert found.pregnancies == pregnancies
    assert found.first == pytest.approx(first)


def test_the_best_order_knows_and_random_does_not() -> None:
    rng = np.random.default_rng(0)
    cohorts = np.repeat([f"c{i}" for i in range(60)], 4)
    outcomes = (rng.random(240) < 0.4).astype(int)
    score = outcomes + rng.normal(0, 1, 240)
    table = cohort_table(cohorts, cohorts, outcomes, orders(outcomes, score, {"grade": score}))
    found = table.statistics(*table.columns())
    cost = [found[f"{n}: transfers per pregnancy"] for n in ("best possible", "model", "random")]
    assert cost[0] < cost[1] < cost[2]
    assert found["grade: transfers per pregnancy"] == found["model: transfers per pregnancy"]
    assert found["best possible: best in cohort succeeds"] == 1


def test_patients_who_are_drawn_twice_have_two_cohorts() -> None:
    """Drawing the only patient again and again changes nothing, as doubling a cohort would."""
    cohorts, outcomes = np.array(["a"] * 3), np.array([0, 0, 1])
    table = cohort_table(cohorts, cohorts, outcomes, {"model": np.array([3.0, 2.0, 1.0])})
    twice = table.statistics(*(np.concatenate([each, each]) for each in table.columns()))
    assert twice == table.statistics(*table.columns())
    assert twice["model: transfers per pregnancy"] == 3


def test_intervals_hold_the_estimate() -> None:
    rng = np.random.default_rng(1)
    cohorts = np.repeat([f"c{i}" for i in range(30)], 3)
    outcomes = (rng.random(90) < 0.4).astype(int)
    table = cohort_table(cohorts, cohorts, outcomes, {"model": rng.random(90)})
    found = bootstrap(
        table.statistics, table.columns(), groups=table.patients, rng=rng, replicates=200
    )
    one = found["model: transfers per pregnancy"]
    assert one.low < one.estimate < one.high
    assert one.units == 30


def test_top_hits() -> None:
    assert top_hit(np.array([0, 1, 1]), np.array([1.0, 3.0, 2.0])) == 1
    assert top_hit(np.array([0, 1, 1]), np.array([3.0, 3.0, 2.0])) == 0.5
    assert top_hit(np.array([1]), np.array([1.0])) is None
    assert top_hit(np.array([0, 0]), np.array([1.0, 2.0])) is None


def test_net_benefit_by_hand() -> None:
    truth = np.array([True, True, False, False, False])
    p = np.array([0.9, 0.4, 0.6, 0.2, 0.1])
    assert net_benefit(truth, p, 0.5) == pytest.approx(1 / 5 - 1 / 5)
    assert net_benefit(truth, p, 0.25) == pytest.approx(2 / 5 - 1 / 5 / 3)
    curve = decision_curve(truth, p, np.array([0.25, 0.5]))
    np.testing.assert_allclose(curve["all"], [2 / 5 - 3 / 5 / 3, 2 / 5 - 3 / 5])
    np.testing.assert_array_equal(curve["none"], 0)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        net_benefit(truth, p, 1.0)


def test_words() -> None:
    assert "selection bias" in SELECTION
    assert "not one measured here" in PUBLISHED
