"""OME-TIFFs of several files: whole, renamed, mixed, with a companion, with a file missing."""

import logging
import shutil
import uuid

import numpy as np
import pytest
import tifffile

from isl.errors import InputError
from isl.imaging.formats.ome_set import read_ome_set
from isl.imaging.formats.tiff import open_tiff
from isl.imaging.inputs.read import find_inputs, read_picture

RNG = np.random.default_rng(0)
FIELDS = RNG.integers(0, 60000, (2, 5, 20, 24)).astype(np.uint16)
HEAD = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
HEAD += 'OME/2016-06" UUID="{}">'


def uid(number):
    return f"urn:uuid:{uuid.UUID(int=number)}"


def pixels(data, *, z=5, number=0):
    return (
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" '
        f'Type="uint16" SizeX="24" SizeY="20" SizeZ="{z}" SizeC="1" SizeT="1" PhysicalSizeX="0.3" '
        f'PhysicalSizeY="0.3" PhysicalSizeZ="2">'
        f'<Channel ID="Channel:{number}:0" Name="Phase" SamplesPerPixel="1"/>{data}'
        "</Pixels></Image>"
    )


def tiff_data(z, ifd, name, identity):
    named = "" if name is None else f' FileName="{name}"'
    return (
        f'<TiffData FirstZ="{z}" IFD="{ifd}" PlaneCount="1"><UUID{named}>{identity}</UUID>'
        "</TiffData>"
    )


def put(path, planes, xml):
    path.parent.mkdir(exist_ok=True)
    with tifffile.TiffWriter(path) as tiff:
        for number, plane in enumerate(planes):
            description = xml.encode() if number == 0 else None
            options = {"photometric": "minisblack", "metadata": None, "contiguous": False}
            tiff.write(plane, description=description, **options)


def write_set(folder, planes, first=100, prefix="exp"):
    """One file a plane, each with the whole description."""
    names = [f"{prefix}_Z{z}.ome.tif" for z in range(len(planes))]
    data = "".join(tiff_data(z, 0, name, uid(first + z)) for z, name in enumerate(names))
    for z, name in enumerate(names):
        xml = HEAD.format(uid(first + z)) + pixels(data) + "</OME>"
        put(folder / name, planes[z : z + 1], xml)
    return [folder / name for name in names]


def write_single(path, planes, name, identity):
    data = "".join(tiff_data(z, z, name, identity) for z in range(len(planes)))
    put(path, planes, HEAD.format(identity) + pixels(data) + "</OME>")


def write_companion(folder, planes, each):
    """Files of `each` planes that name a companion, and the companion."""
    data = ""
    for first in range(0, len(planes), each):
        name, identity = f"exp_{first}.ome.tif", uid(200 + first)
        part = planes[first : first + each]
        data += "".join(tiff_data(first + i, i, name, identity) for i in range(len(part)))
        binary = f'<BinaryOnly MetadataFile="exp.companion.ome" UUID="{uid(1)}"/></OME>'
        put(folder / name, part, HEAD.format(identity) + binary)
    xml = HEAD.format(uid(1)) + pixels(data) + "</OME>"
    (folder / "exp.companion.ome").write_text(xml)


def the_planes(path, **asked):
    return read_picture(path, **asked).array[0, 0]


def test_every_file_of_a_set_is_the_whole_set(tmp_path):
    files = write_set(tmp_path / "set", FIELDS[0])
    for file in files:
        np.testing.assert_array_equal(the_planes(file), FIELDS[0])
    found = read_ome_set(files[2])
    assert found is not None
    assert (found.files, found.missing) == (tuple(files), ())


def test_a_set_is_one_input(tmp_path, caplog):
    files = write_set(tmp_path / "set", FIELDS[0])
    write_single(tmp_path / "set" / "other.ome.tif", FIELDS[1], "other.ome.tif", uid(7))
    with caplog.at_level(logging.WARNING):
        found = find_inputs([tmp_path / "set"])
    assert found == [("exp_Z0", files[0]), ("other", tmp_path / "set" / "other.ome.tif")]
    assert "exp_Z0.ome.tif: is read with 4 other files of its set" in caplog.text
    assert find_inputs(files[3:]) == [("exp_Z3", files[3])]


def test_a_missing_file_is_named(tmp_path):
    files = write_set(tmp_path / "set", FIELDS[0])
    files[3].unlink()
    line = r"exp_Z0.ome.tif: is one file of a set, of which exp_Z3.ome.tif is missing beside it"
    with pytest.raises(InputError, match=line):
        open_tiff(files[0])
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(files[1], alone)
    with pytest.raises(InputError, match=r"of which exp_Z0.ome.tif and 3 others are missing"):
        open_tiff(alone / files[1].name)
    np.testing.assert_array_equal(the_planes(alone / files[1].name, axes="YX")[0], FIELDS[0, 1])


def test_a_renamed_set_is_read_by_its_uuids(tmp_path, caplog):
    for file in write_set(tmp_path / "set", FIELDS[0]):
        file.rename(file.with_name(f"A_{file.name}"))
    with caplog.at_level(logging.WARNING):
        planes = the_planes(tmp_path / "set" / "A_exp_Z2.ome.tif")
    np.testing.assert_array_equal(planes, FIELDS[0])
    assert "'exp_Z0.ome.tif' (and 3 others) of its set now has the name 'A_exp_Z0" in caplog.text


