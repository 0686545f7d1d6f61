"""`isl preprocess` as people call it: what it says, its exit codes, and all it refuses."""

import fcntl
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import tomli_w

from isl import cli
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.phantom.wells.wells import WellConfig, write_wells

LAYOUT = {"pattern": "{well}_r{row}_c{col}_z{z}_{channel}.tif", "overlap": 64}
CONFIG = {
    "transmitted": "phase",
    "labels": ["nuclei"],
    "sensor_offset": 100.0,
    "stages": ["downscale", "stitching", "projection", "normalization", "quality"],
    "stitching": {"search": 12},
    "sample": {"least": 3},
    "layout": LAYOUT,
}
FLAT = ["downscale", "flat_field", "stitching", "projection", "normalization", "quality"]


@pytest.fixture(scope="module")
def wells(tmp_path_factory):
    config = WellConfig(
        rows=1,
        columns=2,
        tile=128,
        overlap=64,
        jitter=2,
        planes=1,
        label_planes=1,
        exposures=1,
    )
    return write_wells(tmp_path_factory.mktemp("wells"), 3, config, 3)


@pytest.fixture
def raw(wells, tmp_path):
    """Three wells A1 to A3 of two tiles, phase and nuclei, to be spoiled."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for file in [*wells.folder.glob("*_phase.tif"), *wells.folder.glob("*_nuclei.tif")]:
        shutil.copy2(file, folder / file.name)
    return folder


@pytest.fixture
def run(raw, tmp_path, capsys):
    """Runs `isl preprocess` into tmp_path/out; returns code, stdout, stderr."""

    def call(*words, **changed):
        config = tmp_path / "config.toml"
        given = CONFIG | {"layout": LAYOUT | {"root": str(raw)}}
        given |= changed
        config.write_text(tomli_w.dumps({k: v for k, v in given.items() if v is not None}))
        named = [] if "--out" in words else ["--out", tmp_path / "out"]
        code = cli.main(["preprocess", *map(str, [config, *named, "--workers", 1, *words])])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Runs a call that must be refused in one line, with nothing written; returns the line."""

    def call(*words, **changed):
        code, out, err = run(*words, **changed)
        assert (code, out) == (2, ""), err
        assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return err

    return call


def error_of(err):
    """The one line of an error, behind lines of progress."""
    *progress, line = err.splitlines()
    assert all(each.startswith("[") for each in progress), err
    return line


def image_of(file):
    return tifffile.imread(file)


def kept(out):
    return [field.name for field in load_manifest(out / "dataset.toml").fields]


def test_tiles_become_a_dataset(run, tmp_path):
    code, out, err = run()
    assert code == 0
    assert out.split() == [str(tmp_path / "out" / name) for name in ("dataset.toml", "report.html")]
    assert err.splitlines()[-1] == "3 of 3 fields kept"
    assert kept(tmp_path / "out") == ["A1", "A2", "A3"]
    field = load_field(load_manifest(tmp_path / "out" / "dataset.toml").fields[0])
    assert field.labels.labels == ("nuclei",)
    again, _, err = run()
    assert again == 0
    assert err.count("kept from before") == 3


def test_a_dry_run_says_what_it_would_do(run, tmp_path):
    code, out, err = run("--dry-run", stages=FLAT)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "A1 (group A1): 2 tiles of 128 x 128; planes: nuclei 1, phase 1"
    assert lines[-1] == "estimates of nuclei: from 6 of 6 images"
    assert not (tmp_path / "out").exists()


def test_missing_tiles_are_said_and_allowed(run, raw, tmp_path):
    (raw / "A2_r0_c1_z0_phase.tif").unlink()
    (raw / "A3_r0_c0_z0_nuclei.tif").unlink()
    (raw / "A3_r0_c0_z0_phase.tif").unlink()
    code, out, _ = run("--dry-run")
    assert code == 0
    # A plane that half of the tiles have is expected of all.
    assert "warning: tile r0-c1 is left out: it lacks phase z 0" in out
    assert "warning: lacks tile r0-c0" in out
    assert run()[0] == 0
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Lacks tile r0-c0." in report
    assert "Tile r0-c1 is left out: it lacks phase z 0." in report


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-5000])


