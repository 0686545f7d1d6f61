"""Times of frames: what is written, what is said, and which is used."""

import dataclasses
import logging

import numpy as np
import pytest
import tifffile

import isl
from isl.cli import main
from isl.colony.record import colony_rows
from isl.errors import InputError
from isl.fragmentation.pictures import read_frames
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.inputs.frame_numbers import check_named_alike, frame_steps, warn_of_gaps
from isl.imaging.inputs.open_image import open_images
from isl.imaging.times import believed_interval, believed_times, minutes_at, stated_interval
from isl.imaging.zarr.picture import write_ome_zarr
from isl.polarity.recording import read_recording
from isl.viability.recording import Place, open_recording

UNEVEN = (0.0, 5.0, 10.0, 30.0, 35.0)


def ome_movie(path, minutes, *, increment=None, unit="s"):
    """Frames [T, 8, 9] whose planes have times, as OME-TIFF."""
    count = len(minutes)
    frames = np.random.default_rng(0).integers(0, 255, (count, 8, 9)).astype(np.uint8)
    factor = {"s": 60.0, "ms": 60000.0, "min": 1.0}[unit]
    metadata = {
        "axes": "TYX",
        "Plane": {
            "DeltaT": [each * factor for each in minutes],
            "DeltaTUnit": [unit] * count,
            "ExposureTime": [0.02] * count,
        },
    }
    if increment is not None:
        metadata |= {"TimeIncrement": increment * 60, "TimeIncrementUnit": "s"}
    tifffile.imwrite(path, frames, ome=True, photometric="minisblack", metadata=metadata)
    return path


@pytest.mark.parametrize("unit", ["s", "ms", "min"])
def test_each_frame_has_the_time_that_its_plane_says(tmp_path, caplog, unit):
    (picture,) = open_images(ome_movie(tmp_path / "a.ome.tif", UNEVEN, unit=unit))
    assert picture.interval is None
    assert picture.times == pytest.approx(UNEVEN)
    assert picture.exposures == (20.0,)
    assert "taken 5 to 20 min apart" in caplog.text


def test_every_task_that_reads_times_uses_each_frame_s_own(tmp_path):
    path = ome_movie(tmp_path / "a.ome.tif", [each + 7 for each in UNEVEN])
    recording = read_recording(path)
    assert [recording.minutes(t) for t in range(5)] == pytest.approx(UNEVEN)
    hours = open_recording(Place(name="a", path=path, start=24.0)).hours
    np.testing.assert_allclose(hours, 24 + np.array(UNEVEN) / 60)
    frames = read_frames(path)
    assert [frames.minutes(t) for t in range(5)] == pytest.approx(UNEVEN)


@pytest.mark.parametrize("name", ["b.ome.tif", "b.ome.zarr"])
def test_each_frame_s_time_is_written_beside_what_is_predicted(tmp_path, name):
    (picture,) = open_images(ome_movie(tmp_path / "a.ome.tif", UNEVEN))
    named = dataclasses.replace(picture, channel_names=("DIC",))
    write = write_ome_tiff if name.endswith("tif") else write_ome_zarr
    write(tmp_path / name, named)
    (copy,) = open_images(tmp_path / name)
    assert copy.times == pytest.approx(UNEVEN)
    assert copy.interval is None
    assert copy.exposures is None


def test_predictions_of_a_movie_have_its_times(tmp_path):
    path = ome_movie(tmp_path / "a.ome.tif", UNEVEN)
    model = isl.load_model("ezrin-aif")
    made = model.predict(isl.read_transmitted(path))
    assert made.image().times == pytest.approx(UNEVEN)
    assert main(["predict", str(path), "--model", "ezrin-aif", "--out", str(tmp_path / "o")]) == 0
    (copy,) = open_images(tmp_path / "o" / "a.ome.tif")
    assert copy.times == pytest.approx(UNEVEN)


def test_what_is_given_counts_and_a_contradiction_is_said(tmp_path, caplog):
    path = ome_movie(tmp_path / "a.ome.tif", (0, 5, 10, 15), increment=5)
    recording = read_recording(path, interval=20)
    assert recording.minutes(3) == 60
    told = "a.ome.tif: says that frames are 5 min apart; the 20 min that are given are used"
    assert told in caplog.text
    caplog.clear()
    hours = open_recording(Place(name="a", path=path, start=0.0, interval=20.0)).hours
    assert hours[3] == 1.0
    assert told in caplog.text
    caplog.clear()
    assert read_recording(path, interval=5.1).minutes(1) == 5.1
    assert not caplog.records


