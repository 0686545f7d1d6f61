import numpy as np
import pytest
import tifffile
from PIL import Image
from simulated_recordings import make_frames, write_frames, write_movie

from isl.errors import InputError
from isl.imaging.zarr.writer import zarr_image
from isl.polarity.finding import find_recordings
from isl.polarity.recording import read_recording

FRAMES = make_frames(6, onset=3, size=(20, 24))


@pytest.fixture
def folder(tmp_path):
    return write_frames(tmp_path / "E016", FRAMES, first=8)


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_recordings_in_a_folder(tmp_path):
    write_frames(tmp_path / "E10", FRAMES)
    write_frames(tmp_path / "E9", FRAMES)
    write_movie(tmp_path / "m2.ome.tif", FRAMES, "TYX")
    (tmp_path / "notes.txt").write_text("")
    Image.fromarray(FRAMES[0]).save(tmp_path / "overview.png")
    (tmp_path / "empty").mkdir()
    out = write_frames(tmp_path / "out", FRAMES)
    write_frames(tmp_path / ".hidden", FRAMES)
    found = find_recordings([tmp_path], leave_out=out)
    assert [name for name, _ in found] == ["E9", "E10", "m2"]


def test_frames_in_jpeg_are_a_recording(tmp_path):
    folder = tmp_path / "E9"
    folder.mkdir()
    for t, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(folder / f"t{t}.jpg", quality=100)
    for given in (folder, tmp_path):
        assert find_recordings([given]) == [("E9", folder)]
    read = np.stack(list(read_recording(folder).frames))
    np.testing.assert_allclose(read[:, 0].astype(float), FRAMES, atol=4)


def test_photographs_beside_folders_of_such_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "small"):
        folder.mkdir(exist_ok=True)
        for t, frame in enumerate(FRAMES):
            Image.fromarray(frame).save(folder / f"t{t}.jpg")
    said = refusal(find_recordings, [tmp_path])
    assert "holds pictures (t0.jpg) and folders of such (small)" in said


def test_photographs_beside_recordings_are_none(tmp_path, caplog):
    for name in ("E1", "E2"):
        write_frames(tmp_path / name, FRAMES)
        Image.fromarray(FRAMES[0]).save(tmp_path / f"{name}_overview.jpg")
    assert [name for name, _ in find_recordings([tmp_path])] == ["E1", "E2"]
    assert "2 JPEG or BMP pictures beside its images are left out" in caplog.text
    movies = tmp_path / "movies"
    movies.mkdir()
    write_zarr(movies / "m.ome.zarr", FRAMES)
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(FRAMES[0]).save(movies / name)
    assert [name for name, _ in find_recordings([movies])] == ["m"]


def test_recordings_of_one_name_are_refused(tmp_path):
    first = write_frames(tmp_path / "a" / "E1", FRAMES)
    second = write_frames(tmp_path / "b" / "E1", FRAMES)
    assert "has the same name 'E1'" in refusal(find_recordings, [first, second])
    assert "is given twice" in refusal(find_recordings, [first, first])


def test_what_is_no_recording_is_refused(tmp_path):
    assert "no such file or folder" in refusal(find_recordings, [tmp_path / "no"])
    text = tmp_path / "notes.txt"
    text.write_text("")
    assert "notes.txt: is not a movie" in refusal(find_recordings, [text])
    assert "holds no recording" in refusal(find_recordings, [tmp_path])
    assert "no input" in refusal(find_recordings, [])


def test_movies_among_frames_are_refused(folder):
    write_movie(folder / "movie.ome.tif", FRAMES, "TYX")
    assert "holds movies (movie.ome.tif) and single frames" in refusal(find_recordings, [folder])


def test_pages_that_could_be_planes_or_times_need_axes(tmp_path):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", FRAMES, photometric="minisblack", metadata=None)
    assert "a.tif does not say what its pages are" in refusal(find_recordings, [tmp_path])
    assert [name for name, _ in find_recordings([tmp_path], axes="TYX")] == ["a", "b"]
    assert find_recordings([tmp_path], axes="ZYX") == [(tmp_path.name, tmp_path)]


def write_zarr(path, frames):
    """Frames [T, Y, X] as an OME-Zarr of one unnamed channel, 20 minutes apart."""
    pixels = frames[:, None]
    with zarr_image(
        path, shape=pixels.shape, dtype=pixels.dtype, labels=["DIC"], interval=20
    ) as image:
        for t, frame in enumerate(pixels):
            image.write(t, slice(0, 1), slice(0, frame.shape[1]), slice(0, frame.shape[2]), frame)
    return path


def test_a_zarr_movie_is_a_recording(tmp_path):
    path = write_zarr(tmp_path / "E1.ome.zarr", FRAMES)
    write_movie(tmp_path / "E2.ome.tif", FRAMES, "TYX")
    for given in ([path], [tmp_path]):
        assert ("E1", path) in find_recordings(given)
    assert [name for name, _ in find_recordings([tmp_path])] == ["E1", "E2"]
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.frames[:, 0], FRAMES)
    assert recording.interval == 20
    assert recording.modality == "DIC"


def test_a_zarr_among_frames_is_refused(folder):
    write_zarr(folder / "movie.ome.zarr", FRAMES)
    assert "holds movies (movie.ome.zarr) and single frames" in refusal(find_recordings, [folder])
