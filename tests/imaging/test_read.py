from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.table import field_name
from isl.imaging.image import FluorescenceImage, Movie, PixelSize, ZStack
from isl.imaging.inputs.frames import frames_in, open_transmitted_frames
from isl.imaging.inputs.read import (
    find_inputs,
    open_transmitted,
    read_fluorescence,
    read_transmitted,
)
from isl.imaging.names import is_fluorescence, is_transmitted, modality_of

PUBLISHED = "lab-X,well-A4,z_depth-{z},channel-PHASE_CONTRAST,is_mask-false.png"


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)


def write_ome(path, array, axes, names=None, **metadata):
    if names:
        metadata["Channel"] = {"Name": names}
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **metadata})


def make_published(folder):
    folder.mkdir()
    for z in range(3):
        Image.fromarray(pixels(6, 5)).save(folder / PUBLISHED.format(z=z))


def test_a_stack_is_a_z_stack(tmp_path):
    path = tmp_path / "A4.ome.tif"
    stored = pixels(13, 6, 5)
    write_ome(path, stored, "ZYX", PhysicalSizeX=0.3, PhysicalSizeY=0.3, PhysicalSizeZ=1.5)
    stack = read_transmitted(path)
    assert isinstance(stack, ZStack)
    np.testing.assert_array_equal(stack.planes, stored)
    assert (stack.name, stack.source) == ("A4", path)
    assert stack.pixel_size == PixelSize(y=0.3, x=0.3, z=1.5)
    assert stack.modality is None


def test_several_times_are_a_movie(tmp_path):
    path = tmp_path / "embryo.tif"
    stored = pixels(4, 3, 2, 6, 5)
    write_ome(path, stored, "TZCYX", ["DIC", "EZRIN"], TimeIncrement=600.0)
    movie = read_transmitted(path)
    assert isinstance(movie, Movie)
    np.testing.assert_array_equal(movie.frames, stored[:, :, 0])
    assert (movie.modality, movie.interval) == ("DIC", pytest.approx(10.0))
    np.testing.assert_array_equal(movie.stack(2).planes, stored[2, :, 0])


def test_the_transmitted_channel_is_known_by_name(tmp_path):
    path = tmp_path / "field.tif"
    stored = pixels(3, 4, 6, 5)
    write_ome(path, stored, "CZYX", ["DAPI", "Phase Contrast", "GFP"])
    stack = read_transmitted(path)
    np.testing.assert_array_equal(stack.planes, stored[1])
    assert stack.modality == "PHASE_CONTRAST"
    np.testing.assert_array_equal(read_transmitted(path, channel="gfp").planes, stored[2])
    with pytest.raises(InputError, match=r"field.tif: unknown channel 'DAPY'; did you mean 'DAPI'"):
        read_transmitted(path, channel="DAPY")


@pytest.mark.parametrize("names", [["DAPI", "GFP"], ["BF", "DIC"]])
def test_a_doubtful_channel_is_asked_for(tmp_path, names):
    path = tmp_path / "field.tif"
    write_ome(path, pixels(2, 4, 6, 5), "CZYX", names)
    with pytest.raises(
        InputError,
        match=f"which channel is transmitted.*{names[0]}, {names[1]}; "
        f'name it, `channel="{names[0]}"`',
    ):
        read_transmitted(path)


