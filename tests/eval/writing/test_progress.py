"""The time that is left, on a clock that the test moves."""

import pytest

from isl_eval.writing.progress import PartsProgress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("isl_eval.writing.progress.time", clock)
    return clock


def test_every_kind_goes_at_its_own_pace(clock):
    said = []
    progress = PartsProgress({"slow": 3, "quick": 4}, said.append)
    progress.begin()
    clock.now += 60
    progress.end("slow", 1, "one slow part")
    # The quick ones were not met yet, so they are taken for slow.
    assert progress.seconds_left == (2 + 4) * 60
    progress.begin()
    clock.now += 4
    progress.end("quick", 2, "two quick parts")
    assert progress.seconds_left == 2 * 60 + 2 * 2
    assert said == [
        "one slow part (60 s; about 6 min left)",
        "two quick parts (4 s; about 2 min left)",
    ]


def test_what_was_done_before_takes_no_time(clock):
    said = []
    progress = PartsProgress({"part": 3}, said.append)
    progress.skip("part", 2, "two")
    assert progress.seconds_left == 0
    progress.begin()
    clock.now += 2 * 3600
    progress.end("part", 1, "three")
    assert said == ["two (done before)", "three (2 h 0 min)"]
