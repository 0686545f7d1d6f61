import numpy as np
import pytest
from scipy import ndimage
from simulated_recordings import make_frames

from isl.polarity.presence import fainter_pieces, granularity, watch_embryo

SIZE = (160, 192)


def in_focus(frames):
    return frames.astype(np.float32) / 255


@pytest.fixture(scope="module")
def still():
    return in_focus(make_frames(6, size=SIZE, onset=None))


def test_granularity_sees_grains_and_neither_edges_nor_ramps():
    rng = np.random.default_rng(0)
    grains = rng.random((256, 256), dtype=np.float32)
    step = np.zeros((256, 256), np.float32)
    step[:, 128:] = 1
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(256, axis=0)
    inside = (slice(64, 192), slice(64, 192))
    seen, edge, slope = (granularity(image)[inside].max() for image in (grains, step, ramp))
    assert edge < 1e-3 * seen
    assert slope < 1e-3 * seen


def test_an_embryo_that_stays_is_seen_whole(still):
    presence = watch_embryo(still)
    assert presence.found
    assert presence.leaves is None
    assert presence.faint == presence.across == ()
    np.testing.assert_allclose(presence.area, 1, atol=0.05)
    assert presence.contact.max() == 0


def test_its_box_holds_it(still):
    top, bottom, left, right = watch_embryo(still).box
    radius, middle = 0.3 * SIZE[0], (SIZE[0] / 2, SIZE[1] / 2)
    assert bottom - top == right - left
    for first, last, center in ((top, bottom, middle[0]), (left, right, middle[1])):
        assert first <= center - radius
        assert last >= center + radius
        assert last - first < 3.2 * radius


def test_an_embryo_that_drifts_out_has_left_when_half_of_it_is_gone():
    frames = in_focus(make_frames(12, size=SIZE, onset=None, drift=12.0))
    presence = watch_embryo(frames)
    # Its middle reaches the border, 96 pixels away, at frame 8.
    assert presence.leaves is not None
    assert 7 <= presence.leaves <= 9
    assert presence.across[0] < presence.leaves


def test_an_embryo_that_vanishes_has_left(still):
    frames = still.copy()
    rng = np.random.default_rng(1)
    frames[4:] = 120 / 255 + rng.normal(0, 1 / 255, frames[4:].shape)
    assert watch_embryo(frames).leaves == 4
    # One frame is no proof.
    assert watch_embryo(frames[:5]).leaves is None
    assert watch_embryo(frames[:5]).faint == (4,)


def test_a_frame_out_of_focus_is_no_reason_to_refuse(still):
    frames = still.copy()
    frames[2:4] = ndimage.gaussian_filter(frames[2:4], (0, 1.7, 1.7))
    presence = watch_embryo(frames)
    assert presence.area[2:4].max() < 0.6
    assert presence.leaves is None
    assert presence.faint == (2, 3)


def test_an_embryo_against_the_border_stays():
    frames = in_focus(make_frames(6, size=(160, 100), onset=None))
    presence = watch_embryo(frames)
    assert presence.leaves is None
    assert presence.contact.max() > 0


def test_an_embryo_cut_throughout_is_reported():
    frames = in_focus(make_frames(6, size=SIZE, onset=None))[:, :, 96:]
    presence = watch_embryo(np.ascontiguousarray(frames))
    assert presence.leaves is None
    assert presence.across == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("size", [(40, 40), (97, 64)])
def test_noise_holds_no_embryo(size):
    frames = np.random.default_rng(0).random((4, *size), dtype=np.float32)
    presence = watch_embryo(frames)
    assert not presence.found
    assert presence.leaves is None
    assert presence.box == (0, size[0], 0, size[1])


def test_what_is_less_granular_than_the_others_stands_out_of_the_ground():
    """An embryo of 0.7 of their granularity does; specks of the ground, however flat, do not."""
    y, x = np.mgrid[:300, :500]
    grain = np.full((300, 500), 0.1, np.float32)
    known = np.hypot(y - 150, x - 100) < 64
    grain[known] = 10.0
    grain[np.hypot(y - 150, x - 400) < 64] = 7.0
    grain[np.hypot(y - 60, x - 250) < 40] = 4.0
    found = fainter_pieces(grain, known, np.hypot(y - 150, x - 100) > 96)
    assert found.max() == 1
    np.testing.assert_allclose(ndimage.center_of_mass(found), (150, 400), atol=1)


def test_ground_nearly_as_granular_as_embryos_holds_no_fainter_one():
    known = np.zeros((300, 500), bool)
    known[100:200, 50:150] = True
    grain = np.where(known, 10.0, 4.0)
    grain[100:200, 350:450] = 7.0
    assert not fainter_pieces(grain, known, ~known).any()
    assert not fainter_pieces(grain, np.zeros_like(known), ~known).any()
