"""Recordings: movies, folders, tables, hours; and what is refused."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie
from isl.viability.movie_file import read_movie_file
from isl.viability.recording import (
    Place,
    find_places,
    hours_of,
    open_recording,
)

NAMES = tuple(f"t{t:02d}.png" for t in range(4))


def pictures(count: int = 4, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 140, size[1])[None, None] + 10 * np.arange(count)[:, None, None]
    return (np.broadcast_to(ramp, (count, *size)) + rng.normal(0, 1, (count, *size))).astype(
        np.uint8
    )


def folder_of_frames(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    for t, picture in enumerate(pictures(count)):
        Image.fromarray(picture).save(folder / f"t{t:02d}.png")
    return folder


def write_video(path: Path, frames: np.ndarray, ticks: list[int]) -> Path:
    """A movie whose frames have times of their own, in 25ths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for frame, tick in zip(frames, ticks, strict=True):
            made = av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuv420p")
            made.pts, made.time_base = tick, Fraction(1, 25)
            container.mux(stream.encode(made))
        container.mux(stream.encode())
    return path


def test_movie_is_read_to_its_last_frame(tmp_path: Path) -> None:
    """Every frame is there, in order, with its own time: it was taken at an uneven rate."""
    frames, ticks = pictures(11), [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 14]
    movie = read_movie_file(write_video(tmp_path / "a.mp4", frames, ticks))
    assert movie.frames.shape == frames.shape
    np.testing.assert_allclose(movie.seconds, np.array(ticks) / 25, atol=1e-6)
    means = movie.frames.mean(axis=(1, 2))
    np.testing.assert_allclose(means, frames.mean(axis=(1, 2)), atol=4)
    assert np.all(np.diff(means) > 5)


def test_a_movie_of_an_uneven_rate_is_told(tmp_path: Path, caplog) -> None:
    even = write_video(tmp_path / "even.mp4", pictures(5), [0, 1, 2, 3, 4])
    uneven = write_video(tmp_path / "uneven.mp4", pictures(5), [0, 1, 2, 5, 6])
    for path in (even, uneven):
        open_recording(Place(name="a", path=path, start=0.0, interval=10.0))
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"{uneven}: plays its frames 0.04 to 0.12 s apart, the longest after ")


def test_movie_larger_than_memory_waits_on_disk(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(5), [0, 1, 2, 3, 4])
    whole = read_movie_file(path)
    assert not isinstance(whole.frames, np.memmap)
    for memory in (0, 2 * whole.frames[0].size):
        waiting = read_movie_file(path, memory)
        assert isinstance(waiting.frames, np.memmap)
        np.testing.assert_array_equal(waiting.frames, whole.frames)


def test_movie_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no movie at all" * 50)
    with pytest.raises(InputError, match="cannot be read as a movie"):
        read_movie_file(path)
    with pytest.raises(InputError, match="there is no such file"):
        read_movie_file(tmp_path / "b.avi")


def test_avi_and_folder_and_tiff_say_the_same(tmp_path: Path) -> None:
    frames = pictures()
    write_video(tmp_path / "a.avi", frames, [0, 1, 2, 3])
    folder_of_frames(tmp_path / "b")
    write_movie(tmp_path / "c.ome.tif", Movie(name="c", frames=frames[:, None], interval=30.0))
    known = {"start": 2.0, "interval": 30.0}
    for path in ("a.avi", "b", "c.ome.tif"):
        (place,) = find_places([tmp_path / path], **known)
        recording = open_recording(place)
        assert len(recording) == 4
        assert recording.hours.tolist() == [2.0, 2.5, 3.0, 3.5]
        read = np.stack([recording.read(t) for t in range(4)])
        np.testing.assert_allclose(read, frames, atol=0 if path != "a.avi" else 12)


def test_tiff_knows_its_interval_but_not_its_start(tmp_path: Path) -> None:
    movie = Movie(name="c", frames=pictures()[:, None], interval=30.0)
    write_movie(tmp_path / "c.ome.tif", movie)
    place = Place(name="c", path=tmp_path / "c.ome.tif")
    with pytest.raises(InputError, match="the first frame's hour; a table of recordings says it"):
        open_recording(place)
    known = Place(name="c", path=tmp_path / "c.ome.tif", start=1.0)
    assert open_recording(known).hours[-1] == 2.5


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    frames = (pictures().astype(np.uint16) * 200)[:, None]
    write_movie(tmp_path / "c.ome.tif", Movie(name="c", frames=frames, interval=30.0))
    recording = open_recording(Place(name="c", path=tmp_path / "c.ome.tif", start=0.0))
    read = np.stack([recording.read(t) for t in range(4)]).astype(float)
    assert read.min() < 5
    assert read.max() > 250
    assert np.corrcoef(read.ravel(), frames.ravel())[0, 1] > 0.999