@pytest.mark.parametrize(
    ("told", "by"),
    [
        ({"Name": "DAPI"}, "its name"),
        ({"Name": "EZRIN-RFP"}, "its name"),
        ({"EmissionWavelength": 461.0}, "the microscope's notes"),
        ({"ExcitationWavelength": 405.0, "Name": "C1"}, "the microscope's notes"),
        ({"ContrastMethod": "Fluorescence", "Name": "C1"}, "the microscope's notes"),
        ({"IlluminationType": "Epifluorescence"}, "the microscope's notes"),
        ({"Fluor": "Alexa Fluor 488", "Name": "C1"}, "the microscope's notes"),
    ],
)
def test_the_only_channel_is_refused_where_it_is_fluorescence(tmp_path, told, by):
    path = tmp_path / "field.ome.tif"
    stored = pixels(4, 6, 5)
    tifffile.imwrite(path, stored, metadata={"axes": "ZYX", "Channel": told})
    name = told.get("Name", "channel_1")
    with pytest.raises(
        InputError, match=f"only channel, {name}, is fluorescence by {by}; .*"
    ) as no:
        read_transmitted(path)
    assert f'`channel="{name}"`' in str(no.value)
    np.testing.assert_array_equal(read_transmitted(path, channel=name).planes, stored)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"Name": "C1"},
        {"Name": "Brightfield", "EmissionWavelength": 706.0, "ExcitationWavelength": 740.0},
        {"Name": "T PMT", "IlluminationType": "Epifluorescence"},
        {"ContrastMethod": "DIC", "EmissionWavelength": 500.0},
        {"IlluminationType": "Transmitted", "ExcitationWavelength": 488.0},
        {"ExcitationWavelength": 488.0, "AcquisitionMode": "LaserScanningConfocalMicroscopy"},
        {"Fluor": "TL Brightfield", "EmissionWavelength": 500.0},
        {"Name": "H2B-GFP_E4_t01.tif"},
        {"Name": "t:1/9 - H2B-GFP_E4.nd2 (series 1)"},
        {"Name": "H2B-GFP_E4-0001"},
    ],
)
def test_the_only_channel_is_transmitted_where_nothing_says_otherwise(tmp_path, told, caplog):
    path = tmp_path / "field.ome.tif"
    tifffile.imwrite(path, stored := pixels(4, 6, 5), metadata={"axes": "ZYX", "Channel": told})
    np.testing.assert_array_equal(read_transmitted(path).planes, stored)
    assert caplog.text == ""


def test_frames_in_jpeg_are_a_time_lapse(tmp_path):
    stored = [np.full((16, 15), 40 * t, np.uint8) for t in range(4)]
    for t, plane in enumerate(stored):
        Image.fromarray(plane).save(tmp_path / f"t{t}.jpg")
    picture, channel = open_transmitted_frames(tmp_path)
    assert (picture.shape, channel) == ((4, 1, 1, 16, 15), 0)
    np.testing.assert_array_equal([picture.read(t=t) for t in range(4)], stored)


def test_unnamed_channels_may_be_planes(tmp_path):
    path = tmp_path / "field.tif"
    stored = pixels(13, 6, 5)
    write_ome(path, stored, "CYX")
    with pytest.raises(InputError, match="13 unnamed channels and one plane; give `axes`"):
        read_transmitted(path)
    np.testing.assert_array_equal(read_transmitted(path, axes="ZYX").planes, stored)


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("PHASE", "PHASE_CONTRAST"),
        ("Phase-Contrast", "PHASE_CONTRAST"),
        ("Ph2", "PHASE_CONTRAST"),
        ("BF with Disk", "BRIGHTFIELD"),
        ("bright field", "BRIGHTFIELD"),
        ("TL-DIC", "DIC"),
        ("TL DIC", "DIC"),
        ("Trans", None),
        ("T-PMT", None),
    ],
)
def test_transmitted_names(name, modality):
    assert is_transmitted(name)
    assert modality_of(name) == modality


@pytest.mark.parametrize(
    "name",
    [
        "DAPI",
        "TRANSFERRIN",
        "C488",
        "phalloidin",
        "indicator",
        "",
        "Trans-Golgi TGN46",
        "pH sensor",
        "TL lysosome",
        "BF-FITC",
    ],
)
def test_other_names(name):
    assert not is_transmitted(name)


