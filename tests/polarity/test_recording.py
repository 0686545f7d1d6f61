import numpy as np
import pytest
import tifffile
from PIL import Image
from simulated_recordings import make_frames, write_frames, write_movie

from isl.errors import InputError
from isl.polarity.embryos_in_field import Window
from isl.polarity.finding import find_recordings
from isl.polarity.frame_range import FrameRange, parse_frames
from isl.polarity.recording import FramesOnDisk, read_recording

FRAMES = make_frames(6, onset=3, size=(20, 24))


@pytest.fixture
def folder(tmp_path):
    return write_frames(tmp_path / "E016", FRAMES, first=8)


def pixels(recording):
    return np.stack(list(recording.frames))


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_photos_among_frames_are_told(folder, caplog):
    read_recording(folder)
    assert caplog.text == ""
    for name in ("t010.jpg", "t014.BMP"):
        Image.fromarray(FRAMES[0]).save(folder / name)
    assert len(read_recording(folder).frames) == 6
    assert "2 JPEG or BMP pictures beside its images are left out, such as t010.jpg" in caplog.text


def test_a_folder_of_frames_is_read_in_natural_order(folder):
    recording = read_recording(folder)
    assert recording.name == "E016"
    np.testing.assert_array_equal(recording.frames, FRAMES[:, None])
    assert recording.numbers == recording.steps == (0, 1, 2, 3, 4, 5)
    assert recording.frame_names == tuple(f"t{n:03d}.png" for n in range(8, 14))
    assert recording.interval is None
    assert recording.minutes(3) is None
    assert recording.frame(2) == "frame 2 (t010.png)"


def test_frames_of_a_recording_that_takes_too_much_are_read_when_wanted(folder, tmp_path):
    movie = write_movie(tmp_path / "movie.ome.tif", FRAMES[:, None], "TZYX")
    window = Window(number=2, corners=np.arange(12).reshape(6, 2), side=8)
    for path in (folder, movie):
        chosen = {"frames": FrameRange(start=2), "window": window}
        held = read_recording(path, **chosen, memory=4 * 8 * 8)
        lazy = read_recording(path, **chosen, memory=4 * 8 * 8 - 1)
        assert isinstance(held.frames, np.ndarray)
        assert isinstance(lazy.frames, FramesOnDisk)
        assert (lazy.frames.shape, lazy.frames.dtype) == ((4, 1, 8, 8), np.uint8)
        np.testing.assert_array_equal(held.frames[1, 0], FRAMES[3, 6:14, 7:15])
        np.testing.assert_array_equal(list(lazy.frames), held.frames)
        np.testing.assert_array_equal(lazy.frames[3], held.frames[3])
        with pytest.raises(IndexError):
            lazy.frames[4]


def test_numbers_without_leading_zeros_are_ordered_by_value(tmp_path):
    folder = write_frames(tmp_path / "a", FRAMES, first=8, pattern="Embryo16t{}.png")
    np.testing.assert_array_equal(pixels(read_recording(folder))[:, 0], FRAMES)


@pytest.mark.parametrize("axes", ["TZYX", "TYX", "TCYX"])
def test_a_movie_is_read_as_its_file_says(tmp_path, axes):
    frames = FRAMES if axes == "TYX" else FRAMES[:, None]
    path = write_movie(tmp_path / "movie.ome.tif", frames, axes, interval=20)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.frames, FRAMES[:, None])
    assert recording.name == "movie"
    assert recording.interval == pytest.approx(20)
    assert recording.minutes(3) == pytest.approx(60)
    assert read_recording(path, interval=30).minutes(3) == 90
    assert recording.frame(2) == "frame 2"