def of_another_size(file):
    tifffile.imwrite(file, image_of(file)[:100])


def of_another_type(file):
    tifffile.imwrite(file, (image_of(file) >> 8).astype(np.uint8))


def no_image(file):
    file.write_text("not pixels")


def with_nan(file):
    for each in file.parent.glob("A2_*_phase.tif"):
        image = image_of(each).astype(np.float32)
        image[3, 4] = np.nan
        tifffile.imwrite(each, image)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_short, "A2_r0_c1_z0_phase.tif"),
        (of_another_size, "A2_r0_c1_z0_phase.tif is 100 x 128 uint16, but"),
        (of_another_type, "A2_r0_c1_z0_phase.tif is 128 x 128 uint8, but"),
        (no_image, "A2_r0_c1_z0_phase.tif"),
        (with_nan, "A2_r0_c0_z0_phase.tif: holds NaN or infinite pixels"),
    ],
)
@pytest.mark.parametrize("stages", [CONFIG["stages"], FLAT])
def test_one_bad_tile_costs_its_field_alone(spoil, message, stages, run, raw, tmp_path):
    spoil(raw / "A2_r0_c1_z0_phase.tif")
    code, _, err = run(stages=stages)
    assert code == 3, err
    table = err.splitlines()
    start = table.index("1 of 3 fields failed:")
    assert len(table) == start + 2
    assert table[-1].startswith("  A2  ")
    assert message in table[-1]
    assert kept(tmp_path / "out") == ["A1", "A3"]
    assert "A2_r0_c" in (tmp_path / "out" / "report.html").read_text()
    assert not list((tmp_path / "out" / "fields").glob("A2*"))


@pytest.mark.parametrize("spoil", [cut_short, of_another_size, no_image])
def test_an_only_field_that_is_bad(spoil, run, raw, tmp_path):
    spoil(raw / "A2_r0_c1_z0_phase.tif")
    code, out, err = run(
        layout=LAYOUT | {"root": str(raw), "pattern": LAYOUT["pattern"].replace("{well}", "A2")}
    )
    assert (code, out) == (2, "")
    assert "A2_r0_c1_z0_phase.tif" in error_of(err)
    assert not (tmp_path / "out" / "dataset.toml").exists()


def test_a_field_of_other_tiles_than_most(run, raw, tmp_path):
    for file in raw.glob("A3_*"):
        tifffile.imwrite(file, image_of(file)[:120])
    # Four images of few nuclei show too little for a wider blur.
    code, _, err = run(stages=FLAT, flat_field={"places": 1})
    assert code == 3, err
    assert "field 'A3': has tiles of 120 x 128 pixels, most fields 128 x 128" in err
    assert kept(tmp_path / "out") == ["A1", "A2"]
    # Where nothing is estimated of the set, every field may have tiles of its own.
    assert run("--out", tmp_path / "other")[0] == 0


def test_patterns_that_match_nothing_or_twice(refused, raw):
    root = {"root": str(raw)}
    line = refused(layout=LAYOUT | root | {"pattern": "{well}-{row}-{col}-{channel}.tif"})
    assert "matches none of its 12 files, e.g. 'A1_r0_c0_z0_nuclei.tif'" in line
    line = refused(layout=LAYOUT | root | {"pattern": "{well}_r{row}_c*_{channel}.tif"})
    assert "A1_r0_c0" in line
    assert "A1_r0_c1" in line
    line = refused(layout=LAYOUT | {"root": "nowhere"})
    assert "nowhere: there is no such folder (layout.root)" in line


def test_neighbours_without_overlap(refused, raw):
    line = refused(layout=LAYOUT | {"root": str(raw), "overlap": 8})
    assert "no tiles overlap by 32 pixels where the layout puts them; check layout.overlap" in line


