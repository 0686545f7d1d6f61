"""Arrays in place of files, and what a person says in place of what an image says."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.imaging.inputs.stated import Stated, as_movie, as_stack, parse_modality

RNG = np.random.default_rng(0)


def pixels(*shape, dtype: type = np.uint16):
    return RNG.integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(("shape", "planes"), [((6, 5), (1, 6, 5)), ((4, 6, 5), (4, 6, 5))])
def test_an_array_is_a_plane_or_a_stack(shape, planes):
    array = pixels(*shape)
    stack = as_stack(array)
    assert isinstance(stack, ZStack)
    np.testing.assert_array_equal(stack.planes, array.reshape(planes))


def test_four_dimensions_are_a_movie():
    array = pixels(3, 2, 6, 5)
    movie = as_stack(array, pixel_size=0.3, z_step=2.0, modality="phase contrast")
    assert isinstance(movie, Movie)
    np.testing.assert_array_equal(movie.frames, array)
    assert movie.pixel_size == PixelSize(y=0.3, x=0.3, z=2.0)
    assert movie.modality == "PHASE_CONTRAST"


@pytest.mark.parametrize("axes", ["YXZ", "XYZ", "ZYX", "CYXZ", "yxz"])
def test_axes_say_where_planes_are(axes):
    lengths = {"C": 1, "Z": 4, "Y": 6, "X": 5}
    array = pixels(*(lengths[letter] for letter in axes.upper()))
    stack = as_stack(array, axes=axes)
    assert isinstance(stack, ZStack)
    assert stack.planes.shape == (4, 6, 5)
    for index in np.ndindex(array.shape):
        place = dict(zip(axes.upper(), index, strict=True))
        assert stack.planes[place["Z"], place["Y"], place["X"]] == array[index]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.float32, ">u2", np.uint8])
def test_types_become_those_of_files(dtype):
    array = pixels(4, 6, 5).astype(dtype)
    stack = as_stack(array)
    assert isinstance(stack, ZStack)
    assert stack.planes.dtype in (np.float32, np.uint16, np.uint8)
    assert stack.planes.dtype.isnative
    np.testing.assert_array_equal(stack.planes, array)


@pytest.mark.parametrize(
    ("array", "axes", "line"),
    [
        (pixels(4, 6, 5, dtype=np.int16), None, "pixels of type int16; give uint8, uint16"),
        (pixels(4, 6, 5) > 9, None, "pixels of type bool"),
        (pixels(5), None, "has shape 5; give 2 to 4 dimensions"),
        (pixels(4, 6, 5), "TZYX", r"`axes=TZYX` names 4 axes of shape 4 x 6 x 5"),
        (pixels(4, 6, 5), "CYX", "has 4 channels"),
        (pixels(4, 6, 5), "ZXQ", "give each of T, Z, C, Y, X at most once"),
        (pixels(4, 0, 5), None, "has no pixels"),
        (pixels(60, 50, 3), None, "60 x 50 x 3, the last of which are colors; give it in gray"),
        (np.ma.masked_less(pixels(6, 5), 9), None, "a MaskedArray is no image"),
        ([[1, 2], [3, 4]], None, "a list is no image"),
        (ZStack(name="a", planes=pixels(4, 6, 5)), "ZYX", "is for arrays; a ZStack says its own"),
    ],
)
def test_what_is_no_image_is_refused(array, axes, line):
    with pytest.raises(InputError, match=line):
        as_stack(array, axes=axes)


def test_a_z_step_needs_a_pixel_size():
    with pytest.raises(InputError, match=r"`z_step=2` needs; give `pixel_size=UM` too"):
        Stated(z_step=2.0).of(ZStack(name="a", planes=pixels(4, 6, 5)))


def test_what_was_not_said_stays():
    said = ZStack(
        name="a",
        planes=pixels(4, 6, 5),
        pixel_size=PixelSize(y=0.5, x=0.4, z=3.0),
        modality="DIC",
    )
    assert Stated().of(said).pixel_size == said.pixel_size
    changed = Stated(z_step=1.0, modality="BRIGHTFIELD").of(said)
    assert changed.pixel_size == PixelSize(y=0.5, x=0.4, z=1.0)
    assert changed.modality == "BRIGHTFIELD"


@pytest.mark.parametrize(
    ("text", "modality"),
    [("dic", "DIC"), ("Phase-Contrast", "PHASE_CONTRAST"), ("BF", "BRIGHTFIELD")],
)
def test_modalities_by_their_words(text, modality):
    assert parse_modality(text) == modality


def test_a_modality_that_is_none_is_refused():
    with pytest.raises(InputError, match="unknown modality 'confocal'"):
        parse_modality("confocal")


@pytest.mark.parametrize("value", [0, -0.3, float("nan"), float("inf")])
def test_lengths_and_times_are_above_zero(value):
    for said in ({"pixel_size": value}, {"pixel_size": 0.3, "z_step": value}):
        with pytest.raises(InputError, match=r"`(pixel_size|z_step)=.*micrometres above 0"):
            as_stack(pixels(4, 6, 5), **said)
    with pytest.raises(InputError, match="minutes apart; give minutes above 0"):
        as_movie(pixels(4, 6, 5), interval=value)


def test_a_path_is_read(tmp_path):
    array = np.arange(6 * 8 * 9, dtype=np.uint16).reshape(6, 8, 9)
    tifffile.imwrite(tmp_path / "pages.tif", array)
    stack = as_stack(tmp_path / "pages.tif", axes="ZYX", pixel_size=0.5)
    assert isinstance(stack, ZStack)
    assert np.array_equal(stack.planes, array)
    assert stack.pixel_size == PixelSize(x=0.5, y=0.5)
    movie = as_movie(str(tmp_path / "pages.tif"), interval=20.0)
    assert np.array_equal(movie.frames[:, 0], array)
    assert (movie.interval, movie.source) == (20.0, tmp_path / "pages.tif")
    with pytest.raises(InputError, match="there is no such"):
        as_stack(tmp_path / "absent.tif")


def test_a_folder_of_frames_is_a_movie(tmp_path):
    frames = np.arange(3 * 6 * 7, dtype=np.uint8).reshape(3, 6, 7)
    # The order is that of numbers: 10 comes after 9.
    for name, frame in zip(("t2", "t9", "t10"), frames, strict=True):
        Image.fromarray(frame).save(tmp_path / f"{name}.png")
    movie = as_movie(tmp_path)
    assert np.array_equal(movie.frames[:, 0], frames)
    assert movie.source == tmp_path
    assert (movie.interval, movie.times) == (None, None)
    # Six frames are missing.
    movie = as_movie(tmp_path, interval=10.0)
    assert (movie.interval, movie.times) == (None, (0, 70, 80))


def test_evenly_numbered_frames_are_one_interval_apart(tmp_path):
    for number in (5, 10, 15):
        Image.fromarray(pixels(6, 7, dtype=np.uint8)).save(tmp_path / f"t{number}.png")
    movie = as_movie(tmp_path, interval=10.0)
    assert (movie.interval, movie.times) == (10.0, None)


def test_a_channel_may_be_named_in_files_alone(tmp_path):
    array = pixels(2, 6, 7)
    path = tmp_path / "a.ome.tif"
    told = {"axes": "CYX", "Channel": {"Name": ["C1", "C2"]}}
    tifffile.imwrite(path, array, photometric="minisblack", metadata=told)
    stack = as_stack(path, channel="C2")
    assert isinstance(stack, ZStack)
    np.testing.assert_array_equal(stack.planes, array[1:])
    np.testing.assert_array_equal(as_movie(path, channel="C1").frames[0], array[:1])
    for function in (as_stack, as_movie):
        with pytest.raises(InputError, match="`channel=C2` is for files"):
            function(array[0], channel="C2")
