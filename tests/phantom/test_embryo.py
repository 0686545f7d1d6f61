import dataclasses

import numpy as np
import pytest
import scipy.spatial

from isl.config import parse
from isl.errors import InputError
from isl.phantom import EMBRYO_LABELS, EmbryoConfig, make_embryo
from isl.phantom.embryos.body import SKIN, build, distance_to, divide, draw_look
from isl.phantom.embryos.development import CELLS, blastomeres_at
from isl.phantom.embryos.embryo import draw_embryo_development, picture_embryo
from isl.phantom.grid import make_grid

SMALL = {
    "height": 56,
    "width": 64,
    "planes": 3,
    "z_step": 10.0,
    "pixel_size": 2.4,
    "fewest_frames": 6,
    "most_frames": 6,
    "divisions": 0.0,
    "unfocused": 0.0,
}


def config(**changes):
    return EmbryoConfig(**(SMALL | changes))


def pictured(development, seed=0, **changes):
    looking, exposing = (np.random.default_rng([seed, number]) for number in range(2))
    return picture_embryo(config(**changes), development, looking, exposing)


def polarizing(onset, compaction=2.5):
    """A development whose caps come from `onset` on, a frame apart, and which compacts."""
    drawn = draw_embryo_development(config(), 11)
    return dataclasses.replace(
        drawn,
        cap_times=onset + np.arange(CELLS, dtype=np.float64),
        compaction_times=np.full(CELLS, compaction),
        compaction_pace=0.5,
    )


def silent(development):
    return dataclasses.replace(development, cap_times=np.full(CELLS, np.inf))


@pytest.fixture(scope="module")
def pair():
    """The same embryo with caps from frame 3 on, and without any."""
    development = polarizing(3)
    return tuple(pictured(each, caps=1.0) for each in (development, silent(development)))


def test_an_embryo_is_a_movie_of_stacks_and_its_ezrin():
    embryo = make_embryo(config(), 1, name="E1")
    assert embryo.movie.frames.shape == (6, 3, 56, 64)
    assert embryo.ezrin.channels.shape == (6, 1, 56, 64)
    assert embryo.movie.frames.dtype == embryo.ezrin.channels.dtype == np.uint16
    assert embryo.ezrin.labels == EMBRYO_LABELS == ("EZRIN",)
    assert (embryo.movie.name, embryo.movie.modality, embryo.movie.interval) == ("E1", "DIC", 20)
    assert embryo.movie.pixel_size is not None
    assert (embryo.movie.pixel_size.y, embryo.movie.pixel_size.z) == (2.4, 10.0)
    assert np.abs(embryo.movie.frames.std(axis=(2, 3)) / 65535 - 0.125).max() < 0.02


def test_caps_appear_at_the_onset_and_not_before(pair):
    with_caps, without = (e.ezrin.channels[:, 0].astype(np.float64) / 65535 for e in pair)
    assert pair[0].development.onset == 3
    assert pair[1].development.onset is None
    np.testing.assert_array_equal(with_caps[:3], without[:3])
    brighter = (with_caps - without > 0.08).sum(axis=(1, 2))
    assert (brighter[3:] >= 4).all()
    assert (np.diff(brighter[3:]) > 0).all()


def test_transmitted_light_knows_the_caps_from_the_onset_on(pair):
    with_caps, without = (e.movie.frames for e in pair)
    np.testing.assert_array_equal(with_caps[:3], without[:3])
    for t in range(3, 6):
        assert np.abs(with_caps[t].astype(int) - without[t]).max() > 2000


def test_caps_may_be_seen_in_ezrin_alone():
    development = polarizing(3)
    with_caps, without = (pictured(each, caps=0.0) for each in (development, silent(development)))
    np.testing.assert_array_equal(with_caps.movie.frames, without.movie.frames)
    assert not np.array_equal(with_caps.ezrin.channels, without.ezrin.channels)


def test_frames_out_of_focus_are_blurred_and_known():
    development = silent(polarizing(3))
    sharp, blurred = (pictured(development, unfocused=chance) for chance in (0.0, 1.0))
    assert not sharp.focus.any()
    assert (np.abs(blurred.focus) >= 25).all()
    fine = [np.abs(np.diff(e.movie.frames.astype(float), axis=-1)).mean() for e in (sharp, blurred)]
    assert fine[1] < 0.8 * fine[0]
    np.testing.assert_array_equal(sharp.ezrin.channels, blurred.ezrin.channels)


def test_nuclei_are_dyed_in_some_embryos():
    development = silent(polarizing(30))
    assert pictured(development, dyed_nuclei=0.0).nuclei is None
    embryo = pictured(development, dyed_nuclei=1.0)
    assert embryo.nuclei is not None
    assert (embryo.nuclei.labels, embryo.nuclei.channels.shape) == (("NUCLEI",), (6, 1, 56, 64))
    bright = embryo.nuclei.channels[:, 0] > 0.3 * 65535
    cell = embryo.ezrin.channels[:, 0] > 0.1 * 65535
    assert 0.05 < bright.sum() / cell.sum() < 0.6
    assert cell[bright].mean() > 0.99