def test_empty_agarose_lies_where_the_stage_says_and_is_rejected(run, raw, tmp_path):
    rng = np.random.default_rng(0)
    for file in [*raw.glob("A2_*")]:
        tifffile.imwrite(file, rng.normal(9000, 95, (128, 128)).astype(np.uint16))
    code, _, err = run()
    assert code == 0
    assert "2 of 3 fields kept" in err
    assert kept(tmp_path / "out") == ["A1", "A3"]
    row = next(
        line
        for line in (tmp_path / "out" / "quality.csv").read_text().splitlines()
        if line.startswith("A2,")
    )
    assert "empty: 0.00%" in row
    assert "badly stitched: 0% of the overlaps could be trusted" in row
    record = (tmp_path / "out" / "fields" / "A2.json").read_text()
    assert record.count('"anchored": true') == 2


@pytest.mark.parametrize("stages", [CONFIG["stages"], FLAT])
def test_all_tiles_saturated(stages, run, raw, tmp_path):
    for file in raw.iterdir():
        tifffile.imwrite(file, np.full((128, 128), 65535, np.uint16))
    code, _, err = run(stages=stages)
    if stages == FLAT:
        assert code == 2
        line = error_of(err)
        assert "channel 'phase': 0 images are too few for a median over the set" in line
        assert "(6 others are not fit for it, e.g. " in line
        assert "A1_r0_c0_z0_phase.tif: 100% of it is saturated" in line
        assert not (tmp_path / "out" / "fields").exists()
    else:
        assert code == 0
        assert "0 of 3 fields kept" in err
        assert not (tmp_path / "out" / "dataset.toml").exists()
        assert (tmp_path / "out" / "quality.csv").read_text().count("saturated: 100.00%") == 3


@pytest.mark.parametrize("count", [0, 7, 1000])
def test_constant_images(count, run, raw, tmp_path):
    for file in raw.iterdir():
        tifffile.imwrite(file, np.full((128, 128), count, np.uint16))
    code, _, err = run()
    assert code == 0
    assert "0 of 3 fields kept" in err
    assert (tmp_path / "out" / "quality.csv").read_text().count("empty: 0.00%") == 6


def test_images_without_contrast_cannot_be_normalized_unjudged(run, raw, tmp_path):
    for file in raw.glob("A2_*nuclei*"):
        tifffile.imwrite(file, np.full((128, 128), 100, np.uint16))
    code, _, err = run(stages=[stage for stage in CONFIG["stages"] if stage != "quality"])
    assert code == 3
    assert "channel 'nuclei': every pixel is 0, so there is nothing to see in it" in err
    assert kept(tmp_path / "out") == ["A1", "A3"]


def test_sets_too_small_for_a_median(refused, run, tmp_path):
    line = refused("--set", "sample.least=9", stages=FLAT)
    assert "channel 'phase': 6 images are too few for a median over the set, which needs 9" in line
    assert "leave the stages flat_field" in line
    assert run("--set", "sample.least=6", stages=FLAT)[0] == 0


def test_what_failed_with_some_settings_may_be_tried_with_others(run, raw, tmp_path):
    for file in raw.glob("*nuclei*"):
        tifffile.imwrite(file, np.full((128, 128), 100, np.uint16))
    code, _, err = run(stages=FLAT)
    assert code == 2
    assert "flat field of 'nuclei': its mean is 0" in error_of(err)
    code, _, err = run()
    assert code == 0
    assert not (tmp_path / "out" / "estimates").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stages": ["flatfield"]}, "stages"),
        ({"transmited": "phase"}, "unknown key 'transmited'; did you mean 'transmitted'?"),
        ({"transmitted": "phas"}, "unknown channel 'phas'; did you mean 'phase'?"),
        ({"labels": ["DAPI"]}, "unknown channel 'DAPI' (known: nuclei, phase)"),
        ({"stitching": {"channel": "dic"}}, "has no channel 'dic' to compare tiles by"),
        ({"stitching": {"plane": 1}}, "stitching.plane is 1, but 'phase' has 1 planes"),
        ({"planes": {"count": 2}}, "2 planes are wanted, but the stack has 1"),
        ({"downscale": 200}, "tiles of 128 x 128 pixels cannot be downscaled by 200"),
        ({"decisions": "none.csv"}, "none.csv: there is no such file"),
        ({"split": {"groups": {"B7": "test"}}}, "unknown group 'B7'"),
        (
            {"split": {"train": 1.0, "groups": dict.fromkeys(("A1", "A2", "A3"), "test")}},
            "train need at least one group each",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_done(changed, message, refused):
    assert message in refused(**changed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "-1"], "--workers -1: give 1 or more, or 0 for every core"),
        (["--set", "downscale"], "--set downscale: expected key=value"),
        (["--set", "downscale=0"], "downscale"),
        (["--overwrite"], "--overwrite"),
    ],
)
def test_wrong_words_are_refused(words, message, refused):
    assert message in refused(*words)


