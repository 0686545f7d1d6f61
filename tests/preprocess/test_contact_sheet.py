import io

import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.image import ZStack
from isl.preprocess.contact_sheet import KEPT, REJECTED, contact_sheet, thumbnail_of


def pixels(png):
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(picture, color):
    return np.abs(picture - color).max(axis=-1) < 24


def fields(count, keep=True, words="kept"):
    gray = np.full((30, 40), 0.5, np.float32)
    return [(f"B{number:03d}", keep, gray, words) for number in range(count)]


def test_a_kept_field_has_a_blue_frame_around_its_thumbnail():
    picture = pixels(contact_sheet(fields(1)))
    rows, columns = np.nonzero(near(picture, KEPT))
    frame = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert near(frame[:4], KEPT).all()
    assert near(frame[:, -4:], KEPT).all()
    # 40 x 30 pixels in a square: as wide as the frame allows, and three quarters as high.
    gray = near(frame, (128, 128, 128))
    inner = frame.shape[1] - 8
    assert gray[len(frame) // 2].sum() == inner
    assert gray[:, inner // 2].sum() == pytest.approx(0.75 * inner, abs=1)
    assert not near(picture, REJECTED).any()


def test_a_rejected_field_is_orange_and_crossed_out():
    picture = pixels(contact_sheet(fields(1, keep=False, words="empty")))
    assert not near(picture, KEPT).any()
    rows, columns = np.nonzero(near(picture, REJECTED))
    side = columns.max() - columns.min()
    corner = picture[rows.min() :, columns.min() + side * 3 // 4 :][: side // 4]
    assert near(corner, (255, 255, 255)).sum() > 60
    # Its reason stands below it, in the same color.
    assert near(picture[rows.min() + side + 10 :], REJECTED).sum() > 30


def test_fields_that_have_no_thumbnail_are_shown_empty():
    picture = pixels(contact_sheet([("A", True, None, "kept")]))
    assert near(picture, (232, 236, 240)).mean() > 0.4


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (6, 6, 1), (7, 6, 2)])
def test_fields_stand_in_rows_of_six(count, columns, rows):
    picture = pixels(contact_sheet(fields(count)))
    frames = near(picture, KEPT)
    along = frames[frames.any(axis=1).argmax()]
    down = frames[:, frames.any(axis=0).argmax()]
    assert (np.diff(along.astype(int)) == 1).sum() == columns
    assert (np.diff(down.astype(int)) == 1).sum() == rows


def test_two_hundred_fields_keep_the_size_of_a_few():
    few, many = (pixels(contact_sheet(fields(count))) for count in (6, 200))
    assert few.shape[1] == many.shape[1] == 1080
    assert (few[: len(few) - 12] == many[: len(few) - 12]).mean() > 0.98


def test_no_text_runs_into_the_next_field():
    """A field with endless words looks, right of its frame, as one with none."""
    long = [("n" * 90, True, None, "w" * 90), *fields(1)]
    short = [("n", True, None, "w"), *fields(1)]
    a, b = (pixels(contact_sheet(each)) for each in (long, short))
    edge = np.flatnonzero(near(a, KEPT).any(axis=0))
    between = edge[np.flatnonzero(np.diff(edge) > 1)[0]] + 1
    # The 256 colors of the two differ a little.
    np.testing.assert_allclose(a[:, between:], b[:, between:], atol=16)
    assert np.abs(a[:, :between] - b[:, :between]).max() > 100


def test_words_beyond_two_lines_are_cut():
    words = "sharpness 0.012 is below 0.2 of what the median field of this set has"
    cut = pixels(contact_sheet(fields(1, keep=False, words=f"{words} and some more")))
    longer = pixels(contact_sheet(fields(1, keep=False, words=f"{words} and some other")))
    np.testing.assert_array_equal(cut, longer)


def test_thumbnails_of_whole_numbers_are_gray_levels():
    as_bytes = contact_sheet([("A", True, np.full((8, 8), 51, np.uint8), "")])
    as_shares = contact_sheet([("A", True, np.full((8, 8), 0.2, np.float32), "")])
    assert as_bytes == as_shares


def test_values_out_of_range_are_clipped_and_nan_is_black():
    image = np.array([[np.nan, 7.0], [-3.0, 1.0]], np.float32)
    clean = np.array([[0, 255], [0, 255]], np.uint8)
    assert contact_sheet([("A", True, image, "")]) == contact_sheet([("A", True, clean, "")])


def test_there_must_be_a_field_and_thumbnails_are_planes():
    with pytest.raises(ValueError, match="needs a field"):
        contact_sheet([])
    with pytest.raises(ValueError, match=r"is \[Y, X\], not \(4, 4, 3\)"):
        contact_sheet([("A", True, np.zeros((4, 4, 3), np.float32), "")])


@pytest.fixture
def stack(tmp_path):
    y, x = np.mgrid[:300, :420]
    planes = np.stack([np.zeros((300, 420)), 65535 * y / 300, 65535 * x / 420])
    path = tmp_path / "A4.tif"
    write_stack(path, ZStack(name="A4", planes=planes.astype(np.uint16)))
    return path


@pytest.mark.parametrize("longest", [420, 240, 100, 33, 1])
def test_a_thumbnail_is_its_plane_made_small(stack, longest):
    small = thumbnail_of(stack, plane=2, longest=longest)
    assert small.dtype == np.float32
    assert small.shape[1] <= longest
    assert small.shape[0] / small.shape[1] == pytest.approx(300 / 420, abs=0.5 / longest + 0.3)
    # A ramp along x stays one, from left to right over the whole width.
    step = 420 // small.shape[1]
    centers = (np.arange(small.shape[1]) * step + (step - 1) / 2) / 420
    np.testing.assert_allclose(small, np.broadcast_to(centers, small.shape), atol=2e-5)


def test_a_thumbnail_of_a_ramp_along_y(stack):
    small = thumbnail_of(stack, plane=1, longest=42)
    assert small.shape == (30, 42)
    # Of every 10 rows the first 4 are read.
    np.testing.assert_allclose(small[:, 0], (np.arange(30) * 10 + 1.5) / 300, atol=2e-5)
    assert thumbnail_of(stack, longest=42).max() == 0


def test_a_thumbnail_of_no_file_names_it(tmp_path):
    with pytest.raises(InputError, match=r"gone\.tif"):
        thumbnail_of(tmp_path / "gone.tif")
