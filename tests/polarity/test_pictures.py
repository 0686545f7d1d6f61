import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from simulated_recordings import PatchEnsemble, make_frames, predict_quickly, recording_of

from isl.polarity.assess import assess
from isl.polarity.film_strip import AFTER, BEFORE, cut_out, draw_film_strip, new_figure
from isl.polarity.overlays import draw_overlays, enlarged, overlaid
from isl.report.plots import png


@pytest.fixture(scope="module")
def found(ezrin_model):
    recording = recording_of(make_frames(12, onset=6), interval=40.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isl.polarity.assess.predict_field", predict_quickly)
        return assess(recording, PatchEnsemble(), ezrin_model)


def pixels(png):
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(picture, color):
    """Where a picture has a color given as #rrggbb, within what 256 colors can keep."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return np.abs(picture - wanted).max(axis=-1) < 24


def test_a_film_strip_shows_frames_calls_and_the_onset(found):
    picture = pixels(draw_film_strip(found, "E1: polarized at frame 6"))
    assert picture.shape[1] == 1540
    rows = np.flatnonzero(near(picture, BEFORE).sum(axis=1) > 300)
    bar = picture[rows[0] + 2]
    before, after = (np.flatnonzero(near(bar, color)) for color in (BEFORE, AFTER))
    # Frames 2 to 10 are shown; the four before the onset have a blue bar, the others an orange one.
    assert before[-1] < after[0]
    assert len(before) / (len(before) + len(after)) == pytest.approx(4 / 9, abs=0.02)


@pytest.mark.parametrize("letters", [10, 88, 160])
def test_headlines_of_any_length_stay_on_the_picture(found, letters):
    picture = pixels(draw_film_strip(found, letters * "n"))
    dark = np.flatnonzero((picture[:60].max(axis=-1) < 128).any(axis=0))
    assert 100 < dark[0] < 130
    assert dark[-1] < 1540 - 5


def test_colors_that_few_pixels_have_are_kept():
    """Where no frame is after the onset, only the legend has the color of those that are."""
    figure = new_figure((1.0, 3.0), "")
    noise = np.random.default_rng(0).random((200, 600, 3))
    noise[..., 1] *= 0.3
    figure.figimage(noise, 100, 10)
    figure.figimage(np.broadcast_to(to_rgb(AFTER), (12, 12, 3)), 900, 50)
    picture = pixels(png(figure, colors=256))
    assert near(picture[:, 890:930], AFTER).sum() >= 100


def test_the_same_assessment_gives_the_same_film_strip(found):
    assert draw_film_strip(found, "E1") == draw_film_strip(found, "E1")


@pytest.mark.usefixtures("quick_ezrin")
@pytest.mark.parametrize("onset", [None, 0])
def test_film_strips_of_few_frames_and_without_onset(onset, ezrin_model):
    recording = recording_of(make_frames(2, onset=onset))
    found = assess(recording, PatchEnsemble(), ezrin_model)
    assert found.onset.censored == (onset is None)
    assert pixels(draw_film_strip(found, "short")).shape[1] == 1540
    assert pixels(draw_overlays(found, "short")).shape[1] == 1540


def test_overlays_are_red_where_positive_and_blue_where_negative():
    image = np.full((4, 6), 0.5, np.float32)
    activation = np.zeros((4, 6), np.float32)
    activation[:, :2], activation[:, 4:] = 1, -1
    red, blue = overlaid(image, activation)[0, 0], overlaid(image, activation)[0, 5]
    assert red[0] > 0.6
    assert red[1:].max() < 0.4
    assert blue[2] > 0.6
    assert blue[:2].max() < 0.4
    np.testing.assert_array_equal(overlaid(image, activation)[:, 2:4], 0.5)


def test_drawn_overlays_follow_the_maps(found):
    picture = pixels(draw_overlays(found, "E1"))
    red, blue = picture[..., 0] - picture[..., 2] > 60, picture[..., 2] - picture[..., 0] > 60
    # The left of every frame speaks for its call, the right against it.
    first = slice(130, 160), slice(125, 380)
    columns_red, columns_blue = np.nonzero(red[first])[1], np.nonzero(blue[first])[1]
    assert columns_red.size > 500
    assert columns_blue.size > 500
    assert columns_red.max() < columns_blue.min()


def test_maps_are_enlarged_to_the_frame():
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 1, 2] = 1
    large = enlarged(maps, (40, 60))[0]
    assert large.shape == (40, 60)
    peak = np.unravel_index(large.argmax(), large.shape)
    np.testing.assert_allclose(peak, (15, 37.5), atol=1.5)


def test_images_are_cut_out():
    images = np.arange(2 * 5 * 6).reshape(2, 5, 6)
    np.testing.assert_array_equal(cut_out(images, (1, 3, 2, 5)), images[:, 1:3, 2:5])
