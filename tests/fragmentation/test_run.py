"""From pictures on disk to masks, tables and a report, with a network that was never trained."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import tifffile
import zarr
from flax import nnx
from PIL import Image
from simulated import NETWORK
from typer.testing import CliRunner

import isl.fragmentation.model as fragmentation_model
from isl.config import parse
from isl.errors import InputError
from isl.files.locks import alone_in
from isl.fragmentation.dataset import load_dataset, load_ground
from isl.fragmentation.drawing import _drawn, share_over_time
from isl.fragmentation.familiar import Familiar
from isl.fragmentation.model import (
    FragmentationConfig,
    load_fragmentation_model,
    save_fragmentation_model,
)
from isl.fragmentation.network import NetworkConfig, build_network
from isl.fragmentation.pictures import read_frames
from isl.fragmentation.record import EmbryoRecord, Record
from isl.fragmentation.run import Request, find_recordings, grade_recordings
from isl.fragmentation.stages import StageHead
from isl.imaging.inputs.photo import photos_in
from isl.model_kinds import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes dark places for embryo and darker ones for fragments, roughly."""
    config = parse(dict(NETWORK), NetworkConfig, source="test")
    network = build_network(config, rngs=nnx.Rngs(0))
    network.classes_bias = nnx.Param(np.float32([0.2, -0.1]))
    folder = tmp_path_factory.mktemp("model") / "tiny"
    described = FragmentationConfig(
        name="tiny",
        network=config,
        size=64,
        share_from="area",
        residuals=tuple(np.linspace(-0.1, 0.1, 20)),
        smallest=0.0,
    )
    save_fragmentation_model(folder, network, described, "# tiny\n")
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "film").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for t in range(3):
        values = rng.integers(0, 255, (50, 70, 3), np.uint8)
        Image.fromarray(values).save(folder / "film" / f"RUN{t + 9}.jpeg")
    Image.fromarray(rng.integers(0, 255, (90, 60), np.uint8)).save(folder / "still.png")
    return folder


