"""Simulated development: the formula, what can be known of it when, and the films on disk."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from isl.errors import InputError
from isl.imaging.inputs.movie import read_movie
from isl.phantom.development.biology import (
    EVENTS,
    Development,
    best_auroc,
    chance,
    chance_by,
    draw_development,
    draw_patient,
    logit,
)
from isl.phantom.development.films import DevelopmentConfig, make_cohort, write_development
from isl.phantom.development.look import draw_frame, draw_look

USUAL = Development(
    events=(27.0, 38.0, 39.0, 55.0, 56.0, 57.0, 58.0, 70.0, 84.0, 104.0),
    fragments=0.15,
    trend=0.0,
    arrested=False,
)
LITTLE = DevelopmentConfig(size=32, interval=1800.0, fewest=1, most=2)
TESTED = LITTLE.model_copy(update={"test": 1})


def drawn(count: int, seed: int = 0) -> list[Development]:
    rng = np.random.default_rng(seed)
    return [draw_development(draw_patient(rng), rng) for _ in range(count)]


def changed(**values) -> Development:
    return dataclasses.replace(USUAL, **values)


def test_formula_by_hand() -> None:
    assert logit(USUAL) == pytest.approx(0.6)
    late = (29.5, *USUAL.events[1:-1], 111.0)
    assert logit(changed(events=late)) == pytest.approx(0.6 - 1.2 - 1.2)
    assert logit(changed(fragments=0.23)) == pytest.approx(0.6 - 1.3)
    assert logit(changed(trend=-1.0)) == pytest.approx(0.6 + 0.6)
    never = (*USUAL.events[:-1], np.inf)
    assert logit(changed(events=never, arrested=True)) == pytest.approx(0.6 - 2.4 - 1.5)
    assert chance(USUAL) == pytest.approx(1 / (1 + np.exp(-0.6)))


def test_best_auroc_is_a_slow_loop() -> None:
    p = np.array([0.1, 0.8, 0.35, 0.6])
    right = pairs = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                pairs += p[i] * (1 - p[j])
                right += p[i] * (1 - p[j]) * (p[i] > p[j])
    assert best_auroc(p) == pytest.approx(right / pairs)
    assert best_auroc(np.array([0.0, 1.0])) == 1


def test_best_auroc_is_what_drawn_outcomes_have() -> None:
    rng = np.random.default_rng(1)
    p = np.array([chance(each) for each in drawn(1500)])
    outcomes = rng.random(len(p)) < p
    apart = p[outcomes][:, None] - p[~outcomes][None, :]
    assert np.mean(apart > 0) == pytest.approx(best_auroc(p), abs=0.02)
    assert 0.87 < best_auroc(p) < 0.92


def test_what_can_be_known_grows_with_the_hours() -> None:
    rng = np.random.default_rng(0)
    embryos = drawn(120)
    best = [
        best_auroc([chance_by(each, hour, rng, 40) for each in embryos])
        for hour in (12.0, 72.0, 120.0)
    ]
    assert best[0] == pytest.approx(0.5, abs=0.1)
    assert best[0] < best[1] < best[2]
    assert chance_by(embryos[0], 120.0, rng, 1) == chance(embryos[0])


def test_chances_known_early_are_right_on_average() -> None:
    """What is said at an hour is the mean of what is said later (no more, no less)."""
    rng = np.random.default_rng(0)
    embryos = drawn(250, seed=2)
    early = [chance_by(each, 60.0, rng, 40) for each in embryos]
    assert np.mean(early) == pytest.approx(np.mean([chance(e) for e in embryos]), abs=0.04)


def test_stages_follow_events() -> None:
    assert [USUAL.cells_at(hour) for hour in (5, 27, 38.5, 56.5, 60, 75)] == [1, 2, 3, 6, 8, 16]
    assert USUAL.compacted_at(84) == 0
    assert USUAL.compacted_at(87) == pytest.approx(0.5)
    assert USUAL.cavity_at(111) == pytest.approx(0.5)
    stopped = changed(events=(*USUAL.events[:4], *[np.inf] * 6), arrested=True)
    assert stopped.cells_at(119) == 5
    assert stopped.cavity_at(119) == stopped.compacted_at(119) == 0


def test_trend_of_fragments_is_of_the_eight_cell_stage_alone() -> None:
    falling = changed(trend=-1.0)
    assert falling.fragments_at(20) == 0
    assert falling.fragments_at(40) == falling.fragments_at(90) == 0.15
    eight = [falling.fragments_at(hour) for hour in (58.0, 64.0, 69.99)]
    assert eight == pytest.approx([0.285, 0.15, 0.015], abs=1e-3)


def test_events_are_in_order_and_some_arrest() -> None:
    embryos = drawn(600)
    for each in embryos:
        happened = [hour for hour in each.events if np.isfinite(hour)]
        assert happened == sorted(happened)
        assert each.arrested == (len(happened) < len(EVENTS))
    assert np.mean([each.arrested for each in embryos]) == pytest.approx(0.12, abs=0.05)


@pytest.mark.parametrize(
    "other",
    [
        changed(events=(40.0, *USUAL.events[1:])),
        changed(fragments=0.3),
        changed(events=(*USUAL.events[:-1], np.inf)),
    ],
)
def test_all_that_counts_can_be_seen(other: Development) -> None:
    look = draw_look(np.random.default_rng(0))
    hours = (30.0, 115.0)
    seen, differently = (
        np.stack([draw_frame(each, look, hour, 64) for hour in hours]) for each in (USUAL, other)
    )
    assert np.abs(seen - differently).max() > 0.1


def test_signal_can_be_removed() -> None:
    config = LITTLE.model_copy(update={"signal": False, "size": 32, "fewest": 2, "most": 2})
    films = [film for number in range(60) for film in make_cohort(config, number, 0)]
    p = np.array([chance(film.development) for film in films])
    y = np.array([film.outcomes["heartbeat"] for film in films])
    assert np.mean(p[y == 1][:, None] > p[y == 0][None, :]) == pytest.approx(0.5, abs=0.12)


def test_cohorts_depend_on_seed_and_number_alone() -> None:
    one, again = ([film.frames for film in make_cohort(LITTLE, 3, 7)] for _ in range(2))
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first, second)
    (other, *_) = make_cohort(LITTLE, 4, 7)
    assert np.any(other.frames != one[0])


def test_clinics_look_different() -> None:
    (first, *_) = make_cohort(LITTLE, 0, 0)
    (second, *_) = make_cohort(LITTLE.model_copy(update={"clinic": "second"}), 0, 0)
    assert first.development == second.development
    assert first.frames.mean() - second.frames.mean() > 15


def test_set_on_disk(tmp_path: Path) -> None:
    table = write_development(tmp_path, 3, TESTED, 0, validation=1)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    sides = {row["patient"]: row["split"] for row in rows}
    assert sides == {"p000": "train", "p001": "validation", "p002": "test"}
    movie = read_movie(tmp_path / rows[0]["file"])
    assert movie.frames.shape == (4, 1, 32, 32)
    assert movie.interval == pytest.approx(1800)
    with (tmp_path / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    assert [row["recording"] for row in truth] == [row["recording"] for row in rows]
    with pytest.raises(InputError, match="exists already"):
        write_development(tmp_path, 3, LITTLE, 0)
    with pytest.raises(InputError, match="no more for these than there are"):
        write_development(tmp_path / "b", 2, TESTED, 0, validation=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clinic": "third"}, "clinic 'third'"),
        ({"fewest": 4, "most": 3}, "most 3 is less than fewest 4"),
        ({"start": 119.0, "end": 120.0}, "is not a frame after"),
    ],
)
def test_configurations_that_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DevelopmentConfig(**settings)
