"""Micro-Manager's folders: every position is a field, and every plane is where its place says."""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isl.errors import InputError
from isl.imaging.inputs.open_image import open_images
from isl.imaging.inputs.read import find_inputs, open_transmitted, read_transmitted

SHAPE = (10, 12)


def plane(**at: int | str) -> np.ndarray:
    """Pixels that say where they belong."""
    digits = [sum(map(ord, str(at.get(axis, 0)))) for axis in ("position", "time", "channel", "z")]
    rng = np.random.default_rng(digits)
    return rng.integers(0, 4000, SHAPE).astype(np.uint16)


def write_ndtiff(
    folder: Path,
    places: Iterable[Mapping[str, int | str]],
    *,
    summary: Mapping[str, object] | None = None,
    notes: Mapping[str, object] | None = None,
    pixels: int = 1,
    packed: int = 0,
) -> Path:
    """A data set as Micro-Manager's storage lays it out: raw planes and notes, and their index."""
    folder.mkdir()
    header = json.dumps(dict(summary or {})).encode()
    stored = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    stored += struct.pack("<IIIII", 483729, 3, 3, 2355492, len(header)) + header
    index = bytearray()
    for at in places:
        start = len(stored)
        stored += plane(**at).astype("<u2").tobytes()
        text = json.dumps(
            {"PixelSizeUm": 0.3, "Exposure": 20, **(notes or {}), **_times(at)}
        ).encode()
        where, axes, name = len(stored), json.dumps(dict(at)).encode(), b"run_NDTiffStack.tif"
        stored += text
        index += struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name
        height, width = SHAPE
        index += struct.pack("<8I", start, width, height, pixels, packed, where, len(text), 0)
    (folder / "run_NDTiffStack.tif").write_bytes(stored)
    (folder / "NDTiff.index").write_bytes(index)
    return folder


def _times(at: Mapping[str, int | str]) -> dict[str, object]:
    time, position = at.get("time", 0), at.get("position", 0)
    return {
        "ElapsedTime-ms": 120000 * int(time),
        "YPositionUm": 7.0,
        "XPositionUm": 100.0 * int(position),
    }


def places(*, times: int = 2, positions: int = 2, depth: int = 3) -> list[dict[str, int | str]]:
    return [
        {"time": t, "position": p, "z": z, "channel": c}
        for t in range(times)
        for p in range(positions)
        for z in range(depth)
        for c in ("GFP", "DIC")
    ]


def check_planes(picture, position: int = 0, z0: int = 0) -> None:
    for t in range(picture.shape[0]):
        for c, channel in enumerate(picture.channel_names):
            for z in range(picture.shape[2]):
                expected = plane(time=t, position=position, channel=channel, z=z + z0)
                np.testing.assert_array_equal(picture.read(t=t, c=c, z=z), expected)


def test_each_position_of_an_ndtiff_is_a_field(tmp_path):
    folder = write_ndtiff(tmp_path / "run_1", places(), summary={"z-step_um": -1.5})
    first, second = open_images(folder)
    assert (first.name, second.name) == ("run_1_Pos0", "run_1_Pos1")
    for number, picture in enumerate((first, second)):
        assert picture.shape == (2, 2, 3, *SHAPE)
        assert picture.channel_names == ("GFP", "DIC")
        assert (picture.interval, picture.times) == (2.0, (0.0, 2.0))
        assert picture.stage == (7.0, 100.0 * number)
        assert picture.exposures == (20.0, 20.0)
        assert picture.pixel_size is not None
        assert picture.pixel_size.z == 1.5
        check_planes(picture, number)
    np.testing.assert_array_equal(
        first.read(c=1, z=2, rows=slice(3, 7), columns=slice(2, 5)),
        plane(channel="DIC", z=2)[3:7, 2:5],
    )


@pytest.mark.parametrize("named", [["run_1"], ["."], ["run_1/run_1_Pos0", "run_1/Pos1"]])
def test_positions_are_found_and_named_one_by_one(tmp_path, monkeypatch, named):
    write_ndtiff(tmp_path / "run_1", places())
    monkeypatch.chdir(tmp_path)
    found = find_inputs([Path(path) for path in named])
    assert [name for name, _ in found] == ["run_1_Pos0", "run_1_Pos1"]
    for number, (_, path) in enumerate(found):
        picture, channel = open_transmitted(path)
        assert picture.stage == (7.0, 100.0 * number)
        assert channel == 1


