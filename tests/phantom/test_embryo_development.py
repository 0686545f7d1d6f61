import dataclasses

import numpy as np
import pytest

from isl.phantom.embryos.development import (
    CELLS,
    COMPACTED,
    Blastomeres,
    blastomeres_at,
    draw_development,
    smallest_angle,
)

USUAL = {"never": 0.25, "early": 0.33, "divisions": 0.0}


def development(seed, frames=16, **chances):
    return draw_development(frames, np.random.default_rng(seed), **(USUAL | chances))


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    return [draw_development(int(rng.integers(12, 21)), rng, **USUAL) for _ in range(800)]


def antiprism(spacing):
    """Eight equal cells of radius 1; the nearest neighbors of each are `spacing` apart."""
    turn = np.arange(CELLS) * np.pi / 4
    # Edges of the squares and those between them are equally long at this height.
    height = np.where(np.arange(CELLS) % 2, 1, -1) * 2**-0.25 / 2
    lateral = 0.5**0.5
    places = np.stack([height, lateral * np.sin(turn), lateral * np.cos(turn)], axis=-1)
    return Blastomeres(
        middle=np.zeros(3),
        centers=spacing * places,
        radii=np.ones(CELLS),
        lineage=np.arange(CELLS),
        cap_axes=places,
        cap_angles=np.zeros(CELLS),
        compactness=0.0,
    )


@pytest.mark.parametrize(
    ("spacing", "angle"), [(2.5, 0), (2, 0), (3**0.5, 60), (2**0.5, 90), (1, 120)]
)
def test_angles_of_equal_balls_follow_from_their_spacing(spacing, angle):
    cells = antiprism(spacing)
    apart = np.linalg.norm(cells.centers[:, None] - cells.centers, axis=-1)
    assert apart[apart > 0].min() == pytest.approx(spacing)
    assert smallest_angle(cells) == pytest.approx(angle, abs=1e-3)


def test_compaction_is_the_first_frame_over_120_degrees():
    seen = 0
    for seed in range(12):
        drawn = development(seed)
        angles = [smallest_angle(blastomeres_at(drawn, t)) for t in range(drawn.frames)]
        over = [t for t, angle in enumerate(angles) if angle > COMPACTED]
        assert drawn.compaction == (over[0] if over else None)
        if drawn.compaction:
            seen += 1
            assert over == list(range(drawn.compaction, drawn.frames))
            assert angles[-1] > angles[0] + 10
    assert seen >= 3


def test_compaction_keeps_the_volume():
    drawn = development(1)
    drawn = dataclasses.replace(drawn, compaction_times=np.full(CELLS, 8.0))
    points = np.random.default_rng(0).uniform(-50, 50, (60000, 3))
    for t in (0, 8, 15):
        cells = blastomeres_at(drawn, t)
        offsets = points[:, None] - (cells.centers - cells.middle)
        inside = (np.linalg.norm(offsets, axis=-1) < cells.radii).any(axis=1)
        expected = 4 / 3 * np.pi * drawn.radius**3
        assert inside.mean() * 100**3 == pytest.approx(expected, rel=0.05)


def test_caps_come_cell_by_cell_and_only_grow(many):
    polarizing = [drawn for drawn in many if drawn.onset is not None]
    for drawn in polarizing:
        onsets = [onset for onset in drawn.cap_onsets if onset is not None]
        assert min(onsets) == drawn.onset
    assert np.mean([len(set(drawn.cap_onsets)) >= 3 for drawn in polarizing]) > 0.7
    drawn = next(drawn for drawn in polarizing if not drawn.polarized_before and drawn.onset < 8)
    angles = np.array([blastomeres_at(drawn, t).cap_angles for t in range(drawn.frames)])
    assert (np.diff(angles, axis=0) >= 0).all()
    for cell, onset in enumerate(drawn.cap_onsets):
        first = drawn.frames if onset is None else onset
        np.testing.assert_array_equal(angles[:, cell] > 0, np.arange(drawn.frames) >= first)


def test_some_never_polarize():
    assert all(development(seed, never=1.0).onset is None for seed in range(20))
    assert all(development(seed, never=0.0).onset is not None for seed in range(20))
    assert development(3, never=1.0).cap_onsets == (None,) * CELLS


