"""The outcome in words promises no more than the intervals can hold."""

import pytest

from isl_eval.labeling.judge import Comparison
from isl_eval.labeling.verdict import _difference
from isl_eval.statistics.bootstrap import Interval


def difference(low, high, *, over, units):
    bounds = {"low": low, "high": high, "level": 0.95, "units": units}
    interval = Interval(estimate=0.02, replicates=100, degenerate=0, **bounds)
    return Comparison(
        label="DAPI", first="one", second="two", figures={"pearson": interval}, over=over
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (difference(0.01, 0.03, over="groups", units=12), "two, more than chance."),
        (
            difference(0.01, 0.03, over="groups", units=5),
            "more than chance, as far as 5 groups can tell.",
        ),
        (
            difference(0.01, 0.03, over="blocks", units=40),
            "more than chance on this ground; groups are too few to say more.",
        ),
        (difference(-0.01, 0.03, over="groups", units=5), "which may be chance."),
        (difference(None, None, over="blocks", units=4), "by how much it varies is not known."),
    ],
)
def test_a_difference_says_what_it_rests_on(found, words):
    said = _difference(found)
    assert said.startswith("DAPI: Pearson of one is 0.020 above that of two, ")
    assert said.endswith(words)
