"""Time-lapses of a manifest: which files are frames, and what the table says of each."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.labeling.dataset import load_manifest, write_manifest
from isl.labeling.fields import load_field
from isl.labeling.timelapse import (
    Annotation,
    TimeLapse,
    frame_fields,
    frame_files,
    read_event,
)
from isl.polarity.embryo import load_embryos

TABLE = "embryo,t,polarized,compacted\n16,8,0,0\n16,9,0,1\n16,10,1,1\n17,8,1,1\n"


def save(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def time_lapse(tmp_path: Path) -> TimeLapse:
    """Three frames, t8 to t10, with labels of the same names and a table."""
    for kind in ("dic", "ezrin"):
        save(tmp_path / kind / "E016", "t8.png", "t9.png", "t10.png")
    (tmp_path / "labels.csv").write_text(TABLE)
    stated = TimeLapse(
        name="E016",
        frames=Path("dic/E016"),
        labels={"EZRIN": Path("ezrin/E016")},
        annotation=Annotation(table=Path("labels.csv"), embryo="16"),
        interval=20,
        modality="DIC",
    )
    return stated.rooted(tmp_path)


def table_of(time_lapse: TimeLapse) -> Path:
    assert time_lapse.annotation is not None
    return time_lapse.annotation.table


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as error:
        function(*arguments)
    return str(error.value)


def test_paths_start_at_the_root_and_the_group_is_the_name(tmp_path, time_lapse):
    assert time_lapse.frames == tmp_path / "dic" / "E016"
    assert time_lapse.labels == {"EZRIN": tmp_path / "ezrin" / "E016"}
    assert table_of(time_lapse) == tmp_path / "labels.csv"
    assert time_lapse.group == "E016"
    assert TimeLapse(name="a", frames=Path("a"), group="g").rooted(tmp_path).group == "g"
    assert TimeLapse(name="a", frames=Path("a")).rooted(tmp_path).annotation is None


def test_frames_are_in_the_order_of_their_numbers_and_other_files_are_none(time_lapse):
    save(time_lapse.frames, ".t11.png")
    (time_lapse.frames / "notes.txt").write_text("")
    assert [file.name for file in frame_files(time_lapse)] == ["t8.png", "t9.png", "t10.png"]


def test_frames_may_be_jpegs_where_nothing_else_is_there(tmp_path, time_lapse, caplog):
    alone = save(tmp_path / "jpegs", "t8.jpg", "t10.jpg")
    frames = frame_files(time_lapse.model_copy(update={"frames": alone}))
    assert [file.name for file in frames] == ["t8.jpg", "t10.jpg"]
    save(time_lapse.frames, "overview.jpg")
    assert len(frame_files(time_lapse)) == 3
    assert "1 JPEG or BMP pictures beside its images are left out" in caplog.text


def test_every_frame_is_a_field_with_its_own_label_image(time_lapse):
    fields = frame_fields(time_lapse)
    assert [field["name"] for field in fields] == ["E016/t8", "E016/t9", "E016/t10"]
    assert fields[2] == {
        "name": "E016/t10",
        "transmitted": time_lapse.frames / "t10.png",
        "labels": {"EZRIN": time_lapse.labels["EZRIN"] / "t10.png"},
        "group": "E016",
        "recording": "E016",
        "split": "train",
        "pixel_size": None,
        "z_step": None,
        "modality": "DIC",
    }


@pytest.mark.parametrize("name", ["img_ch000_time{:09d}_z000.png", "t{:03d}_crop480.png"])
def test_the_number_that_grows_is_the_tables(time_lapse, name):
    before = read_event(time_lapse, "polarized")
    for folder in (time_lapse.frames, *time_lapse.labels.values()):
        for file in list(folder.iterdir()):
            if file.suffix == ".png":
                file.rename(folder / name.format(int(file.stem.lstrip("t"))))
    np.testing.assert_array_equal(read_event(time_lapse, "polarized"), before)


def test_frames_without_numbers_have_no_rows_in_a_table(time_lapse):
    for number, file in enumerate(sorted(time_lapse.frames.glob("*.png"))):
        file.rename(time_lapse.frames / f"frame-{'abcdefghij'[number]}.png")
    with pytest.raises(InputError, match=r"which number in frame-a.png is the table's t is not"):
        read_event(time_lapse, "polarized")


def test_what_the_table_says_frame_by_frame(time_lapse):
    polarized = read_event(time_lapse, "polarized")
    assert polarized is not None
    assert polarized.dtype == bool
    assert polarized.tolist() == [False, False, True]
    compacted = read_event(time_lapse, "compacted")
    assert compacted is not None
    assert compacted.tolist() == [False, True, True]


def test_a_table_of_spreadsheets_is_read(time_lapse):
    """With a byte-order mark, spaces, and rows in any order."""
    table_of(time_lapse).write_text(
        "embryo,t,polarized\n 16, 10, 1\n16,8 ,0 \n16,9,0\n", encoding="utf-8-sig"
    )
    polarized = read_event(time_lapse, "polarized")
    assert polarized is not None
    assert polarized.tolist() == [False, False, True]


def test_events_nobody_looked_for_are_not_known(time_lapse):
    assert read_event(time_lapse, "divided") is None
    assert read_event(time_lapse.model_copy(update={"annotation": None}), "polarized") is None


def test_the_name_stands_in_the_table_unless_another_is_given(time_lapse):
    annotation = Annotation(table=table_of(time_lapse))
    line = refusal(
        read_event, time_lapse.model_copy(update={"annotation": annotation}), "polarized"
    )
    assert "time-lapse 'E016': unknown embryo 'E016'" in line
    assert "(known: 16, 17)" in line


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("16,9,0,1\n", "", "column 'polarized' says nothing of t = 9 (t9.png); give 0 or 1"),
        ("16,9,0,1", "16,9,?,1", "column 'polarized' says '?' of t = 9 (t9.png); give 0 or 1"),
        ("16,9,0,1", "16,9,,1", "column 'polarized' says '' of t = 9"),
        ("embryo,t", "embryo,time", "labels.csv: unknown column 't'; did you mean 'time'?"),
        ("embryo,", "name,", "labels.csv: unknown column 'embryo'"),
        ("16,9,0,1", "16,9,0", "labels.csv: a row is longer or shorter than the first"),
        ("16,9,0,1", "16,9,0,1,1", "labels.csv: a row is longer or shorter than the first"),
    ],
)
def test_tables_that_do_not_say_it_are_refused(time_lapse, old, new, line):
    table_of(time_lapse).write_text(TABLE.replace(old, new))
    assert line in refusal(read_event, time_lapse, "polarized")


def test_a_table_that_contradicts_itself_is_refused(time_lapse):
    table_of(time_lapse).write_text(TABLE + "16,9,0,0\n")
    assert read_event(time_lapse, "polarized") is not None
    table_of(time_lapse).write_text(TABLE + "16,9,1,1\n")
    said = refusal(read_event, time_lapse, "polarized")
    assert "'E016': column 'polarized' says both of t = 9; keep one row" in said


def test_tables_that_cannot_be_read_are_refused(time_lapse):
    table_of(time_lapse).write_bytes(b"\xff\xfe\x00")
    assert "labels.csv: cannot be read as a CSV table" in refusal(
        read_event, time_lapse, "polarized"
    )
    table_of(time_lapse).unlink()
    assert "labels.csv: there is no such file" in refusal(read_event, time_lapse, "polarized")


def test_folders_without_frames_are_refused(tmp_path, time_lapse):
    (tmp_path / "empty").mkdir()
    for folder, line in (("no", "there is no folder"), ("empty", "holds no image")):
        other = time_lapse.model_copy(update={"frames": tmp_path / folder})
        message = refusal(frame_files, other)
        assert message.startswith("time-lapse 'E016': ")
        assert line in message


def test_frames_missing_between_others_are_refused_by_name(time_lapse):
    save(time_lapse.frames, "t13.png")
    table_of(time_lapse).write_text(TABLE + "16,13,1,1\n")
    line = refusal(read_event, time_lapse, "polarized")
    assert "time-lapse 'E016': 2 frames are missing between t10.png and t13.png" in line
    save(time_lapse.frames, "t12.png")
    assert "1 frame is missing between t10.png and t12.png" in refusal(
        read_event, time_lapse, "polarized"
    )


def test_a_frame_that_the_table_knows_is_missing(time_lapse):
    """Of two frames nobody could tell by their numbers alone."""
    (time_lapse.frames / "t9.png").unlink()
    line = refusal(read_event, time_lapse, "polarized")
    assert "time-lapse 'E016': 1 frame is missing between t8.png and t10.png" in line


def test_a_table_may_know_frames_before_and_after(time_lapse):
    """As of a recording that was limited to the 8-cell stage."""
    table_of(time_lapse).write_text(TABLE + "16,7,0,0\n16,11,1,1\n")
    polarized = read_event(time_lapse, "polarized")
    assert polarized is not None
    assert polarized.tolist() == [False, False, True]


def test_frames_numbered_in_even_steps_are_complete(tmp_path):
    frames = save(tmp_path / "even", "t0.png", "t10.png", "t20.png")
    (tmp_path / "labels.csv").write_text("embryo,t,polarized\na,0,0\na,10,0\na,20,1\n")
    annotation = Annotation(table=tmp_path / "labels.csv")
    polarized = read_event(TimeLapse(name="a", frames=frames, annotation=annotation), "polarized")
    assert polarized is not None
    assert polarized.tolist() == [False, False, True]


def test_a_frame_without_its_label_image_is_refused(time_lapse):
    (time_lapse.labels["EZRIN"] / "t9.png").unlink()
    line = refusal(frame_fields, time_lapse)
    assert "label 'EZRIN' has no image" in line
    assert "would belong to the frame t9.png" in line


def test_a_label_image_without_its_frame_is_refused(time_lapse):
    (time_lapse.frames / "t10.png").unlink()
    line = refusal(frame_fields, time_lapse)
    assert "time-lapse 'E016': label 'EZRIN' has an image" in line
    assert "t10.png, but" in line
    assert "has no frame of that name" in line


@pytest.fixture
def two_channels(tmp_path: Path) -> np.ndarray:
    """A movie of DIC and Ezrin z-stacks, uint16 [T, Z, C, Y, X], and a manifest that names it."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65535, (3, 2, 2, 8, 10), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "E017.ome.tif",
        pixels,
        metadata={"axes": "TZCYX", "Channel": {"Name": ["DIC", "Ezrin-RFP"]}},
    )
    (tmp_path / "labels.csv").write_text("embryo,t,polarized\nE017,0,0\nE017,1,1\nE017,2,1\n")
    (tmp_path / "dataset.toml").write_text(MOVIE)
    return pixels