def test_order_of_axes_and_of_planes_does_not_matter(tmp_path):
    listed = [dict(reversed(at.items())) for at in reversed(places(positions=1))]
    (picture,) = open_images(write_ndtiff(tmp_path / "run", listed))
    assert picture.name == "run"
    assert picture.channel_names == ("DIC", "GFP")
    check_planes(picture)


def test_channels_are_ordered_as_the_summary_lists_them(tmp_path):
    folder = write_ndtiff(tmp_path / "run", places(), summary={"ChNames": ["DIC", "GFP"]})
    assert open_images(folder)[0].channel_names == ("DIC", "GFP")
    check_planes(open_images(folder)[0])


def test_planes_may_be_counted_from_below_zero(tmp_path):
    listed = [{"z": z, "channel": "DIC"} for z in (-1, 0, 1)]
    (picture,) = open_images(write_ndtiff(tmp_path / "run", listed))
    check_planes(picture, z0=-1)


def test_a_grid_is_named_by_row_and_column(tmp_path):
    listed = [{"row": r, "column": c} for r in range(2) for c in range(2)]
    names = [picture.name for picture in open_images(write_ndtiff(tmp_path / "grid", listed))]
    assert names == ["grid_r0c0", "grid_r0c1", "grid_r1c0", "grid_r1c1"]


def test_a_stopped_acquisition_is_read_as_far_as_it_is_whole(tmp_path, caplog):
    listed = places(times=3, positions=1)[:-2]
    (picture,) = open_images(write_ndtiff(tmp_path / "run", listed))
    assert picture.shape[0] == 2
    assert "of 3 time points of run 2 are there whole" in caplog.text
    check_planes(picture)


def test_fewer_planes_than_were_planned_are_said(tmp_path, caplog):
    folder = write_ndtiff(tmp_path / "run", places(positions=1), summary={"Slices": 13})
    assert open_images(folder)[0].shape[2] == 3
    assert "of 13 planes of run 3 are there whole" in caplog.text


