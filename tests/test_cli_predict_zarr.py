"""`isl predict` to OME-Zarr: images, plates laid out like the input's, and copies with channels."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import zarr
from command_line import caller, refusal
from flax import nnx

from isl import cli
from isl.backbones.unet import UNetConfig
from isl.imaging.image import PixelSize
from isl.imaging.inputs.open_image import open_images
from isl.imaging.inputs.read import read_fluorescence
from isl.imaging.zarr.plates import read_plate
from isl.imaging.zarr.reader import open_ome_zarr
from isl.imaging.zarr.writer import zarr_image
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network

LABELS = ("DAPI", "MAP2")
SIZE = (20, 24)
PIXELS = PixelSize(y=0.5, x=0.5, z=2.0)
STAGE = (300.0, 400.0)
WELLS = {"A/1": ("0", "1"), "B/2": ("0",), "B/3": ("0",)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=3, labels=LABELS, rngs=nnx.Rngs(0))
    config = ModelConfig(
        name="tiny", labels=LABELS, architecture=architecture, input=InputContract(planes=3)
    )
    save_model(folder, network, config, "# A card")
    return folder


@pytest.fixture
def run(model, capsys):
    """Runs `isl predict` with the tiny model; returns code, stdout, stderr."""
    return caller("predict", capsys, model=model)


@pytest.fixture
def done(run):
    def call(*words):
        code, out, err = run(*words)
        assert code == 0, err
        return out, err

    return call


@pytest.fixture
def refused(run, tmp_path):
    return refusal(run, tmp_path)


def files_in(folder, ending=""):
    """Names and contents of the files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob(f"*{ending}"))
        if path.is_file()
    }


def names(folder):
    """What a folder holds, but for the run's own manifest."""
    return sorted(path.name for path in folder.iterdir() if path.name != "isl-run.jsonl")


def values_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


def write_stack(path, seed=0, times=1):
    shape = (times, 3, *SIZE) if times > 1 else (3, *SIZE)
    metadata = {
        "axes": "TZYX" if times > 1 else "ZYX",
        "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0,
        "TimeIncrement": 120.0, "TimeIncrementUnit": "s",
    }  # fmt: skip
    tifffile.imwrite(path, values_of(shape, seed), metadata=metadata, ome=True)
    return path


def write_zarr(path, seed=0, channels=("BF", "GFP"), planes=3, stage=STAGE):
    pixels = values_of((1, len(channels), planes, *SIZE), seed)
    with zarr_image(
        path,
        shape=pixels.shape,
        dtype=pixels.dtype,
        labels=channels,
        pixel_size=PIXELS,
        stage=stage,
        name="measured",
    ) as image:
        for c, z in np.ndindex(pixels.shape[1:3]):
            place = (0, slice(c, c + 1), slice(None), slice(None))
            image.write(*place, pixels[0, c, z][None], z=z)
    return path


@pytest.fixture
def stack(tmp_path):
    return write_stack(tmp_path / "field.ome.tif")


@pytest.fixture
def plate(tmp_path):
    """A plate of three wells, one with two fields and one of stacks that are too thin."""
    path = tmp_path / "in" / "screen.ome.zarr"
    group = zarr.open_group(path, mode="w")
    for seed, (well, fields) in enumerate(WELLS.items()):
        images = [{"path": field, "acquisition": 1} for field in fields]
        group.create_group(well).attrs["ome"] = {"version": "0.5", "well": {"images": images}}
        for field in fields:
            planes = 2 if well == "B/3" else 3
            write_zarr(path / well / field, seed=10 * seed + int(field), planes=planes)
    group.attrs["ome"] = {
        "version": "0.5",
        "plate": {
            "name": "Screen",
            "rows": [{"name": row} for row in "ABC"],
            "columns": [{"name": column} for column in "1234"],
            "wells": [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in WELLS],
            "acquisitions": [{"id": 1, "name": "Monday"}],
        },
    }
    return path