def test_a_renamed_set_beside_another_of_the_old_names_keeps_its_own_planes(tmp_path):
    for file in write_set(tmp_path / "set", FIELDS[0]):
        file.rename(file.with_name(f"A_{file.name}"))
    others = write_set(tmp_path / "set", FIELDS[1], first=300)
    np.testing.assert_array_equal(the_planes(tmp_path / "set" / "A_exp_Z2.ome.tif"), FIELDS[0])
    np.testing.assert_array_equal(the_planes(others[0]), FIELDS[1])


def test_two_sets_of_the_same_uuids_in_one_folder_are_refused(tmp_path):
    for file in write_set(tmp_path / "set", FIELDS[0]):
        file.rename(file.with_name(f"A_{file.name}"))
    others = write_set(tmp_path / "set", FIELDS[1])
    for file in (tmp_path / "set" / "A_exp_Z2.ome.tif", others[0]):
        with pytest.raises(InputError, match="are the same file by their UUID; keep each set"):
            open_tiff(file)


@pytest.mark.parametrize("identity", [uid(7), uid(8)])
def test_a_renamed_file_is_not_the_one_that_has_its_old_name(tmp_path, identity):
    write_single(tmp_path / "fieldA.ome.tif", FIELDS[0], "stack.ome.tif", uid(7))
    write_single(tmp_path / "stack.ome.tif", FIELDS[1], "stack.ome.tif", identity)
    np.testing.assert_array_equal(the_planes(tmp_path / "fieldA.ome.tif"), FIELDS[0])
    np.testing.assert_array_equal(the_planes(tmp_path / "stack.ome.tif"), FIELDS[1])
    assert len(find_inputs([tmp_path])) == 2


def test_a_file_that_cannot_be_told_from_another_is_refused(tmp_path):
    data = "".join(tiff_data(z, z, "stack.ome.tif", uid(9)) for z in range(5))
    xml = (HEAD.format("") + pixels(data) + "</OME>").replace(' UUID=""', "")
    put(tmp_path / "stack.ome.tif", FIELDS[1], xml)
    put(tmp_path / "fieldA.ome.tif", FIELDS[0], xml)
    np.testing.assert_array_equal(the_planes(tmp_path / "stack.ome.tif"), FIELDS[1])
    with pytest.raises(InputError, match=r"says that its planes lie in 'stack.ome.tif'"):
        open_tiff(tmp_path / "fieldA.ome.tif")
    np.testing.assert_array_equal(the_planes(tmp_path / "fieldA.ome.tif", axes="ZYX"), FIELDS[0])


def test_a_uuid_without_a_name_is_the_file_itself(tmp_path):
    write_single(tmp_path / "a.ome.tif", FIELDS[0], None, uid(7))
    np.testing.assert_array_equal(the_planes(tmp_path / "a.ome.tif"), FIELDS[0])


@pytest.mark.parametrize("each", [1, 3, 5])
def test_a_companion_describes_its_files(tmp_path, each):
    write_companion(tmp_path / "set", FIELDS[0], each)
    picture = read_picture(tmp_path / "set" / "exp_0.ome.tif")
    np.testing.assert_array_equal(picture.array[0, 0], FIELDS[0])
    assert picture.channel_names == ("Phase",)
    assert picture.pixel_size is not None
    assert picture.pixel_size.z == 2
    assert [name for name, _ in find_inputs([tmp_path / "set"])] == ["exp_0"]


def test_a_companion_that_is_missing_is_named(tmp_path):
    write_companion(tmp_path / "set", FIELDS[0], 5)
    (tmp_path / "set" / "exp.companion.ome").unlink()
    with pytest.raises(InputError, match=r"that 'exp.companion.ome' describes, which is missing"):
        open_tiff(tmp_path / "set" / "exp_0.ome.tif")
    np.testing.assert_array_equal(
        the_planes(tmp_path / "set" / "exp_0.ome.tif", axes="ZYX"), FIELDS[0]
    )


def test_a_companion_named_as_input_names_its_files(tmp_path):
    write_companion(tmp_path / "set", FIELDS[0], 5)
    with pytest.raises(InputError, match="name a TIFF beside it, or their folder"):
        find_inputs([tmp_path / "set" / "exp.companion.ome"])


def test_positions_of_one_description_are_read_one_by_one(tmp_path):
    names = ["acq_Pos0.ome.tif", "acq_Pos1.ome.tif"]
    images = "".join(
        pixels("".join(tiff_data(z, z, name, uid(50 + i)) for z in range(5)), number=i)
        for i, name in enumerate(names)
    )
    for i, name in enumerate(names):
        put(tmp_path / name, FIELDS[i], HEAD.format(uid(50 + i)) + images + "</OME>")
    assert len(find_inputs([tmp_path])) == 2
    for i, name in enumerate(names):
        np.testing.assert_array_equal(the_planes(tmp_path / name), FIELDS[i])
