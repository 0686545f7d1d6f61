"""Simulated embryos have the share that was asked for, and truth that fits their pictures."""

import dataclasses

import numpy as np
import pytest

from isl.fragmentation import stages
from isl.phantom.cleavage.anatomy import OTHERS, Body, Embryo, make_embryo, make_other
from isl.phantom.cleavage.dataset import CLEAVAGE, CleavageConfig, frames_of, stage_of
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


@pytest.mark.parametrize("stage", OTHERS)
def test_other_stages_have_no_fragments_and_lie_within_the_zona(stage: str) -> None:
    assert (CLEAVAGE, *OTHERS) == stages.STAGES
    for seed in range(5):
        rng = np.random.default_rng(seed)
        embryo = make_other(stage, rng)
        assert (len(embryo.cells) == 1) == (stage in ("oocyte", "zygote"))
        assert bool(embryo.nuclei) == (stage == "zygote")
        assert (embryo.cavity is not None) == (stage == "blastocyst")
        for cell in embryo.cells:
            assert np.hypot(cell.x, cell.y) <= embryo.zona
        labels = labels_of(embryo, make_scene(96, embryo, rng))
        assert set(np.unique(labels)) == {0, 1}


def test_a_cavity_is_clear() -> None:
    """Granules are half of what is seen in cytoplasm; within the cavity there are hardly any."""
    rng = np.random.default_rng(2)
    embryo = make_other("blastocyst", rng)
    assert embryo.cavity is not None
    scene = dataclasses.replace(
        make_scene(200, embryo, rng), noise=0.0, quality=100, text=False, grain=0.07, blur=0.2
    )
    full = dataclasses.replace(embryo, cavity=None, cells=embryo.cells[:1])
    empty = dataclasses.replace(full, cavity=embryo.cavity)
    rows, columns = np.mgrid[:200, :200].astype(float)
    y, x = ((n - c) * scene.pixel_size for n, c in zip((rows, columns), scene.center, strict=True))
    middle = embryo.cavity.distance(y, x) < 0.7
    roughness = [
        np.abs(np.diff(show(each, scene, np.random.default_rng(1)).astype(float), axis=1))[
            middle[:, 1:]
        ].mean()
        for each in (full, empty)
    ]
    assert roughness[1] < 0.6 * roughness[0]


def test_a_dataset_of_stages_says_them() -> None:
    config = CleavageConfig(frames=1, size=64, stages=True)
    assert [stage_of(n) for n in range(9)] == [
        CLEAVAGE,
        "oocyte",
        CLEAVAGE,
        "zygote",
        CLEAVAGE,
        "morula",
        CLEAVAGE,
        "blastocyst",
        CLEAVAGE,
    ]
    ((_, labels),) = frames_of(7, config, 0, 0)
    assert set(np.unique(labels)) == {0, 1}
