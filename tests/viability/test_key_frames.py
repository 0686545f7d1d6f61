"""Key frames against written-out tables: irregular, missing, doubled and out-of-order times."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from isl.errors import InputError
from isl.viability.key_frames import (
    METHODS,
    Frames,
    KeyFrame,
    choose_key_frames,
    covered,
    slots,
)

WINDOW = (0.0, 12.0)
NAN = np.nan
# hour, sharpness, usable, change of frames 0 to 9; bins of 3 hours.
TABLE = [
    (0.5, 0.2, True, 0.0),
    (1.4, 0.9, True, 0.1),
    (1.4, 0.9, True, 0.1),  # Taken twice.
    (2.9, 0.5, False, 0.0),  # Blank.
    (4.4, 0.1, True, 0.1),
    (NAN, 9.0, True, 0.1),  # Nobody knows when.
    (5.9, 0.3, True, 0.9),
    (10.4, 0.7, True, 0.1),
    (11.9, 0.6, True, 0.8),
    (12.5, 9.0, True, 9.0),  # After the window.
]
EXPECTED = {
    # Middles 1.5, 4.5, 7.5 (empty: the nearest chosen is at 10.4) and 10.5.
    "uniform": [(1, "uniform"), (4, "uniform"), (7, "uniform"), (7, "repeated")],
    "sharpest": [(1, "sharpest"), (6, "sharpest"), (6, "repeated"), (7, "sharpest")],
    # Two events; of the bins left (the first and the empty third), both are asked for.
    "events": [(1, "sharpest"), (6, "event"), (6, "repeated"), (8, "event")],
}


def frames(rows: list[tuple[float, float, bool, float]]) -> Frames:
    hours, sharpness, usable, change = (np.array(column) for column in zip(*rows, strict=True))
    return Frames(hours=hours, sharpness=sharpness, usable=usable, change=change)


def said(chosen: tuple[KeyFrame, ...]) -> list[tuple[int, str]]:
    return [(frame.index, frame.why) for frame in chosen]


@pytest.mark.parametrize("method", METHODS)
def test_table(method: str) -> None:
    assert said(choose_key_frames(method, frames(TABLE), WINDOW, 4)) == EXPECTED[method]


@pytest.mark.parametrize("method", METHODS)
def test_order_in_the_file_does_not_count(method: str) -> None:
    """The same frames out of order: the same hours; equal times keep the file's order."""
    shuffled = np.random.default_rng(0).permutation(len(TABLE))
    given = choose_key_frames(method, frames([TABLE[i] for i in shuffled]), WINDOW, 4)
    found = [TABLE[shuffled[frame.index]][0] for frame in given]
    assert found == [TABLE[index][0] for index, _ in EXPECTED[method]]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 12), st.floats(0, 1), st.booleans(), st.sampled_from([0.0, 0.1, 0.2])
        ),
        min_size=4,
        max_size=24,
        unique_by=(lambda row: row[0], lambda row: row[1]),
    ),
    st.sampled_from(["sharpest", "uniform"]),
)
def test_frames_that_no_bin_chooses_may_as_well_not_be_there(rows: list, method: str) -> None:
    if not any(usable for _, _, usable, _ in rows):
        return
    chosen = choose_key_frames(method, frames(rows), WINDOW, 4)
    kept = sorted({frame.index for frame in chosen})
    again = choose_key_frames(method, frames([rows[i] for i in kept]), WINDOW, 4)
    assert [(kept[frame.index], frame.why) for frame in again] == said(chosen)


@given(st.integers(1, 40), st.sampled_from(METHODS), st.integers(2, 9))
def test_as_many_as_asked_for_in_order(count: int, method: str, wanted: int) -> None:
    rng = np.random.default_rng(count)
    rows = list(
        zip(
            rng.uniform(0, 12, count),
            rng.random(count),
            [True] * count,
            rng.random(count) ** 8,
            strict=True,
        )
    )
    chosen = choose_key_frames(method, frames(rows), WINDOW, wanted)
    assert len(chosen) == wanted
    hours = [frame.hour for frame in chosen]
    assert hours == sorted(hours)
    distinct = [frame.index for frame in chosen if frame.why != "repeated"]
    assert len(set(distinct)) == len(distinct)
    assert all(frame.hour == rows[frame.index][0] for frame in chosen)


def test_slots_are_bins_or_halves_of_bins_nearest_frames_first() -> None:
    hours = np.array([row[0] for row in TABLE])
    # Middles 1.5, 4.5, 7.5 (no frame) and 10.5.
    found = [slot.tolist() for slot in slots("uniform", hours, WINDOW, 4)]
    assert found == [[1, 2, 0, 3], [4, 6], [7, 8]]
    # Of two frames taken at once the first; the middles are 0.75, 2.25, 3.75 and so on.
    halves = [slot.tolist() for slot in slots("sharpest", hours, WINDOW, 4)]
    assert halves == [[0, 1, 2], [3], [4], [6], [7], [8]]
    assert slots("events", hours + 20, WINDOW, 4) == ()


@pytest.mark.parametrize("method", METHODS)
def test_frames_that_are_looked_at_give_what_the_table_gives(method: str) -> None:
    """The table without the first frame, which lies in one slot with sharper ones."""
    rows = TABLE[1:]
    looked = []
    for slot in slots(method, np.array([row[0] for row in rows]), WINDOW, 4):
        looked += [int(t) for t in slot if rows[t][2]][:1]
    chosen = choose_key_frames(method, frames([rows[t] for t in looked]), WINDOW, 4)
    assert [(1 + looked[frame.index], frame.why) for frame in chosen] == EXPECTED[method]


def test_nothing_to_choose() -> None:
    rows = [(1.0, 1.0, False, 0.0), (20.0, 1.0, True, 0.0), (NAN, 1.0, True, 0.0)]
    with pytest.raises(InputError, match="no frame between 0 and 12 hours"):
        choose_key_frames("sharpest", frames(rows), WINDOW, 4)


def test_events_need_changes() -> None:
    plain = Frames(hours=np.array([1.0]), sharpness=np.ones(1), usable=np.ones(1, bool))
    with pytest.raises(InputError, match="needs the change"):
        choose_key_frames("events", plain, WINDOW, 4)


def test_events_stand_apart_and_are_at_most_half() -> None:
    change = np.zeros(48)
    change[[10, 11, 20, 30, 40]] = [0.9, 0.8, 0.7, 0.6, 0.5]
    rows = [(t / 4, 1.0, True, float(change[t])) for t in range(48)]
    chosen = choose_key_frames("events", frames(rows), WINDOW, 6)
    assert [frame.index for frame in chosen if frame.why == "event"] == [10, 20, 30]


def test_covered() -> None:
    hours = np.array([NAN, 1.0, 4.0, 10.0, 30.0])
    usable = np.array([True, True, True, True, True])
    assert covered(hours, usable, (0.0, 20.0)) == pytest.approx(9 / 20)
    usable[3] = False
    assert covered(hours, usable, (0.0, 20.0)) == pytest.approx(3 / 20)
    assert covered(hours, ~usable, (40.0, 50.0)) == 0
