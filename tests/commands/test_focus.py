"""`isl focus` from files to files: what it writes, and all it refuses."""

import json

import numpy as np
import pytest
import tifffile
from command_line import caller, refusal
from PIL import Image

from isl.files.locks import alone_in
from isl.imaging.inputs.read import read_picture, read_transmitted
from isl.polarity.focus import fuse

SIZE = (33, 40)
FILES = ["field.depth.ome.tif", "field.json", "field.ome.tif", "field.preview.png"]


def stack_of(planes=3, *, dtype=np.uint16, seed=0):
    values = np.random.default_rng(seed).random((planes, *SIZE))
    return (values if dtype == np.float32 else values * np.iinfo(dtype).max).astype(dtype)


def write_stack(path, values, *, metadata=True):
    calibration = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(
        path,
        values,
        imagej=metadata,
        photometric="minisblack",
        metadata=calibration if metadata else None,
        resolution=(2.0, 4.0) if metadata else None,
    )
    return path


@pytest.fixture
def stack(tmp_path):
    return write_stack(tmp_path / "field.tif", stack_of())


@pytest.fixture
def run(tmp_path, capsys):
    """Runs `isl focus` into tmp_path/out; returns code, stdout, stderr."""
    return caller("focus", capsys, out=tmp_path / "out")


