"""`isl predict` from files to files: what it writes, and all it refuses."""

import json
import os
import re
import shutil

import numpy as np
import pytest
import tifffile
from command_line import caller, files_in, refusal
from flax import nnx
from PIL import Image

from isl import cli
from isl.backbones.unet import UNetConfig
from isl.files.run_manifest import MANIFEST
from isl.imaging.inputs.read import read_fluorescence, read_transmitted
from isl.imaging.inputs.steady import content_hash
from isl.labeling.dataset import Field, Manifest, write_manifest
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, LabelStatistics, ModelConfig
from isl.labeling.network import build_network
from isl.phantom.wells.wells import WellConfig, write_wells

LABELS = ("DAPI", "MAP2")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=3, labels=LABELS, rngs=nnx.Rngs(0))
    training = LabelStatistics(mean=0.2, standard_deviation=0.1)
    config = ModelConfig(
        name="tiny",
        labels=LABELS,
        architecture=architecture,
        input=InputContract(planes=3),
        label_statistics=dict.fromkeys(LABELS, training),
    )
    save_model(folder, network, config, "# A card")
    return folder


def write_stack(path, *, planes=3, size=(20, 24), seed=0, metadata=True):
    values = np.random.default_rng(seed).integers(0, 4096, (planes, *size), dtype=np.uint16)
    calibration = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(
        path,
        values,
        imagej=metadata,
        photometric="minisblack",
        metadata=calibration if metadata else None,
        resolution=(2.0, 2.0) if metadata else None,
    )
    return path


@pytest.fixture
def stack(tmp_path):
    return write_stack(tmp_path / "field.tif")


@pytest.fixture
def run(model, tmp_path, capsys):
    """Runs `isl predict` into tmp_path/out with the tiny model; returns code, stdout, stderr."""
    return caller("predict", capsys, out=tmp_path / "out", model=model)


@pytest.fixture
def refused(run, tmp_path):
    return refusal(run, tmp_path)


def names(folder):
    """What lies in a folder of results, besides the run's manifest."""
    return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)


def test_a_field_becomes_an_image_a_preview_and_a_record(run, stack, tmp_path, model):
    code, out, err = run(stack)
    assert code == 0, err
    folder = tmp_path / "out"
    assert names(folder) == ["field.json", "field.ome.tif", "field.preview.png"]
    assert out.strip() == str(folder / "field.ome.tif")
    image = read_fluorescence(folder / "field.ome.tif")
    assert image.labels == LABELS
    assert image.channels.dtype == np.uint16
    assert image.channels.shape == (2, 20, 24)
    assert image.pixel_size is not None
    assert (image.pixel_size.y, image.pixel_size.x) == pytest.approx((0.5, 0.5))
    with Image.open(folder / "field.preview.png") as preview:
        assert preview.width > 3 * 20

    expected = load_model(model).predict(read_transmitted(stack)).statistics["median"]
    np.testing.assert_array_equal(image.channels, np.rint(expected * np.float32(65535)))


def test_the_record_says_how_the_result_was_made(run, stack, tmp_path, model):
    run(stack, "--statistics", "mean,entropy", "--planes", "2,1,0", "--renormalize")
    made = json.loads((tmp_path / "out" / "field.json").read_text())
    assert made["model"] == {
        "name": "tiny",
        "sha256": load_model(model).hash,
        "origin": str(model),
    }
    assert len(made["input"]["sha256"]) == 64
    assert made["input"]["axes"] == "ZYX"
    assert made["input"]["shape"] == [3, 20, 24]
    assert made["input"]["dtype"] == "uint16"
    assert made["input"]["planes"] == [2, 1, 0]
    assert made["input"]["pixel_size"]["x"] == pytest.approx(0.5)
    assert made["border"] == {"kind": "reflect", "offset": 0}
    assert made["settings"]["stitch"] == "dense"
    assert made["settings"]["dtype"] == "uint16"
    assert made["labels"] == list(LABELS)
    assert made["statistics"] == ["mean", "entropy"]
    assert [plane["plane"] for plane in made["normalization"][0]] == [2, 1, 0]
    assert made["normalization"][0][0]["scale"] > 1
    assert {r["label"] for r in made["renormalization"]} == set(LABELS)
    assert made["outputs"]["images"] == {
        "mean": "field.ome.tif",
        "entropy": "field.entropy.ome.tif",
    }
    assert made["versions"].keys() >= {"python", "isl", "jax", "flax", "numpy"}
    assert made["device"]
    assert made["seconds"] > 0
    assert isinstance(made["warnings"], list)
    # The model does not say what it learned from.
    assert made["familiarity"] is None


