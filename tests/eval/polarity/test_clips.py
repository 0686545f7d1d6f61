"""Clips: where they lie, and that the onset is looked for anew in each."""

import numpy as np
import pytest
from simulated_polarity import make_embryo

from isl_eval.polarity.clips import CLIPS, SHORTEST, clips_of, judge_clips
from isl_eval.polarity.predictions import HeldOut
from isl_eval.statistics.bootstrap import Resampling

RESAMPLING = Resampling(replicates=50, level=0.9, seed=0)
EMBRYOS = [make_embryo(name, onset, frames=20) for name, onset in (("a", 4), ("b", 10), ("c", 15))]


def predictions(strength):
    logits = {}
    for embryo in EMBRYOS:
        said = np.where(embryo.after, strength, -strength).astype(np.float32)
        logits[embryo.name] = np.stack([np.zeros_like(said), said], axis=-1)[None]
    return [HeldOut(logits=logits, combine="mean", threshold=0.5)]


def test_clips_lie_within_their_recording():
    clips = clips_of(20, np.random.default_rng(0))
    assert len(clips) == CLIPS
    assert all(0 <= first and last <= 20 and last - first >= SHORTEST for first, last in clips)
    assert {last - first for first, last in clips} != {20}
    assert clips_of(SHORTEST - 1, np.random.default_rng(0)) == []


def test_who_knows_every_frame_is_right_in_every_clip():
    found = judge_clips("all", predictions(4.0), EMBRYOS, RESAMPLING)
    assert found is not None
    assert found.clips == CLIPS * len(EMBRYOS)
    assert found.onset_error.estimate == 0
    assert found.accuracy.estimate == 1
    assert found.auc.estimate == pytest.approx(1)
    assert found.lead.estimate == pytest.approx(1 - found.auc_by_number.estimate)


def test_who_knows_nothing_goes_by_the_number():
    """An even posterior rises with the number, and knows no more than it."""
    found = judge_clips("none", predictions(0.0), EMBRYOS, RESAMPLING)
    assert found is not None
    assert abs(found.lead.estimate) < 0.2
    assert found.onset_error.estimate > 2
