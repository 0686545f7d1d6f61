import numpy as np
import pytest

from isl.errors import InputError
from isl_eval.polarity.onset import (
    coverage,
    errors_of_the_surest,
    frame_index_baseline,
    likeliest_temper,
    median_onset_baseline,
    onset_table,
    summarize,
)


def labels(frames, onset):
    return [int(t >= onset) for t in range(frames)]


def test_a_table_and_its_summary():
    rows = onset_table(
        ["a", "b", "c", "d"],
        [5, 10, None, 0],
        [7, None, 6, 0],
        [20, 14, 9, 9],
        [20.0, None, 40.0, None],
    )
    assert [row.error for row in rows] == [2, 4, 3, 0]
    assert [row.minutes for row in rows] == [40.0, None, 120.0, None]
    assert (rows[1].name, rows[1].predicted, rows[1].true, rows[1].frames) == ("b", None, 10, 14)
    summary = summarize(rows)
    assert (summary.count, summary.mean, summary.median, summary.maximum) == (4, 2.25, 2.5, 4)
    assert summary.rmse == pytest.approx(np.sqrt((4 + 16 + 9) / 4))
    assert (summary.within_2, summary.within_3) == (2, 3)
    assert (summary.timed, summary.mean_minutes, summary.median_minutes) == (2, 80.0, 80.0)


def test_without_intervals_there_are_no_minutes():
    summary = summarize(onset_table(["a"], [5], [7], [20]))
    assert (summary.mean, summary.timed, summary.mean_minutes) == (2.0, 0, None)


def test_a_summary_of_nothing_is_none():
    summary = summarize(())
    assert (summary.count, summary.within_2) == (0, 0)
    assert (summary.mean, summary.median, summary.maximum, summary.rmse) == (None,) * 4


def test_a_table_of_differing_lengths_is_refused():
    with pytest.raises(ValueError, match="zip"):
        onset_table(["a", "b"], [5, 6], [7, 8], [20, 20], [1.0])


def test_groups_of_one_onset_are_called_by_number_without_error():
    given = {name: labels(frames, 8) for name, frames in (("a", 12), ("b", 20), ("c", 9))}
    baseline = frame_index_baseline(given)
    assert baseline.auc == baseline.confusion.accuracy == 1.0
    assert baseline.thresholds == {"a": 8, "b": 8, "c": 8}
    assert baseline.confusion.total == 41
    assert baseline.groups.tolist() == ["a"] * 12 + ["b"] * 20 + ["c"] * 9
    assert baseline.score[:3].tolist() == [0, 1, 2]


def test_a_groups_own_labels_move_its_own_threshold_nowhere():
    given = {"a": labels(20, 8), "b": labels(20, 9), "c": labels(20, 10)}
    before = frame_index_baseline(given)
    after = frame_index_baseline({**given, "c": labels(20, 1)})
    assert before.thresholds["c"] == after.thresholds["c"]
    assert before.thresholds["a"] != after.thresholds["a"]
    in_c = before.groups == "c"
    assert (before.calls[in_c] == after.calls[in_c]).all()


def test_thresholds_are_those_a_loop_finds():
    draws = np.random.default_rng(0)
    given = {}
    for name in "abcde":
        frames = int(draws.integers(5, 15))
        given[name] = labels(frames, int(draws.integers(0, frames + 1)))
    baseline = frame_index_baseline(given)

    def right(threshold, left_out):
        return sum(
            (t >= threshold) == bool(label)
            for name, sequence in given.items()
            if name != left_out
            for t, label in enumerate(sequence)
        )

    for name, threshold in baseline.thresholds.items():
        best = max(right(t, name) for t in range(16))
        assert right(threshold, name) == best
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in baseline.score[baseline.truth]
        for low in baseline.score[~baseline.truth]
    ]
    assert baseline.auc == pytest.approx(np.mean(pairs))


def test_the_median_onset_is_that_of_the_others():
    given = {"a": labels(30, 4), "b": labels(30, 10), "c": labels(30, 12), "d": labels(30, 20)}
    assert median_onset_baseline(given) == {"a": 12, "b": 12, "c": 10, "d": 10}


def test_of_two_medians_the_earlier_and_none_beyond_the_end():
    given = {"a": labels(30, 4), "b": labels(30, 10), "c": labels(8, 3)}
    assert median_onset_baseline(given) == {"a": 3, "b": 3, "c": 4}
    late = {"a": labels(30, 14), "b": labels(30, 16), "c": labels(8, 8)}
    assert median_onset_baseline(late)["c"] is None
    # A censored group counts with the frame after its last.
    assert median_onset_baseline(late)["a"] == 8


def test_baselines_refuse_what_leaves_no_other_group():
    for baseline in (frame_index_baseline, median_onset_baseline):
        with pytest.raises(ValueError, match="two or more"):
            baseline({"a": labels(9, 3)})
        with pytest.raises(InputError, match="'b'"):
            baseline({"a": labels(9, 3), "b": [0, 1, 0]})


def test_coverage_counts_open_ends():
    found = coverage([2, 5, 8, 0], [4, None, None, 3], [4, 9, None, 4], [10, 10, 10, 10])
    assert (found.covered, found.count, found.share) == (3, 4, 0.75)
    assert found.mean_width == (2 + 5 + 2 + 3) / 4


def test_the_temper_follows_how_sure_the_classifier_may_be():
    draws = np.random.default_rng(1)
    calibrated, overdone, onsets = [], [], []
    for _ in range(150):
        onset = int(draws.integers(0, 31))
        side = np.where(np.arange(30) >= onset, 1.0, -1.0)
        log_odds = 1.2 * (0.6 * side + draws.normal(size=(1, 30)))
        calibrated.append(1 / (1 + np.exp(-log_odds)))
        overdone.append(1 / (1 + np.exp(-3 * log_odds)))
        onsets.append(onset if onset < 30 else None)
    assert likeliest_temper(calibrated, onsets) >= 0.7
    assert likeliest_temper(overdone, onsets) <= 0.5


def test_the_surest_are_answered_first_and_equals_alike():
    curve = errors_of_the_surest([9, 1, 4, 2, 6], [8, 1, 3, 3, 5])
    assert [share for share, _ in curve] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    # 1; then 4 and 2, of which nobody says which is surer, as 3 and 3; then 6, and 9.
    assert [error for _, error in curve] == pytest.approx([1, 2, 7 / 3, 13 / 4, 22 / 5])
    # Doubt that says nothing gives the mean error throughout.
    assert [error for _, error in errors_of_the_surest([9, 1, 4], [2, 2, 2])] == [14 / 3] * 3
