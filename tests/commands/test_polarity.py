"""`isl polarity` from files to files: what it writes, and all it refuses."""

import csv
import io
import json

import numpy as np
import pytest
import tifffile
import zarr
from command_line import caller, files_in, refusal
from flax import nnx
from PIL import Image
from simulated_recordings import (
    PatchEnsemble,
    make_frames,
    predict_quickly,
    tiny_ezrin_model,
    write_frames,
    write_movie,
)

from isl.backbones.resnet import ResNetConfig
from isl.imaging.formats.ome_tiff import write_movie as write_ome_movie
from isl.imaging.image import Movie, PixelSize
from isl.imaging.inputs.read import read_fluorescence
from isl.imaging.zarr.writer import zarr_image
from isl.labeling.predict import predict_field
from isl.phantom import EmbryoConfig
from isl.phantom import write_embryos as write_phantom
from isl.polarity.assess import all_in_focus
from isl.polarity.classifier import build_classifier
from isl.polarity.model import (
    EZRIN_FOLDER,
    PolarityConfig,
    load_polarity_model,
    save_polarity_model,
)
from isl.polarity.outputs import FRAME_COLUMNS, ONSET_COLUMNS
from isl.polarity.recording import read_recording

COUNT, ONSET = 6, 3
FRAMES = make_frames(COUNT, onset=ONSET)
OF_ONE = [
    "{}.activation.png",
    "{}.ezrin.ome.tif",
    "{}.ezrin.standard_deviation.ome.tif",
    "{}.film_strip.png",
    "{}.json",
]
OF_ALL = ["frames.csv", "onsets.csv", "report.html"]


@pytest.fixture(scope="module")
def ezrin_model(tmp_path_factory):
    return tiny_ezrin_model(tmp_path_factory.mktemp("models") / "ezrin")


@pytest.fixture
def ensemble(ezrin_model, monkeypatch):
    """The ensemble that the command loads, whatever model is named."""
    ensemble = PatchEnsemble(ezrin=ezrin_model)
    monkeypatch.setattr("isl.polarity.run.load_polarity_model", lambda name: ensemble)
    return ensemble


@pytest.fixture
def _quick_pictures(monkeypatch):
    """Pictures cost nothing."""
    dot = io.BytesIO()
    Image.new("L", (2, 2)).save(dot, "PNG")
    for drawn in ("draw_film_strip", "draw_overlays"):
        monkeypatch.setattr(f"isl.polarity.run.{drawn}", lambda *_: dot.getvalue())


@pytest.fixture
def _quick(monkeypatch, _quick_pictures):
    """EZRIN and pictures cost nothing."""
    monkeypatch.setattr("isl.polarity.assess.predict_field", predict_quickly)


@pytest.fixture
def run(ensemble, _quick, tmp_path, capsys):
    """Runs `isl polarity` into tmp_path/out; returns code, stdout, stderr."""
    return runner(tmp_path, capsys)


def runner(tmp_path, capsys):
    return caller("polarity", capsys, out=tmp_path / "out")


