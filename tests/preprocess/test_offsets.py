"""Offsets of two tiles from what both show."""

import numpy as np
import pytest
import scipy.ndimage

from isl.errors import InputError
from isl.preprocess.stages.offsets import EDGE, Offset, _band, _correlate, measure_offset

SIZE = (90, 110)


def texture(shape, seed=0, sigma=1.5):
    """float64 [Y, X]: structure of a few pixels, camera counts around 1000."""
    image = np.random.default_rng(seed).normal(size=shape)
    image = scipy.ndimage.gaussian_filter(image, sigma)
    return 1000 + 200 * image / image.std()


def two_tiles(offset, seed=0, size=SIZE, sigma=1.5):
    """Two tiles of one scene, at whole pixels."""
    scene = texture((3 * size[0], 3 * size[1]), seed, sigma)
    y, x = offset[0] + size[0], offset[1] + size[1]
    return (
        scene[size[0] : 2 * size[0], size[1] : 2 * size[1]],
        scene[y : y + size[0], x : x + size[1]],
    )


@pytest.mark.parametrize("offset", [(3, 80), (-6, 74), (62, -2), (0, -85), (-58, 7), (50, 70)])
def test_whole_pixels(offset):
    first, second = two_tiles(offset)
    expected = (offset[0] + 5, offset[1] - 4)
    found = measure_offset(first, second, expected, search=9)
    assert abs(found.y - offset[0]) < 0.05
    assert abs(found.x - offset[1]) < 0.05
    assert found.confidence > 0.3
    assert found.overlap == (90 - abs(offset[0])) * (110 - abs(offset[1]))


def test_tiles_of_different_sizes():
    scene = texture((160, 200))
    first, second = scene[:101, :83], scene[55:160, 9:140]
    found = measure_offset(first, second, (51, 12), search=8)
    assert (round(found.y), round(found.x)) == (55, 9)
    assert found.overlap == (101 - 55) * (83 - 9)


@pytest.mark.parametrize("fraction", [(0.25, 0.0), (0.5, -0.5), (-0.3, 0.4)])
def test_fractions_of_a_pixel(fraction):
    """The scene is a sum of waves, so a moved tile is exact."""
    rng = np.random.default_rng(7)
    frequency = rng.uniform(-0.09, 0.09, (150, 2))
    phase = rng.uniform(0, 2 * np.pi, 150)

    def tile(y, x):
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        waves = np.multiply.outer(rows + y, frequency[:, 0])
        waves += np.multiply.outer(columns + x, frequency[:, 1])
        return 1000 + 20 * np.cos(2 * np.pi * waves + phase).sum(axis=-1)

    y, x = 2 + fraction[0], 70 + fraction[1]
    found = measure_offset(tile(0, 0), tile(y, x), (0, 72), search=7)
    assert abs(found.y - y) < 0.08
    assert abs(found.x - x) < 0.08


def test_either_tile_may_come_first():
    first, second = two_tiles((4, 78))
    one = measure_offset(first, second, (0, 80), search=8)
    other = measure_offset(second, first, (0, -80), search=8)
    np.testing.assert_allclose((other.y, other.x), (-one.y, -one.x), atol=1e-4)
    np.testing.assert_allclose(other.confidence, one.confidence, atol=1e-4)


def test_gain_offset_vignetting_and_noise_do_not_pull():
    rng = np.random.default_rng(5)
    first, second = two_tiles((3, 78))
    fall = 1 - 0.2 * np.linspace(-1, 1, SIZE[1]) ** 2 - 0.1 * np.linspace(-1, 1, SIZE[0])[:, None]
    first = first * fall + rng.normal(0, 30, SIZE)
    second = 0.8 * second * fall + 150 + rng.normal(0, 30, SIZE)
    found = measure_offset(first.astype(np.uint16), second.astype(np.uint16), (0, 80), search=10)
    assert abs(found.y - 3) < 0.15
    assert abs(found.x - 78) < 0.15
    assert found.confidence > 0.3


def test_a_bright_body_cut_by_the_edge_does_not_pull():
    """What a tile's edge cuts off would change the band next to it."""
    first, second = (tile.copy() for tile in two_tiles((0, 70)))
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for tile, x in ((first, 112), (second, 42), (first, 68), (second, -2)):
        tile += 20000 * np.exp(-((rows - 45) ** 2 + (columns - x) ** 2) / 30)
    found = measure_offset(first, second, (2, 67), search=8)
    assert abs(found.y) < 0.1
    assert abs(found.x - 70) < 0.1