def test_brightness_of_transmitted_light_does_not_tell_the_onset(pair):
    means = pair[0].movie.frames.mean(axis=(2, 3)) / 65535
    assert np.abs(means - 0.5).max() < 2e-3
    deviations = pair[0].movie.frames.std(axis=(2, 3)) / 65535
    assert np.abs(deviations - 0.125).max() < 4e-3


def convexity(inside):
    """Area of a mask bool [Y, X] as a share of its convex hull's."""
    rows, columns = np.nonzero(inside)
    corners = [(rows + dy, columns + dx) for dy in (-0.5, 0.5) for dx in (-0.5, 0.5)]
    return len(rows) / scipy.spatial.ConvexHull(np.concatenate(corners, axis=1).T).volume


@pytest.mark.parametrize("seed", [11, 12])
def test_compaction_rounds_the_outline(seed):
    drawn = draw_embryo_development(config(), seed)
    course = {"frames": 2, "compaction_times": np.full(CELLS, 0.5), "compaction_pace": 0.1}
    development = silent(dataclasses.replace(drawn, **course))
    assert development.compaction == 1
    embryo = pictured(development, height=112, width=112, pixel_size=1.3, planes=1)
    loose, compact = (convexity(image > 0.12 * 65535) for image in embryo.ezrin.channels[:, 0])
    assert loose < 0.94
    assert compact > loose + 0.025


def test_caps_lie_on_outer_faces():
    """Where the dye with caps exceeds that without, in three dimensions."""
    development = polarizing(-20)
    cells = blastomeres_at(development, 5)
    grid = make_grid(height=64, width=64, pixel_size=1.6, depth=100, thickness=2.5, border=0)
    look = draw_look(45, np.random.default_rng(0))
    capped, bare = (
        build(grid, blastomeres_at(drawn, 5), look, np.random.default_rng(1)).ezrin
        for drawn in (development, silent(development))
    )
    everywhere = (slice(0, grid.slabs), slice(0, grid.rows), slice(0, grid.columns))
    land = divide(grid, cells, everywhere)
    caps = capped - bare
    dyed = caps > 0.05 * caps.max()
    assert set(land.owner[dyed]) == set(range(CELLS))
    assert np.abs(land.outside[dyed]).max() < 3 * SKIN
    assert land.contact[dyed].min() > 0.5
    # Outward of its cell's center, seen from the embryo's middle.
    from_middle = distance_to(grid, cells.middle, everywhere)[dyed]
    to_center = np.linalg.norm(cells.centers - cells.middle, axis=-1)[land.owner[dyed]]
    assert (from_middle > to_center).all()


def test_the_same_seed_gives_the_same_embryo():
    short = config(fewest_frames=2, most_frames=3)
    first, again = (make_embryo(short, seed) for seed in (4, np.random.default_rng(4)))
    np.testing.assert_array_equal(first.movie.frames, again.movie.frames)
    np.testing.assert_array_equal(first.ezrin.channels, again.ezrin.channels)
    assert first.development.cap_onsets == again.development.cap_onsets
    other = make_embryo(short, 5)
    assert not np.array_equal(first.movie.frames, other.movie.frames)


def test_what_happens_does_not_depend_on_how_it_is_looked_at():
    expected = draw_embryo_development(config(), 8)
    for change in ({"planes": 1}, {"height": 16, "width": 21}, {"photons": 50.0}):
        drawn = draw_embryo_development(config(**change), 8)
        assert drawn.cap_onsets == expected.cap_onsets
        assert drawn.compaction == expected.compaction
    one = config(planes=1, z_step=1.0, fewest_frames=1, most_frames=1)
    made = make_embryo(one, 8)
    assert made.movie.frames.shape == (1, 1, 56, 64)
    assert made.development.cap_onsets == draw_embryo_development(one, 8).cap_onsets


def test_an_embryo_may_be_cut_by_the_edge_of_the_field():
    embryo = make_embryo(config(height=16, width=21, fewest_frames=1, most_frames=1), 2)
    assert embryo.movie.frames.shape == (1, 3, 16, 21)
    assert embryo.ezrin.channels.std() > 0


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"plains": 5}, "unknown key 'plains'; did you mean 'planes'"),
        ({"fewest_frames": 30}, "fewest_frames 30 is more than most_frames 20"),
        ({"never": 1.5}, "never"),
        ({"z_step": float("nan")}, "z_step"),
    ],
)
def test_what_cannot_be_simulated_is_refused(tables, complaint):
    with pytest.raises(InputError, match=complaint):
        parse(tables, EmbryoConfig, source="--set")