def test_all_statistics_are_six_images(run, stack, tmp_path):
    code, _, err = run(stack, "--statistics", "all", "--labels", "MAP2", "--dtype", "float32")
    assert code == 0, err
    further = ("mean", "mode", "standard_deviation", "probability_nonzero", "entropy")
    expected = {"field.ome.tif", "field.json", "field.preview.png"}
    expected |= {f"field.{statistic}.ome.tif" for statistic in further}
    assert set(names(tmp_path / "out")) == expected
    entropy = read_fluorescence(tmp_path / "out" / "field.entropy.ome.tif")
    assert entropy.labels == ("MAP2",)
    assert entropy.channels.dtype == np.float32
    assert 0 < entropy.channels.max() <= 1


@pytest.mark.parametrize(("dtype", "full"), [("uint8", 255), ("uint16", 65535)])
def test_full_scale_of_integers_is_one(run, stack, tmp_path, dtype, full):
    run(stack, "--statistics", "mean", "--dtype", "float32", "--out", tmp_path / "floats")
    run(stack, "--statistics", "mean", "--dtype", dtype)
    floats = read_fluorescence(tmp_path / "floats" / "field.ome.tif").channels
    stored = read_fluorescence(tmp_path / "out" / "field.ome.tif").channels
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, np.rint(floats * np.float32(full)).astype(dtype))


def test_valid_border_keeps_the_inside(run, stack, tmp_path):
    run(stack, "--border", "valid")
    image = read_fluorescence(tmp_path / "out" / "field.ome.tif")
    made = json.loads((tmp_path / "out" / "field.json").read_text())
    offset = made["border"]["offset"]
    assert offset > 0
    assert image.channels.shape == (2, 20 - 2 * offset, 24 - 2 * offset)


def test_movies_stay_movies(run, tmp_path):
    frames = np.random.default_rng(0).integers(0, 4096, (2, 3, 16, 18), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "movie.tif", frames, metadata={"axes": "TZYX"}, ome=True)
    code, _, err = run(tmp_path / "movie.tif")
    assert code == 0, err
    image = read_fluorescence(tmp_path / "out" / "movie.ome.tif")
    assert image.channels.shape == (2, 2, 16, 18)
    made = json.loads((tmp_path / "out" / "movie.json").read_text())
    assert made["input"]["axes"] == "TZYX"
    assert len(made["normalization"]) == 2


@pytest.mark.parametrize("words", [[], ["--renormalize", "--dtype", "uint8"]])
def test_memory_decides_nothing_but_how_much_is_read_at_once(run, tmp_path, words):
    stack = write_stack(tmp_path / "large.tif", size=(90, 130))
    given = [stack, "--tile", "24", "--statistics", "median,mean", *words]
    assert run(*given)[0] == 0
    code, _, err = run(*given, "--memory", "0.002", "--out", tmp_path / "little")
    assert code == 0, err
    free, little = (files_in(tmp_path / name) for name in ("out", "little"))
    assert free.keys() == little.keys()
    tiles = [json.loads(files["large.json"])["tiles"] for files in (free, little)]
    # Fewer tiles at a time, and the images the same but for rounding.
    assert tiles[0].pop("batch") > tiles[1].pop("batch")
    assert tiles[0] == tiles[1]
    for name in ("large.ome.tif", "large.mean.ome.tif"):
        images = [
            read_fluorescence(tmp_path / folder / name).channels.astype(float)
            for folder in ("out", "little")
        ]
        np.testing.assert_allclose(images[0], images[1], atol=1 + images[0].max() / 200)
        assert images[0].std() > 0