@pytest.fixture
def refused(run, tmp_path):
    return refusal(run, tmp_path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_stack_becomes_an_image_a_depth_a_preview_and_a_record(run, stack, tmp_path):
    code, out, err = run(stack)
    assert code == 0, err
    folder = tmp_path / "out"
    assert names(folder) == FILES
    assert out.strip() == str(folder / "field.ome.tif")
    expected = fuse(stack_of())

    image = read_picture(folder / "field.ome.tif")
    assert image.array.dtype == np.uint16
    np.testing.assert_array_equal(image.array[0, 0, 0], expected.image)
    assert image.pixel_size is not None
    assert (image.pixel_size.y, image.pixel_size.x) == pytest.approx((0.25, 0.5))
    assert image.pixel_size.z is None

    depth = read_picture(folder / "field.depth.ome.tif")
    assert depth.array.dtype == np.uint16
    assert depth.channel_names == ("depth_plane",)
    np.testing.assert_array_equal(depth.array[0, 0, 0], expected.depth)
    assert depth.pixel_size is not None
    # What makes micrometres of plane indices.
    assert depth.pixel_size.z == pytest.approx(2.0)

    with Image.open(folder / "field.preview.png") as preview:
        assert preview.width > 3 * SIZE[1]


def test_the_record_says_how_the_result_was_made(run, stack, tmp_path):
    run(stack)
    made = json.loads((tmp_path / "out" / "field.json").read_text())
    assert made["made_by"] == "isl focus"
    assert len(made["input"]["sha256"]) == 64
    assert made["input"]["shape"] == [1, 3, *SIZE]
    assert made["input"]["dtype"] == "uint16"
    assert made["settings"] == {"levels": 5, "axes": None, "channel": None}
    assert made["outputs"]["images"]["depth"] == "field.depth.ome.tif"
    assert made["versions"]["dtcwt"]
    assert made["device"]
    assert made["seconds"] > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_pixel_type_and_values_are_kept(run, tmp_path, dtype):
    values = stack_of(dtype=dtype) - (dtype(3) if dtype == np.float32 else dtype(0))
    code, _, err = run(write_stack(tmp_path / "field.tif", values))
    assert code == 0, err
    image = read_picture(tmp_path / "out" / "field.ome.tif").array
    assert image.dtype == dtype
    np.testing.assert_array_equal(image[0, 0, 0], fuse(values).image)


def test_movies_stay_movies(run, tmp_path):
    frames = np.stack([stack_of(seed=seed) for seed in range(2)])
    metadata = {
        "axes": "TZYX",
        "Channel": {"Name": ["DIC"]},
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "TimeIncrement": 1200.0,
        "TimeIncrementUnit": "s",
    }
    tifffile.imwrite(tmp_path / "movie.tif", frames, metadata=metadata, ome=True)
    code, _, err = run(tmp_path / "movie.tif")
    assert code == 0, err
    movie = read_transmitted(tmp_path / "out" / "movie.ome.tif")
    assert movie.frames.shape == (2, 1, *SIZE)
    assert movie.interval == pytest.approx(20)
    assert movie.modality == "DIC"
    assert movie.pixel_size is not None
    assert movie.pixel_size.x == pytest.approx(0.5)
    depth = read_picture(tmp_path / "out" / "movie.depth.ome.tif").array
    for t, planes in enumerate(frames):
        fused = fuse(planes)
        np.testing.assert_array_equal(movie.frames[t, 0], fused.image)
        np.testing.assert_array_equal(depth[t, 0, 0], fused.depth)


def test_axes_and_channel_say_what_a_file_does_not(run, tmp_path):
    values = stack_of()
    plain = write_stack(tmp_path / "plain.tif", np.moveaxis(values, 0, -1), metadata=False)
    code, _, err = run(plain, "--axes", "YXZ")
    assert code == 0, err
    image = read_picture(tmp_path / "out" / "plain.ome.tif")
    np.testing.assert_array_equal(image.array[0, 0, 0], fuse(values).image)
    assert image.pixel_size is None

    two = np.stack([values, values[::-1] // 2], axis=1)
    metadata = {"axes": "ZCYX", "Channel": {"Name": ["left", "right"]}}
    tifffile.imwrite(tmp_path / "two.tif", two, metadata=metadata, ome=True)
    code, _, err = run(tmp_path / "two.tif", "--channel", "right")
    assert code == 0, err
    image = read_picture(tmp_path / "out" / "two.ome.tif")
    np.testing.assert_array_equal(image.array[0, 0, 0], fuse(two[:, 1]).image)


def test_a_single_plane_is_taken_as_it_is(run, tmp_path):
    plane = stack_of(1)
    code, _, err = run(write_stack(tmp_path / "field.tif", plane[0], metadata=False))
    assert code == 0
    assert "warning: " in err
    assert "has one plane, which is taken as it is" in err
    made = json.loads((tmp_path / "out" / "field.json").read_text())
    assert "has one plane, which is taken as it is" in made["warnings"]
    image = read_picture(tmp_path / "out" / "field.ome.tif").array
    np.testing.assert_array_equal(image[0, 0, 0], plane[0])


def test_a_folder_of_fields(run, tmp_path):
    fields = tmp_path / "fields"
    fields.mkdir()
    for name in "ab":
        write_stack(fields / f"{name}.tif", stack_of(seed=ord(name)))
    (fields / "notes.txt").write_text("nothing to fuse")
    code, out, err = run(fields)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "[2/2] b: done" in err
    assert {"a.ome.tif", "b.ome.tif", "a.json", "b.json"} <= set(names(tmp_path / "out"))


def test_bad_fields_of_several_leave_the_others_done(run, stack, tmp_path):
    bad = stack_of(dtype=np.float32)
    bad[1, 2, 3] = np.nan
    write_stack(tmp_path / "bad.tif", bad)
    torn = tmp_path / "torn.tif"
    torn.write_bytes(stack.read_bytes()[:600])
    code, out, err = run(tmp_path / "bad.tif", stack, torn)
    assert code == 3
    assert out.strip().endswith("field.ome.tif")
    assert names(tmp_path / "out") == FILES
    assert "2 of 3 fields failed:" in err
    assert "bad.tif: frame 0: holds pixels that are NaN or infinite" in err


def test_if_every_field_fails_nothing_is_written(run, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.tif").write_text("hello")
    code, out, err = run(tmp_path / "a.tif", tmp_path / "b.tif")
    assert code == 2
    assert out == ""
    assert "2 of 2 fields failed:" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--device", "npu"], "unknown device 'npu'"),
        (["--device", "tpu"], "JAX sees no TPU here"),
        (["--axes", "ZZ"], "--axes"),
        (["--axes", "CYX"], "has 3 unnamed channels and one plane"),
        (["--channel", "GFP"], "unknown channel 'GFP'"),
        (["--overwite"], "No such option: --overwite"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(refused, stack, words, line):
    assert line in refused(stack, *words)


def test_wrong_inputs_are_refused_before_anything_is_written(refused, tmp_path):
    assert "there is no such file" in refused(tmp_path / "nothing.tif")
    for name, line in (("text.txt", "text.txt: is not a"), ("fake.tif", "fake.tif")):
        (tmp_path / name).write_text("hello")
        assert line in refused(tmp_path / name)
    bad = stack_of(dtype=np.float32)
    bad[0, 0, 0] = np.inf
    line = refused(write_stack(tmp_path / "bad.tif", bad))
    assert "bad.tif: frame 0: holds pixels that are NaN or infinite; replace them first" in line


def test_results_that_exist_are_kept(refused, run, stack, tmp_path):
    assert run(stack)[0] == 0
    line = refused(stack)
    assert line.endswith("field.ome.tif: exists already (give --overwrite to replace it)")
    (tmp_path / "out" / "field.ome.tif").unlink()
    assert "field.depth.ome.tif: exists already" in refused(stack)
    assert run(stack, "--overwrite")[0] == 0
    assert names(tmp_path / "out") == FILES


def test_one_run_at_a_time_writes_to_a_folder(run, stack, tmp_path):
    with alone_in(tmp_path / "out", "isl focus"):
        code, _, err = run(stack)
    assert code == 2
    assert "another isl focus is writing there; wait for it, or give another --out" in err
    assert not (tmp_path / "out").exists()


def test_results_of_one_name_are_refused_even_with_overwrite(refused, stack, tmp_path):
    (tmp_path / "other").mkdir()
    twin = write_stack(tmp_path / "other" / "field.tiff", stack_of())
    assert "collide" in refused(stack, twin, "--overwrite")
    namesake = write_stack(tmp_path / "field.depth.tif", stack_of())
    assert "field.depth.ome.tif would be that of" in refused(stack, namesake, "--overwrite")


def test_a_result_never_replaces_an_input(refused, tmp_path):
    own = write_stack(tmp_path / "own.ome.tif", stack_of(), metadata=False)
    assert "is an input" in refused(own, "--out", tmp_path, "--overwrite")


def test_a_full_disk_leaves_nothing(refused, stack, monkeypatch, tmp_path):
    (tmp_path / "out").mkdir()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isl.polarity.stacks.write_preview", full)
    assert "No space left on device" in refused(stack)


def test_too_little_memory_is_said_in_one_line(refused, stack, monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr("isl.polarity.stacks.fuse_movie", exhausted)
    assert "field.tif: does not fit into memory; crop it" in refused(stack)


def test_an_interruption_leaves_nothing(run, stack, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("isl.polarity.stacks.write_preview", interrupt)
    assert run(stack)[0] == 130
    assert not (tmp_path / "out").exists()