def test_a_field_becomes_an_ome_zarr_with_the_pixels_of_the_tiff(done, stack, tmp_path):
    done(stack, "--out", tmp_path / "tiff", "--statistics", "median,entropy")
    out, _ = done(
        stack, "--out", tmp_path / "out", "--statistics", "median,entropy", "--format", "ome-zarr"
    )
    folder = tmp_path / "out"
    assert names(folder) == [
        "field.entropy.ome.zarr", "field.json", "field.ome.zarr", "field.preview.png",
    ]  # fmt: skip
    assert out.strip() == str(folder / "field.ome.zarr")
    for name in ("field", "field.entropy"):
        (picture,) = open_ome_zarr(folder / f"{name}.ome.zarr")
        assert picture.channel_names == LABELS
        assert picture.pixel_size == PixelSize(y=0.5, x=0.5)
        expected = read_fluorescence(tmp_path / "tiff" / f"{name}.ome.tif").channels
        for c in range(2):
            np.testing.assert_array_equal(picture.read(c=c), expected[c])
    told = json.loads((folder / "field.ome.zarr" / "zarr.json").read_text())["attributes"]
    assert told["isl"]["model"] == "tiny"
    assert told["isl"]["statistic"] == "median"
    assert told["isl"]["z_step_of_input_in_micrometers"] == "2"
    assert [channel["color"] for channel in told["ome"]["omero"]["channels"]] == [
        "4060FF", "40E040",
    ]  # fmt: skip
    assert told["ome"]["multiscales"][0]["name"] == "field"
    made = json.loads((folder / "field.json").read_text())
    assert made["flicker"] is None
    assert made["outputs"]["images"] == {
        "median": "field.ome.zarr",
        "entropy": "field.entropy.ome.zarr",
    }
    assert (made["settings"]["format"], made["settings"]["into"]) == ("ome-zarr", False)


def test_movies_keep_their_time_points(done, tmp_path):
    movie = write_stack(tmp_path / "movie.ome.tif", times=3)
    done(movie, "--out", tmp_path / "out", "--format", "ome-zarr")
    (picture,) = open_ome_zarr(tmp_path / "out" / "movie.ome.zarr")
    assert picture.shape == (3, 2, 1, *SIZE)
    assert picture.interval == 2.0
    told = json.loads((tmp_path / "out" / "movie.json").read_text())["flicker"]
    assert told["statistic"] == "median"
    assert told["plane"] == 1
    # Noise of even brightness: |a - b| of two such numbers is 1/3, their deviation 1/sqrt(12).
    assert told["input"] == pytest.approx(2 / np.sqrt(3), rel=0.1)
    for c, label in enumerate(LABELS):
        frames = np.stack([picture.read(t=t, c=c) for t in range(3)]).astype(float)
        expected = np.abs(np.diff(frames, axis=0)).mean() / frames.std()
        assert told["labels"][label] == pytest.approx(expected)
    assert "consecutive frames" in told["definition"]


def test_runs_give_the_same_bytes(done, stack, tmp_path):
    for name in ("a", "b"):
        done(stack, "--out", tmp_path / name, "--format", "ome-zarr", "--memory", "0.1")
    one, other = (files_in(tmp_path / name / "field.ome.zarr") for name in "ab")
    assert one == other
    assert len(one) >= 3


def test_results_that_exist_are_replaced_only_whole_and_when_asked(
    done, refused, stack, tmp_path, monkeypatch
):
    call = (stack, "--out", tmp_path / "out", "--format", "ome-zarr")
    done(*call)
    image = tmp_path / "out" / "field.ome.zarr"
    before = files_in(image)
    assert "field.ome.zarr: exists already (give --overwrite" in refused(*call)
    assert "done before" in done(*call, "--resume")[1]
    (image / "left.txt").write_text("of the old one")
    with monkeypatch.context() as failing:
        full = OSError(28, "No space left on device")

        def fail(*_, **__):
            raise full

        failing.setattr("isl.labeling.run.one_field.write_preview", fail)
        assert "No space left on device" in refused(*call, "--overwrite")
    done(*call, "--overwrite")
    assert files_in(image) == before
    assert names(tmp_path / "out") == ["field.json", "field.ome.zarr", "field.preview.png"]


def test_other_folders_and_files_are_not_replaced(refused, stack, tmp_path):
    image = tmp_path / "out" / "field.ome.zarr"
    image.mkdir(parents=True)
    (image / "thesis.txt").write_text("years of work")
    call = (stack, "--out", tmp_path / "out", "--format", "ome-zarr", "--overwrite")
    assert "is a folder, but no OME-Zarr image; it is not replaced" in refused(*call)
    shutil.rmtree(image)
    image.write_text("a file")
    assert "is a file; a folder is to be written there" in refused(*call)