def test_what_polarized_before_the_recording_is_polarized_from_frame_0(many):
    before = [drawn for drawn in many if drawn.polarized_before]
    assert {drawn.onset for drawn in before} == {0}
    # A quarter of those that polarize: early / (1 + early).
    polarizing = sum(drawn.onset is not None for drawn in many)
    assert len(before) / polarizing == pytest.approx(0.33 / 1.33, abs=0.06)
    assert not any(development(seed, early=0.0).polarized_before for seed in range(20))


def test_onset_cannot_be_read_from_the_frame_number(many):
    labels = np.concatenate(
        [np.arange(d.frames) >= (d.frames if d.onset is None else d.onset) for d in many]
    )
    frames = np.concatenate([np.arange(d.frames) for d in many])
    # Had every recording begun at one stage and polarized half way, this would be 0.87.
    assert np.corrcoef(frames, labels)[0, 1] < 0.35
    inside = [d for d in many if d.onset is not None and not d.polarized_before]
    places = np.array([d.onset / d.frames for d in inside])
    counts = np.histogram(places, bins=4, range=(0, 1))[0] / len(places)
    np.testing.assert_allclose(counts, 0.25, atol=0.07)
    # Nor from an embryo's number, nor from how long its recording is.
    assert abs(np.corrcoef(np.arange(len(places)), places)[0, 1]) < 0.12
    assert abs(np.corrcoef([d.frames for d in inside], places)[0, 1]) < 0.12


def test_compaction_is_a_hint_and_not_the_answer(many):
    inside = [d for d in many if d.onset is not None and not d.polarized_before]
    compaction = np.array([d.compaction_times.mean() for d in inside])
    onset = np.array([d.onset for d in inside])
    assert 0.4 < np.corrcoef(compaction, onset)[0, 1] < 0.85
    assert np.abs(compaction - onset).mean() > 3
    never, others = (
        [d.compaction_times.mean() for d in many if (d.onset is None) == silent]
        for silent in (True, False)
    )
    assert np.mean(never) == pytest.approx(np.mean(others), abs=1.5)


@pytest.fixture(scope="module")
def dividing():
    rng = np.random.default_rng(1)
    chances = USUAL | {"divisions": 1.0}
    return [draw_development(int(rng.integers(12, 21)), rng, **chances) for _ in range(60)]


def test_the_stage_is_the_frames_with_eight_cells(dividing):
    begun, ended = 0, 0
    for drawn in dividing:
        counts = [len(blastomeres_at(drawn, t).radii) for t in range(drawn.frames)]
        assert counts == sorted(counts)
        assert [t for t, count in enumerate(counts) if count == CELLS] == list(drawn.stage)
        assert min(counts) >= CELLS // 2
        assert max(counts) <= 2 * CELLS
        begun, ended = begun + (counts[0] < CELLS), ended + (counts[-1] > CELLS)
        assert drawn.compaction is None or drawn.compaction in drawn.stage
    assert begun > 20
    assert ended > 20
    assert all(development(seed).stage == range(16) for seed in range(20))


def test_cells_divide_after_the_first_cap_and_come_to_be_before_it(dividing):
    for drawn in dividing:
        if drawn.onset is not None and not drawn.polarized_before:
            assert drawn.onset in drawn.stage


def test_a_mother_has_the_volume_of_her_daughters(dividing):
    for drawn in dividing:
        volumes = drawn.sizes**3
        for t in (0, drawn.stage[0], drawn.frames - 1):
            cells = blastomeres_at(drawn, t)
            there = np.bincount(cells.lineage, cells.radii**3, minlength=CELLS)
            # All of one scale: what mothers have more than their own, their missing sisters lack.
            scale = there.sum() / volumes.sum()
            born = drawn.births <= t
            np.testing.assert_allclose(there[born], scale * volumes[born])
            assert (there[~born] == 0).sum() * 2 == (~born).sum()


def test_one_of_two_daughters_inherits_the_cap(dividing):
    seen = 0
    for drawn in dividing:
        cells = blastomeres_at(drawn, drawn.frames - 1)
        for blastomere in np.flatnonzero(drawn.divisions < drawn.frames):
            capped = cells.cap_angles[cells.lineage == blastomere] > 0
            assert len(capped) == 2
            assert capped.sum() == (drawn.cap_onsets[blastomere] is not None)
            seen += capped.sum()
    assert seen > 20