MOVIE = """
[[time_lapse]]
name = "E017"
frames = "E017.ome.tif"
channel = "DIC"
labels = { EZRIN = "E017.ome.tif" }
channels = { EZRIN = "Ezrin-RFP" }
annotation = { table = "labels.csv" }
"""


def test_a_movie_of_two_channels_is_trained_on_as_it_is(tmp_path, two_channels):
    manifest = load_manifest(tmp_path / "dataset.toml")
    assert [field.name for field in manifest.fields] == ["E017/t000", "E017/t001", "E017/t002"]
    for t, field in enumerate(manifest.fields):
        loaded = load_field(field, ("EZRIN",))
        np.testing.assert_array_equal(loaded.transmitted.planes, two_channels[t, :, 0])
        assert loaded.transmitted.modality == "DIC"
        np.testing.assert_array_equal(loaded.labels.channels[0], two_channels[t, :, 1].max(axis=0))
    (embryo,) = load_embryos(manifest)
    assert embryo.onset == 1
    assert embryo.measured is not None
    assert embryo.stacks is not None
    np.testing.assert_array_equal(embryo.stacks, two_channels[:, :, 0])


def test_a_manifest_of_movies_is_written_as_it_was_read(tmp_path, two_channels):
    manifest = load_manifest(tmp_path / "dataset.toml")
    fields = manifest.fields
    shutil.copy(tmp_path / "dataset.toml", tmp_path / "other.toml")
    only = dataclasses.replace(manifest, fields=())
    write_manifest(tmp_path / "other.toml", only, overwrite=True)
    assert load_manifest(tmp_path / "other.toml").fields == fields


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('"Ezrin-RFP"', '"Ezrin-GFP"'), "unknown channel 'Ezrin-GFP'; did you mean 'Ezrin-RFP'"),
        (("channels = { EZRIN", "channels = { EZRN"), "channels: unknown label 'EZRN'"),
        (("labels.csv", "short.csv"), "column 'polarized' says nothing of t = 2"),
    ],
)
def test_a_movie_that_does_not_fit_its_manifest_is_refused(
    tmp_path, two_channels, change, complaint
):
    (tmp_path / "short.csv").write_text("embryo,t,polarized\nE017,0,0\nE017,1,1\n")
    (tmp_path / "dataset.toml").write_text(MOVIE.replace(*change))
    with pytest.raises(InputError, match=complaint):
        load_embryos(load_manifest(tmp_path / "dataset.toml"))


def test_a_label_of_other_frames_is_refused(tmp_path, two_channels):
    tifffile.imwrite(tmp_path / "short.ome.tif", two_channels[:2, 0, 1], metadata={"axes": "TYX"})
    changed = MOVIE.replace('EZRIN = "E017.ome.tif"', 'EZRIN = "short.ome.tif"')
    (tmp_path / "dataset.toml").write_text(changed)
    with pytest.raises(InputError, match=r"label 'EZRIN' has 2 frames in .*, but .* has 3"):
        load_manifest(tmp_path / "dataset.toml")


def test_pages_of_which_nothing_says_that_they_are_time_are_no_movie(tmp_path, two_channels):
    pages = two_channels[:, 0, 0]
    tifffile.imwrite(tmp_path / "plain.tif", pages, photometric="minisblack", metadata=None)
    (tmp_path / "dataset.toml").write_text(
        MOVIE.replace('frames = "E017.ome.tif"', 'frames = "plain.tif"')
    )
    with pytest.raises(InputError, match=r"plain\.tif has one time point, or pages of which"):
        load_manifest(tmp_path / "dataset.toml")