@pytest.mark.parametrize(
    "name",
    [
        "DAPI",
        "DAPI_CONFOCAL",
        "Hoechst 33342",
        "EGFP-T1",
        "mCherry",
        "Texas Red",
        "AF488",
        "Alexa Fluor 555",
        "Cy5",
        "tdTomato",
        "BF-FITC",
    ],
)
def test_names_of_dyes(name):
    assert is_fluorescence(name)


@pytest.mark.parametrize("name", ["", "C1", "Phase", "BF", "Trans", "488", "cells", "Brightfield"])
def test_names_of_no_dye(name):
    assert not is_fluorescence(name)


def test_fluorescence_keeps_channel_names(tmp_path):
    image = FluorescenceImage(name="A4", channels=pixels(2, 6, 5), labels=("DAPI", "NFH"))
    write_ome_tiff(tmp_path / "A4.ome.tif", image)
    read = read_fluorescence(tmp_path / "A4.ome.tif")
    assert (read.name, read.labels) == ("A4", ("DAPI", "NFH"))
    np.testing.assert_array_equal(read.channels, image.channels)


def test_unnamed_fluorescence_is_numbered(tmp_path):
    path = tmp_path / "dapi.tif"
    tifffile.imwrite(path, pixels(2, 6, 5))
    with pytest.raises(InputError, match=r"has 2 z planes.*`axes=CYX`"):
        read_fluorescence(path)
    assert read_fluorescence(path, axes="CYX").labels == ("channel_1", "channel_2")
    assert read_fluorescence(path, axes="TYX").channels.shape == (2, 1, 6, 5)


def test_channels_of_one_name_are_refused(tmp_path):
    write_ome(tmp_path / "a.tif", pixels(2, 6, 5), "CYX", ["DAPI", "DAPI"])
    with pytest.raises(InputError, match="2 channels are named 'DAPI'"):
        read_fluorescence(tmp_path / "a.tif")


def test_a_png_is_one_plane(tmp_path):
    path = tmp_path / "t024.PNG"
    plane = pixels(6, 5)
    Image.fromarray(plane).save(path, format="PNG")
    stack = read_transmitted(path)
    assert isinstance(stack, ZStack)
    assert stack.name == "t024"
    np.testing.assert_array_equal(stack.planes, plane[None])
    np.testing.assert_array_equal(read_transmitted(path, axes="XY").planes, plane.T[None])
    np.testing.assert_array_equal(read_fluorescence(path).channels, plane[None])
    with pytest.raises(InputError, match="`axes=ZYX` does not fit a PNG"):
        read_transmitted(path, axes="ZYX")


def test_a_published_folder_is_a_field(tmp_path):
    make_published(tmp_path / "A4")
    stack = read_transmitted(tmp_path / "A4")
    assert isinstance(stack, ZStack)
    assert (stack.name, stack.modality, stack.planes.shape) == ("A4", "PHASE_CONTRAST", (3, 6, 5))
    assert read_transmitted(tmp_path / "A4", channel="phase_contrast").name == "A4"
    with pytest.raises(InputError, match="unknown transmitted channel 'DIC'"):
        read_transmitted(tmp_path / "A4", channel="DIC")
    with pytest.raises(InputError, match="is for TIFF files"):
        read_transmitted(tmp_path / "A4", axes="ZYX")
    with pytest.raises(InputError, match="holds no fluorescence"):
        read_fluorescence(tmp_path / "A4")
    with pytest.raises(InputError, match="folder without published PNGs"):
        read_transmitted(tmp_path)