def test_turned_jpeg_is_turned_back(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for t, picture in enumerate(pictures(2)):
        turned = Image.fromarray(np.rot90(picture))
        turned.save(folder / f"{t}.jpg", exif=exif, quality=95)
    recording = open_recording(Place(name="b", path=folder, start=0.0, interval=10.0))
    np.testing.assert_allclose(recording.read(1), pictures(2)[1], atol=12)


def test_movies_of_a_folder_are_found_whatever_their_tiffs_are_called(tmp_path: Path) -> None:
    for name in ("a.ome.tif", "b.ome.tiff", "c.TIF"):
        movie = Movie(name="a", frames=pictures(3)[:, None], interval=30.0)
        write_movie(tmp_path / "movie.ome.tif", movie)
        (tmp_path / "movie.ome.tif").rename(tmp_path / name)
    assert [place.name for place in find_places([tmp_path])] == ["a", "b", "c"]


def test_pictures_of_16_bits_span_black_to_white(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    for t, picture in enumerate(pictures(3)):
        Image.fromarray(picture.astype(np.uint16) * 100).save(folder / f"{t}.png")
    recording = open_recording(Place(name="b", path=folder, start=0.0, interval=10.0))
    read = np.stack([recording.read(t) for t in range(3)])
    assert (read.dtype, read.min(), read.max()) == (np.uint8, 0, 255)
    assert np.corrcoef(read.ravel(), pictures(3).ravel())[0, 1] > 0.999


def test_tiffs_that_do_not_say_what_their_pages_are_are_films(tmp_path: Path) -> None:
    """One by one and together: not frames, of which the first page alone would be seen."""
    for name in ("ea.tif", "eb.tif"):
        tifffile.imwrite(tmp_path / name, pictures(4), photometric="minisblack", metadata=None)
    found = find_places([tmp_path], start=0.0, interval=10.0)
    assert [place.name for place in found] == ["ea", "eb"]
    recording = open_recording(found[0])
    np.testing.assert_array_equal([recording.read(t) for t in range(4)], pictures(4))


def test_frames_of_several_planes_show_the_middle_one(tmp_path: Path, caplog) -> None:
    for t in range(3):
        options = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
        tifffile.imwrite(tmp_path / f"t{t}.ome.tif", np.roll(pictures(5), t, axis=0), **options)
    place = Place(name="a", path=tmp_path, start=0.0, interval=10.0)
    recording = open_recording(place)
    assert "has 5 planes a time point; the middle one, plane 2, is used" in caplog.text
    for t in range(3):
        np.testing.assert_array_equal(recording.read(t), pictures(5)[2 - t])
    options = {"photometric": "minisblack", "metadata": {"axes": "CYX"}}
    tifffile.imwrite(tmp_path / "t0.ome.tif", pictures(2), **options)
    with pytest.raises(InputError, match=r"t0\.ome\.tif: has 2 unnamed channels and one plane"):
        open_recording(place)


def test_color_is_its_brightness(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    for folder in ("png", "tif"):
        (tmp_path / folder).mkdir()
    for t, picture in enumerate(values):
        Image.fromarray(picture).save(tmp_path / "png" / f"t{t}.png")
        tifffile.imwrite(tmp_path / "tif" / f"t{t}.tif", picture, photometric="rgb")
    tifffile.imwrite(tmp_path / "film.tif", values, photometric="rgb", metadata={"axes": "TYXS"})
    known = {"start": 0.0, "interval": 10.0}
    paths = [tmp_path / name for name in ("png", "tif", "film.tif")]
    png, *others = (open_recording(place) for place in find_places(paths, **known))
    for recording in others:
        for t in range(3):
            np.testing.assert_array_equal(recording.read(t), png.read(t))


def test_channel_and_axes_as_they_are_said(tmp_path: Path) -> None:
    frames = pictures(6).reshape(3, 2, 32, 48)
    told = {"axes": "TCYX", "Channel": {"Name": ["C1", "C2"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", frames, photometric="minisblack", metadata=told)
    known = {"start": 0.0, "interval": 10.0}
    (unclear,) = find_places([tmp_path / "a.ome.tif"], **known)
    with pytest.raises(InputError, match=r'which channel is transmitted.*`channel="C1"`'):
        open_recording(unclear)
    (place,) = find_places([tmp_path / "a.ome.tif"], channel="C2", **known)
    recording = open_recording(place)
    assert len(recording) == 3
    for t in range(3):
        np.testing.assert_array_equal(recording.read(t), frames[t, 1])
    (place,) = find_places([tmp_path / "a.ome.tif"], axes="ZTYX", **known)
    recording = open_recording(place)
    assert len(recording) == 2
    np.testing.assert_array_equal(recording.read(1), frames[1, 1])


def times_table(folder: Path, text: str) -> Path:
    path = folder / "times.csv"
    path.write_text("frame,hours\n" + text)
    return path


def hours(folder: Path, text: str) -> np.ndarray:
    return hours_of(
        Place(name="a", path=folder, times=times_table(folder, text)), NAMES, own_interval=None
    )


def test_times_by_name_or_number_in_any_order(tmp_path: Path) -> None:
    """Rows need no order, irregular gaps and frames without a time are taken as they are."""
    found = hours(tmp_path, "3,9.5\nt00.png,1\nt01,1.25\n")
    np.testing.assert_array_equal(found, [1.0, 1.25, np.nan, 9.5])


@pytest.mark.parametrize(
    ("pattern", "first"), [("{}.png", 1), ("E_{:03d}.png", 1), ("E_{:03d}.png", 17)]
)
def test_a_number_is_that_in_the_files_names(tmp_path: Path, pattern: str, first: int) -> None:
    names = [pattern.format(number) for number in range(first, first + 6)]
    table = times_table(tmp_path, "".join(f"{first + t},{20 + t}\n" for t in range(6)))
    place = Place(name="a", path=tmp_path, times=table)
    np.testing.assert_array_equal(hours_of(place, names, own_interval=None), 20 + np.arange(6))


def test_a_number_that_may_be_two_frames_is_refused(tmp_path: Path) -> None:
    names = [f"E_{number:03d}.png" for number in range(1, 7)]
    place = Place(name="a", path=tmp_path, times=times_table(tmp_path, "1,20\n2,21\n"))
    with pytest.raises(InputError, match=r"frame '1' may be E_001\.png, or E_002\.png, which is"):
        hours_of(place, names, own_interval=None)
    times_table(tmp_path, "0,20\n1,21\n")
    found = hours_of(place, names, own_interval=None)
    np.testing.assert_array_equal(found, [20, 21, *[np.nan] * 4])


def test_doubled_times_are_taken(tmp_path: Path) -> None:
    np.testing.assert_array_equal(hours(tmp_path, "0,1\n1,2\n2,2\n3,3\n"), [1, 2, 2, 3])
    np.testing.assert_array_equal(hours(tmp_path, "0,1\n0,1\n1,2\n2,3\n3,4\n"), [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n1,3\n2,2\n", r"time runs back from t01\.png \(3 h\) to t02\.png \(2 h\)"),
        ("0,1\n0,2\n", "says 1 and 2 hours of frame '0'"),
        ("0,1\n0,\n", "says 1 and none hours of frame '0'"),
        ("9,1\n", r"names frame '9', but the recording has 4 frames, t00\.png to t03\.png"),
        ("0,soon\n", "column 'hours' says 'soon', which is no number"),
        ("0,\n", "gives no time for any frame"),
    ],
)
def test_times_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hours(tmp_path, text)


def test_tables_of_recordings(tmp_path: Path) -> None:
    folder_of_frames(tmp_path / "b")
    table = tmp_path / "recordings.csv"
    table.write_text("recording,file,start_hours,interval_minutes,patient\ne1,b,2,30,p1\n")
    (place,) = find_places([table], cohort="patient")
    assert place == Place(name="e1", path=tmp_path / "b", cohort="p1", start=2.0, interval=30.0)
    assert find_places([table], interval=5.0)[0].interval == 5.0
    with pytest.raises(InputError, match="has no column 'clinic'"):
        find_places([table], cohort="clinic")
    with pytest.raises(InputError, match="names a column; give a table"):
        find_places([tmp_path / "b"], cohort="patient")


def test_folders_of_recordings_leave_out_what_is_hidden(tmp_path: Path) -> None:
    for name in ("e1", "e2", ".ipynb_checkpoints", "__MACOSX"):
        folder_of_frames(tmp_path / "all" / name)
    (tmp_path / "all" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "all" / "e1" / ".DS_Store").write_bytes(b"x")
    assert [place.name for place in find_places([tmp_path / "all"])] == ["e1", "e2"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nothing", "there is no such file or folder"),
        (lambda folder: folder, "holds no recording"),
    ],
)
def test_inputs_that_are_refused(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_places([make(tmp_path)])


def test_one_frame(tmp_path: Path) -> None:
    write_movie(tmp_path / "c.ome.tif", Movie(name="c", frames=pictures(1)[:, None], interval=30.0))
    place = Place(name="c", path=tmp_path / "c.ome.tif", start=0.0, interval=30.0)
    with pytest.raises(InputError, match="holds one frame"):
        open_recording(place)


def test_frames_of_different_size(tmp_path: Path) -> None:
    folder = folder_of_frames(tmp_path / "b")
    Image.fromarray(pictures(1, (16, 16))[0]).save(folder / "t09.png")
    recording = open_recording(Place(name="b", path=folder, start=0.0, interval=10.0))
    with pytest.raises(InputError, match=r"t09\.png: has 16 x 16 pixels, but t00\.png has 32 x 48"):
        recording.read(4)


def test_names_that_collide(tmp_path: Path) -> None:
    one, other = (folder_of_frames(tmp_path / side / "b") for side in ("l", "r"))
    with pytest.raises(InputError, match="has the same name 'b'"):
        find_places([one, other])