def test_axes_say_what_a_plain_file_does_not(run, tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (16, 18, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "odd.tif", values, photometric="minisblack", metadata=None)
    code, _, err = run(tmp_path / "odd.tif", "--axes", "YXZ")
    assert code == 0, err
    image = read_fluorescence(tmp_path / "out" / "odd.ome.tif")
    assert image.channels.shape == (2, 16, 18)
    assert image.pixel_size is None


def test_a_folder_of_fields(run, tmp_path):
    fields = tmp_path / "fields"
    fields.mkdir()
    for name in "ab":
        write_stack(fields / f"{name}.tif", seed=ord(name))
    (fields / "notes.txt").write_text("nothing to predict")
    code, out, err = run(fields)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "[2/2] b: done" in err
    assert {"a.ome.tif", "b.ome.tif", "a.json", "b.json"} <= set(names(tmp_path / "out"))


def preprocessed(folder, names=("A1", "A2"), kept=("A1",)):
    """What `isl preprocess` leaves: stacks, measured labels and pictures in fields/, a manifest."""
    fields = folder / "fields"
    fields.mkdir(parents=True)
    for seed, name in enumerate(names):
        write_stack(fields / f"{name}.tif", seed=seed)
        write_stack(fields / f"{name}.labels.ome.tif", planes=1)
        Image.new("L", (24, 20)).save(fields / f"{name}.preview.png")
        beside = [f"{name}.labels.ome.tif", f"{name}.preview.png"]
        record = {"made_by": "isl preprocess", "outputs": beside}
        (fields / f"{name}.json").write_text(json.dumps(record))
    (folder / "settings.toml").write_text("")
    entries = (Field(name=name, transmitted=(f"fields/{name}.tif",)) for name in kept)
    if kept:
        write_manifest(folder / "dataset.toml", Manifest(fields=tuple(entries)))
    return folder


def test_planes_of_one_stack_as_single_images_are_warned_of(run, model, tmp_path):
    any_planes = tmp_path / "any"
    shutil.copytree(model, any_planes)
    said = (
        (any_planes / "model.toml")
        .read_text()
        .replace("planes = 3", "planes = 3\nany_planes = true")
    )
    (any_planes / "model.toml").write_text(said)
    (tmp_path / "in").mkdir()
    for z in range(3):
        write_stack(tmp_path / "in" / f"z{z}.tif", planes=1, seed=z)
    code, out, err = run(tmp_path / "in", "--model", any_planes)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "3 images of one plane each are predicted one by one; save them as one stack" in err
    code, _, err = run(tmp_path / "in" / "z0.tif", "--model", any_planes, "--overwrite")
    assert code == 0
    assert "one by one" not in err


def test_a_preprocessed_folder_offers_its_fields_alone(run, refused, tmp_path):
    folder = preprocessed(tmp_path / "RUN")
    assert run(folder)[0] == 0
    assert names(tmp_path / "out") == ["A1.json", "A1.ome.tif", "A1.preview.png"]
    code, _, _ = run(folder / "fields", "--overwrite")
    assert code == 0
    images = [name for name in names(tmp_path / "out") if name.endswith(".tif")]
    assert images == ["A1.ome.tif", "A2.ome.tif"]


def test_what_datasets_say_of_their_fields_is_heeded(run, tmp_path):
    folder = preprocessed(tmp_path / "RUN")
    stack = write_stack(tmp_path / "RUN" / "fields" / "deep.tif", planes=5)
    field = Field(name="deep", transmitted=(stack,), planes=(1, 2, 3), pixel_size=0.7)
    write_manifest(folder / "dataset.toml", Manifest(fields=(field,)), overwrite=True)
    assert run(folder / "dataset.toml")[0] == 0
    made = json.loads((tmp_path / "out" / "deep.json").read_text())
    assert made["input"]["planes"] == [1, 2, 3]
    assert made["settings"]["pixel_size"] == 0.7
    other = write_stack(tmp_path / "other.tif")
    code, _, error = run(folder / "dataset.toml", other)
    assert (code, "predict them in calls of their own" in error) == (2, True)


def test_a_run_that_kept_nothing_is_named(refused, tmp_path):
    assert "no field of this run is kept" in refused(preprocessed(tmp_path / "RUN", kept=()))


def test_raw_tiles_are_preprocessed_first(run, tmp_path):
    config = WellConfig(rows=1, columns=2, tile=64, overlap=32, jitter=0, planes=3, exposures=1)
    raw = write_wells(tmp_path / "raw", 1, config, 0).folder
    toml = tmp_path / "plate.toml"
    toml.write_text(
        'transmitted = "phase"\nlabels = ["nuclei"]\n'
        'stages = ["downscale", "stitching", "projection", "normalization"]\n'
        "[stitching]\nsearch = 8\n"
        '[layout]\npattern = "{well}_r{row}_c{col}_z{z}_{channel}.tif"\noverlap = 32\n'
    )
    code, _, error = run(raw, "--preprocess", toml)
    assert code == 0, error
    assert "A1.ome.tif" in names(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "A1.json").read_text())
    assert record["input"]["path"].endswith("out/preprocessed/fields/A1.tif")
    # The same call resumes: nothing is preprocessed anew.
    before = (tmp_path / "out" / "preprocessed" / "fields" / "A1.tif").stat().st_mtime_ns
    assert run(raw, "--preprocess", toml, "--resume")[0] == 0
    assert (tmp_path / "out" / "preprocessed" / "fields" / "A1.tif").stat().st_mtime_ns == before
    for words, said in (
        (("--labels", "NONE"), "unknown label 'NONE'"),
        (("--dry-run",), "isl preprocess"),
    ):
        code, _, error = run(raw, "--preprocess", toml, "--out", tmp_path / "other", *words)
        assert (code, said in error) == (2, True), error
        assert not (tmp_path / "other").exists()