def test_lengths_and_times_that_are_none_are_refused(tmp_path):
    path = ome_movie(tmp_path / "a.ome.tif", (0, 5, 10, 15), increment=5)
    for wrong in (0.0, -5.0, float("nan")):
        with pytest.raises(InputError, match=r"a.ome.tif: .* minutes apart; give minutes above"):
            read_recording(path, interval=wrong)
        with pytest.raises(InputError, match=r"`pixel_size=.*`: expected micrometres above 0"):
            read_recording(path, pixel_size=wrong)


def test_uneven_times_contradict_what_is_given_on_average(caplog):
    assert stated_interval(20.0, None, UNEVEN, "a.tif") == (20.0, None)
    assert "a.tif: says that frames are 8.75 min apart on average" in caplog.text


def test_times_that_say_nothing_or_run_back():
    assert believed_times([3.0, 3.0, 3.0], "a") is None
    assert believed_times([3.0], "a") is None
    assert believed_times([3.0, 4.0, 6.0], "a") == (0.0, 1.0, 3.0)


def test_times_that_run_back_are_told(caplog):
    assert believed_times([0.0, 5.0, 4.0], "a.tif") is None
    assert "a.tif: the times of its frames do not grow from frame 1 to 2" in caplog.text


def test_an_interval_follows_from_even_times():
    assert believed_interval(None, (0.0, 5.0, 10.2), "a") == pytest.approx(5.1)
    assert believed_interval(5.0, (0.0, 5.0, 10.2), "a") == 5.0
    assert believed_interval(7.0, None, "a") == 7.0


def test_minutes_of_a_frame():
    assert minutes_at(3, 5.0) == 15.0
    assert minutes_at(3, None, UNEVEN) == 30.0
    assert minutes_at(3, None) is None


def test_micromanager_s_times_are_read_from_the_planes(tmp_path):
    path = tmp_path / "mm.tif"
    rng = np.random.default_rng(0)
    with tifffile.TiffWriter(path) as tiff:
        for elapsed in (1000, 301000, 1501000):
            notes = f'{{"ElapsedTime-ms": {elapsed}, "Exposure-ms": 12.5, "PixelSizeUm": 0.3}}'
            tiff.write(
                rng.integers(0, 255, (8, 9)).astype(np.uint8),
                contiguous=False,
                metadata=None,
                extratags=[(51123, "s", 0, notes, False)],
            )
    (picture,) = open_images(path)
    assert picture.exposures == (12.5,)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 3
    from isl.imaging.formats.tiff import open_tiff

    assert open_tiff(path, axes="TYX").times == pytest.approx((0.0, 5.0, 25.0))


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["t1.png", "t2.png", "t3.png"], (0, 1, 2)),
        (["t2.png", "t4.png", "t10.png"], (0, 1, 4)),
        (["e_095500.png", "e_100000.png", "e_100500.png"], (0, 1, 2)),
        (["e_20210305235500.png", "e_20210306000000.png", "e_20210306001000.png"], (0, 1, 3)),
        (["a.png", "b.png"], (0, 1)),
    ],
)
def test_steps_follow_the_numbers_in_names(names, steps):
    assert frame_steps(names, "folder") == steps


def test_missing_frames_are_told(caplog):
    names = ["t1.png", "t2.png", "t5.png"]
    warn_of_gaps(names, frame_steps(names, "folder"), "folder")
    assert "folder: 2 frames are missing by the numbers in their names" in caplog.text
    assert "between t2.png and t5.png" in caplog.text


def test_time_goes_on_where_frames_of_a_folder_are_missing(tmp_path, caplog):
    from PIL import Image

    caplog.set_level(logging.WARNING)
    folder = tmp_path / "e"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 2, 3, 7):
        picture = rng.integers(0, 255, (8, 9)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"t{number}.png")
    hours = open_recording(Place(name="e", path=folder, start=10.0, interval=30.0)).hours
    np.testing.assert_allclose(hours, [10, 10.5, 11, 13])
    assert "3 frames are missing" in caplog.text
    frames = read_frames(folder)
    assert frames.steps == (0, 1, 2, 6)
    made = {
        "image": "e",
        "pixel_size": None,
        "classes": ["a"],
        "minutes": [0.0, 30.0, 60.0, 180.0],
        "colonies": [
            {"time": 3, "colony": 1, "class": "a", "probabilities": [1.0], "area": 4}
            | {"border": False, "box": [0, 0, 1, 1], "patches": 1}
        ],
    }
    assert colony_rows(made)[0]["minutes"] == "180"


def test_a_picture_that_is_named_otherwise_is_no_frame():
    check_named_alike(["a.png", "b.png"], "folder")
    check_named_alike(["t1.png", "t22.png"], "folder")
    from isl.errors import InputError

    with pytest.raises(InputError, match=r"folder: overview2.png is not named like the other"):
        check_named_alike(["overview2.png", "t1.png", "t2.png", "t3.png"], "folder")
