import numpy as np

from isl.phantom.embryos.microwell import draw_well


def wells(chance, count=60):
    return [draw_well(60, 80, 2.0, chance, np.random.default_rng(seed)) for seed in range(count)]


def test_without_walls_nothing_is_changed():
    assert not any(well.any() for well in wells(0.0, 5))


def test_walls_darken_the_sides_and_leave_the_middle():
    for well in wells(1.0):
        assert well.shape == (60, 80)
        assert well.dtype == np.float32
        for side in (well[:15], well[-15:], well[:, :15], well[:, -15:]):
            assert side.min() < -0.5
        assert np.abs(well[25:35, 35:45]).max() < 1e-3


def test_each_side_shows_its_wall_by_chance():
    half = wells(0.5)
    middles = np.array(
        [[w[:15, 35:45], w[-15:, 35:45], w[25:35, :15].T, w[25:35, -15:].T] for w in half]
    )
    shown = (middles.min(axis=(2, 3)) < -0.5).mean(axis=0)
    assert ((shown > 0.3) & (shown < 0.7)).all()