@pytest.mark.parametrize(
    ("listed", "settings", "said"),
    [
        ([at for at in places() if at["time"] or at["z"] != 1], {}, "lacks time 0, channel 0, z 1"),
        ([at for at in places(times=4) if at["time"] != 1], {}, "lacks time 1"),
        ([*places(), places()[0]], {}, "twice"),
        ([{"preset": 0}, {"preset": 1}], {}, "the axis 'preset'"),
        ([{"z": "top"}], {}, r"counts its z in words \('top'\)"),
        (places(), {"packed": 1}, "holds planes that are compressed"),
        (places(), {"pixels": 2}, "in color"),
        (places(), {"pixels": 77}, "of a type that is not known"),
        ([], {}, "is empty"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, listed, settings, said):
    folder = write_ndtiff(tmp_path / "run", listed, **settings)
    with pytest.raises(InputError, match=f"^{folder}.*{said}"):
        open_images(folder)


@pytest.mark.parametrize("kept", [0, 500])
def test_a_truncated_or_missing_file_is_named(tmp_path, kept):
    folder = write_ndtiff(tmp_path / "run", places())
    file = folder / "run_NDTiffStack.tif"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=f"^{file}: is (truncated|empty)"):
        open_images(folder)
    file.unlink()
    with pytest.raises(InputError, match=f"^{file}: "):
        open_images(folder)


def test_an_index_never_leads_out_of_its_folder(tmp_path):
    folder = write_ndtiff(tmp_path / "run", places())
    index = (folder / "NDTiff.index").read_bytes()
    (folder / "NDTiff.index").write_bytes(
        index.replace(b"run_NDTiffStack.tif", b"../un_NDTiffStk.tif")
    )
    with pytest.raises(InputError, match=r"names '\.\./un_NDTiffStk\.tif', which is no file in it"):
        open_images(folder)


def write_image_files(
    folder: Path, name: str, *, metadata: bool = True, times: int = 2, position: int = 0
) -> Path:
    """One position, a TIFF a plane; `name` makes a file's name of its axes and their numbers."""
    folder.mkdir(parents=True)
    described: dict[str, object] = {"Summary": {"ChNames": ["GFP", "DIC"], "z-step_um": 2.0}}
    for t in range(times):
        for c, channel in enumerate(("GFP", "DIC")):
            for z in range(3):
                file = name.format(t=t, c=c, channel=channel, z=z, p=position)
                tifffile.imwrite(
                    folder / file, plane(time=t, position=position, channel=channel, z=z)
                )
                described[f"Coords-{folder.name}/{file}"] = {"time": t, "channel": c, "z": z}
                described[f"Metadata-{folder.name}/{file}"] = {
                    "PixelSizeUm": 0.65,
                    "ElapsedTime-ms": 60000.0 * t,
                    "Exposure-ms": 10.0 + c,
                }
    (folder / "metadata.txt").write_text(json.dumps(described) if metadata else '{"Summary":')
    return folder


NAMES = (
    "img_channel{c:03d}_position{p:03d}_time{t:09d}_z{z:03d}.tif",
    "img_{t:09d}_{channel}_{z:03d}.tif",
)


@pytest.mark.parametrize("name", NAMES)
def test_separate_image_files_are_one_field_a_position(tmp_path, name):
    for position in range(2):
        write_image_files(tmp_path / "run_1" / f"Pos{position}", name, position=position)
    (tmp_path / "run_1" / "DisplaySettings.json").write_text("{}")
    found = find_inputs([tmp_path / "run_1"])
    assert [field for field, _ in found] == ["Pos0", "Pos1"]
    for number, (_, path) in enumerate(found):
        (picture,) = open_images(path)
        assert picture.shape == (2, 2, 3, *SHAPE)
        assert picture.channel_names == ("GFP", "DIC")
        assert (picture.times, picture.exposures) == ((0.0, 1.0), (10.0, 11.0))
        size = picture.pixel_size
        assert size is not None
        assert (size.y, size.x, size.z) == (0.65, 0.65, 2.0)
        check_planes(picture, number)
        movie = read_transmitted(path)
        assert movie.modality == "DIC"


def test_axes_that_names_leave_out_are_zero(tmp_path):
    folder = tmp_path / "Default"
    folder.mkdir()
    (folder / "metadata.txt").write_text("{}")
    for z in range(3):
        tifffile.imwrite(folder / (f"img_z{z:03d}.tif" if z else "img.tif"), plane(z=z))
    (picture,) = open_images(folder)
    assert picture.shape == (1, 1, 3, *SHAPE)
    for z in range(3):
        np.testing.assert_array_equal(picture.read(z=z), plane(z=z))


def test_a_damaged_metadata_file_leaves_the_planes(tmp_path, caplog):
    folder = write_image_files(tmp_path / "Pos0", NAMES[1], metadata=False)
    (picture,) = open_images(folder)
    assert picture.pixel_size is None
    assert "metadata.txt: is damaged" in caplog.text
    check_planes_of_old = {name: c for c, name in enumerate(picture.channel_names or ())}
    assert set(check_planes_of_old) == {"DIC", "GFP"}
    check_planes(picture)


def test_a_lost_image_file_is_named(tmp_path):
    folder = write_image_files(tmp_path / "Pos0", NAMES[0])
    (folder / NAMES[0].format(t=0, c=1, p=0, z=1)).unlink()
    with pytest.raises(InputError, match=f"^{folder}: lacks time 0, channel 1, z 1 of Pos0"):
        open_images(folder)


def test_an_image_file_of_several_planes_is_refused(tmp_path):
    folder = write_image_files(tmp_path / "Pos0", NAMES[0])
    file = folder / NAMES[0].format(t=0, c=1, p=0, z=1)
    tifffile.imwrite(file, np.zeros((2, *SHAPE), np.uint16), photometric="minisblack")
    with pytest.raises(InputError, match=f"^{file}: holds several planes"):
        open_images(folder)


def test_pictures_beside_another_program_s_metadata_are_pictures(tmp_path):
    (tmp_path / "metadata.txt").write_text("{}")
    for name in ("img_000000000_DIC_000.tif", "other.tif"):
        tifffile.imwrite(tmp_path / name, plane())
    assert [name for name, _ in find_inputs([tmp_path])] == ["img_000000000_DIC_000", "other"]


@pytest.mark.parametrize("name", NAMES)
def test_planes_without_what_says_that_they_belong_together_are_refused(tmp_path, name):
    """Each would be a field of its own, and fluorescence be taken for transmitted light."""
    folder = write_image_files(tmp_path / "Pos0", name)
    tifffile.imwrite(folder / "thumbnail.tif", plane())
    with pytest.raises(InputError, match=r"single planes of Micro-Manager beside thumbnail\.tif"):
        find_inputs([folder])
    (folder / "thumbnail.tif").unlink()
    (folder / "metadata.txt").unlink()
    with pytest.raises(InputError, match=r"Micro-Manager without their metadata\.txt; copy that"):
        find_inputs([folder])
    assert len(find_inputs(sorted(folder.iterdir()))) == 12
