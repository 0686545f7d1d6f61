import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl.polarity.onset import (
    change_point_posterior,
    conformal_spread,
    find_onset,
    onset_errors,
    onset_from_calls,
    onset_of_labels,
    smooth,
)

probabilities = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12)
call_sequences = st.lists(st.booleans(), min_size=1, max_size=9)


def calls(text):
    return np.array([letter == "1" for letter in text])


def text(sequence):
    return "".join("1" if call else "0" for call in sequence)


def step(frames, onset, low=0.1, high=0.9):
    return np.where(np.arange(frames) >= onset, high, low)


# --- smoothing and the rule


@pytest.mark.parametrize(
    ("raw", "smoothed"),
    [
        ("0010000", "0000000"),
        ("0011000", "0011000"),
        ("1110111", "1111111"),
        ("0101010", "0010100"),
        ("1000001", "1000001"),
        ("1011", "1111"),
        ("0100", "0000"),
        ("010", "000"),
        ("101", "111"),
        ("10", "10"),
        ("01", "01"),
        ("1", "1"),
        ("0", "0"),
        ("", ""),
    ],
)
def test_each_call_follows_the_majority_around_it_and_the_ends_stay(raw, smoothed):
    assert text(smooth(calls(raw))) == smoothed


def test_smoothing_is_a_majority_of_three_for_every_short_sequence():
    for frames in range(1, 9):
        for raw in itertools.product([0, 1], repeat=frames):
            slow = list(raw)
            for t in range(1, frames - 1):
                slow[t] = 1 if raw[t - 1] + raw[t] + raw[t + 1] >= 2 else 0
            assert smooth(raw).tolist() == [bool(call) for call in slow]


def test_smoothing_leaves_what_it_was_given():
    raw = calls("0101")
    smooth(raw)
    assert text(raw) == "0101"


@pytest.mark.parametrize(
    ("raw", "onset"),
    [
        ("000111", 3),
        ("010111", 2),  # smoothed 001111
        ("0100111", 4),
        ("0000", None),
        ("0", None),
        ("1", 0),
        ("1000", 0),  # the first frame is an end: it stays
        ("0001", 3),  # so is the last
        ("00100", 2),  # smoothing leaves nothing: the raw calls count
        ("0100100", 1),
        ("1111", 0),
    ],
)
def test_the_onset_is_the_first_smoothed_call(raw, onset):
    assert onset_from_calls(calls(raw)) == onset


@given(call_sequences)
def test_no_call_is_censored_and_any_call_is_not(raw):
    assert (onset_from_calls(raw) is None) == (not any(raw))


# --- the change-point posterior


def brute_force(probability, temper, lapse=0.01):
    """Every onset's likelihood, one factor after another."""
    clipped = [min(max(float(p), lapse), 1 - lapse) for p in probability]
    likelihoods = []
    for onset in range(len(clipped) + 1):
        likelihood = 1.0
        for t, p in enumerate(clipped):
            likelihood *= (p if t >= onset else 1 - p) ** temper
        likelihoods.append(likelihood)
    return np.array(likelihoods) / sum(likelihoods)


@given(probabilities, st.sampled_from([0.1, 0.3, 1.0]))
def test_the_posterior_is_what_a_loop_over_onsets_gives(probability, temper):
    posterior = change_point_posterior(np.array(probability), temper=temper)
    np.testing.assert_allclose(posterior, brute_force(probability, temper), rtol=1e-9)
    assert posterior.sum() == pytest.approx(1)


def test_posteriors_of_many_members_at_once_are_those_of_each():
    members = np.random.default_rng(0).random((4, 11))
    together = change_point_posterior(members)
    assert together.shape == (4, 12)
    for row, member in zip(together, members, strict=True):
        np.testing.assert_array_equal(row, change_point_posterior(member))


def test_frames_that_say_nothing_leave_every_onset_as_likely():
    np.testing.assert_allclose(change_point_posterior(np.full(7, 0.5)), 1 / 8)
    np.testing.assert_allclose(change_point_posterior(np.full(7, 0.3), threshold=0.3), 1 / 8)


def test_tempering_widens_but_moves_no_mode():
    probability = np.random.default_rng(1).random(30)
    sharp, wide = (change_point_posterior(probability, temper=temper) for temper in (1.0, 0.2))
    assert np.argmax(sharp) == np.argmax(wide)
    assert wide.max() < sharp.max()


def test_certain_frames_and_long_recordings_stay_finite():
    probability = step(3000, 1200, 0.0, 1.0)
    probability[[5, 2500]] = 1.0, 0.0
    posterior = change_point_posterior(probability, temper=1.0)
    assert np.isfinite(posterior).all()
    assert np.argmax(posterior) == 1200