def test_out_must_be_a_folder_one_can_write_to(run, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("--out", tmp_path / "file")
    assert code == 2
    assert "is a file; name a folder" in err
    code, _, err = run("--out", tmp_path / "file" / "below")
    assert code == 2
    assert f"{tmp_path / 'file'} is a file; name a folder" in error_of(err)


def test_decisions_by_hand(run, raw, tmp_path):
    assert run()[0] == 0
    table = tmp_path / "out" / "quality.csv"
    edited = table.read_text().replace("A2,yes", "A2,no")
    table.write_text(edited)
    code, _, err = run()
    assert code == 2
    assert "was edited; copy it elsewhere and name it as 'decisions'" in error_of(err)
    assert table.read_text() == edited
    (tmp_path / "mine.csv").write_text(edited)
    table.unlink()
    code, _, err = run(decisions="mine.csv")
    assert code == 0
    assert "2 of 3 fields kept" in err
    assert kept(tmp_path / "out") == ["A1", "A3"]
    (tmp_path / "mine.csv").write_text("field,keep\nA9,no\n")
    code, _, err = run(decisions="mine.csv")
    assert code == 2
    assert "mine.csv, line 2: unknown field 'A9'" in error_of(err)


def test_decisions_may_name_a_field_that_fails_now(run, raw, tmp_path):
    (tmp_path / "mine.csv").write_text("field,keep\nA2,no\n")
    no_image(raw / "A2_r0_c1_z0_phase.tif")
    assert run(decisions="mine.csv")[0] == 3


def test_two_runs_at_once(run, tmp_path):
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, out, err = run()
    assert (code, out) == (2, "")
    assert "another run is writing there" in error_of(err)
    assert os.listdir(tmp_path / "out") == [".lock"]


def test_a_full_disk(run, tmp_path, monkeypatch):
    writes = []

    def sync(descriptor):
        writes.append(descriptor)
        if len(writes) > 9:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("isl.files.whole.os.fsync", sync)
        code, out, err = run()
    assert (code, out) == (2, "")
    assert "No space left on device); make room and run again to continue" in error_of(err)
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert run()[0] == 0


def test_channels_that_no_file_could_be_named_after(run, raw, tmp_path):
    channels = {"phase": "light/phase", "nuclei": "Cy5: 1/2"}
    code, _, err = run(
        layout=LAYOUT | {"root": str(raw), "channels": channels},
        transmitted="light/phase",
        labels=["Cy5: 1/2"],
        stages=FLAT,
    )
    assert code == 0, err
    files = {file.name for file in (tmp_path / "out" / "estimates").iterdir()}
    assert "Cy5%3A 1%2F2.json" in files
    assert load_manifest(tmp_path / "out" / "dataset.toml").labels() == ("Cy5: 1/2",)
    field = load_field(load_manifest(tmp_path / "out" / "dataset.toml").fields[0])
    assert field.labels.labels == ("Cy5: 1/2",)


def test_out_among_the_raw_tiles_does_not_disturb(run, raw):
    assert run("--out", raw / "done")[0] == 0
    assert run("--out", raw / "done")[0] == 0


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], ("jax", "numpy", "skimage", "scipy", "matplotlib", "pandas")),
        (["preprocess", "--help"], ("jax", "numpy", "skimage", "scipy", "matplotlib", "pandas")),
    ],
)
def test_help_starts_fast(words, heavy):
    code = (
        "import sys; from isl import cli; assert cli.main(sys.argv[1:]) == 0; "
        f"print(sorted(set({heavy}) & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert ran.stderr.strip() == "[]"
    assert "preprocess" in ran.stdout


def test_the_pipeline_needs_no_jax():
    code = "import sys, isl.preprocess.pipeline; print({'jax', 'pandas'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
