import numpy as np
import pytest

from isl.preprocess import scratch
from isl.preprocess.mosaic import ROWS, Work, bands, covered_by_tiles, put_together
from isl.preprocess.stages.canvas import blend_rows, plan_canvas

TILE = (90, 30)


def saved(folder, depth=3):
    rng = np.random.default_rng(0)
    stacks = rng.random((3, depth, *TILE)).astype(np.float32)
    files = tuple(folder / f"{number}.npy" for number in range(3))
    for file, stack in zip(files, stacks, strict=True):
        scratch.save(file, stack)
    return files, stacks


GAINS = (1.0, 1.25, 0.8)


@pytest.fixture
def canvas():
    return plan_canvas(np.array([[0.0, 0.0], [3.0, 20.4], [80.0, 5.0]]), TILE)


@pytest.mark.parametrize("height", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_bands_are_all_rows_once(height):
    rows = [row for band in bands(height) for row in range(height)[band]]
    assert rows == list(range(height))
    assert max(band.stop - band.start for band in bands(height)) <= ROWS


@pytest.mark.parametrize("percentile", [None, 90.0, 0.0])
def test_bands_make_the_whole_picture(percentile, canvas, tmp_path):
    files, stacks = saved(tmp_path)
    work = Work(
        files=files, canvas=canvas, file=tmp_path / "all.npy", percentile=percentile, gains=GAINS
    )
    put_together(work)
    assert canvas.size[0] > ROWS
    values, weights = blend_rows(
        canvas,
        slice(0, canvas.size[0]),
        lambda tile, rows: stacks[tile][:, rows] / np.float32(GAINS[tile]),
    )
    if percentile is not None:
        values = np.percentile(values, percentile, axis=0)[None]
    found = scratch.load(work.file)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, atol=1e-6)
    np.testing.assert_array_equal(covered_by_tiles(canvas), weights > 0)


def test_what_is_done_is_not_done_again(canvas, tmp_path):
    scratch.save(tmp_path / "all.npy", np.zeros(1))
    work = Work(files=(), canvas=canvas, file=tmp_path / "all.npy", percentile=None, gains=())
    put_together(work)
    assert scratch.shape_of(tmp_path / "all.npy") == (1,)


def test_covered_pixels_are_those_of_some_tile(canvas):
    expected = np.zeros(canvas.size, bool)
    for row in range(canvas.size[0]):
        for column in range(canvas.size[1]):
            expected[row, column] = any(
                y <= row < y + TILE[0] and x <= column < x + TILE[1] for y, x in canvas.origins
            )
    np.testing.assert_array_equal(covered_by_tiles(canvas), expected)
    assert not expected.all()
