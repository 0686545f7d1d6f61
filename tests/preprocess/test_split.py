from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl.preprocess.split import SPLITS, split_groups

WELLS = [f"{row}{column}" for row in "ABCD" for column in range(1, 6)]
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_shares_are_met_as_near_as_whole_groups_allow():
    assert Counter(split_groups(WELLS, SHARES, 0).values()) == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    assert Counter(split_groups(WELLS[:10], {"train": 3, "test": 1}, 0).values()) in (
        {"train": 8, "test": 2},
        {"train": 7, "test": 3},
    )
    assert set(split_groups(WELLS, {"train": 1, "validation": 0}, 0).values()) == {"train"}


@given(
    groups=st.lists(st.sampled_from(WELLS), min_size=3, max_size=30),
    seed=st.integers(0, 99),
    shares=st.tuples(*[st.sampled_from([0.0, 0.05, 0.3, 1.0])] * 3).filter(any),
    data=st.data(),
)
def test_order_and_repeats_do_not_matter_and_no_wanted_split_is_empty(groups, seed, shares, data):
    wanted = dict(zip(SPLITS, shares, strict=True))
    if len(set(groups)) < sum(share > 0 for share in shares):
        with pytest.raises(InputError, match="at least one group each"):
            split_groups(groups, wanted, seed)
        return
    split = split_groups(groups, wanted, seed)
    assert set(split) == set(groups)
    assert set(split.values()) == {name for name, share in wanted.items() if share > 0}
    assert split_groups(data.draw(st.permutations(groups)), wanted, seed) == split
    counts = Counter(split.values())
    total = len(split)
    for name, share in wanted.items():
        if counts[name] > 1:
            assert counts[name] < share / sum(shares) * total + 1


def test_the_seed_decides_who_goes_where():
    splits = [split_groups(WELLS, SHARES, seed) for seed in range(20)]
    assert splits[0] == split_groups(WELLS, SHARES, 0)
    assert len({tuple(split.items()) for split in splits}) > 15
    tested = Counter(w for split in splits for w, name in split.items() if name == "test")
    assert len(tested) > 12


def test_what_a_person_assigned_stays():
    assigned = {"B2": "validation", "C3": "validation", "A1": "train"}
    for seed in range(5):
        split = split_groups(WELLS, SHARES, seed, assigned)
        assert {name: split[name] for name in assigned} == assigned
        assert Counter(split.values()) == {"train": 16, "validation": 2, "test": 2}
    every = split_groups(["a", "b"], {"train": 1, "test": 1}, 0, {"a": "test", "b": "train"})
    assert every == {"a": "test", "b": "train"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((["a", "b"], SHARES, 0), "train, validation, test need .* of 2 groups 2 are left"),
        (([], {"train": 1}, 0), "of 0 groups 0 are left"),
        ((["a"], {"train": 1, "test": 1}, 0, {"a": "test"}), "train need .* of 1 groups 0 are"),
        ((WELLS, {"training": 1}, 0), "unknown split 'training'; did you mean 'train'"),
        ((WELLS, {"train": -1}, 0), "share of train is -1"),
        ((WELLS, {"train": float("nan")}, 0), "share of train is nan"),
        ((WELLS, {"train": 0.0}, 0), "all shares are 0"),
        ((WELLS, SHARES, -1), "seed -1"),
        ((WELLS, SHARES, 0, {"B9": "test"}), "unknown group 'B9'"),
        ((WELLS, SHARES, 0, {"B2": "valid"}), "unknown split 'valid'"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        split_groups(*arguments)