@pytest.mark.parametrize("temper", [0.0, -1.0, 1.5, math.nan])
def test_a_temper_outside_its_range_is_refused(temper):
    with pytest.raises(ValueError, match="temper"):
        change_point_posterior(np.array([0.5]), temper=temper)


# --- the ensemble


def test_a_clear_onset():
    found = find_onset(np.stack([step(20, 8), step(20, 8), step(20, 9)]))
    assert (found.verdict, found.frame) == ("onset", 8)
    assert not found.censored
    assert not found.left_censored
    assert found.agreement == 1.0
    assert found.member_onsets == (8, 8, 9)
    assert found.low <= 8 <= found.high < 20
    assert text(found.calls) == text(found.smoothed) == "0" * 8 + "1" * 12
    assert found.posterior.shape == (21,)
    assert found.posterior.sum() == pytest.approx(1)


def test_all_before_is_censored():
    found = find_onset(np.full((3, 12), 0.1))
    assert (found.verdict, found.frame, found.high) == ("censored", None, None)
    assert found.censored
    assert found.member_onsets == (12, 12, 12)
    assert found.low <= 12


def test_all_after_is_left_censored():
    found = find_onset(np.full((3, 12), 0.9))
    assert (found.verdict, found.frame, found.low) == ("onset", 0, 0)
    assert found.left_censored
    assert not found.censored


@pytest.mark.parametrize(("probability", "frame"), [(0.9, 0), (0.1, None)])
def test_of_one_frame_the_likelier_is_said_and_that_it_cannot_be_told(probability, frame):
    found = find_onset(np.array([[probability]]))
    assert found.frame == frame
    assert (found.low, found.high, found.verdict) == (0, None, "cannot_tell")


@pytest.mark.parametrize("rule", ["smoothed", "change_point", "posterior"])
def test_an_interval_of_the_whole_recording_and_more_tells_nothing(rule):
    unsure, sure = np.full((3, 8), 0.45), np.stack([step(8, 4, 0.01, 0.99)] * 3)
    found = find_onset(unsure, rule=rule)
    assert (found.low, found.high, found.verdict) == (0, None, "cannot_tell")
    found = find_onset(sure, rule=rule, temper=1.0)
    assert (found.frame, found.verdict) == (4, "onset")


@pytest.mark.parametrize("rule", ["smoothed", "change_point", "posterior"])
@pytest.mark.parametrize("combine", ["mean", "logits", "vote"])
def test_frames_without_a_say_move_nothing(rule, combine):
    """Whatever is said of them; what the others say is as if they had not spoken."""
    plain = np.stack([step(30, 14), step(30, 15), step(30, 14)])
    broken = plain.copy()
    broken[:, [3, 4, 20, 21, 22]] = 1 - broken[:, [3, 4, 20, 21, 22]]
    counted = np.ones(30, bool)
    counted[[3, 4, 20, 21, 22]] = False
    options = {"rule": rule, "combine": combine}
    one, other = (find_onset(each, counted=counted, **options) for each in (plain, broken))
    assert one.frame == other.frame == find_onset(plain, **options).frame
    np.testing.assert_allclose(one.posterior, other.posterior)
    np.testing.assert_array_equal(one.calls, other.calls)
    # As wide as if five frames less had been taken, and what was said of them is kept.
    assert other.high - other.low >= find_onset(plain, **options).high - find_onset(plain).low
    np.testing.assert_allclose(other.probability[counted], one.probability[counted])
    assert abs(find_onset(broken, **options).posterior - other.posterior).max() > 0.01


def test_a_recording_of_which_no_frame_has_a_say_is_heard_whole():
    members = np.stack([step(12, 6)] * 2)
    one, other = find_onset(members), find_onset(members, counted=np.zeros(12, bool))
    np.testing.assert_array_equal(one.posterior, other.posterior)


def test_a_lone_call_is_an_onset_and_shown_as_one():
    probability = np.full(9, 0.1)
    probability[4] = 0.9
    found = find_onset(probability[None])
    assert found.frame == 4
    # Smoothing would leave nothing, so what is shown is what the onset was read from.
    assert text(found.smoothed) == "000010000"
    assert found.low <= 4


def test_the_interval_holds_the_onset_that_the_rule_chose():
    # Two early calls survive smoothing; the posterior believes the later change.
    probability = step(30, 20, 0.02, 0.98)
    probability[[3, 4]] = 0.6
    found = find_onset(probability[None])
    assert found.frame == 3
    assert np.argmax(found.posterior) == 20
    assert found.low <= 3
    assert found.high >= 20


