"""Frames for the panels of outcomes: which are taken, what is asked of them, what is kept."""

from pathlib import Path

import numpy as np
from simulated_polarity import make_embryo

from isl_eval.polarity.examples import (
    candidates_of,
    explained,
    keep,
    kept_examples,
    typical,
)
from isl_eval.polarity.predictions import HeldOut, KeptPredictions

# Onsets at 3 and 2. Outcomes: a TN TN FP TP TP FN, b TN FP TP TP.
A, B = make_embryo("a", 3, frames=6), make_embryo("b", 2, frames=4)
SAID = {"a": [0.1, 0.4, 0.7, 0.9, 0.6, 0.2], "b": [0.3, 0.8, 0.75, 0.95]}
EZRIN = {each.name: np.arange(each.dic.size).reshape(each.dic.shape) / 1000 for each in (A, B)}


def said():
    logits = {}
    for name, after in SAID.items():
        odds = np.log(np.array(after) / (1 - np.array(after)))
        logits[name] = np.stack([0 * odds, odds], -1)[None]
    return HeldOut(logits=logits, combine="mean", threshold=0.5)


def chosen():
    made = said()
    candidates = [each for e in (A, B) for each in candidates_of(e, made, EZRIN[e.name])]
    return candidates, typical(candidates, [made], [A, B])


def test_of_every_outcome_the_frame_of_median_confidence():
    candidates, found = chosen()
    # Of an even number the lower of the two in the middle.
    assert [(each.outcome, each.embryo, each.frame) for each in candidates] == [
        ("TN", "a", 1),
        ("FP", "a", 2),
        ("FN", "a", 5),
        ("TP", "a", 4),
        ("TN", "b", 0),
        ("FP", "b", 1),
        ("TP", "b", 2),
    ]
    # Confidences of TN 0.9 0.6 0.7; FP 0.7 0.8; FN 0.8; TP 0.9 0.6 0.75 0.95.
    assert [(each.outcome, each.embryo, each.frame) for each in found] == [
        ("TN", "b", 0),
        ("FP", "a", 2),
        ("FN", "a", 5),
        ("TP", "b", 2),
    ]
    np.testing.assert_allclose([each.confidence for each in found], [0.7, 0.7, 0.8, 0.75])
    assert [each.called for each in found] == [False, True, False, True]
    assert [each.after for each in found] == [False, False, True, True]


def test_maps_are_asked_for_of_the_call_and_kept(tmp_path):
    asked = []

    def explain(folder, embryo, ezrin, frames, called):
        asked.append((folder, embryo.name, *frames, *called))
        np.testing.assert_allclose(ezrin[0], EZRIN[embryo.name][frames[0]], atol=1e-3)
        return np.full(ezrin.shape, float(len(asked)), np.float32)

    _, found = chosen()
    made = explained(found, Path("model"), [A, B], explain)
    assert asked == [
        (Path("model"), "b", 0, False),
        (Path("model"), "a", 2, True),
        (Path("model"), "a", 5, False),
        (Path("model"), "b", 2, True),
    ]
    kept = KeptPredictions(tmp_path, {})
    kept.folder.mkdir(exist_ok=True)
    assert kept_examples(kept, ["fold_1"], "dic") == []
    keep(kept, "fold_1", "dic", made)
    again = kept_examples(kept, ["fold_1"], "dic")
    assert [each.outcome for each in again] == ["TN", "FP", "FN", "TP"]
    for one, other in zip(made, again, strict=True):
        np.testing.assert_array_equal(one.map, other.map)
        assert (one.embryo, one.frame, one.confidence) == (
            other.embryo,
            other.frame,
            other.confidence,
        )
