"""Several embryos in a field: each is found, followed where it is not seen, and cut out."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile
from simulated_recordings import write_frames

from isl.errors import InputError
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie, PixelSize
from isl.imaging.inputs.containers import open_picture
from isl.imaging.zarr.picture import write_ome_zarr
from isl.polarity.embryos_in_field import draw_field, find_windows
from isl.polarity.frame_range import FrameRange
from isl.polarity.recording import read_recording

ACROSS = 48
MICROMETRES = 75 / ACROSS
SIZE = (180, 240)


def field(places: dict[tuple[float, float], tuple[float, float]], count: int = 4) -> np.ndarray:
    """uint8 [T, Y, X]: granular discs that begin at a place and move so far a frame."""
    rng = np.random.default_rng(0)
    frames = rng.normal(120, 1, (count, *SIZE))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grain = rng.normal(0, 30, SIZE)
    for (row, column), (down, right) in places.items():
        for t, frame in enumerate(frames):
            inside = np.hypot(y - row - t * down, x - column - t * right) < ACROSS / 2
            frame[inside] += np.roll(grain, (round(t * down), round(t * right)), (0, 1))[inside]
    return np.clip(frames, 0, 255).astype(np.uint8)


def stored(folder: Path, frames: np.ndarray, size: float | None = MICROMETRES) -> Path:
    """A movie of stacks of two planes, the second of which is darker."""
    stacks = np.stack([frames, frames // 2], axis=1)
    pixel_size = None if size is None else PixelSize(y=size, x=size)
    path = folder / "well_3.ome.tif"
    movie = Movie(name="well_3", frames=stacks, pixel_size=pixel_size, interval=20.0)
    write_movie(path, movie, overwrite=True)
    return path


def test_each_is_found_and_followed(tmp_path: Path) -> None:
    """One moves down, one to the right; of what the border cuts off there is too little."""
    frames = field({(50, 50): (4, 0), (60, 150): (0, 5), (140, 246): (0, 0)})
    frames[2, 20:110, 100:220] = 120
    first, second = find_windows(stored(tmp_path, frames))
    assert [window.number for window in (first, second)] == [1, 2]
    assert first.side == second.side == 2 * ACROSS
    for window, start, step in ((first, (50, 50), (4, 0)), (second, (60, 150), (0, 5))):
        expected = np.array(start) + np.arange(4)[:, None] * np.array(step) - ACROSS
        # The median over frames is still at either end.
        np.testing.assert_allclose(window.corners, np.maximum(expected, 0), atol=8)
        np.testing.assert_allclose(window.corners[2], np.maximum(expected[2], 0), atol=4)


def test_a_pixel_size_may_be_said(tmp_path: Path) -> None:
    frames = field({(50, 50): (4, 0), (60, 150): (0, 5)})
    told = find_windows(stored(tmp_path, frames))
    silent = stored(tmp_path, frames, size=None)
    assert find_windows(silent) == ()
    with pytest.raises(InputError, match="give `pixel_size=UM`, or leave the diameter out"):
        find_windows(silent, diameter=75)
    said = find_windows(silent, pixel_size=MICROMETRES)
    for own, other in zip(said, told, strict=True):
        np.testing.assert_array_equal(own.corners, other.corners)
    size = read_recording(silent, pixel_size=MICROMETRES).pixel_size
    assert size == PixelSize(y=MICROMETRES, x=MICROMETRES)
    assert read_recording(silent).pixel_size is None


def test_a_window_is_read_as_it_is_cut_by_hand(tmp_path: Path) -> None:
    frames = field({(50, 50): (4, 0), (60, 150): (0, 5)})
    path = stored(tmp_path, frames)
    window = find_windows(path)[1]
    recording = read_recording(path, window=window, frames=FrameRange(start=1))
    assert recording.name == "well_3-embryo_2"
    assert recording.numbers == (1, 2, 3)
    assert recording.interval == 20
    for own, t in zip(recording.frames, (1, 2, 3), strict=True):
        (row, column), side = window.corners[t], window.side
        cut = frames[t, row : row + side, column : column + side]
        np.testing.assert_array_equal(own, [cut, cut // 2])


def test_frames_in_a_folder_are_cut_alike(tmp_path: Path) -> None:
    frames = field({(50, 50): (4, 0), (60, 150): (0, 5)})
    window = find_windows(stored(tmp_path, frames))[0]
    folder = write_frames(tmp_path / "frames", frames)
    # PNGs do not say how large pixels are, so such a folder is taken as of one embryo.
    assert find_windows(folder) == ()
    recording = read_recording(folder, window=window)
    for t, own in enumerate(recording.frames):
        np.testing.assert_array_equal(own[0], frames[t][window.place(t)])


def test_a_movie_that_is_a_folder_is_searched_too(tmp_path: Path) -> None:
    """An OME-Zarr, and frames of a folder that say how large their pixels are."""
    frames = field({(50, 50): (4, 0), (60, 150): (0, 5)})
    path = stored(tmp_path, frames)
    expected = [window.corners for window in find_windows(path)]
    with open_picture(path) as picture:
        named = dataclasses.replace(picture, channel_names=("DIC",))
        write_ome_zarr(tmp_path / "well.ome.zarr", named)
    size = PixelSize(y=MICROMETRES, x=MICROMETRES)
    for t, frame in enumerate(frames):
        single = Movie(name="t", frames=np.stack([frame, frame // 2])[None], pixel_size=size)
        write_stack(tmp_path / "frames" / f"t{t:03d}.tif", single.stack(0))
    for folder in (tmp_path / "well.ome.zarr", tmp_path / "frames"):
        found = find_windows(folder)
        np.testing.assert_array_equal([window.corners for window in found], expected)
        assert draw_field(folder, found).startswith(b"\x89PNG")
        recording = read_recording(folder, window=found[1])
        np.testing.assert_array_equal(recording.frames[3, 0], frames[3][found[1].place(3)])


def test_of_two_channels_the_windows_are_of_transmitted_light(tmp_path: Path) -> None:
    frames = field({(50, 50): (4, 0), (60, 150): (0, 5)})
    channels = np.stack([np.zeros_like(frames), frames], axis=1)
    tifffile.imwrite(
        tmp_path / "two.ome.tif",
        channels,
        ome=True,
        photometric="minisblack",
        metadata={
            "axes": "TCYX",
            "Channel": {"Name": ["EZRIN", "DIC"]},
            "PhysicalSizeX": MICROMETRES,
            "PhysicalSizeY": MICROMETRES,
        },
    )
    window = find_windows(tmp_path / "two.ome.tif")[0]
    recording = read_recording(tmp_path / "two.ome.tif", window=window)
    assert recording.modality == "DIC"
    assert read_recording(tmp_path / "two.ome.tif").modality == "DIC"
    np.testing.assert_array_equal(recording.frames[1, 0], frames[1][window.place(1)])


def test_a_diameter_in_micrometres_needs_the_size_of_a_pixel(tmp_path: Path) -> None:
    path = stored(tmp_path, field({(90, 120): (0, 0)}), size=None)
    with pytest.raises(InputError, match=r"well_3.*how large a pixel is.*embryo_diameter=80"):
        find_windows(path, diameter=80)


def test_a_field_of_one_embryo_or_of_unknown_size_is_left_as_it_is(tmp_path: Path) -> None:
    frames = field({(90, 120): (0, 0)})
    assert find_windows(stored(tmp_path, frames, size=None)) == ()
    assert find_windows(stored(tmp_path, frames, size=0.9)) == ()
    assert len(find_windows(stored(tmp_path, frames))) == 1


def test_a_field_without_an_embryo_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"well_3.*no embryo .* 48 pixels \(75 um\) was found"):
        find_windows(stored(tmp_path, field({})))


@pytest.mark.parametrize("others", [[(90, 140)], [(90, 140), (132, 116)]])
def test_embryos_that_touch_are_parted_and_each_names_the_others(
    tmp_path: Path, others: list[tuple[float, float]]
) -> None:
    middles = [(90, 92), *others]
    path = stored(tmp_path, field({middle: (0, 0) for middle in middles}))
    windows = find_windows(path)
    places = {tuple(window.corners[0] + window.side / 2) for window in windows}
    assert len(places) == len(middles)
    for middle in middles:
        assert min(np.hypot(*(np.array(place) - middle)) for place in places) < 5
    for window in windows:
        assert set(window.beside) == {1, 2, 3}.intersection(range(1, 1 + len(middles))) - {
            window.number
        }


def test_a_square_that_the_border_pushed_inward_names_whom_it_shows(tmp_path: Path) -> None:
    """Its embryo is not in its middle, so that another one a square away is seen."""
    windows = find_windows(stored(tmp_path, field({(90, 30): (0, 0), (90, 108): (0, 0)})))
    assert windows[0].corners[0, 1] == 0
    assert [window.beside for window in windows] == [(2,), ()]


def test_embryos_far_apart_have_squares_of_their_own(tmp_path: Path) -> None:
    windows = find_windows(stored(tmp_path, field({(60, 60): (0, 0), (90, 180): (0, 0)})))
    assert [window.beside for window in windows] == [(), ()]


def test_an_embryo_less_granular_than_the_others_is_found_by_a_second_look(tmp_path: Path) -> None:
    """One that is twice as granular lifts the field's threshold above the faintest."""
    rng = np.random.default_rng(0)
    frame = rng.normal(120, 4, (180, 320))
    grain = rng.normal(0, 20, frame.shape)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    middles = [(45, 45), (45, 140), (45, 235), (135, 60), (135, 180)]
    for (row, column), contrast in zip(middles, (2, 1, 1, 1, 0.7), strict=True):
        inside = np.hypot(y - row, x - column) < ACROSS / 2
        frame[inside] += contrast * grain[inside]
    frames = np.broadcast_to(np.clip(frame, 0, 255).astype(np.uint8), (4, *frame.shape))
    windows = find_windows(stored(tmp_path, frames))
    places = [window.corners[0] + window.side / 2 for window in windows]
    assert len(places) == len(middles)
    assert np.hypot(*(places[-1] - np.array(middles[-1]))) < 5