def test_the_change_point_rule_looks_past_a_short_flash():
    probability = step(30, 20, 0.02, 0.98)
    probability[[3, 4]] = 0.6
    found = find_onset(probability[None], rule="change_point")
    assert found.frame == 20
    assert found.member_onsets == (20,)
    assert found.low > 4


def test_frames_that_say_nothing_are_not_called_by_either_rule():
    for rule in ("smoothed", "change_point"):
        found = find_onset(np.full((2, 6), 0.5), rule=rule)
        assert found.censored
        assert (found.low, found.high) == (0, None)


@pytest.mark.parametrize(
    ("onsets", "verdict", "agreement"),
    [
        ([10, 10, 10], "onset", 1.0),
        ([10, 10, 13], "onset", 2 / 3),  # two thirds are enough
        ([10, 12, 12], "onset", 1.0),
        ([6, 10, 14], "cannot_tell", 1 / 3),
        ([10, 10, 10, 10, 14, 14], "onset", 4 / 6),
        ([10, 10, 10, 14, 14, 14], "cannot_tell", 3 / 6),
        ([10], "onset", 1.0),
    ],
)
def test_fewer_than_two_thirds_near_the_ensemble_cannot_tell(onsets, verdict, agreement):
    # Ensemble: the vote; of three and three, frames 10 to 13 are called by half, which is no call.
    found = find_onset(np.stack([step(30, onset) for onset in onsets]), combine="vote")
    if verdict == "cannot_tell" and len(onsets) == 6:
        assert found.frame == 14
    else:
        assert found.frame == sorted(onsets)[len(onsets) // 2]
    assert found.verdict == verdict
    assert found.agreement == pytest.approx(agreement)
    assert found.member_onsets == tuple(onsets)


def test_members_that_find_none_count_as_the_frame_after_the_last():
    members = np.stack([step(20, 19), step(20, 20), step(20, 20)])
    found = find_onset(members)
    assert (found.verdict, found.frame, found.agreement) == ("censored", None, 1.0)
    assert found.member_onsets == (19, 20, 20)
    early = find_onset(np.stack([step(20, 5), step(20, 5), step(20, 20), step(20, 20)]))
    assert early.verdict == "cannot_tell"


def test_a_single_member_agrees_with_itself():
    rng = np.random.default_rng(3)
    for rule in ("smoothed", "change_point"):
        for combine in ("mean", "logits", "vote"):
            found = find_onset(rng.random((1, 15)), rule=rule, combine=combine)
            assert found.agreement == 1.0


def test_disagreeing_members_widen_the_interval():
    apart = find_onset(np.stack([step(30, 6), step(30, 15), step(30, 24)]))
    together = find_onset(np.stack([step(30, 15)] * 3))
    assert (apart.high - apart.low) > 2 * (together.high - together.low)


def test_the_mean_of_probabilities_is_the_default():
    members = np.random.default_rng(4).random((5, 9))
    np.testing.assert_allclose(find_onset(members).probability, members.mean(axis=0))


def test_summed_logits_are_softmaxed():
    logits = np.random.default_rng(5).normal(0, 3, (4, 9, 2))
    weights = np.exp(logits)
    members = weights[..., 1] / weights.sum(-1)
    summed = np.exp(logits.sum(axis=0))
    expected = summed[:, 1] / summed.sum(-1)
    found = find_onset(members, member_logits=logits, combine="logits")
    np.testing.assert_allclose(found.probability, expected, rtol=1e-9)
    np.testing.assert_allclose(
        find_onset(members, combine="logits").probability, expected, rtol=1e-7
    )


def test_logits_beyond_what_probabilities_hold():
    logits = np.zeros((2, 3, 2), np.float32)
    logits[0, :, 1] = [-900, 900, 900]
    logits[1, :, 1] = [0, 0, -1000]
    members = np.array([[0, 1, 1], [0.5, 0.5, 0]], np.float32)
    found = find_onset(members, member_logits=logits, combine="logits")
    assert found.probability.tolist() == [0.0, 1.0, 0.0]
    assert np.isfinite(find_onset(members, combine="logits").probability).all()


def test_a_vote_is_the_share_of_members_above_the_threshold():
    members = np.array([[0.2, 0.6, 0.45], [0.3, 0.45, 0.45], [0.9, 0.7, 0.1], [0.1, 0.1, 0.9]])
    found = find_onset(members, combine="vote")
    assert found.probability.tolist() == [0.25, 0.5, 0.25]
    assert text(found.calls) == "000"  # half is no majority
    lower = find_onset(members, combine="vote", threshold=0.4)
    assert lower.probability.tolist() == [0.25, 0.75, 0.75]
    assert text(lower.calls) == "011"


def test_the_threshold_is_the_members_and_half_of_the_votes_is_none():
    # With a threshold of 0.4 two of four call the last frame: still no majority.
    found = find_onset(
        np.array([[0.1, 0.45], [0.1, 0.6], [0.1, 0.2], [0.1, 0.3]]), combine="vote", threshold=0.4
    )
    assert found.probability.tolist() == [0.0, 0.5]
    assert found.censored


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_the_posterior_mixes_members_and_ensemble_in_equal_parts(threshold):
    members = np.random.default_rng(6).random((3, 10))
    found = find_onset(members, threshold=threshold, temper=0.6)
    parts = [*members, members.mean(axis=0)]
    expected = sum(change_point_posterior(part, threshold=threshold, temper=0.6) for part in parts)
    np.testing.assert_allclose(found.posterior, expected / 4, rtol=1e-12)


def test_a_frame_is_called_above_the_threshold():
    members = np.array([[0.3, 0.5, 0.6, 0.7]])
    assert text(find_onset(members).calls) == "0011"
    assert text(find_onset(members, threshold=0.4).calls) == "0111"
    assert text(find_onset(members, threshold=0.65).calls) == "0001"
    # The change point weighs frames against the same threshold.
    assert find_onset(members, threshold=0.65, rule="change_point").frame == 3


def test_probabilities_in_float32_are_taken():
    members = np.stack([step(20, 8), step(20, 9)]).astype(np.float32)
    found = find_onset(members)
    assert found.probability.dtype == found.posterior.dtype == np.float64
    assert found.frame == 9


@pytest.mark.parametrize(
    "broken",
    [
        np.zeros(5),
        np.zeros((0, 5)),
        np.zeros((3, 0)),
        np.full((1, 2), np.nan),
        np.full((1, 2), 1.1),
    ],
)
def test_what_is_no_probability_of_members_and_frames_is_refused(broken):
    with pytest.raises(ValueError, match="member probabilities"):
        find_onset(broken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "sum"}, "combine"),
        ({"rule": "first"}, "rule"),
        ({"threshold": 0.0}, "threshold"),
        ({"combine": "logits", "member_logits": np.zeros((2, 3, 2))}, "logits have shape"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        find_onset(np.full((2, 4), 0.5), **options)


# --- does the 90 % interval hold 90 %?


def correlated(rng, shape, neighbours):
    """Unit normal noise [..., T] whose neighbours in time correlate."""
    noise = rng.standard_normal(shape)
    for t in range(1, shape[-1]):
        noise[..., t] = neighbours * noise[..., t - 1] + np.sqrt(1 - neighbours**2) * noise[..., t]
    return noise


def simulated(rng, *, members, neighbours, separation=1.9, own=0.3):
    """An embryo of which every frame's probabilities are calibrated, but err together over time.

    A frame's evidence is normal about +-separation / 2 with deviation 1, so P = logistic(separation
    times it). Of its variance the share `own` is each member's, the rest all members' alike.
    """
    frames = int(rng.integers(15, 42))
    onset = int(rng.integers(0, frames + 1))
    mean = separation / 2 * np.where(np.arange(frames) >= onset, 1.0, -1.0)
    alike = correlated(rng, (1, frames), neighbours)
    apart = correlated(rng, (members, frames), neighbours)
    evidence = mean + np.sqrt(1 - own) * alike + np.sqrt(own) * apart
    return 1 / (1 + np.exp(-separation * evidence)), onset


def interval_coverage(neighbours, temper, *, members=3, embryos=400):
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(embryos):
        probability, onset = simulated(rng, members=members, neighbours=neighbours)
        frames = probability.shape[1]
        found = find_onset(probability, rule="change_point", temper=temper)
        covered += found.low <= onset <= (frames if found.high is None else found.high)
    return covered / embryos


@pytest.mark.parametrize("neighbours", [0.8, 0.9])
def test_the_interval_covers_its_share_where_frames_err_together(neighbours):
    # 400 embryos: a coverage of 0.9 is measured to 0.015.
    assert interval_coverage(neighbours, 0.3) == pytest.approx(0.9, abs=0.05)


def test_untempered_it_covers_too_little_where_frames_err_together():
    assert interval_coverage(0.9, 1.0, members=1) < 0.75
    assert interval_coverage(0.9, 0.3, members=1) > 0.8


def test_where_frames_err_alone_no_temper_is_needed():
    assert interval_coverage(0.0, 1.0) >= 0.9


# --- errors and labels


def test_onset_errors_count_censored_as_the_frame_after_the_last():
    errors = onset_errors([3, None, 7, None, 0], [5, 10, None, None, 0], [20, 12, 9, 9, 4])
    assert errors.tolist() == [2, 2, 2, 0, 0]
    assert errors.dtype == np.int64
    with pytest.raises(ValueError, match="zip"):
        onset_errors([1], [1, 2], [9, 9])


@pytest.mark.parametrize(
    ("labels", "onset"), [("0011", 2), ("1111", 0), ("0000", None), ("0", None), ("1", 0)]
)
def test_the_onset_of_labels(labels, onset):
    assert onset_of_labels([int(letter) for letter in labels], embryo="E016") == onset
    assert onset_of_labels(calls(labels), embryo="E016") == onset


def test_labels_that_go_back_are_refused_by_name():
    with pytest.raises(InputError) as refused:
        onset_of_labels([0, 1, 1, 0, 1], embryo="E016", frames=[13, 14, 15, 16, 17])
    assert "'E016'" in str(refused.value)
    assert "frame 16" in str(refused.value)
    assert "onset at frame 14" in str(refused.value)
    with pytest.raises(InputError, match=r"'E1' in labels\.csv: label of frame 2 goes back"):
        onset_of_labels([0, 1, 0], embryo="E1", source="labels.csv")


@pytest.mark.parametrize("labels", [[], [0, 2], [0, -1], [0.5], [math.nan], ["before"]])
def test_what_are_no_labels_is_refused(labels):
    with pytest.raises(InputError, match="embryo 'E1'"):
        onset_of_labels(labels, embryo="E1")


# --- the median of the posterior, and conformal intervals


def test_the_median_of_the_posterior_is_an_onset():
    found = find_onset(step(9, 4)[None], rule="posterior", temper=1.0)
    assert (found.frame, found.verdict) == (4, "onset")
    np.testing.assert_allclose(found.after, np.cumsum(found.posterior)[:-1])
    assert np.all(np.diff(found.after) >= 0)
    never = find_onset(np.full((1, 6), 0.05), rule="posterior", temper=1.0)
    assert (never.frame, never.verdict) == (None, "censored")


def test_an_interval_is_spread_around_the_median():
    members = step(31, 15, low=0.1, high=0.9)[None]
    plain = find_onset(members, rule="posterior")
    wide = find_onset(members, rule="posterior", spread=2.0)
    assert plain.high is not None
    assert wide.high is not None
    assert (plain.frame, wide.frame) == (15, 15)
    assert 15 - wide.low == 2 * (15 - plain.low)
    assert wide.high - 15 == 2 * (plain.high - 15)
    beyond = find_onset(members, rule="posterior", spread=100.0)
    assert (beyond.low, beyond.high) == (0, None)


def test_the_spread_is_the_score_that_conformal_prediction_asks_for():
    """Posteriors whose median is 10 and whose arms are 2: scores are distances over 2."""
    posterior = np.zeros(21)
    posterior[[8, 10, 12]] = 0.06, 0.88, 0.06
    true = [10, 11, 12, 13, 14, 15, 16, 17, 18]
    posteriors = [posterior] * len(true)
    # Of nine the ninth is asked for at 90 %, of ten the tenth, and at 50 % the fifth of nine.
    assert conformal_spread(posteriors, true) == pytest.approx(4)
    assert conformal_spread(posteriors, true, level=0.5) == pytest.approx(2)
    assert conformal_spread([posterior], [10]) == 1
    assert conformal_spread([posterior], [None]) == pytest.approx(5)
    assert conformal_spread([], []) is None


def test_spread_intervals_hold_as_many_new_onsets_as_they_say():
    """Onsets and posteriors drawn alike: coverage of those left out is near 90 %."""
    rng = np.random.default_rng(0)
    places = np.arange(61)
    held = []
    for _ in range(60):
        medians = rng.integers(25, 36, 12)
        true = np.clip(medians + np.rint(rng.normal(0, 6, 12)).astype(int), 0, 59)
        posteriors = [np.exp(-0.5 * ((places - m) / 3.0) ** 2) for m in medians]
        posteriors = [each / each.sum() for each in posteriors]
        spread = conformal_spread(posteriors[1:], true[1:].tolist())
        assert spread is not None
        arm = spread * 5
        held.append(abs(true[0] - medians[0]) <= arm)
    assert np.mean(held) > 0.8