def test_photographs_are_images_where_there_are_no_others(tmp_path, caplog):
    plane = pixels(16, 15).astype(np.uint8)
    for name in ("b.jpg", "a.bmp", ".c.jpg"):
        Image.fromarray(plane).save(tmp_path / name)
    (tmp_path / "folder.jpg").mkdir()
    found = [("a", tmp_path / "a.bmp"), ("b", tmp_path / "b.jpg")]
    assert find_inputs([tmp_path]) == found
    np.testing.assert_array_equal(read_transmitted(tmp_path / "a.bmp").planes, plane[None])
    assert [path.name for path in frames_in(tmp_path)] == ["a.bmp", "b.jpg"]
    assert caplog.text == ""
    tifffile.imwrite(tmp_path / "b.tif", plane)
    told = f"{tmp_path}: 2 JPEG or BMP pictures beside its images are left out, such as a.bmp"
    for find in (
        lambda: [path for _, path in find_inputs([tmp_path])],
        lambda: frames_in(tmp_path),
    ):
        caplog.clear()
        assert find() == [tmp_path / "b.tif"]
        assert told in caplog.text
    assert find_inputs([tmp_path / "b.jpg"]) == found[1:]


def test_previews_of_images_that_nothing_installed_opens_are_no_images(tmp_path):
    Image.fromarray(pixels(16, 15).astype(np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "a.lsm").write_bytes(b"a microscope's own format")
    with pytest.raises(InputError, match="holds no image"):
        find_inputs([tmp_path])


def test_folders_that_are_not_searched_are_told(tmp_path):
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(InputError, match=r"holds no image; expected"):
        find_inputs([tmp_path])
    for name in ("t2", "t10"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        InputError,
        match=r"holds no image, and its folders are not searched; name them, such as [^ ]*/t10;",
    ):
        find_inputs([tmp_path])


def test_other_files_are_no_images(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(InputError, match=r"is not a .tif"):
        read_transmitted(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="no such file"):
        read_transmitted(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.tif", "a"), ("a.ome.tif", "a"), ("A.OME.TIFF", "A"), ("a.b.Tiff", "a.b"), ("a.png", "a")],
)
def test_names_of_fields(file, name):
    assert field_name(Path("folder") / file) == name


def test_inputs_are_found_in_natural_order(tmp_path):
    for name in ("t10.tif", "t9.ome.tif", "t9b.png", ".hidden.tif", "table.csv"):
        (tmp_path / name).touch()
    make_published(tmp_path / "A4")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "deep.tif").touch()
    assert find_inputs([tmp_path]) == [
        ("A4", tmp_path / "A4"),
        ("t9", tmp_path / "t9.ome.tif"),
        ("t9b", tmp_path / "t9b.png"),
        ("t10", tmp_path / "t10.tif"),
    ]
    assert find_inputs([str(tmp_path / "t10.tif"), tmp_path / "A4"]) == [
        ("t10", tmp_path / "t10.tif"),
        ("A4", tmp_path / "A4"),
    ]


def test_inputs_that_are_none(tmp_path):
    with pytest.raises(InputError, match="holds no image"):
        find_inputs([tmp_path])
    with pytest.raises(InputError, match="no such file or folder"):
        find_inputs([tmp_path / "absent"])
    with pytest.raises(InputError, match="no input"):
        find_inputs([])
    (tmp_path / "a.csv").touch()
    with pytest.raises(InputError, match=r"a.csv: is not a .tif"):
        find_inputs([tmp_path / "a.csv"])


def test_names_that_collide_are_refused(tmp_path):
    (tmp_path / "a.tif").touch()
    (tmp_path / "a.ome.tif").touch()
    with pytest.raises(InputError, match="same name 'a'"):
        find_inputs([tmp_path])
    with pytest.raises(InputError, match="given twice"):
        find_inputs([tmp_path / "a.tif", tmp_path / "a.tif"])


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        find_inputs([tmp_path])


def fields_of_all_kinds(folder):
    """(path, axes, channel) of every way in which a field may be stored."""
    write_ome(
        folder / "stack.ome.tif", pixels(3, 6, 5), "ZYX", PhysicalSizeX=0.3, PhysicalSizeY=0.3
    )
    write_ome(folder / "movie.ome.tif", pixels(2, 3, 6, 5), "TZYX", TimeIncrement=60.0)
    names = ["DAPI", "Phase"]
    write_ome(folder / "channels.ome.tif", pixels(2, 3, 6, 5), "CZYX", names)
    tifffile.imwrite(folder / "plain.tif", pixels(3, 6, 5), photometric="minisblack", metadata=None)
    Image.fromarray(pixels(6, 5)).save(folder / "plane.png")
    make_published(folder / "A4")
    group = zarr.create_group(folder / "A5.ome.zarr", zarr_format=3)
    group.create_array("0", data=pixels(2, 3, 6, 5))
    axes = [{"name": name} for name in "czyx"]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}],
        "omero": {"channels": [{"label": name} for name in names]},
    }
    return [
        (folder / "stack.ome.tif", None, None),
        (folder / "movie.ome.tif", None, None),
        (folder / "channels.ome.tif", None, None),
        (folder / "channels.ome.tif", None, "DAPI"),
        (folder / "plain.tif", "TYX", None),
        (folder / "plain.tif", "YXZ", None),
        (folder / "plane.png", None, None),
        (folder / "plane.png", "XY", None),
        (folder / "A4", None, None),
        (folder / "A5.ome.zarr", None, None),
    ]