def test_sparse_content_is_found():
    rng = np.random.default_rng(2)
    scene = np.full((90, 190), 100.0)
    rows, columns = np.mgrid[:90, :190]
    for y, x in ((20, 95), (63, 88)):
        scene += 3000 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18)
    first, second = (part + rng.normal(0, 10, SIZE) for part in (scene[:, :110], scene[:, 78:188]))
    found = measure_offset(first, second, (3, 75), search=8)
    assert abs(found.y) < 0.2
    assert abs(found.x - 78) < 0.2
    assert found.confidence > 0.2


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("blur", [0, 2])
def test_noise_alone_gives_no_confidence(seed, blur):
    """Empty agarose, even under a median filter or binning, which make noise smooth."""
    rng = np.random.default_rng(seed)
    fall = 1 - 0.2 * np.linspace(-1, 1, SIZE[1]) ** 2
    first, second = (
        scipy.ndimage.gaussian_filter(rng.normal(1000, 30, SIZE), blur) * fall for _ in range(2)
    )
    found = measure_offset(first, second, (2.5, 70.25), search=12)
    assert found == Offset(y=2.5, x=70.25, confidence=0.0, overlap=88 * 40)


@pytest.mark.parametrize("level", [0, 300, 65535])
def test_flat_content_gives_no_confidence(level):
    flat = np.full(SIZE, level, np.uint16)
    other = texture(SIZE).astype(np.uint16)
    for pair in ((flat, flat), (flat, other), (other, flat)):
        assert measure_offset(*pair, (0, 80), search=5).confidence == 0


def test_what_repeats_gives_hardly_any_confidence():
    rows, columns = np.mgrid[:90, :200]
    rng = np.random.default_rng(0)
    scene = 1000 + 300 * np.sin(2 * np.pi * rows / 9) * np.sin(2 * np.pi * columns / 9)
    first, second = (part + rng.normal(0, 5, SIZE) for part in (scene[:, :110], scene[:, 80:190]))
    assert measure_offset(first, second, (0, 80), search=12).confidence < 0.05


@pytest.mark.parametrize("beyond", [0, 1, 3])
def test_a_truth_at_or_beyond_the_border_gives_no_confidence(beyond):
    first, second = two_tiles((0, 80), sigma=4)
    found = measure_offset(first, second, (0, 72 - beyond), search=8)
    assert (found.confidence, found.y, found.x) == (0, 0, 72 - beyond)


@pytest.mark.parametrize("expected", [(0, 120), (-100, 0), (0, 108)])
def test_no_overlap_gives_no_confidence(expected):
    first, second = two_tiles((0, 80))
    assert measure_offset(first, second, expected, search=2).confidence == 0


def test_less_than_the_least_overlap_is_not_believed():
    first, second = two_tiles((0, 82))
    assert round(measure_offset(first, second, (0, 80), search=9).x) == 82
    found = measure_offset(first, second, (0, 80), search=9, least_overlap=30)
    assert found.confidence == 0


def test_tiles_smaller_than_their_edges_are_not_compared():
    tile = texture((14, 40))
    assert measure_offset(tile, tile, (0, 0), search=3).confidence == 0


def test_correlation_as_a_loop_over_displacements():
    """Against numpy's own correlation of the pixels that overlap."""
    first, second = two_tiles((2, 60), size=(40, 70))
    bands = [
        _band(tile, slice(EDGE, 40 - EDGE), slice(EDGE, 70 - EDGE), "") for tile in (first, second)
    ]
    down, right = np.arange(-5, 12), np.arange(35, 50)
    found, _ = _correlate(*bands, down, right)
    a, b = (np.pad(band.astype(np.float64), 60, constant_values=np.nan) for band in bands)
    for row, dy in enumerate(down):
        for column, dx in enumerate(right):
            moved = np.roll(b, (dy, dx), axis=(0, 1))
            both = ~np.isnan(a) & ~np.isnan(moved)
            expected = np.corrcoef(a[both], moved[both])[0, 1]
            np.testing.assert_allclose(found[row, column], expected, atol=2e-5)


def test_the_level_of_chance_is_hardly_reached_by_chance():
    rng = np.random.default_rng(0)
    shifts = np.arange(-10, 11)
    for _ in range(50):
        correlation, chance = _correlate(
            *(
                scipy.ndimage.gaussian_filter(rng.normal(size=(60, 50)).astype(np.float32), 1.5)
                for _ in range(2)
            ),
            shifts,
            shifts,
        )
        assert (correlation < chance).all()
        assert correlation.max() > 0.2 * chance.max()


def test_the_tiles_are_left_as_they_were():
    first, second = two_tiles((0, 80))
    before = first.copy(), second.copy()
    measure_offset(first, second, (0, 80), search=5)
    np.testing.assert_array_equal((first, second), before)


def test_a_stack_is_refused():
    with pytest.raises(InputError, match=r"the second tile has shape \(2, 90, 110\)"):
        measure_offset(np.zeros(SIZE), np.zeros((2, *SIZE)), (0, 0), search=5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(value):
    first, second = two_tiles((0, 80))
    second = second.copy()
    second[40, 10] = value
    with pytest.raises(InputError, match="the second tile has pixels that are not finite"):
        measure_offset(first, second, (0, 80), search=5)


def test_no_search_is_refused():
    with pytest.raises(InputError, match="search is 1; give at least 2 pixels"):
        measure_offset(np.zeros(SIZE), np.zeros(SIZE), (0, 0), search=1)