@pytest.fixture
def refused(run, tmp_path):
    return refusal(run, tmp_path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.fixture
def embryo(tmp_path):
    return write_frames(tmp_path / "E016", FRAMES)


def test_a_folder_of_frames_becomes_tables_images_pictures_and_a_report(
    ensemble, monkeypatch, tmp_path, capsys, embryo
):
    code, out, err = runner(tmp_path, capsys)(embryo, "--interval-minutes", 40)
    assert code == 0, err
    folder = tmp_path / "out"
    assert names(folder) == sorted([name.format("E016") for name in OF_ONE] + OF_ALL)
    (row,) = table(folder / "onsets.csv")
    assert tuple(row) == ONSET_COLUMNS
    low, high = row["onset_low"], row["onset_high"]
    assert row == {
        "embryo": "E016",
        "verdict": "onset",
        "onset_frame": "3",
        "onset_low": low,
        "onset_high": high,
        "onset_minutes": "120",
        "censored": "0",
        "agreement": "1",
        "frames": "6",
    }
    assert out == f"E016: polarized at frame 3 (2 h 0 min), between {low} and {high}\n"
    frames = table(folder / "frames.csv")
    assert tuple(frames[0]) == FRAME_COLUMNS
    assert [(frame["frame"], frame["call"], frame["smoothed"]) for frame in frames] == [
        (str(t), str(int(t >= ONSET)), str(int(t >= ONSET))) for t in range(COUNT)
    ]

    made = json.loads((folder / "E016.json").read_text())
    assert made["model"]["name"] == "patches"
    assert made["ezrin_model"]["name"] == "tiny-ezrin"
    assert len(made["ezrin_model"]["sha256"]) == len(made["input"]["sha256"]) == 64
    assert made["input"]["interval_minutes"] == 40
    assert made["seconds"] > 0
    assert [frame["name"] for frame in made["frames"]][:2] == ["t013.png", "t014.png"]

    assert ensemble.given is not None
    expected = np.rint(ensemble.given[1] * np.float32(65535))
    image = read_fluorescence(folder / "E016.ezrin.ome.tif")
    assert image.labels == ("EZRIN",)
    assert image.channels.dtype == np.uint16
    np.testing.assert_array_equal(image.channels[:, 0], expected)
    assert image.interval == pytest.approx(40)
    spread = read_fluorescence(folder / "E016.ezrin.standard_deviation.ome.tif")
    assert spread.channels.shape == image.channels.shape
    assert spread.channels.max() > 0
    for name in ("film_strip", "activation"):
        with Image.open(folder / f"E016.{name}.png") as picture:
            assert picture.width == 1540

    report = (folder / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 2
    assert "For research only; not for clinical use." in report
    assert "Made for tests &amp; &lt;nothing&gt; else." in report
    assert "<script" not in report
    assert "http" not in report


@pytest.mark.parametrize("planes", [1, 2])
def test_a_movie_of_stacks(run, tmp_path, planes, ensemble):
    stacks = np.stack([FRAMES] * planes, axis=1)
    path = write_movie(tmp_path / "movie.ome.tif", stacks, "TZYX", interval=20)
    code, out, err = run(path)
    assert code == 0, err
    assert out.startswith("movie: polarized at frame 3 (1 h 0 min), between ")
    (row,) = table(tmp_path / "out" / "onsets.csv")
    assert (row["embryo"], row["onset_minutes"]) == ("movie", "60")
    # Planes that are all alike fuse to what each of them is.
    np.testing.assert_allclose(ensemble.given[0], FRAMES / np.float32(255), atol=0.01)


def test_a_movie_of_frames_without_an_interval(run, tmp_path):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)
    assert run(path)[0] == 0
    (row,) = table(tmp_path / "out" / "onsets.csv")
    assert (row["onset_frame"], row["onset_minutes"]) == ("3", "")


def test_one_bad_embryo_of_several_leaves_the_others_done(run, tmp_path):
    embryos = tmp_path / "embryos"
    write_frames(embryos / "E1", FRAMES)
    write_frames(embryos / "E2", FRAMES[:1])
    write_frames(embryos / "E3", make_frames(COUNT, onset=None))
    empty = write_frames(embryos / "E4", FRAMES)
    Image.fromarray(np.zeros_like(FRAMES[0])).save(empty / "t015.png")
    code, out, err = run(embryos)
    assert code == 3
    assert [line.partition(":")[0] for line in out.splitlines()] == ["E1", "E3"]
    assert "2 of 4 embryos failed:" in err
    assert "E2: holds one frame to use" in err
    assert "frame 2 (t015.png) is empty (every pixel is 0)" in err
    folder = tmp_path / "out"
    assert [row["embryo"] for row in table(folder / "onsets.csv")] == ["E1", "E3"]
    assert len(table(folder / "frames.csv")) == 2 * COUNT
    assert not list(folder.glob("E2*"))
    report = (folder / "report.html").read_text()
    assert "holds one frame to use" in report
    assert "frame 2 (t015.png) is empty" in report


def test_every_kind_of_bad_recording_is_listed_beside_good_ones(run, tmp_path):
    embryos = tmp_path / "embryos"
    write_frames(embryos / "good", FRAMES)
    write_movie(embryos / "one.ome.tif", FRAMES[:1], "TYX")
    Image.fromarray(FRAMES[0, :-3]).save(write_frames(embryos / "sizes", FRAMES) / "t014.png")
    (write_frames(embryos / "gap", FRAMES) / "t015.png").unlink()
    write_frames(embryos / "leaves", make_frames(12, size=(128, 160), drift=11.0, onset=None))
    empty = FRAMES.copy()
    empty[4] = 7
    write_movie(embryos / "empty.ome.tif", empty, "TYX")
    (write_frames(embryos / "damaged", FRAMES) / "t016.png").write_bytes(b"\x89PNG nothing")
    code, out, err = run(embryos)
    assert code == 3
    assert [line.partition(":")[0] for line in out.splitlines()] == ["good"]
    bad = {
        "one": "holds one frame to use",
        "sizes": "t014.png: has 93 x 112 pixels, but t013.png has 96 x 112",
        "gap": "1 frame is missing between t014.png (frame 1) and t016.png (frame 2)",
        "leaves": "the embryo leaves the field: at frame ",
        "empty": "frame 4 is empty (every pixel is 7)",
        "damaged": "t016.png: cannot be read as PNG",
    }
    assert f"{len(bad)} of {len(bad) + 1} embryos failed:" in err
    report = (tmp_path / "out" / "report.html").read_text()
    for name, reason in bad.items():
        (line,) = (line for line in err.splitlines() if line.startswith(f"  {name} "))
        assert reason in line
        assert reason in report
        assert not list((tmp_path / "out").glob(f"{name}*"))
    assert [row["embryo"] for row in table(tmp_path / "out" / "onsets.csv")] == ["good"]


def test_if_every_embryo_fails_nothing_is_written(run, tmp_path):
    for name in ("E1", "E2"):
        write_frames(tmp_path / "embryos" / name, FRAMES[:1])
    code, out, err = run(tmp_path / "embryos")
    assert code == 2
    assert out == ""
    assert "2 of 2 embryos failed:" in err
    assert not (tmp_path / "out").exists()


def test_one_frame(refused, tmp_path):
    assert "holds one frame to use" in refused(write_frames(tmp_path / "E1", FRAMES[:1]))
    path = write_movie(tmp_path / "one.ome.tif", FRAMES[:1], "TYX")
    assert "one.ome.tif: holds one frame to use" in refused(path)
    assert "holds one frame to use" in refused(tmp_path / "E1" / "t013.png")


def test_frames_of_differing_sizes(refused, embryo):
    Image.fromarray(FRAMES[0, :-3]).save(embryo / "t014.png")
    assert "t014.png: has 93 x 112 pixels, but t013.png has 96 x 112" in refused(embryo)


def test_frames_missing_from_the_sequence(refused, run, embryo):
    (embryo / "t014.png").unlink()
    line = refused(embryo)
    assert "1 frame is missing between t013.png (frame 0) and t015.png (frame 1)" in line
    code, out, _ = run(embryo, "--frames", "1:", "--interval-minutes", "30")
    assert code == 0
    # The onset was the fourth frame before one was lost: its time stays, its number does not.
    assert out.startswith("E016: polarized at frame 2 (1 h 30 min)")


def test_an_embryo_that_leaves_the_field(refused, run, tmp_path):
    frames = make_frames(12, size=(128, 160), drift=11.0, onset=None)
    folder = write_frames(tmp_path / "E7", frames)
    line = refused(folder)
    assert "E7: the embryo leaves the field: at frame " in line
    limit = line.partition("give --frames ")[2].split()[0]
    assert run(folder, "--frames", limit)[0] == 0


def test_empty_frames(refused, embryo):
    Image.fromarray(np.full_like(FRAMES[0], 9)).save(embryo / "t018.png")
    assert "frame 5 (t018.png) is empty (every pixel is 9)" in refused(embryo)
    frames = FRAMES.copy()
    frames[2] = 0
    path = write_movie(embryo.parent / "movie.ome.tif", frames, "TYX")
    assert "movie.ome.tif: frame 2 is empty (every pixel is 0)" in refused(path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--interval-minutes", "0"], "--interval-minutes 0: expected minutes above 0"),
        (["--onset", "smooth"], "unknown onset rule 'smooth'; did you mean 'smoothed'?"),
        (["--frames", "2:99"], "--frames 2:99 asks for frames 2 to 98, but its 6 frames"),
        (["--frames", "3:3"], "--frames 3:3: names no frame"),
        (["--frames", "8-cell"], "--frames 8-cell: is neither A:B, such as 4:30, nor a table"),
        (["--axes", "TZ"], "--axes TZ"),
        (["--device", "npu"], "unknown device 'npu'"),
        (["--device", "tpu"], "JAX sees no TPU here"),
        (["--overwite"], "No such option: --overwite"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(refused, embryo, words, line):
    assert line in refused(embryo, *words)


def test_wrong_inputs_are_refused(refused, tmp_path):
    assert "no such file or folder" in refused(tmp_path / "nothing")
    fake = tmp_path / "fake.tif"
    fake.write_text("hello")
    assert "fake.tif" in refused(fake)


def test_models_that_read_measured_ezrin_are_refused(refused, embryo, ensemble):
    ensemble.config.arm = "measured"
    assert "model 'patches' reads measured Ezrin, which is for evaluation only" in refused(embryo)


def test_a_table_limits_every_embryo(run, tmp_path):
    embryos = tmp_path / "embryos"
    write_frames(embryos / "E1", FRAMES)
    write_frames(embryos / "E2", FRAMES)
    stage = tmp_path / "stage.csv"
    stage.write_text("embryo,frames\nE1,2:5\n")
    code, out, err = run(embryos, "--frames", stage)
    assert code == 3
    # Of three frames the interval holds all, and what follows.
    assert out.startswith("E1: cannot tell: it may be anywhere from frame 2 or before to after fra")
    assert "; most likely polarized at frame 3" in out
    assert "unknown embryo 'E2'" in err
    (row,) = table(tmp_path / "out" / "onsets.csv")
    assert (row["onset_frame"], row["frames"]) == ("3", "3")
    assert [frame["frame"] for frame in table(tmp_path / "out" / "frames.csv")] == ["2", "3", "4"]


def test_all_before_and_all_after_are_no_errors(run, tmp_path):
    embryos = tmp_path / "embryos"
    write_frames(embryos / "after", make_frames(COUNT, onset=0))
    write_frames(embryos / "before", make_frames(COUNT, onset=None))
    code, out, err = run(embryos, "--interval-minutes", 10)
    assert code == 0, err
    after, before = table(tmp_path / "out" / "onsets.csv")
    assert (after["verdict"], after["onset_frame"], after["onset_minutes"]) == ("onset", "0", "0")
    assert (before["verdict"], before["onset_frame"], before["censored"]) == ("censored", "", "1")
    assert after["censored"] == "0"
    for name, left_censored in (("after", True), ("before", False)):
        made = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert made["onset"]["left_censored"] is left_censored
    assert "after: polarized at frame 0 or before" in out
    assert "before: not polarized in frames 0 to 5" in out


def test_members_that_disagree_cannot_tell(run, embryo, ensemble, tmp_path):
    ensemble.shifts = (-3, 0, 3)
    code, out, _ = run(embryo)
    assert code == 0
    (row,) = table(tmp_path / "out" / "onsets.csv")
    assert (row["verdict"], row["onset_frame"]) == ("cannot_tell", "3")
    assert out.startswith("E016: cannot tell: 1 of 3 members agree within 2 frames; most likely")


def test_another_rule(run, embryo, tmp_path):
    assert run(embryo, "--onset", "change_point")[0] == 0
    made = json.loads((tmp_path / "out" / "E016.json").read_text())
    assert made["rule"] == "change_point"
    assert made["onset"] == made["rules"]["change_point"]["onset"]


def test_results_that_exist_are_kept(refused, run, embryo, tmp_path):
    assert run(embryo)[0] == 0
    assert "exists already (give --overwrite" in refused(embryo)
    for path in (tmp_path / "out").glob("E016*"):
        path.unlink()
    assert "onsets.csv: exists already (give --overwrite" in refused(embryo)
    assert run(embryo, "--overwrite")[0] == 0
    assert len(names(tmp_path / "out")) == len(OF_ONE) + len(OF_ALL)


def test_resume_keeps_what_is_done_in_the_same_way(run, refused, embryo, ensemble, tmp_path):
    embryos = tmp_path / "embryos"
    embryos.mkdir()
    embryo = embryo.rename(embryos / "E016")
    assert run(embryos)[0] == 0
    before = files_in(tmp_path / "out")
    write_frames(embryos / "E017", FRAMES)
    code, out, err = run(embryos, "--resume")
    assert code == 0
    assert "E016: done before" in err
    assert [line.partition(":")[0] for line in out.splitlines()] == ["E016", "E017"]
    after = files_in(tmp_path / "out")
    assert all(after[name] == held for name, held in before.items() if name.startswith("E016"))
    assert [row["embryo"] for row in table(tmp_path / "out" / "onsets.csv")] == ["E016", "E017"]
    assert (tmp_path / "out" / "report.html").read_text().count("<img") == 4
    line = refused(embryo, "--resume", "--onset", "change_point")
    assert "E016.ezrin.ome.tif: exists, and was not made from" in line
    assert run(embryo, "--resume", "--onset", "change_point", "--overwrite")[0] == 0


def test_results_within_the_input_are_no_input(run, embryo, tmp_path):
    embryos = tmp_path / "embryos"
    embryos.mkdir()
    embryo.rename(embryos / "E016")
    for words in ([], ["--overwrite"]):
        code, out, err = run(embryos, "--out", embryos / "out", *words)
        assert code == 0, err
        assert [line.partition(":")[0] for line in out.splitlines()] == ["E016"]


def test_an_interruption_leaves_nothing(run, embryo, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("isl.polarity.run.draw_overlays", interrupt)
    assert run(embryo)[0] == 130
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_said_in_one_line(refused, embryo, monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr("isl.polarity.assess.predict_field", exhausted)
    assert "does not fit into memory; give fewer frames with --frames A:B" in refused(embryo)


@pytest.mark.usefixtures("_quick")
def test_a_model_folder_is_all_it_needs(tmp_path, capsys, embryo):
    folder = tmp_path / "model"
    backbone = ResNetConfig(depth=10, width=4, stem="small")
    members = [build_classifier(backbone, 2, rngs=nnx.Rngs(seed)) for seed in range(2)]
    config = PolarityConfig(
        name="tiny", arm="dic+ezrin", backbone=backbone, members=2, size=16, window=0.8
    )
    save_polarity_model(folder, members, config, "# Tiny")
    tiny_ezrin_model(folder / EZRIN_FOLDER)
    code, out, err = runner(tmp_path, capsys)(embryo, "--model", folder)
    assert code == 0, err
    assert out.startswith("E016: ")
    made = json.loads((tmp_path / "out" / "E016.json").read_text())
    assert made["model"]["sha256"] == load_polarity_model(folder).hash
    assert made["model"]["arm"] == "dic+ezrin"
    assert made["members"]["count"] == 2
    assert len(table(tmp_path / "out" / "frames.csv")) == COUNT


def test_a_movie_of_real_stacks_by_a_real_ensemble_and_a_model_that_reads_them_whole(
    tmp_path, capsys
):
    """Nothing is made up: a phantom's planes, which differ, a saved ensemble, EZRIN of 3 planes."""
    size = {"height": 48, "width": 56, "planes": 3, "z_step": 12.0, "pixel_size": 2.4}
    config = EmbryoConfig(**size, fewest_frames=4, most_frames=4, never=0, early=0, wells=0)
    write_phantom(tmp_path / "data", 1, config, 3)
    movie = tmp_path / "data" / "movies" / "embryo-000.ome.tif"
    folder = tmp_path / "model"
    backbone = ResNetConfig(depth=10, width=4, stem="small")
    members = [build_classifier(backbone, 2, rngs=nnx.Rngs(seed)) for seed in range(2)]
    config = PolarityConfig(
        name="tiny", arm="dic+ezrin", backbone=backbone, members=2, size=16, window=0.8
    )
    save_polarity_model(folder, members, config, "# Tiny")
    ezrin_model = tiny_ezrin_model(folder / EZRIN_FOLDER, planes=3)
    code, out, err = runner(tmp_path, capsys)(movie, "--model", folder)
    assert code == 0, err
    assert out.startswith("embryo-000: ")
    made = json.loads((tmp_path / "out" / "embryo-000.json").read_text())
    assert made["input"]["shape"] == [4, 3, 48, 56]
    assert made["input"]["interval_minutes"] == 20
    # The same by hand: fused, EZRIN of the whole stacks, and what the members say of both.
    recording = read_recording(movie)
    frames = all_in_focus(recording)
    assert not np.array_equal(recording.frames[:, 0], recording.frames[:, 2])
    seen = Movie(name="e", frames=recording.frames, modality="DIC")
    ezrin = ezrin_model.predict(seen, labels=("EZRIN",), statistics=("mean",))
    stored = read_fluorescence(tmp_path / "out" / "embryo-000.ezrin.ome.tif").channels[:, 0]
    np.testing.assert_allclose(
        stored / np.float32(65535), ezrin.statistics["mean"][:, 0], atol=1e-4
    )
    logits = load_polarity_model(folder).member_logits(frames, ezrin.statistics["mean"][:, 0])
    after = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    found = [float(row["probability"]) for row in table(tmp_path / "out" / "frames.csv")]
    np.testing.assert_allclose(found, after.mean(axis=0), atol=1e-4)


@pytest.mark.usefixtures("_quick_pictures")
def test_ezrin_of_frames_larger_than_a_tile_is_that_of_one_tile(
    ensemble, monkeypatch, tmp_path, capsys
):
    """With little memory the network slides over stacks that are read window by window."""
    predicted = []

    def predict(*given, **budget):
        predicted.append(predict_field(*given, **budget))
        return predicted[-1]

    monkeypatch.setattr("isl.polarity.assess.predict_field", predict)
    ensemble._ezrin = tiny_ezrin_model(tmp_path / "stacks", planes=2)
    frames = make_frames(2, onset=1, size=(200, 230))
    stacks = np.stack([frames, frames[:, ::-1]], axis=1)
    movie = write_movie(tmp_path / "E1.ome.tif", stacks, "TZYX")
    for gib in (1, 0.002):
        code, _, err = runner(tmp_path, capsys)(movie, "--memory", gib, "--overwrite")
        assert code == 0, err
    whole, slid = predicted
    assert whole.tiles == 1
    assert slid.tiles > 1
    for name, statistic in whole.statistics.items():
        assert statistic.shape == (2, 1, 200, 230)
        # The last digits of sums; from place to place it differs by 250 times as much.
        np.testing.assert_allclose(slid.statistics[name], statistic, atol=2e-5)
        assert statistic.std() > 5e-3


def test_each_well_of_a_plate_of_stacks_is_a_recording(run, ensemble, tmp_path):
    """Three planes a time point, the middle one of which has most contrast."""
    plate, onsets = tmp_path / "screen.ome.zarr", {"A/01": 2, "B/02": 4}
    layout = {"wells": [{"path": well} for well in onsets]}
    root = zarr.open_group(plate, mode="w")
    root.attrs["ome"] = {"version": "0.5", "plate": layout}
    for seed, (well, onset) in enumerate(onsets.items()):
        images = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
        root.create_group(well).attrs["ome"] = images
        frames = make_frames(COUNT, onset=onset, seed=seed)
        stacks = np.stack([frames // 2, frames, frames // 3], axis=1)
        write_zarr_stacks(plate / well / "0", stacks)
    code, out, err = run(plate)
    assert code == 0, err
    assert [line.partition(":")[0] for line in out.splitlines()] == ["screen_A01_0", "screen_B02_0"]
    rows = table(tmp_path / "out" / "onsets.csv")
    found = [(row["embryo"], row["onset_frame"], row["onset_minutes"]) for row in rows]
    assert found == [("screen_A01_0", "2", "40"), ("screen_B02_0", "4", "80")]
    for name in ("screen_A01_0", "screen_B02_0"):
        made = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert made["input"]["shape"] == [COUNT, 3, *FRAMES.shape[1:]]
    # The last well's.
    recording = read_recording(plate / "B/02/0")
    np.testing.assert_array_equal(recording.frames, stacks)
    np.testing.assert_array_equal(ensemble.given[0], all_in_focus(recording))
    code, out, err = run(plate / "B/02", "--overwrite")
    assert code == 0, err
    assert out.startswith("screen_B02_0: polarized at frame 4")


def write_zarr_stacks(path, stacks):
    """Stacks [T, Z, Y, X] as an image of one channel, 20 minutes apart."""
    pixels = stacks[:, None]
    whole = slice(None)
    with zarr_image(
        path, shape=pixels.shape, dtype=pixels.dtype, labels=["DIC"], interval=20
    ) as image:
        for t, z in np.ndindex(stacks.shape[:2]):
            image.write(t, whole, whole, whole, pixels[t, :, z], z=z)


def test_every_embryo_of_a_field_is_assessed(run, tmp_path):
    """Four recordings side by side are told as each alone is; a tile is two diameters wide."""
    width, onsets = 96, (2, 3, 4, None)
    tiles = [
        make_frames(COUNT, onset=onset, seed=seed, size=(width, width))
        for seed, onset in enumerate(onsets)
    ]
    rows = [np.concatenate(tiles[first : first + 2], axis=2) for first in (0, 2)]
    size = PixelSize(y=150 / width, x=150 / width)
    field = Movie(name="w", frames=np.concatenate(rows, axis=1)[:, None], pixel_size=size)
    write_ome_movie(tmp_path / "well.ome.tif", field)
    code, out, err = run(tmp_path / "well.ome.tif")
    assert code == 0, err
    found = table(tmp_path / "out" / "onsets.csv")
    assert [row["embryo"] for row in found] == [f"well-embryo_{n}" for n in (1, 2, 3, 4)]
    assert [row["onset_frame"] for row in found] == ["2", "3", "4", ""]
    made = json.loads((tmp_path / "out" / "well-embryo_2.json").read_text())
    assert made["input"]["window"]["embryo"] == 2
    assert made["input"]["window"]["side"] == width
    assert np.array(made["input"]["window"]["corners"]).shape == (COUNT, 2)
    assert "The embryos of well, numbered" in (tmp_path / "out" / "report.html").read_text()
    before = files_in(tmp_path / "out")
    code, _, err = run(tmp_path / "well.ome.tif", "--resume")
    assert code == 0, err
    assert err.count("done before") == 4
    assert files_in(tmp_path / "out").keys() == before.keys()
    code, out, err = run(tmp_path / "well.ome.tif", "--embryo-diameter", 0, "--resume")
    assert code == 0, err
    assert out.startswith("well: ")


def test_a_wide_field_without_an_embryo(refused, tmp_path):
    empty = np.random.default_rng(0).normal(120, 1, (3, 1, 200, 200)).astype(np.uint8)
    size = PixelSize(y=1.5, x=1.5)
    write_ome_movie(tmp_path / "well.ome.tif", Movie(name="w", frames=empty, pixel_size=size))
    assert "no embryo of about" in refused(tmp_path / "well.ome.tif")