def test_a_field_opened_is_what_is_read(tmp_path):
    for path, axes, channel in fields_of_all_kinds(tmp_path):
        stack = read_transmitted(path, axes=axes, channel=channel)
        picture, index = open_transmitted(path, axes=axes, channel=channel)
        frames = stack.frames if isinstance(stack, Movie) else stack.planes[None]
        with picture:
            times, _, planes, rows, columns = picture.shape
            assert (times, planes, rows, columns) == frames.shape
            assert (picture.name, picture.pixel_size) == (stack.name, stack.pixel_size)
            assert picture.dtype == frames.dtype
            for t, z in np.ndindex(times, planes):
                part = picture.read(t=t, c=index, z=z, rows=slice(1, 4), columns=slice(2, 5))
                np.testing.assert_array_equal(part, frames[t, z, 1:4, 2:5])


def test_a_channel_chosen_by_its_name_alone_is_told(tmp_path, caplog):
    path = tmp_path / "field.tif"
    write_ome(path, pixels(3, 4, 6, 5), "CZYX", ["DAPI", "Phase Contrast", "GFP"])
    open_transmitted(path)[0].close()
    assert [record.getMessage() for record in caplog.records] == [
        "taking channel 'Phase Contrast' as transmitted light"
    ]
    caplog.clear()
    open_transmitted(path, channel="Phase Contrast")[0].close()
    write_ome(tmp_path / "one.tif", pixels(4, 6, 5), "ZYX")
    open_transmitted(tmp_path / "one.tif")[0].close()
    assert caplog.records == []


def test_what_is_not_read_is_not_opened(tmp_path):
    names = ["Phase", "DIC"]
    write_ome(tmp_path / "two.ome.tif", pixels(2, 3, 6, 5), "CZYX", names)
    make_published(tmp_path / "A4")
    Image.fromarray(pixels(6, 9)).save(tmp_path / "A4" / PUBLISHED.format(z=3))
    for path, axes, channel, message in (
        (tmp_path / "two.ome.tif", None, None, "which channel is transmitted light"),
        (tmp_path / "two.ome.tif", None, "GFP", "unknown channel 'GFP'"),
        (tmp_path / "A4", None, None, "a field has one size and type"),
        (tmp_path / "A4", "ZYX", None, "`axes=ZYX` is for TIFF files"),
        (tmp_path / "none.tif", None, None, "there is no such file"),
    ):
        for function in (read_transmitted, open_transmitted):
            with pytest.raises(InputError, match=message):
                function(path, axes=axes, channel=channel)


def test_a_link_in_a_circle_is_one_field_that_cannot_be_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint16))
    (tmp_path / "b.tif").symlink_to("b.tif")
    found = dict(find_inputs([tmp_path]))
    assert list(found) == ["a", "b"]
    with pytest.raises(InputError, match=r"b\.tif: "):
        read_transmitted(found["b"])