def test_a_result_is_no_input_nor_lies_in_one(refused, plate, tmp_path):
    own = write_zarr(tmp_path / "own.ome.zarr")
    zarrs = ("--format", "ome-zarr", "--overwrite")
    assert "is the input" in refused(own, "--out", tmp_path, *zarrs)
    assert "or lies in it" in refused(own, "--out", own / "predicted", *zarrs)
    assert "or lies in it" in refused(own, "--out", own, "--overwrite")
    assert "or lies in it" in refused(plate, "--out", plate.parent, *zarrs)
    assert "or lies in it" in refused(plate, "--into", plate, "--overwrite")
    assert "or lies in it" in refused(plate / "A" / "1", "--out", plate / "B", *zarrs)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path, target_is_directory=True)
    assert "is the input" in refused(own, "--out", linked, *zarrs)
    # A stack in a folder that the result would replace.
    series = tmp_path / "out" / "own.ome.zarr"
    write_zarr(series)
    inner = write_zarr(series / "inner" / "deep" / "er" / "own.ome.zarr")
    assert "has an input in it" in refused(inner, "--out", tmp_path / "out", *zarrs)


def test_a_plate_becomes_a_plate_of_the_same_layout(run, done, plate, tmp_path):
    out = tmp_path / "out"
    code, printed, err = run(
        plate, "--out", out, "--format", "ome-zarr", "--statistics", "mean,mode"
    )
    assert code == 3
    assert "screen_B3_0  " in err
    assert len(printed.splitlines()) == 3
    # Said of the first field, and meant for all.
    assert err.count("taking channel 'BF' as transmitted light") == 1
    fields = ("screen_A1_0", "screen_A1_1", "screen_B2_0")
    assert names(out) == sorted(
        [f"{name}{end}" for name in fields for end in (".json", ".preview.png")]
        + ["screen.mode.ome.zarr", "screen.ome.zarr"]
    )
    for name in ("screen.ome.zarr", "screen.mode.ome.zarr"):
        made = read_plate(out / name)
        assert [field.path.relative_to(out / name).as_posix() for field in made.fields] == [
            "A/1/0", "A/1/1", "B/2/0",
        ]  # fmt: skip
        assert made.missing == ()
        told = zarr.open_group(out / name, mode="r").attrs["ome"]["plate"]
        assert told["acquisitions"] == [{"id": 1, "name": "Monday"}]
        assert [row["name"] for row in told["rows"]] == list("ABC")
        assert [column["name"] for column in told["columns"]] == list("1234")
        assert told["wells"] == [
            {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
            {"path": "B/2", "rowIndex": 1, "columnIndex": 1},
        ]
    # Each field is what it is alone, and lies where the measured one does.
    alone = tmp_path / "alone"
    done(plate / "B" / "2" / "0", "--out", alone, "--statistics", "mean")
    (picture,) = open_ome_zarr(out / "screen.ome.zarr" / "B" / "2" / "0")
    expected = read_fluorescence(alone / "screen_B2_0.ome.tif").channels
    np.testing.assert_array_equal(picture.read(c=1), expected[1])
    assert picture.stage == STAGE
    record = json.loads((out / "screen_A1_1.json").read_text())
    assert record["outputs"]["images"]["mode"] == "screen.mode.ome.zarr/A/1/1"


def test_wells_are_added_to_a_plate_and_done_ones_skipped(done, refused, plate, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    for pattern in ("A", "B/2"):
        done(plate / pattern, "--out", whole, "--format", "ome-zarr")
    call = ("--out", out, "--format", "ome-zarr")
    done(plate / "B/2/0", *call)
    assert [field.name for field in read_plate(out / "screen.ome.zarr").fields] == ["screen_B2_0"]
    assert "exists already" in refused(plate / "B/2/0", *call)
    err = done(plate / "?/[12]", *call, "--resume")[1]
    assert "screen_B2_0: done before" in err
    assert files_in(out / "screen.ome.zarr") == files_in(whole / "screen.ome.zarr")


def test_two_plates_of_one_name_are_not_mixed(refused, plate, tmp_path):
    other = tmp_path / "other" / plate.name
    shutil.copytree(plate, other)
    call = ("--out", tmp_path / "out", "--format", "ome-zarr", "--overwrite")
    assert "would be that of" in refused(plate / "A/1/0", other / "B/2/0", *call)
    same = write_stack(tmp_path / "screen.ome.tif")
    assert "would be that of" in refused(plate / "A/1/0", same, *call)
    write_zarr(tmp_path / "out" / "screen.ome.zarr")
    assert "is no plate written by isl" in refused(plate / "A/1/0", *call)


def test_predicted_channels_beside_the_measured_ones(done, tmp_path):
    source = write_zarr(tmp_path / "a.ome.zarr", channels=("BF", "DAPI"))
    before = files_in(source)
    copy = tmp_path / "copies" / "both.ome.zarr"
    out, _ = done(source, "--into", copy, "--statistics", "median,entropy")
    assert out.strip() == str(copy)
    assert names(copy.parent) == ["both.json", "both.ome.zarr", "both.preview.png"]
    assert files_in(source) == before
    (picture,) = open_ome_zarr(copy)
    assert picture.channel_names == (
        "BF", "DAPI", "DAPI (predicted)", "MAP2", "DAPI entropy", "MAP2 entropy",
    )  # fmt: skip
    assert picture.shape == (1, 6, 3, *SIZE)
    assert picture.pixel_size == PIXELS
    assert picture.stage == STAGE
    done(source, "--out", tmp_path / "out", "--statistics", "median,entropy")
    (measured,) = open_ome_zarr(source)
    images = [read_fluorescence(tmp_path / "out" / f"a{end}.ome.tif") for end in ("", ".entropy")]
    for z in range(3):
        for c in range(2):
            np.testing.assert_array_equal(picture.read(c=c, z=z), measured.read(c=c, z=z))
            for number, image in enumerate(images):
                seen = picture.read(c=2 + 2 * number + c, z=z)
                np.testing.assert_array_equal(seen, image.channels[c])
    made = json.loads((copy.parent / "both.json").read_text())
    assert made["statistics"] == ["median", "entropy"]
    assert made["outputs"]["images"] == {"median": "both.ome.zarr"}
    assert made["settings"]["into"] is True


def test_masks_are_channels_of_a_copy_and_images_of_plates(done, plate, tmp_path):
    source, place = plate / "B" / "2" / "0", "B/2/0"
    words = ("--statistics", "abstained,interval_90", "--labels", "MAP2", "--dtype", "float32")
    done(source, "--out", tmp_path, *words, "--abstain", 1)
    width = read_fluorescence(tmp_path / "screen_B2_0.interval_90.ome.tif").channels[0]
    limit = float(np.median(width))
    too_wide = width > np.float32(limit)

    done(source, "--into", tmp_path / "copy.ome.zarr", *words, "--abstain", limit)
    (picture,) = open_ome_zarr(tmp_path / "copy.ome.zarr" / place)
    assert picture.channel_names[-2:] == ("MAP2", "MAP2 interval_90")
    # Full scale of a copy's pixel type, which all its channels share.
    mask = picture.read(c=len(picture.channel_names) - 2)
    np.testing.assert_array_equal(mask, too_wide.astype(np.float32))

    out = tmp_path / "plates"
    done(source, "--out", out, "--format", "ome-zarr", "--labels", "MAP2", "--abstain", limit)
    (picture,) = open_ome_zarr(out / "screen.abstained.ome.zarr" / place)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture.read(), 255 * too_wide)


def test_a_movie_with_predicted_channels(done, tmp_path):
    movie = write_stack(tmp_path / "movie.ome.tif", times=2)
    done(movie, "--into", tmp_path / "copy.zarr")
    (picture,) = open_ome_zarr(tmp_path / "copy.zarr")
    (measured,) = open_images(movie)
    assert picture.shape == (2, 3, 3, *SIZE)
    assert picture.channel_names == ("channel 1", *LABELS)
    np.testing.assert_array_equal(picture.read(t=1, z=2), measured.read(t=1, z=2))
    assert (names(tmp_path)) == ["copy.json", "copy.preview.png", "copy.zarr", "movie.ome.tif"]


def test_a_copy_of_a_plate(run, plate, tmp_path):
    code, _, err = run(plate, "--into", tmp_path / "both.ome.zarr")
    assert code == 3, err
    made = read_plate(tmp_path / "both.ome.zarr")
    assert [field.name for field in made.fields] == ["both_A1_0", "both_A1_1", "both_B2_0"]
    assert (tmp_path / "both_A1_1.json").is_file()
    (picture,) = open_ome_zarr(made.fields[2].path)
    assert picture.channel_names == ("BF", "GFP", *LABELS)


def test_copies_and_plates_are_made_again_from_their_records(done, refused, plate, tmp_path):
    field, place = plate / "A" / "1" / "1", "A/1/1"
    words = ("--statistics", "median,entropy", "--abstain", 0.5)
    done(field, "--into", tmp_path / "one" / "both.ome.zarr", *words)
    done(field, "--out", tmp_path / "out", "--format", "ome-zarr", *words)
    copied, apart = tmp_path / "one" / "both_A1_1.json", tmp_path / "out" / "screen_A1_1.json"

    line = refused("--reproduce", copied, "--out", tmp_path / "again")
    assert line == "the record is of channels added to a copy; name one with --into"
    line = refused("--reproduce", apart, "--into", tmp_path / "again" / "both.ome.zarr")
    assert line == "the record is of images of predicted channels alone; give --out, not --into"

    _, err = done("--reproduce", copied, "--into", tmp_path / "two" / "same.ome.zarr")
    assert "differs" not in err
    image = tmp_path / "two" / "same.ome.zarr" / place
    assert files_in(image) == files_in(tmp_path / "one" / "both.ome.zarr" / place)
    _, err = done("--reproduce", apart, "--out", tmp_path / "three")
    assert "differs" not in err
    for name in ("screen.ome.zarr", "screen.entropy.ome.zarr", "screen.abstained.ome.zarr"):
        assert files_in(tmp_path / "three" / name) == files_in(tmp_path / "out" / name)


def test_copies_that_cannot_be(refused, stack, plate, tmp_path):
    out = ("--out", tmp_path / "out")
    copy = ("--into", tmp_path / "copy.ome.zarr")
    other = write_stack(tmp_path / "other.ome.tif")
    assert "ends in .ome.zarr" in refused(stack, "--into", tmp_path / "copy.ome.tif")
    assert "with --border valid predicted channels are smaller" in refused(
        stack, *copy, "--border", "valid"
    )
    assert "holds one image or one plate, and there are 2 inputs" in refused(stack, other, *copy)
    assert "holds one image or one plate" in refused(stack, plate, *copy)
    assert "not both" in refused(stack, *copy, *out)
    assert "give --out DIR" in refused(stack)
    assert "unknown format 'ome-zar'; did you mean 'ome-zarr'?" in refused(
        stack, *out, "--format", "ome-zar"
    )


def test_planes_lie_where_the_models_do(model, tmp_path, capsys):
    loaded = load_model(model)
    wary, finer = tmp_path / "wary", tmp_path / "finer"
    for folder, z_step in ((wary, 4.0), (finer, 3.0)):
        contract = InputContract(planes=3, z_step=z_step)
        config = loaded.config.model_copy(update={"input": contract})
        save_model(folder, loaded.network, config, "# A card")
    thick = tmp_path / "thick.ome.zarr"
    write_zarr(thick, channels=("BF",), planes=7)
    for name, words in (
        ("placed", []),
        ("listed", ["--planes", "1,3,5"]),
        ("same", ["--planes", "interpolate"]),
        ("blended", ["--planes", "interpolate", "--model", str(finer)]),
    ):
        given = ["predict", str(thick), "--out", str(tmp_path / name), "--model", str(wary), *words]
        assert cli.main(given) == 0, capsys.readouterr().err
    said = capsys.readouterr().err
    assert "of 7 planes, 2 um apart, 1 to 5 in steps of 2 are taken" in said
    placed, *others = (
        read_fluorescence(tmp_path / name / "thick.ome.tif").channels
        for name in ("placed", "listed", "same", "blended")
    )
    np.testing.assert_array_equal(others[0], placed)
    np.testing.assert_array_equal(others[1], placed)
    assert np.abs(others[2].astype(float) - placed).max() > 100
    planes = {
        name: json.loads((tmp_path / name / "thick.json").read_text())["input"]["planes"]
        for name in ("placed", "same", "blended")
    }
    assert planes == {"placed": [1, 3, 5], "same": [1, 3, 5], "blended": [1.5, 3, 4.5]}
    given = ["predict", str(thick), "--out", str(tmp_path / "refused"), "--model", str(finer)]
    assert cli.main(given) == 2
    assert "2 um apart, and model 'tiny' expects 3 um, where none lie" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()


def test_a_dry_run_names_what_would_be_written(run, plate, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = run(plate, "--out", out, "--format", "ome-zarr", "--dry-run")
    assert code == 3
    assert str(out / "screen.ome.zarr" / "A" / "1" / "1") in printed
    assert not out.exists()


def test_a_dry_run_counts_measured_channels_and_smaller_resolutions(done, tmp_path):
    source = write_zarr(tmp_path / "a.ome.zarr", channels=("BF", "DAPI"))
    pixels = SIZE[0] * SIZE[1]
    words = ("--statistics", "median,mean", "--dry-run")
    out, _ = done(source, "--into", tmp_path / "copy.zarr", *words, "--dtype", "float32")
    # 3 planes of 2 measured channels and 2 x 2 predicted ones, all as wide as the widest.
    assert f"disk: at most {3 * 6 * pixels * 4 * 4 / 3 / 1024:.3g} KiB" in out
    out, _ = done(source, "--out", tmp_path / "out", "--format", "ome-zarr", *words)
    assert f"disk: at most {2 * 2 * pixels * 2 * 4 / 3 / 1024:.3g} KiB" in out