def test_one_bad_field_of_several_leaves_the_others_done(run, stack, tmp_path):
    bad = write_stack(tmp_path / "bad.tif", planes=2)
    torn = tmp_path / "torn.tif"
    torn.write_bytes(stack.read_bytes()[:600])
    code, out, err = run(bad, stack, torn)
    assert code == 3
    assert out.strip().endswith("field.ome.tif")
    assert names(tmp_path / "out") == ["field.json", "field.ome.tif", "field.preview.png"]
    assert "2 of 3 fields failed:" in err
    assert "bad   " in err
    assert "z-stack has 2 planes; model 'tiny' expects 3 (give --planes to choose)" in err


def test_if_every_field_fails_nothing_is_written(run, tmp_path):
    bad = [write_stack(tmp_path / f"bad{n}.tif", planes=n) for n in (1, 2)]
    code, out, err = run(*bad)
    assert code == 2
    assert out == ""
    assert "2 of 2 fields failed:" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model", "nosuch"], "unknown model 'nosuch'"),
        (["--labels", "DAPY"], "unknown label 'DAPY'; did you mean 'DAPI'?"),
        (["--labels", ","], "--labels ',': names nothing"),
        (["--statistics", "medium"], "unknown statistic 'medium'; did you mean 'median'?"),
        (["--statistics", "abstained"], "statistic 'abstained' needs the widest 90 % interval"),
        (["--abstain", "1.5"], "--abstain 1.5: expected the widest 90 % interval that is accepted"),
        (["--abstain", "0"], "--abstain 0: expected"),
        (["--abstain", "wide"], "Invalid value for '--abstain'"),
        (["--stitch", "exact"], "'exact' is defined for towers only"),
        (["--stitch", "dens"], "unknown stitch 'dens'; did you mean 'dense'?"),
        (["--border", "valid", "--tile", "x"], "tile 'x'"),
        (["--tile", "1"], "tiles are at least"),
        (["--dtype", "uint12"], "unknown dtype 'uint12'"),
        (["--normalize", "of"], "unknown normalization 'of'; did you mean 'off'?"),
        (["--device", "npu"], "unknown device 'npu'"),
        (["--device", "tpu"], "JAX sees no TPU here"),
        (["--memory", "0"], "--memory 0: expected GiB above 0"),
        (["--memory", "0.0001"], "0.0001 GiB of memory are too few for model 'tiny', which needs"),
        (["--planes", "a"], "--planes a: expected numbers"),
        (["--planes", "5:2"], "names no plane"),
        (["--planes", "0:2"], "--planes names 2 planes; model 'tiny' expects 3"),
        (["--planes", "3:6"], "no plane 3: its 3 planes are 0 to 2"),
        (["--pixel-size", "-1"], "--pixel-size -1: expected micrometres above 0"),
        (["--resample"], "--resample: model 'tiny' does not say its pixel size"),
        (["--axes", "ZZ"], "--axes"),
        (["--channel", "GFP"], "unknown channel 'GFP'"),
        (["--overwite"], "No such option: --overwite"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(refused, stack, words, line):
    assert line in refused(stack, *words)


def test_wrong_inputs_are_refused_before_anything_is_written(refused, tmp_path):
    assert "there is no such file" in refused(tmp_path / "nothing.tif")
    text = tmp_path / "text.txt"
    text.write_text("hello")
    assert "text.txt: is not a" in refused(text)
    fake = tmp_path / "fake.tif"
    fake.write_text("hello")
    assert "fake.tif" in refused(fake)
    planes = write_stack(tmp_path / "nine.tif", planes=9)
    assert "9 planes; model 'tiny' expects 3 (give --planes to choose)" in refused(planes)


def test_results_that_exist_are_kept(refused, run, stack, tmp_path):
    assert run(stack)[0] == 0
    assert "field.ome.tif: exists already (give --overwrite" in refused(stack)
    (tmp_path / "out" / "field.ome.tif").unlink()
    assert "field.preview.png: exists already" in refused(stack)
    assert run(stack, "--overwrite")[0] == 0
    assert names(tmp_path / "out") == ["field.json", "field.ome.tif", "field.preview.png"]


def test_results_of_one_name_are_refused_even_with_overwrite(refused, stack, tmp_path):
    (tmp_path / "other").mkdir()
    twin = write_stack(tmp_path / "other" / "field.tiff")
    assert "collide" in refused(stack, twin, "--overwrite")
    namesake = write_stack(tmp_path / "field.mean.tif")
    line = refused(stack, namesake, "--statistics", "median,mean", "--overwrite")
    assert "field.mean.ome.tif would be that of" in line


def test_a_result_never_replaces_an_input(refused, tmp_path):
    own = write_stack(tmp_path / "own.ome.tif", metadata=False)
    assert "is an input" in refused(own, "--out", tmp_path, "--overwrite")
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    assert "is an input" in refused(own, "--out", tmp_path / "linked", "--overwrite")
    os.link(own, tmp_path / "twin.ome.tif")
    assert "is an input" in refused(tmp_path / "twin.ome.tif", "--out", tmp_path, "--resume")


def test_a_folder_that_cannot_be_written_is_refused(refused, stack, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in refused(stack, "--out", tmp_path / "file" / "below")
    monkeypatch.setattr(
        "isl.imaging.outputs.result_checks.os.access", lambda _, mode: not mode & os.W_OK
    )
    assert "may not be written to" in refused(stack)


def test_more_than_there_is_memory_for_leaves_nothing(refused, stack, monkeypatch):
    def none_left(*_, **__):
        raise MemoryError

    monkeypatch.setattr("isl.labeling.run.one_field.held", none_left)
    assert "field.tif: does not fit into memory; give --memory less" in refused(stack)


def test_a_full_disk_leaves_nothing(refused, stack, monkeypatch, tmp_path):
    (tmp_path / "out").mkdir()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isl.labeling.run.one_field.write_preview", full)
    # The field's progress is not reported: it is the only one, and it failed.
    assert "No space left on device" in refused(stack)


def test_an_interruption_leaves_nothing(run, stack, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("isl.labeling.run.one_field.write_preview", interrupt)
    assert run(stack)[0] == 130
    assert not (tmp_path / "out").exists()


def test_resume_skips_what_is_done_in_the_same_way(run, refused, stack, tmp_path):
    assert run(stack)[0] == 0
    before = files_in(tmp_path / "out")
    second = write_stack(tmp_path / "second.tif", seed=5)
    code, out, err = run(stack, second, "--resume")
    assert code == 0
    assert "field: done before" in err
    assert out.strip().endswith("second.ome.tif")
    after = files_in(tmp_path / "out")
    # The manifest grows.
    assert after[MANIFEST].startswith(before.pop(MANIFEST))
    assert before.items() <= after.items()
    # Tiles change nothing but rounding, so they do not count; other statistics do.
    assert "done before" in run(stack, "--resume", "--tile", "64")[2]
    assert "holds results with other labels" in refused(stack, "--resume", "--labels", "MAP2")
    write_stack(stack, seed=9)
    assert "was not made from" in refused(stack, "--resume")
    code, _, err = run(stack, "--resume", "--overwrite")
    assert code == 0
    assert "done before" not in err


def test_a_result_is_made_again_from_its_record(run, refused, stack, tmp_path, capsys):
    words = ["--statistics", "mean,entropy", "--planes", "2,1,0", "--dtype", "uint8"]
    assert run(stack, *words, "--border", "valid", "--tile", "16", "--memory", "0.002")[0] == 0
    out, again = tmp_path / "out", tmp_path / "again"
    record = out / "field.json"

    # The record knows the model's folder.
    assert cli.main(["predict", "--reproduce", str(record), "--out", str(again)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{again / 'field.ome.tif'}\n"
    assert "differ" not in printed.err
    for name in ("field.ome.tif", "field.entropy.ome.tif"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    first, second = (json.loads((folder / "field.json").read_text()) for folder in (out, again))
    assert first["tiles"] == second["tiles"]
    assert first["outputs"] == second["outputs"]

    line = refused("--reproduce", record, "--labels", "MAP2", "--out", again, "--overwrite")
    assert line == "--reproduce takes everything from the record; leave out --labels"
    other = write_stack(tmp_path / "other.tif", seed=3)
    line = refused(other, "--reproduce", record, "--overwrite")
    assert "other.tif: is not what the record was made from (sha256" in line


def test_a_result_is_made_again_from_an_input_of_another_name(run, refused, stack, tmp_path):
    assert run(stack)[0] == 0
    record = tmp_path / "out" / "field.json"
    moved = stack.rename(tmp_path / "moved.tif")
    again = tmp_path / "again"
    code, out, err = run(moved, "--reproduce", record, "--out", again)
    assert (code, out.strip()) == (0, str(again / "moved.ome.tif")), err
    found, expected = (
        read_fluorescence(path).channels
        for path in (again / "moved.ome.tif", tmp_path / "out" / "field.ome.tif")
    )
    np.testing.assert_array_equal(found, expected)
    # The image's own name is another.
    assert f"{again / 'moved.ome.tif'}: differs from the image that {record} describes" in err


def test_what_differs_from_a_record_is_said(run, refused, stack, tmp_path):
    assert run(stack)[0] == 0
    record = tmp_path / "out" / "field.json"
    made = json.loads(record.read_text())

    def write(**changes):
        (tmp_path / "changed.json").write_text(json.dumps(made | changes))
        return "--reproduce", tmp_path / "changed.json", "--out", tmp_path / "again"

    code, _, err = run(*write(versions=made["versions"] | {"jax": "0.0.1"}))
    assert code == 0
    assert "warning: jax was 0.0.1 and is" in err
    outputs = made["outputs"] | {"sha256": {"median": "0" * 64}}
    code, _, err = run(*write(outputs=outputs), "--overwrite")
    assert code == 0
    assert "field.ome.tif: differs from the image that" in err
    # Records of earlier versions lack what only says more.
    older = {"model": {k: v for k, v in made["model"].items() if k != "origin"}}
    older["tiles"] = {name: made["tiles"][name] for name in ("count", "reads")}
    older["outputs"] = {"images": made["outputs"]["images"]}
    assert run(*write(**older), "--overwrite")[0] == 0

    changed = write(model=made["model"] | {"sha256": "1" * 64})
    assert "is not the record's model 'tiny' (sha256" in refused(*changed)
    assert "setting 'sharpen' is not known" in refused(
        *write(settings=made["settings"] | {"sharpen": True})
    )
    assert "is no record of isl predict" in refused(*write(made_by="another program"))
    for text, line in (("{", "is no record of isl predict"), ("[]", "is no record")):
        (tmp_path / "bad.json").write_text(text)
        assert line in refused("--reproduce", tmp_path / "bad.json")
    assert "cannot be read" in refused("--reproduce", tmp_path / "nothing.json")
    stack.unlink()
    assert "there is no such file" in refused("--reproduce", record, "--overwrite")


def test_abstention_is_a_mask_beside_the_images(run, refused, stack, tmp_path, model):
    widths = load_model(model).predict(read_transmitted(stack), statistics=["interval_90"])
    widths = widths.statistics["interval_90"]
    limit = float(np.median(widths))
    words = [stack, "--abstain", limit, "--renormalize"]
    _, out, _ = run(*words, "--dry-run")
    # 16 bits of the median, 8 of the mask, 2 labels.
    assert f"disk: at most {20 * 24 * 2 * 3 / 1024:.3g} KiB of images" in out
    code, _, err = run(*words)
    assert code == 0, err
    folder = tmp_path / "out"
    masks = read_fluorescence(folder / "field.abstained.ome.tif")
    assert masks.labels == LABELS
    assert masks.channels.dtype == np.uint8
    np.testing.assert_array_equal(masks.channels, 255 * (widths > np.float32(limit)))
    assert read_fluorescence(folder / "field.ome.tif").channels.dtype == np.uint16
    made = json.loads((folder / "field.json").read_text())
    share = dict(zip(LABELS, (widths > np.float32(limit)).mean(axis=(1, 2)), strict=True))
    assert made["abstained"]["width"] == made["settings"]["abstain"] == limit
    assert made["abstained"]["share"] == pytest.approx(share)
    assert made["statistics"] == ["median", "abstained"]
    assert {r["statistic"] for r in made["renormalization"]} == {"median"}
    said = ", ".join(f"{label} {part:.1%}" for label, part in share.items())
    assert f"field: done, abstained from {said} (" in err

    assert "done before" in run(*words, "--resume")[2]
    line = refused(stack, "--abstain", limit / 2, "--renormalize", "--resume")
    assert "holds results with other abstain, which" in line
    line = refused(stack, "--renormalize", "--resume")
    assert "holds results with other abstain, statistics, which" in line
    line = refused("--reproduce", folder / "field.json", "--abstain", limit, "--overwrite")
    assert line == "--reproduce takes everything from the record; leave out --abstain"
    again = tmp_path / "again"
    code, _, err = run("--reproduce", folder / "field.json", "--out", again)
    assert (code, "differ" in err) == (0, False)
    for name in ("field.ome.tif", "field.abstained.ome.tif"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_results_from_before_there_was_abstention_are_done(run, stack, tmp_path):
    assert run(stack)[0] == 0
    for path in (tmp_path / "out" / "field.json", tmp_path / "out" / MANIFEST):
        text = path.read_text()
        # As earlier versions wrote it.
        older = re.sub(r',\s*"abstain": null', "", text)
        assert older != text
        path.write_text(older)
    assert "done before" in run(stack, "--resume")[2]


def test_an_input_that_changes_during_the_run(run, stack, tmp_path, monkeypatch):
    def written_on(path):
        with stack.open("ab") as file:
            file.write(b"more planes")
        return content_hash(path)

    monkeypatch.setattr("isl.imaging.inputs.steady.content_hash", written_on)
    code, out, err = run(stack)
    assert (code, out) == (2, "")
    assert err == f"{stack}: changed while it was read; predict it again when it is written\n"
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_memory_and_disk(run, stack, tmp_path, monkeypatch):
    second = write_stack(tmp_path / "second.tif", size=(30, 24), seed=5)
    words = [stack, second, "--statistics", "mean,entropy", "--dtype", "float32"]
    _, out, _ = run(*words, "--dry-run")
    assert "in all 2 fields, 2 tiles, 0.0012 megapixels of output" in out
    # 50 rows of 24 pixels, 2 labels, 2 statistics, 4 bytes.
    assert f"disk: at most {50 * 24 * 2 * 2 * 4 / 1024:.3g} KiB of images" in out
    assert "memory: at most 0.6" in out
    monkeypatch.setattr("isl.labeling.run.dry_run._free_disk", lambda _: 100)
    _, out, _ = run(*words, "--dry-run")
    assert "100 bytes are free\n  warning: " in out
    assert "may become full" in out


def test_a_dry_run_writes_nothing_and_says_what_is_wrong(run, refused, stack, tmp_path):
    code, out, _ = run(stack, "--dry-run", "--tile", "16")
    assert code == 0
    assert "ZYX 3 x 20 x 24, planes 0,1,2, 4 tiles reading" in out
    assert "output 20 x 24" in out
    assert str(tmp_path / "out" / "field.ome.tif") in out
    assert not (tmp_path / "out").exists()
    bad = write_stack(tmp_path / "bad.tif", planes=2)
    code, out, err = run(stack, bad, "--dry-run")
    assert code == 3
    assert "1 of 2 fields failed:" in err


def test_warnings_of_reading_are_in_the_record(run, tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (3, 20, 24), dtype=np.uint16)
    path = tmp_path / "inverted.ome.tif"
    tifffile.imwrite(path, values, photometric="miniswhite", metadata={"axes": "ZYX"})
    code, _, err = run(path)
    assert code == 0
    said = "says that 0 is white; it is read as it is shown, inverted"
    assert err.count(f"warning: {path}: {said}\n") == 1
    assert said in json.loads((tmp_path / "out" / "inverted.json").read_text())["warnings"]


def test_what_the_image_does_not_say_is_warned_about(run, model, tmp_path):
    wary = tmp_path / "wary"
    loaded = load_model(model)
    contract = InputContract(planes=3, modality="DIC", pixel_size=0.65)
    config = loaded.config.model_copy(update={"input": contract, "name": "wary"})
    save_model(wary, loaded.network, config, "# Another card")
    silent = write_stack(tmp_path / "silent.tif", metadata=False)
    code, _, err = run(silent, "--model", wary)
    assert code == 0
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    made = json.loads((tmp_path / "out" / "silent.json").read_text())
    assert len(made["warnings"]) == 2
    code, _, err = run(silent, "--model", wary, "--pixel-size", "0.2", "--overwrite")
    assert code == 2
    assert "pixel size is 0.2 um; model 'wary' expects 0.65 um" in err
    code, _, err = run(
        silent, "--model", wary, "--pixel-size", "0.2", "--resample", "--out", tmp_path / "again"
    )
    assert code == 0
    image = read_fluorescence(tmp_path / "again" / "silent.ome.tif")
    assert image.channels.shape == (2, 20, 24)
    assert image.pixel_size is not None
    assert image.pixel_size.y == pytest.approx(0.2)
