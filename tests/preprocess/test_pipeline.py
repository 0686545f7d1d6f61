"""Whole runs: against the truth of simulated wells, stopped and gone on with, and refused."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from isl.config import parse, to_toml
from isl.errors import InputError
from isl.imaging.inputs.open_image import open_images
from isl.imaging.inputs.read import read_picture
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.phantom.wells.wells import LABEL_NAMES
from isl.preprocess import pipeline, run_folder
from isl.preprocess.config import STAGES, PreprocessConfig
from isl.preprocess.record import read_record
from isl.preprocess.stages.normalization import to_raw

FULL = np.float32(65535)
# Stages that need nothing of the set: quick.
ALONE = ("salt_and_pepper", "downscale", "stitching", "projection", "normalization", "quality")
CELLS = [f"A{number}" for number in range(1, 7)]


def record_of(out, name):
    return read_record(out / "fields" / f"{name}.json")


def images_of(out):
    return {file.name: file.read_bytes() for file in sorted((out / "fields").glob("*.tif"))}


def true_positions(wells, name):
    """In pixels of the result, by the tile's name."""
    well = wells.well(wells.names.index(name))
    return {f"r{row}-c{column}": np.array(at) / 2 for (row, column), at in well.positions.items()}


def halved(image):
    height, width = (length // 2 * 2 for length in image.shape[-2:])
    image = image[..., :height, :width]
    return image.reshape(*image.shape[:-2], height // 2, 2, width // 2, 2).mean(axis=(-3, -1))


def test_tiles_lie_where_they_were_taken(wells, whole):
    for name in CELLS:
        truth = true_positions(wells, name)
        record = record_of(whole["out"], name)
        assert sorted(tile.name for tile in record.tiles) == sorted(truth)
        missed = np.array([tile.position - truth[tile.name] for tile in record.tiles])
        assert np.abs(missed - missed.mean(axis=0)).max() < 0.3
        nominal = {tile.name: tile.nominal for tile in record.tiles}
        assert nominal["r1-c1"] == (32, 32)


def test_light_is_as_even_as_it_was_made_uneven(wells, whole):
    found = read_picture(whole["out"] / "estimates" / "phase.flat_field.ome.tif").array[0, 0, 0]
    truth = halved(wells.damage["phase"].flat_field)
    # Of 32 images; an eighth at each side aside, where a blur has less to average over.
    inner = np.s_[8:-8, 8:-8]
    ratio = (found / truth)[inner]
    assert (ratio / ratio.mean()).std() < 0.01
    uncorrected = truth[inner]
    assert (uncorrected / uncorrected.mean()).std() > 0.03


def agreement(counts, truth, inside):
    """Pearson correlation and slope, over what both show."""
    height, width = (min(m, n) for m, n in zip(truth.shape, counts.shape, strict=True))
    inside = inside[:height, :width]
    found, expected = counts[:height, :width][inside], truth[:height, :width][inside]
    return np.corrcoef(found, expected)[0, 1], np.polyfit(expected, found, 1)[0]


def test_images_are_the_wells_own_in_their_own_counts(wells, whole):
    """Alike, but for fine threads that a median filter takes, and dust that is taken for light."""
    for field in map(load_field, load_manifest(whole["out"] / "dataset.toml").fields):
        normalization = record_of(whole["out"], field.name).normalization
        well = wells.well(wells.names.index(field.name))
        inside = field.labels.measured[0]
        light = to_raw(field.transmitted.planes[0] / FULL, normalization["phase"][0])
        correlation, slope = agreement(light, halved(well.transmitted[0]), inside)
        assert correlation > 0.95
        assert slope == pytest.approx(0.95, abs=0.05)
        for label, least in (("nuclei", 0.97), ("membrane", 0.9)):
            stored = field.labels.channels[field.labels.labels.index(label)]
            counts = to_raw(stored / FULL, normalization[label][0])
            truth = halved(well.labels[LABEL_NAMES.index(label), 0])
            correlation, slope = agreement(counts, truth, inside)
            assert correlation > least
            assert slope == pytest.approx(0.85, abs=0.1)


def test_the_manifest_is_one_to_train_on(wells, whole):
    manifest = load_manifest(whole["out"] / "dataset.toml")
    assert [field.name for field in manifest.fields] == CELLS
    splits = [field.split for field in manifest.fields]
    assert (splits.count("train"), splits.count("validation")) == (4, 2)
    assert manifest.labels() == ("membrane", "nuclei")
    for field in map(load_field, manifest.fields):
        record = record_of(whole["out"], field.name)
        assert field.transmitted.planes.shape == (1, *record.size)
        assert field.transmitted.planes.dtype == np.uint16
        assert field.transmitted.pixel_size.y == pytest.approx(2 * wells.config.pixel_size)
        assert field.labels.pixel_size.x == pytest.approx(2 * wells.config.pixel_size)
        inside = field.labels.measured.all(axis=0)
        light = field.transmitted.planes[0][inside] / 65535
        assert light.mean() == pytest.approx(0.5, abs=0.01)
        assert light.std() == pytest.approx(0.125, abs=0.01)


def test_masks_say_where_tiles_lie(whole):
    gaps = 0
    for field in map(load_field, load_manifest(whole["out"] / "dataset.toml").fields):
        record = record_of(whole["out"], field.name)
        expected = np.zeros(record.size, bool)
        for tile in record.tiles:
            y, x = (round(each) for each in tile.position)
            expected[y : y + 64, x : x + 64] = True
        np.testing.assert_array_equal(field.labels.measured[0], expected)
        assert record.covered == pytest.approx(expected.mean())
        assert (field.labels.channels[:, ~expected] == 0).all()
        gaps += (~expected).sum()
    assert gaps > 0


def test_empty_and_overexposed_wells_are_rejected_for_that(whole):
    rejected = {d.field: d.reasons for d in whole["outcome"].decisions if not d.keep}
    assert sorted(rejected) == ["A7", "A8"]
    assert any(reason.startswith("empty: ") for reason in rejected["A7"])
    assert any(reason.startswith("saturated: 100") for reason in rejected["A8"])
    assert not any(reason.startswith("saturated") for reason in rejected["A7"])
    table = (whole["out"] / "quality.csv").read_text().splitlines()
    assert len(table) == 1 + 8
    assert table[7].startswith("A7,no,empty: ") or table[7].startswith('A7,no,"empty: ')
    report = (whole["out"] / "report.html").read_text()
    assert "empty: " in report
    assert "saturated: 100" in report


def test_overexposed_images_are_no_sample_of_light(whole):
    said = json.loads((whole["out"] / "estimates" / "nuclei.json").read_text())
    assert (said["images"], said["of"]) == (28, 32)


def test_nothing_unfinished_is_left(whole):
    out = whole["out"]
    assert not (out / "unfinished").exists()
    assert not list(out.rglob("*.partial"))


@pytest.fixture(scope="module")
def one(wells, tmp_path_factory):
    """A folder of two wells alone."""
    folder = tmp_path_factory.mktemp("one")
    for name in ("A1", "A3"):
        for file in wells.folder.glob(f"{name}_*.tif"):
            shutil.copy2(file, folder / file.name)
    return folder


@pytest.mark.parametrize("left_out", STAGES)
def test_each_stage_may_be_left_out(left_out, wells, one, settings, run, tmp_path):
    config = settings(
        wells,
        labels=("nuclei",),
        stages=tuple(stage for stage in STAGES if stage != left_out),
        layout={"pattern": "A1_r{row}_c{col}_z{z}_{channel}.tif", "overlap": 64},
        additive_dust={"disk_diameter": 9.6},
    )
    outcome = run(config, one, tmp_path / "out")
    first = outcome.records[0]
    assert len(outcome.records) == (4 if left_out == "stitching" else 1)
    assert len(first.tiles) == (1 if left_out == "stitching" else 4)
    if left_out == "stitching":
        assert {record.size for record in outcome.records} == {(64, 64)}
        assert {record.group for record in outcome.records} == {first.group}
        assert first.name.endswith("r0-c0")
    assert first.tile_size == ((128, 128) if left_out == "downscale" else (64, 64))
    assert first.pixel_size == pytest.approx(0.3 if left_out == "downscale" else 0.6)
    made = {file.name for file in (tmp_path / "out" / "estimates").glob("*.tif")}
    expected = {
        "additive_dust": {"nuclei.additive_dust.ome.tif"},
        "flat_field": {"nuclei.flat_field.ome.tif", "phase.flat_field.ome.tif"},
        "multiplicative_dust": {"phase.dust.ome.tif"},
    }
    left = expected.pop(left_out, set())
    assert made == set().union(*expected.values())
    assert not made & left
    scale = first.normalization["nuclei"][0].scale
    assert (scale == pytest.approx(1 / 65535)) == (left_out == "normalization")
    if left_out == "quality":
        assert all(decision.keep for decision in outcome.decisions)
    if left_out == "salt_and_pepper":
        # Hot pixels, averaged with their neighbours, stand out of everything.
        normalization = first.normalization["nuclei"][0]
        image = read_picture(next((tmp_path / "out" / "fields").glob("*.labels.ome.tif"))).array
        assert to_raw(image[0, 0, 0] / np.float32(65535), normalization).max() > 12000


def test_planes_and_exposures(stacks, settings, run, tmp_path):
    config = settings(
        stacks,
        stages=ALONE,
        layout={
            "pattern": [
                "{well}_r{row}_c{col}_z{z}_{channel}_e{exposure}.tif",
                "{well}_r{row}_c{col}_z{z}_{channel}.tif",
            ],
            "overlap": 56,
        },
        labels=("nuclei",),
        planes={"count": 3, "spacing": 1},
        z_step=1.5,
    )
    outcome = run(config, stacks.folder, tmp_path)
    for record in outcome.records:
        assert len(record.planes) == 3
        assert len(record.sharpness) == 4
        assert record.sharpest in record.planes
        assert record.z_step == pytest.approx(1.5)
        assert record.exposures == {"phase": 1, "nuclei": 2}
        assert len(record.normalization["phase"]) == 3
    assert read_picture(tmp_path / "fields" / "A1.tif").array.shape[2] == 3
    image = read_picture(tmp_path / "fields" / "A1.labels.ome.tif").array[0, 0, 0]
    counts = to_raw(image / FULL, outcome.records[0].normalization["nuclei"][0])
    light = stacks.well(0).labels[LABEL_NAMES.index("nuclei")]
    truth = np.percentile(halved(light), 90, axis=0)
    correlation, slope = agreement(counts, truth, image > 0)
    assert correlation > 0.95
    # Two exposures, in uneven light.
    assert slope == pytest.approx(2, abs=0.3)


def test_labels_of_several_planes_need_a_projection(stacks, settings):
    layout = {
        "pattern": "{well}_r{row}_c{col}_z{z}_{channel}_e{exposure}.tif",
        "overlap": 56,
    }
    config = settings(
        stacks,
        layout=layout,
        transmitted="nuclei",
        labels=("membrane",),
        stages=tuple(stage for stage in STAGES if stage != "projection"),
    )
    with pytest.raises(InputError, match=r"'membrane' has 3 planes.*add the stage projection"):
        pipeline.plan_run(config, stacks.folder)


@pytest.fixture(scope="module")
def quick(wells, one, settings, run, tmp_path_factory):
    """A configuration of quick stages for two wells, and the images that it gives."""
    config = settings(wells, labels=("nuclei",), stages=(*ALONE, "flat_field"))
    out = tmp_path_factory.mktemp("uninterrupted")
    run(config, one, out)
    return config, images_of(out), out


KILLED = """
import os, signal, sys
from pathlib import Path
from isl.config import load_toml
from isl.preprocess import field, pipeline
from isl.preprocess.config import PreprocessConfig

class Quiet:
    def begin(self, name): pass
    def tiles(self, done, total): pass
    def end(self, outcome): pass

written = []
write = field.write_record

def write_or_die(path, record, beside):
    if written:
        (path.parent / ".0.partial").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(path)
    write(path, record, beside)

if __name__ == "__main__":
    field.write_record = write_or_die
    config = load_toml(Path(sys.argv[1]), PreprocessConfig)
    plan = pipeline.plan_run(config, Path(sys.argv[2]))
    pipeline.preprocess(
        plan, config, Path(sys.argv[3]), workers=int(sys.argv[4]), progress=Quiet(), say=print
    )
"""


def test_a_killed_run_goes_on_and_ends_the_same(quick, one, run, quiet, tmp_path):
    config, expected, _ = quick
    (tmp_path / "config.toml").write_text(to_toml(config))
    (tmp_path / "killed.py").write_text(KILLED)
    out = tmp_path / "out"
    words = [tmp_path / "killed.py", tmp_path / "config.toml", one, out, 2]
    killed = subprocess.run([sys.executable, *map(str, words)], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert (out / "fields" / "A1.json").exists()
    assert not (out / "fields" / "A3.json").exists()
    assert list((out / "unfinished").glob("A3-*/*.npy"))
    before = (out / "fields" / "A1.tif").stat().st_mtime_ns
    progress = quiet()
    outcome = run(config, one, out, progress=progress)
    assert [record.name for record in outcome.records] == ["A1", "A3"]
    assert images_of(out) == expected
    assert (out / "fields" / "A1.tif").stat().st_mtime_ns == before
    assert ("A1", "kept from before") in progress.ended
    assert ("A3", "done") in progress.ended
    assert not list(out.rglob("*.partial"))
    assert not (out / "unfinished").exists()


def test_two_processes_give_what_one_gives(quick, one, run, tmp_path):
    config, expected, _ = quick
    run(config, one, tmp_path, workers=2)
    assert images_of(tmp_path) == expected


@pytest.fixture
def mine(quick, one, tmp_path):
    """A configuration, its raw tiles, and a copy of a finished run over them."""
    shutil.copytree(quick[2], tmp_path / "out")
    return quick[0], one, tmp_path / "out"


def test_what_changed_is_done_again(mine, run, quiet):
    config, folder, out = mine
    before = {file: file.stat().st_mtime_ns for file in (out / "fields").glob("*.tif")}
    tile = folder / "A3_r0_c0_z0_phase.tif"
    written = tile.stat().st_mtime_ns
    os.utime(tile, ns=(1, 1))
    (out / "fields" / "A1.labels.ome.tif").unlink()
    progress, said = quiet(), []
    run(config, folder, out, progress=progress, say=said.append)
    ended = dict(progress.ended)
    assert ended["A3"] == ended["A1"] == "done"
    assert ended["estimates of phase"] == "kept from before"
    assert sum("other files than these" in line for line in said) == 1
    assert all(file.stat().st_mtime_ns != time for file, time in before.items())

    os.utime(tile, ns=(written, written))
    shutil.rmtree(out / "estimates")
    progress = quiet()
    run(config, folder, out, progress=progress)
    ended = dict(progress.ended)
    # The same files, so the same estimates: only what another tile was in is done again.
    assert ended["estimates of phase"] == "from 8 of 8 images"
    assert (ended["A1"], ended["A3"]) == ("kept from before", "done")


def test_what_other_estimates_have_corrected_is_done_again(mine, run, quiet):
    config, folder, out = mine
    said = out / "estimates" / "phase.json"
    said.write_text(said.read_text() + " ")
    progress = quiet()
    run(config, folder, out, progress=progress)
    assert dict(progress.ended)["A1"] == "done"


def test_thresholds_split_and_decisions_only_judge_anew(mine, run, quiet, tmp_path):
    config, folder, out = mine
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("field,keep\nA1,no\n")
    changed = {
        "quality": config.quality.model_copy(update={"most_saturated": 1e-9}),
        "decisions": decisions,
        "split": config.split.model_copy(update={"seed": 9}),
        "description": "other words",
    }
    progress = quiet()
    outcome = run(config.model_copy(update=changed), folder, out, progress=progress)
    assert {"kept from before"} == {outcome for _, outcome in progress.ended}
    assert [decision.keep for decision in outcome.decisions] == [False, False]
    assert outcome.manifest is None
    assert not (out / "dataset.toml").exists()
    assert not (out / "normalization.json").exists()
    decisions.write_text("field,keep\nA3,yes\n")
    outcome = run(config.model_copy(update=changed), folder, out)
    assert outcome.decisions[1].keep
    assert outcome.decisions[1].reasons[0] == "kept by hand"
    assert [field.name for field in load_manifest(out / "dataset.toml").fields] == ["A3"]


def test_other_settings_need_another_folder(mine, run):
    config, folder, out = mine
    kept = images_of(out)
    with pytest.raises(InputError, match="holds a run of other settings"):
        run(config.model_copy(update={"percentile": 50.0}), folder, out)
    assert images_of(out) == kept
    (out / "settings.toml").unlink()
    with pytest.raises(InputError, match="holds other fields; name another folder"):
        run(config, folder, out)


def test_a_split_that_quality_leaves_no_fields_for(mine, run):
    config, folder, out = mine
    changed = {
        "split": config.split.model_copy(update={"validation": 1.0}),
        "decisions": out.parent / "decisions.csv",
    }
    (out.parent / "decisions.csv").write_text("field,keep\nA3,no\nA1,yes\n")
    config = config.model_copy(update=changed)
    with pytest.raises(InputError, match=r"train, validation need.*1 of 2 fields are kept.*again"):
        run(config, folder, out)
    assert not (out / "dataset.toml").exists()
    assert "A3,no" in (out / "quality.csv").read_text()
    # Nothing stands in the way of the next try.
    (out.parent / "decisions.csv").write_text("field,keep\nA3,yes\n")
    assert run(config, folder, out).manifest == out / "dataset.toml"


def test_groups_put_by_hand_may_be_rejected(mine, run):
    config, folder, out = mine
    (out.parent / "decisions.csv").write_text("field,keep\nA3,no\nA1,yes\n")
    split = config.split.model_copy(update={"groups": {"A3": "validation"}})
    changed = {"split": split, "decisions": out.parent / "decisions.csv"}
    outcome = run(config.model_copy(update=changed), folder, out)
    assert [field.split for field in load_manifest(outcome.manifest).fields] == ["train"]


def test_a_region_for_validation(mine, run):
    config, folder, out = mine
    split = config.split.model_copy(update={"region": (0, 20, 0, 90)})
    run(config.model_copy(update={"split": split}), folder, out)
    fields = [load_field(field) for field in load_manifest(out / "dataset.toml").fields]
    assert all(field.validation_region == (0, 20, 0, 90) for field in fields)
    split = config.split.model_copy(update={"region": (0, 20, 0, 900)})
    with pytest.raises(InputError, match=r"split.region .* reaches beyond field 'A1'"):
        run(config.model_copy(update={"split": split}), folder, out)


def test_one_run_at_a_time(quick, one, run, tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is writing there; wait for it"):
            run(quick[0], one, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("nth", [1, 12, 27])
def test_a_full_disk_ends_the_run_and_leaves_no_part(nth, quick, one, run, tmp_path, monkeypatch):
    config, expected, _ = quick
    writes = []

    def sync(descriptor):
        writes.append(descriptor)
        if len(writes) >= nth:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("isl.files.whole.os.fsync", sync)
        with pytest.raises(InputError, match=r"No space left on device.*make room and run again"):
            run(config, one, tmp_path)
    assert len(writes) in (nth, nth + 1)
    assert not list(tmp_path.rglob("*.partial"))
    run(config, one, tmp_path)
    assert images_of(tmp_path) == expected


def test_images_hold_no_time_and_no_chance(quick, one, run, tmp_path, monkeypatch):
    """Another time, another folder, another process: the same bytes."""
    config, expected, _ = quick
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 4e6)
    run(config, one, tmp_path)
    assert images_of(tmp_path) == expected


def test_a_table_edited_in_place_is_not_written_over(mine, run):
    config, folder, out = mine
    table = out / run_folder.DECISIONS
    edited = table.read_text().replace("A1,yes", "A1,no")
    table.write_text(edited)
    with pytest.raises(InputError, match=r"was edited; copy it elsewhere.*'decisions'"):
        run(config, folder, out)
    assert table.read_text() == edited
    # What it says to do.
    (out.parent / "mine.csv").write_text(edited)
    table.unlink()
    outcome = run(config.model_copy(update={"decisions": out.parent / "mine.csv"}), folder, out)
    assert [decision.keep for decision in outcome.decisions] == [False, True]


def test_every_file_can_be_read_as_an_image(whole):
    for file in (whole["out"] / "fields").glob("*.tif"):
        for image in open_images(file):
            with image:
                assert image.read(t=0, c=0, z=0).ndim == 2


def test_odd_sides_lose_their_last_row_and_column_and_nothing_else(run, tmp_path):
    """Tiles of 61 x 67 halved are 30 x 33: blocks of four pixels, in their own counts."""
    rng = np.random.default_rng(0)
    scene = {"phase": rng.integers(9000, 50000, (95, 67)), "DAPI": rng.integers(0, 900, (95, 67))}
    for channel, pixels in scene.items():
        for row in range(2):
            tile = pixels[row * 34 : row * 34 + 61].astype(np.uint16)
            tifffile.imwrite(tmp_path / f"A1_r{row}_c0_{channel}.tif", tile)
    config = parse(
        {
            "layout": {"root": str(tmp_path), "pattern": "{well}_r{row}_c{col}_{channel}.tif"}
            | {"overlap": 27},
            "transmitted": "phase",
            "pixel_size": 0.3,
            "stages": ["downscale", "normalization"],
        },
        PreprocessConfig,
        source="test",
    )
    out = tmp_path / "out"
    run(config, tmp_path, out)
    fields = list(map(load_field, load_manifest(out / "dataset.toml").fields))
    assert len(fields) == 2
    for row, field in enumerate(fields):
        assert field.transmitted.planes.shape == field.labels.channels.shape == (1, 30, 33)
        assert field.transmitted.pixel_size is not None
        assert field.transmitted.pixel_size.y == pytest.approx(0.6)
        done = record_of(out, field.name).normalization
        for channel, stored in (
            ("phase", field.transmitted.planes[0]),
            ("DAPI", field.labels.channels[0]),
        ):
            counts = to_raw(stored / FULL, done[channel][0])
            expected = halved(scene[channel][row * 34 : row * 34 + 61])
            # Clipping aside, what is stored is rounded to one part in 65535.
            kept = (stored > 0) & (stored < 65535)
            assert kept.mean() > 0.5
            np.testing.assert_allclose(counts[kept], expected[kept], atol=3)