def test_everything_promised_is_written(model: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    request = Request(
        inputs=(inputs / "film", inputs / "still.png"),
        out=out,
        model=str(model),
        correct=True,
        interval=10.0,
    )
    assert grade_recordings(request) == 0
    masks = tifffile.imread(out / "film.mask.ome.tif")
    assert masks.shape == (3, 50, 70)
    assert set(np.unique(masks)) <= {0, 1, 2}
    assert tifffile.imread(out / "still.mask.ome.tif").shape == (90, 60)
    with (out / "fragmentation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {"film", "still"}
    of_film = [row for row in rows if row["name"] == "film"]
    assert of_film[0]["frame_name"] == "RUN9.jpeg"
    record = Record.model_validate_json((out / "film.json").read_text())
    for embryo in record.embryos:
        of_frame = masks[embryo.frame]
        if embryo.share_by_area is not None and embryo.verdict == "graded":
            assert embryo.share == pytest.approx(embryo.share_by_area)
        assert embryo.minutes == 10 * embryo.frame
        assert embryo.area_pixels <= (of_frame > 0).sum()
    assert json.loads((out / "fragmentation.schema.json").read_text())["title"] == "Record"
    assert "decides nothing" in (out / "report.html").read_text()
    assert (out / "film.share.png").is_file()
    assert (out / "film.attention.png").is_file()
    assert not (out / "still.share.png").exists()

    corrected = load_dataset(out / "correct" / "dataset.toml")
    assert 'add stage = "oocyte"' in (out / "correct" / "dataset.toml").read_text()
    assert len(corrected.examples) == 4
    ground = load_ground(corrected.examples[:3], 64)
    by_area = [(m == 2).sum() / max(1, (m > 0).sum()) for m in masks]
    np.testing.assert_allclose(ground.shares, by_area, atol=0.08)

    with pytest.raises(InputError, match="exists already"):
        grade_recordings(Request(inputs=(inputs / "film",), out=out, model=str(model)))
    with (
        alone_in(out, "isl fragmentation"),
        pytest.raises(InputError, match="another isl fragmentation is writing there"),
    ):
        grade_recordings(dataclasses.replace(request, overwrite=True))
    before = (out / "film.json").stat().st_mtime_ns
    again = Request(
        inputs=(inputs / "film",), out=out, model=str(model), interval=10.0, resume=True
    )
    assert grade_recordings(again) == 0
    assert (out / "film.json").stat().st_mtime_ns == before


def test_missing_frames_are_told_in_the_record_and_the_report(
    model: Path, inputs: Path, tmp_path: Path
) -> None:
    (inputs / "film" / "RUN11.jpeg").rename(inputs / "film" / "RUN14.jpeg")
    asked = Request(inputs=(inputs / "film",), out=tmp_path / "out", model=str(model))
    assert grade_recordings(asked) == 0
    record = Record.model_validate_json((tmp_path / "out" / "film.json").read_text())
    (said,) = record.warnings
    assert said.startswith("3 frames are missing by the numbers in their names")
    assert said in (tmp_path / "out" / "report.html").read_text()


def test_what_is_to_be_corrected_stays_complete_when_resumed(
    model: Path, inputs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    request = Request(inputs=(inputs / "still.png",), out=out, model=str(model), resume=True)
    assert grade_recordings(request) == 0
    for _ in range(2):
        both = (inputs / "still.png", inputs / "film")
        later = dataclasses.replace(request, inputs=both, correct=True)
        assert grade_recordings(later) == 0
        table = out / "correct" / "dataset.toml"
        assert len(load_dataset(table).examples) == 4
    corrected = table.read_text().replace("film_0001.json", "film_0001_mask.png")
    table.write_text(corrected)
    assert grade_recordings(later) == 0
    assert load_dataset(table).examples[2].mask == out / "correct" / "film_0001_mask.png"


def test_grades_are_not_kept_where_the_model_has_come_to_refuse_more(
    model: Path, inputs: Path, tmp_path: Path
) -> None:
    """The weights are the same: what changed is the stages that are not graded, or another rule."""
    loaded = load_fragmentation_model(model)
    request = Request(inputs=(inputs / "still.png",), out=tmp_path / "out", model=str(model))
    assert grade_recordings(request) == 0
    head = StageHead(weights=(0.0,) * loaded.network.features, bias=1.0, refused=0.05)
    for number, update in enumerate(({"stages": head}, {"disagreement": 0.01})):
        folder = tmp_path / f"model{number}"
        changed = loaded.config.model_copy(update=update)
        save_fragmentation_model(folder, loaded.network, changed, "# tiny\n")
        assert load_fragmentation_model(folder).hash == loaded.hash
        again = dataclasses.replace(request, model=str(folder), resume=True)
        with pytest.raises(InputError, match=r"still\."):
            grade_recordings(again)
    stages = dataclasses.replace(request, model=str(tmp_path / "model0"), overwrite=True)
    assert grade_recordings(stages) == 0
    renamed = tmp_path / "renamed"
    named = loaded.config.model_copy(update={"name": "other", "stages": head})
    save_fragmentation_model(renamed, loaded.network, named, "# other\n")
    before = (tmp_path / "out" / "still.json").stat().st_mtime_ns
    assert grade_recordings(dataclasses.replace(request, model=str(renamed), resume=True)) == 0
    assert (tmp_path / "out" / "still.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weights = [\n", "weights = [\n    0.5,\n", r"stages\.weights has \d+ numbers"),
        ("bias = 1.0", "bias = nan", "finite number"),
        ("bias = 1.0", "bias = inf", "finite number"),
    ],
)
def test_stages_that_do_not_fit_the_encoder_are_refused_when_loaded(
    model: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    loaded = load_fragmentation_model(model)
    head = StageHead(weights=(0.0,) * loaded.network.features, bias=1.0, refused=0.05)
    config = loaded.config.model_copy(update={"stages": head})
    save_fragmentation_model(tmp_path / "m", loaded.network, config, "# tiny\n")
    load_fragmentation_model(tmp_path / "m")
    text = (tmp_path / "m" / "model.toml").read_text()
    assert old in text
    (tmp_path / "m" / "model.toml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_fragmentation_model(tmp_path / "m")


def test_familiar_features_are_finite_numbers_of_the_encoder(model: Path, tmp_path: Path) -> None:
    loaded = load_fragmentation_model(model)
    familiar = Familiar(mean=(0.0, 1.0), deviation=(1.0, 1.0), limit=2.0)
    config = loaded.config.model_copy(update={"familiar": familiar})
    save_fragmentation_model(tmp_path / "m", loaded.network, config, "# tiny\n")
    with pytest.raises(InputError, match=r"familiar\.mean has 2 numbers"):
        load_fragmentation_model(tmp_path / "m")
    for wrong in (np.nan, np.inf, 0.0):
        with pytest.raises(pydantic.ValidationError):
            Familiar(mean=(0.0,), deviation=(wrong,), limit=2.0)


def test_the_share_over_time_is_not_drawn_through_frames_that_cannot_be_told() -> None:
    told = {"verdict": "graded", "reason": "", "share": 0.2, "low": 0.1, "high": 0.3}
    refused = {"verdict": "cannot tell", "reason": "x", "share": None, "low": None, "high": None}
    empty = dict.fromkeys(
        ("share_by_area", "share_by_regression", "grade", "points_to_next", "next_grade")
    )
    embryos = [
        EmbryoRecord.model_validate(
            {
                **empty,
                **said,
                "frame": t,
                "frame_name": f"frame {t}",
                "minutes": 30.0 * t,
                "embryo": 1,
                "area_pixels": 9,
                "probabilities": {},
                "fragments": 0,
                "largest_share": 0.0,
                "sentence": "",
            }
        )
        for t, said in enumerate((told, refused, told))
    ]
    hours, share, low, high = _drawn(embryos, timed=True)
    np.testing.assert_allclose(hours, [0, 0.5, 1])
    np.testing.assert_allclose(share, [20, np.nan, 20])
    np.testing.assert_allclose(low, [10, np.nan, 10])
    np.testing.assert_allclose(high, [30, np.nan, 30])
    assert share_over_time(embryos, [0.1]).startswith(b"\x89PNG")
    assert share_over_time(embryos[1:2], [0.1]).startswith(b"\x89PNG")


def test_a_blank_frame_among_others_is_told_and_a_broken_file_fails(
    model: Path, inputs: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.full((50, 50), 128, np.uint8)).save(inputs / "blank.png")
    (inputs / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    paths = tuple(inputs / name for name in ("blank.png", "broken.png"))
    assert grade_recordings(Request(inputs=paths, out=out, model=str(model))) == 3
    record = Record.model_validate_json((out / "blank.json").read_text())
    assert record.embryos[0].reason == "the frame is blank"
    assert "broken" in (out / "report.html").read_text()
    with pytest.raises(InputError, match="cannot be read as a picture"):
        grade_recordings(Request(inputs=paths[1:], out=tmp_path / "other", model=str(model)))
    assert not (tmp_path / "other").exists()


def test_a_laboratorys_own_grades_are_used(model: Path, inputs: Path, tmp_path: Path) -> None:
    scale = tmp_path / "own.toml"
    scale.write_text(
        'name = "ours"\nsource = "our manual"\ngrades = ["none", "some"]\nbounds = [0.02]\n'
    )
    out = tmp_path / "out"
    request = Request(inputs=(inputs / "still.png",), out=out, model=str(model), grades=scale)
    assert grade_recordings(request) == 0
    record = Record.model_validate_json((out / "still.json").read_text())
    assert record.scale["name"] == "ours"
    for embryo in record.embryos:
        if embryo.share is not None:
            assert embryo.grade == ("none" if embryo.share < 0.02 else "some")
            assert set(embryo.probabilities) == {"none", "some"}
    header = (out / "fragmentation.csv").read_text().splitlines()[0]
    assert header.endswith("P(none),P(some)")
    scale.write_text('name = "ours"\ngrades = ["none", "some"]\nbounds = [0.2, 0.1]\n')
    with pytest.raises(InputError, match=r"own\.toml"):
        grade_recordings(dataclasses.replace(request, out=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_model_folder_is_of_its_kind_and_predicts_alike(model: Path, inputs: Path) -> None:
    loaded = load_model(model)
    assert loaded.name == "tiny"
    frames = read_frames(inputs / "film")
    together = loaded.look(frames.images)
    alone = load_fragmentation_model(model).look(frames.images[1:2])
    np.testing.assert_allclose(together[1].probabilities, alone[0].probabilities, atol=1e-5)
    assert together[0].probabilities.shape == (50, 70, 2)


def test_a_path_is_read_as_the_command_reads_it(model: Path, inputs: Path) -> None:
    graded = load_model(model).predict(inputs / "film", interval=30.0)
    frames = read_frames(inputs / "film")
    assert graded.labels.shape == frames.images.shape
    alike = load_model(model).predict(frames.images)
    assert np.array_equal(graded.labels, alike.labels)
    assert [embryo.share for embryo in graded.embryos] == [embryo.share for embryo in alike.embryos]
    assert graded.minutes[1] == 30.0 * frames.steps[1]


def test_names_that_collide_and_inputs_that_are_none(inputs: Path) -> None:
    assert [n for n, _ in find_recordings([inputs / "film"])] == ["film"]
    with pytest.raises(InputError, match="there is no such"):
        find_recordings([inputs / "missing"])
    with pytest.raises(InputError, match="is given twice"):
        find_recordings([inputs / "film", inputs / "film"])
    shutil.copytree(inputs / "film", inputs / "again" / "film")
    with pytest.raises(InputError, match="same name"):
        find_recordings([inputs / "film", inputs / "again" / "film"])
    with pytest.raises(InputError, match="not a picture"):
        find_recordings([Path(__file__)])


def test_pictures_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    values = np.zeros((20, 30), np.uint8)
    values[:5, :5] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.jpg", exif=exif, quality=95)
    turned = read_frames(tmp_path / "a.jpg").images[0]
    assert turned.shape == (30, 20)
    assert turned[2, -3] > 0.9
    assert turned[2, 2] < 0.1


def test_twelve_bits_in_sixteen_are_no_dark_picture(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (3, 20, 30)).astype(np.uint16)
    for t, picture in enumerate(values):
        Image.fromarray(picture).save(tmp_path / f"t{t}.png")
    images = read_frames(tmp_path).images
    np.testing.assert_allclose(images, values / 4095, atol=1e-6)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata={"axes": "TYX"})
    np.testing.assert_allclose(read_frames(tmp_path / "a.ome.tif").images, images, atol=1e-6)


def test_pictures_beside_folders_are_told(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "film").mkdir()
    for name in ("t0.png", "t1.png", "film/t0.png"):
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / name)
    assert find_recordings([tmp_path]) == [("film", tmp_path / "film")]
    assert "2 pictures beside film are left out, such as t0.png" in caplog.text


def test_a_tiff_in_color_is_the_png_that_it_was_saved_from(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    assert find_recordings([tmp_path / "a.tif"]) == [("a", tmp_path / "a.tif")]
    read = read_frames(tmp_path / "a.tif").images
    np.testing.assert_allclose(read, read_frames(tmp_path / "a.png").images, atol=0.5 / 255)


def test_axes_and_channel_are_as_they_are_said(model: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 2, 40, 50)).astype(np.uint8)
    path = tmp_path / "a.ome.tif"
    told = {"axes": "TCYX", "Channel": {"Name": ["C1", "C2"]}}
    tifffile.imwrite(path, values, photometric="minisblack", metadata=told)
    with pytest.raises(InputError, match=r'which channel is transmitted.*`channel="C1"`'):
        read_frames(path)
    read = read_frames(path, channel="C2").images
    np.testing.assert_allclose(read, values[:, 1] / np.float32(255), atol=1e-6)
    read = read_frames(path, axes="ZTYX").images
    assert read.shape == (2, 40, 50)
    request = Request(inputs=(path,), out=tmp_path / "out", model=str(model), channel="C2")
    grade_recordings(request)
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["settings"]["channel"] == "C2"
    assert "axes" not in record["settings"]


def test_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    import typer

    from isl.commands.fragmentation import fragmentation

    app = typer.Typer()
    app.command()(fragmentation)
    result = CliRunner().invoke(app, [str(tmp_path / "none.png"), "--out", str(tmp_path / "o")])
    assert isinstance(result.exception, InputError)
    assert "none.png" in str(result.exception)


def test_arrays_are_graded_as_files_are(model: Path, inputs: Path, tmp_path: Path) -> None:
    request = Request(inputs=(inputs / "film",), out=tmp_path / "out", model=str(model))
    grade_recordings(request)
    record = Record.model_validate_json((tmp_path / "out" / "film.json").read_text())
    loaded = load_model(model)
    frames = read_frames(inputs / "film").images
    found = loaded.predict(frames, interval=10)
    assert found.minutes == (0, 10, 20)
    stored = tifffile.imread(tmp_path / "out" / "film.mask.ome.tif")
    np.testing.assert_array_equal(found.labels, stored)
    assert [each.share for each in found.embryos] == [each.share for each in record.embryos]
    # The same picture in another type and range, with its axes in another order.
    counts = np.rint(np.moveaxis(frames, 0, -1) * 4095).astype(np.uint16)
    again = loaded.predict(counts, axes="YXT")
    assert (again.labels == found.labels).mean() > 0.99
    scaled = loaded.predict(frames * 4095.0 + 100)
    assert (scaled.labels == found.labels).mean() > 0.99
    with pytest.raises(InputError, match="holds pixels that are NaN or infinite"):
        loaded.predict(np.full((2, 20, 20), np.nan))


def test_a_film_is_looked_at_in_batches_of_one_size(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_fragmentation_model(model)
    shapes = []

    def seen(network: Any, images: Any) -> Any:
        shapes.append(images.shape)
        return see(network, images)

    see = fragmentation_model._see
    monkeypatch.setattr(fragmentation_model, "_see", seen)
    film = np.random.default_rng(0).uniform(size=(9, 40, 50)).astype(np.float32)
    along = list(loaded.look_along(film))
    assert len(along) == 9
    assert set(shapes) == {(8, 64, 64, 1)}
    for one, other in zip(along, loaded.look(film), strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_results_are_no_inputs_the_next_time(model: Path, inputs: Path) -> None:
    request = Request(inputs=(inputs / "film",), out=inputs / "film", model=str(model))
    grade_recordings(dataclasses.replace(request, correct=True))
    again = dataclasses.replace(request, out=inputs / "again")
    assert grade_recordings(again) == 0
    names = [path.name for path in photos_in(inputs / "film")]
    assert names == ["RUN9.jpeg", "RUN10.jpeg", "RUN11.jpeg"]
    assert [name for name, _ in find_recordings([inputs / "film"])] == ["film"]


def test_each_field_of_a_plate_is_a_recording_and_names_keep_their_points(
    model: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "in" / "screen.ome.zarr"
    root = zarr.open_group(path, mode="w")
    root.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/01"}]}}
    well = root.create_group("A/01")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    for field in "01":
        image = well.create_group(field)
        image.create_array("0", data=rng.integers(0, 255, (50, 60)).astype(np.uint8))
        image.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{"axes": axes, "datasets": datasets}],
        }
    for day in (3, 4):
        pixels = rng.integers(0, 255, (50, 60)).astype(np.uint8)
        tifffile.imwrite(tmp_path / "in" / f"P1.day{day}.tif", pixels)
    out = tmp_path / "out"
    assert grade_recordings(Request(inputs=(tmp_path / "in",), out=out, model=str(model))) == 0
    with (out / "fragmentation.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert names == ["P1.day3", "P1.day4", "screen_A01_0", "screen_A01_1"]
