"""Predictions that are kept, and never taken for those of other settings."""

import dataclasses
import re

import numpy as np
import pytest
from simulated_polarity import make_embryo

from isl.errors import InputError
from isl_eval.polarity.predictions import HeldOut, KeptPredictions, fingerprints
from isl_eval.writing.kept_arrays import SETTINGS

MADE = HeldOut(
    logits={"A": np.arange(12, dtype=np.float32).reshape(2, 3, 2), "B/1": np.ones((2, 1, 2))},
    combine="vote",
    threshold=0.4,
    seconds=7.0,
)


def test_what_is_put_is_taken(tmp_path):
    KeptPredictions(tmp_path, {"seed": 1}).put("fold_1", "dic+ezrin", MADE)
    kept = KeptPredictions(tmp_path, {"seed": 1})
    found = kept.take("fold_1", "dic+ezrin")
    assert (found.combine, found.threshold, found.seconds) == ("vote", 0.4, 7.0)
    assert list(found.logits) == ["A", "B/1"]
    np.testing.assert_array_equal(found.logits["A"], MADE.logits["A"])
    assert found.logits["A"].dtype == np.float32
    assert kept.take("fold_1", "dic") is None
    assert kept.take("fold_2", "dic+ezrin") is None


def test_no_two_names_have_one_file(tmp_path):
    names = ("a/b", "a_b", "a.b", "dic", "dic.maps", "ä1", "\u0e41", "../a_b")
    kept = KeptPredictions(tmp_path, {})
    for number, name in enumerate(names):
        kept.put("all", name, dataclasses.replace(MADE, seconds=float(number)))
        kept.put_maps("all", name, [{"of": name}], [np.zeros((1, 1), np.float16)])
    assert [kept.take("all", name).seconds for name in names] == list(range(len(names)))
    assert [kept.take_maps("all", name)[0][0]["of"] for name in names] == list(names)
    assert len(list((tmp_path / "predictions").iterdir())) == 2 * len(names)


def test_agreement_is_kept_undefined_frames_too(tmp_path):
    kept = KeptPredictions(tmp_path, {})
    assert kept.take_agreement("fold_1") is None
    kept.put_agreement("fold_1", {"A": np.array([0.5, np.nan])})
    np.testing.assert_array_equal(kept.take_agreement("fold_1")["A"], [0.5, np.nan])


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": {"seed": 0}}, {"a": {"seed": 1}}, "a.seed is 1 now, and was 0"),
        ({"a": {}}, {"a": {"new": None}}, "a is 'absent' now, and was {}"),
        ({"b": 2}, {"b": 2, "new": None}, "new is None now, and was 'absent'"),
        ({"folds": [["A"]]}, {"folds": [["B"]]}, "folds is [['B']] now, and was [['A']]"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, before, now, said):
    KeptPredictions(tmp_path, before).put("fold_1", "dic", MADE)
    kept = (tmp_path / SETTINGS).read_bytes()
    with pytest.raises(InputError, match=re.escape(f"({said}); name another `out`")):
        KeptPredictions(tmp_path, now)
    assert (tmp_path / SETTINGS).read_bytes() == kept


def test_a_file_carried_in_from_elsewhere_is_refused(tmp_path):
    KeptPredictions(tmp_path / "other", {"seed": 1}).put("fold_1", "dic", MADE)
    kept = KeptPredictions(tmp_path / "own", {"seed": 0})
    stray = "predictions/fold_1.dic.npz"
    (tmp_path / "own" / "predictions").mkdir(parents=True)
    (tmp_path / "own" / stray).write_bytes((tmp_path / "other" / stray).read_bytes())
    with pytest.raises(InputError, match=r"fold_1\.dic\.npz: was made under other settings"):
        kept.take("fold_1", "dic")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_a_damaged_file_is_refused(tmp_path, content):
    kept = KeptPredictions(tmp_path, {})
    kept.put("fold_1", "dic", MADE)
    (tmp_path / "predictions" / "fold_1.dic.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"fold_1\.dic\.npz: cannot be read .*; remove it"):
        kept.take("fold_1", "dic")


def test_damaged_settings_are_refused(tmp_path):
    (tmp_path / SETTINGS).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"settings\.json: cannot be read"):
        KeptPredictions(tmp_path, {})


def test_fingerprints_change_with_all_that_predictions_depend_on():
    embryo = make_embryo("A", 3)
    other = dataclasses.replace
    changed = [
        embryo,
        other(embryo, dic=embryo.dic + np.float32(0.001)),
        other(embryo, measured=None),
        other(embryo, after=~embryo.after),
        other(embryo, group="B"),
        other(embryo, pixel_size=0.7),
        other(embryo, z_step=9.0),
        other(embryo, interval=33.0),
    ]
    assert len({fingerprints([each])["A"] for each in changed}) == len(changed)
    assert fingerprints([embryo]) == fingerprints([make_embryo("A", 3)])