def test_a_movie_of_stacks_keeps_its_planes(tmp_path):
    stacks = np.stack([FRAMES, FRAMES // 2], axis=1)
    path = write_movie(tmp_path / "stacks.ome.tif", stacks, "TZYX")
    np.testing.assert_array_equal(read_recording(path).frames, stacks)


def test_pages_of_a_plain_file_are_time_points(tmp_path):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(read_recording(path).frames, FRAMES[:, None])


def test_a_folder_may_hold_a_stack_a_time_point(tmp_path):
    folder = tmp_path / "E1"
    folder.mkdir()
    stacks = np.stack([FRAMES, FRAMES // 2], axis=1)
    for t, stack in enumerate(stacks):
        write_movie(folder / f"t{t}.ome.tif", stack, "ZYX")
    assert find_recordings([folder]) == [("E1", folder)]
    np.testing.assert_array_equal(read_recording(folder).frames, stacks)


def test_frames_are_limited_and_keep_their_numbers(folder, tmp_path):
    recording = read_recording(folder, frames=FrameRange(start=2, stop=5), interval=20)
    np.testing.assert_array_equal(pixels(recording)[:, 0], FRAMES[2:5])
    assert recording.numbers == (2, 3, 4)
    assert recording.frame_names[0] == "t010.png"
    assert recording.minutes(0) == 40
    path = write_movie(tmp_path / "m.ome.tif", FRAMES, "TYX")
    recording = read_recording(path, frames=FrameRange(start=4))
    np.testing.assert_array_equal(pixels(recording)[:, 0], FRAMES[4:])
    assert recording.numbers == (4, 5)


def test_a_range_beyond_the_recording_is_refused(folder):
    line = refusal(read_recording, folder, frames=parse_frames("2:9"))
    assert "`frames=2:9` asks for frames 2 to 8, but its 6 frames are 0 to 5" in line
    assert "0 to 5" in refusal(read_recording, folder, frames=parse_frames("6:"))


def test_missing_frames_are_refused_by_name(folder):
    (folder / "t010.png").unlink()
    line = refusal(read_recording, folder)
    assert "1 frame is missing between t009.png (frame 1) and t011.png (frame 2)" in line
    assert "`frames=:2` or `frames=2:`" in line


def test_beyond_missing_frames_time_goes_on(folder):
    (folder / "t010.png").unlink()
    (folder / "t011.png").unlink()
    recording = read_recording(folder, frames=FrameRange(start=2), interval=20)
    assert recording.numbers == (2, 3)
    assert recording.steps == (4, 5)
    assert recording.minutes(0) == 80


@pytest.mark.parametrize("numbers", [(0, 2, 4, 6, 8, 10), (5, 15, 25, 35, 45, 55)])
def test_frames_numbered_in_even_steps_are_complete(tmp_path, numbers):
    folder = tmp_path / "even"
    folder.mkdir()
    for number, frame in zip(numbers, FRAMES, strict=True):
        Image.fromarray(frame).save(folder / f"t{number}.png")
    assert read_recording(folder).steps == (0, 1, 2, 3, 4, 5)


def test_every_second_frame_missing_for_a_while_is_noticed(tmp_path):
    folder = tmp_path / "uneven"
    folder.mkdir()
    for number, frame in zip((0, 2, 4, 5, 6, 7), FRAMES, strict=True):
        Image.fromarray(frame).save(folder / f"t{number}.png")
    assert "1 frame is missing between t0.png (frame 0)" in refusal(read_recording, folder)


def test_frames_a_little_unevenly_apart_keep_their_times(tmp_path, caplog):
    folder = tmp_path / "uneven"
    folder.mkdir()
    for number, frame in zip((0, 10, 20, 34, 44, 54), FRAMES, strict=True):
        Image.fromarray(frame).save(folder / f"t{number}.png")
    recording = read_recording(folder, interval=10)
    assert [recording.minutes(t) for t in range(6)] == pytest.approx([0, 10, 20, 34, 44, 54])
    assert "its frames are unevenly apart by the numbers in their names" in caplog.text


def test_the_number_that_counts_is_told_from_the_time_of_day(tmp_path):
    folder = tmp_path / "clock"
    folder.mkdir()
    for t, (clock, frame) in enumerate(zip((900, 913, 929, 941, 957, 1012), FRAMES, strict=True)):
        Image.fromarray(frame).save(folder / f"2021-03-05_{clock:04d}_p3_t{t}.png")
    assert read_recording(folder).steps == (0, 1, 2, 3, 4, 5)


def test_frames_without_numbers_are_taken_in_order(tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    for letter, frame in zip("abcdef", FRAMES, strict=True):
        Image.fromarray(frame).save(folder / f"{letter}.png")
    np.testing.assert_array_equal(pixels(read_recording(folder))[:, 0], FRAMES)


def test_a_stray_picture_among_frames_is_refused(folder):
    Image.fromarray(FRAMES[0]).save(folder / "overview.png")
    line = refusal(read_recording, folder)
    assert "overview.png is not named like the other frames (t008.png)" in line


def test_planes_as_files_of_their_own_are_refused(tmp_path):
    folder = tmp_path / "planes"
    folder.mkdir()
    for t in range(2):
        for z in range(3):
            Image.fromarray(FRAMES[t]).save(folder / f"t{t}_z{z}.png")
    line = refusal(read_recording, folder)
    assert "t0_z0.png, t0_z1.png and others count more than time points" in line


def test_one_frame_is_refused(tmp_path):
    folder = write_frames(tmp_path / "one", FRAMES[:1])
    assert "holds one frame to use" in refusal(read_recording, folder)
    path = write_movie(tmp_path / "one.ome.tif", FRAMES[:1, None], "TZYX")
    assert "holds one frame to use" in refusal(read_recording, path)
    several = write_frames(tmp_path / "several", FRAMES)
    assert "holds one frame to use" in refusal(
        read_recording, several, frames=FrameRange(start=2, stop=3)
    )


def test_a_stack_is_no_movie_and_the_remedy_is_said(tmp_path):
    path = write_movie(tmp_path / "stack.ome.tif", FRAMES, "ZYX")
    line = refusal(read_recording, path)
    assert "holds one frame to use" in line
    assert "give `axes=TYX` if its 6 planes are time points" in line
    assert read_recording(path, axes="TYX").frames.shape == (6, 1, 20, 24)


def test_frames_of_differing_sizes_are_refused_by_name(folder):
    Image.fromarray(FRAMES[0, :-2]).save(folder / "t011.png")
    line = refusal(read_recording, folder)
    assert "t011.png: has 18 x 24 pixels, but t008.png has 20 x 24" in line


def test_frames_of_differing_types_are_refused_by_name(folder):
    Image.fromarray(FRAMES[0].astype(np.uint16)).save(folder / "t011.png")
    line = refusal(read_recording, folder)
    assert "t011.png: has uint16 type, but t008.png has uint8" in line


def test_empty_frames_are_refused_by_name(folder):
    Image.fromarray(np.full_like(FRAMES[0], 7)).save(folder / "t011.png")
    line = refusal(read_recording, folder)
    assert "frame 3 (t011.png) is empty (every pixel is 7)" in line
    assert read_recording(folder, frames=FrameRange(stop=3)).numbers == (0, 1, 2)


def test_frames_that_are_no_numbers_are_refused(tmp_path):
    frames = FRAMES.astype(np.float32) / 255
    frames[4, 2, 2] = np.nan
    path = write_movie(tmp_path / "nan.ome.tif", frames, "TYX")
    assert "frame 4 holds pixels that are NaN" in refusal(read_recording, path)


def test_a_damaged_frame_is_named(folder):
    (folder / "t011.png").write_bytes(b"\x89PNG nothing")
    assert find_recordings([folder]) == [("E016", folder)]
    assert "t011.png: cannot be read as PNG" in refusal(read_recording, folder)
