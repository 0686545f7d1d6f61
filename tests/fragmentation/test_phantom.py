"""Simulated embryos have the share that was asked for, and truth that fits their pictures."""

import dataclasses

import numpy as np
import pytest

from isl.phantom.cleavage.anatomy import Body, Embryo, make_embryo
from isl.phantom.cleavage.dataset import CleavageConfig, frames_of
from isl.phantom.cleavage.scene import labels_of, make_scene, show


@pytest.mark.parametrize("cells", [1, 2, 4, 8])
@pytest.mark.parametrize("share", [0.0, 0.08, 0.3])
def test_share_is_what_was_asked_for(cells: int, share: float) -> None:
    rng = np.random.default_rng(cells)
    embryo = make_embryo(cells, share, rng)
    assert len(embryo.cells) == cells
    labels = labels_of(embryo, make_scene(160, embryo, rng))
    found = (labels == 2).sum() / (labels > 0).sum()
    assert found == pytest.approx(share, abs=0.02 + 0.15 * share)


def test_bodies_lie_within_the_zona() -> None:
    for seed in range(10):
        embryo = make_embryo(5, 0.2, np.random.default_rng(seed))
        for body in embryo.fragments:
            assert np.hypot(body.x, body.y) + body.radius <= embryo.zona
        for body in embryo.cells:
            assert np.hypot(body.x, body.y) <= embryo.zona


def test_labels_of_two_discs_are_their_areas() -> None:
    rng = np.random.default_rng(0)
    embryo = Embryo(
        zona=60,
        thickness=12,
        cells=(Body(x=0, y=0, radius=30),),
        fragments=(Body(x=0, y=0, radius=10),),
    )
    scene = make_scene(300, embryo, rng)
    scene = dataclasses.replace(scene, pixel_size=0.5, center=(150.0, 150.0))
    labels = labels_of(embryo, scene)
    assert (labels > 0).sum() == pytest.approx(np.pi * 60**2, rel=0.01)
    assert (labels == 2).sum() == pytest.approx(np.pi * 20**2, rel=0.05)


def test_fragments_can_be_seen_and_frames_follow_from_the_seed() -> None:
    config = CleavageConfig(frames=2, size=128)
    once, again = frames_of(4, config, 0, 0), frames_of(4, config, 0, 0)
    for (picture, labels), (same, same_labels) in zip(once, again, strict=True):
        np.testing.assert_array_equal(picture, same)
        np.testing.assert_array_equal(labels, same_labels)
    other = frames_of(5, config, 0, 0)
    assert not np.array_equal(once[0][0], other[0][0])
    rng = np.random.default_rng(3)
    embryo = make_embryo(2, 0.3, rng)
    scene = make_scene(128, embryo, rng)
    bare = dataclasses.replace(embryo, fragments=())
    labels = labels_of(embryo, scene)
    pictures = [show(e, scene, np.random.default_rng(0)).astype(float) for e in (embryo, bare)]
    change = np.abs(pictures[0] - pictures[1])
    assert change[labels == 2].mean() > 2 * change[labels == 0].mean()
