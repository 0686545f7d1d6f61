"""Which median is given, unless one is asked for."""

import json

import numpy as np
import pytest

from isl.errors import InputError
from isl.labeling.medians import median_kind, named_median, with_median
from isl.labeling.run import reproduce
from isl.labeling.run.fields import Request


def test_exact_patches_give_the_published_median_unless_another_is_asked_for():
    assert median_kind(None, "dense") == "interpolated"
    assert median_kind(None, "exact") == "published"
    assert median_kind("interpolated", "exact") == "interpolated"
    with pytest.raises(InputError, match="unknown median 'publishd'; did you mean 'published'"):
        median_kind("publishd", "dense")


def test_both_are_handed_on_as_the_median():
    taken = []
    rows = np.arange(2)
    sink = named_median(lambda name, t, rows, columns, pixels: taken.append(name))
    for kind in ("interpolated", "published"):
        for name in with_median(("mean", "median"), kind):
            sink(name, 0, rows, rows, np.zeros((1, 2, 2)))
    assert taken == ["mean", "median", "mean", "median"]


def test_records_of_before_are_made_again_with_the_published_median(tmp_path):
    made = {
        "made_by": "isl predict",
        "input": {"path": "field.tif"},
        "settings": {"statistics": ["median"], "labels": ["DAPI"], "into": False},
        "model": {"name": "phantom"},
        "tiles": {},
    }
    (tmp_path / "field.json").write_text(json.dumps(made))
    request = Request(inputs=(), out=tmp_path)
    assert reproduce._request(made, request).median == "published"
    made["settings"]["median"] = "interpolated"
    assert reproduce._request(made, request).median == "interpolated"
