"""Defects put into a recording are found in their frames, and nowhere else."""

import numpy as np
import pytest
from scipy import ndimage
from simulated_embryos import make_embryo
from simulated_recordings import make_frames

from isl.polarity.defects import DEFECTS, find_defects, words_of
from isl.polarity.embryo import without_defects


def film(count=8, size=(160, 192)):
    """float32 [T, Y, X]: a disc of cells that change a little from frame to frame."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    disc = np.hypot(y - size[0] / 2, x - size[1] / 2) < 45
    cells = ndimage.gaussian_filter(rng.normal(size=size), 1.5)
    frames = []
    for _ in range(count):
        own = cells + 0.3 * ndimage.gaussian_filter(rng.normal(size=size), 1.5)
        frames.append(0.45 + np.where(disc, 0.2 + own, 0.05 * own))
    return np.array(frames, np.float32)


def found(frames):
    return [(each.kind, each.frame) for each in find_defects(frames)]


def test_a_good_recording_has_none():
    assert found(film()) == []
    assert found(np.round(film() * 255).astype(np.uint8).astype(np.float32)) == []
    assert found(make_frames(8).astype(np.float32)) == []


def clipped(frames):
    frames[3] = np.minimum(frames[3], np.percentile(frames[3], 90))


def flat(frames):
    frames[3] = 0.45 + 0.3 * (frames[3] - 0.45)


def blurred(frames):
    frames[3] = ndimage.gaussian_filter(frames[3], 3)


def moved(frames):
    frames[3:] = np.roll(frames[3:], 20, axis=2)


def repeated(frames):
    frames[3] = frames[2]


@pytest.mark.parametrize(
    ("defect", "kind"),
    [
        (clipped, "exposure"),
        (flat, "exposure"),
        (blurred, "focus"),
        (moved, "motion"),
        (repeated, "missing"),
    ],
)
def test_a_defect_is_found_in_its_frame_alone(defect, kind):
    frames = film()
    defect(frames)
    assert found(frames) == [(kind, 3)]


def test_exposure_is_seen_in_the_stacks_as_they_were_stored():
    """Frames stretched one by one hide it."""
    frames = film()
    stored = np.round(200 * frames[:, None]).astype(np.uint8)
    stored[2] = stored[2] // 5
    assert [(e.kind, e.frame) for e in find_defects(frames, stored)] == [("exposure", 2)]


def test_frames_that_have_nothing_in_common_have_not_moved():
    noise = np.random.default_rng(0).random((6, 64, 64)).astype(np.float32)
    assert found(noise) == []


def test_what_is_said_of_them():
    frames = film()
    repeated(frames)
    frames[6] = frames[5]
    moved_too = find_defects(frames)
    assert words_of(moved_too) == [
        "missing: 2 frames, the first frame 3: it repeats the frame before it, pixel by pixel"
    ]
    assert words_of(moved_too[:1], lambda t: f"t{t}.png") == [
        "missing: t3.png: it repeats the frame before it, pixel by pixel"
    ]
    assert words_of(()) == []


def test_embryos_are_left_out_where_told_to():
    good, bad = make_embryo("A", 2), make_embryo("B", 3)
    bad.dic[4] = bad.dic[3]
    said = []
    assert without_defects((good, bad), (), said.append) == (good, bad)
    assert without_defects((good, bad), ("exposure",), said.append) == (good, bad)
    assert said == []
    assert without_defects((good, bad), DEFECTS, said.append) == (good,)
    assert said == [
        "B is left out; missing: frame 4: it repeats the frame before it, pixel by pixel"
    ]
