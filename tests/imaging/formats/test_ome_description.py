"""OME-XML that is damaged, or says something else than the pages it stands beside."""

import re

import numpy as np
import pytest
import tifffile

from isl.errors import InputError
from isl.imaging.formats.tiff import open_tiff
from isl.imaging.inputs.read import read_picture

PIXELS = np.arange(2 * 3 * 20 * 24, dtype=np.uint16).reshape(2, 3, 20, 24)


@pytest.fixture(scope="module")
def described(tmp_path_factory) -> str:
    """OME-XML of two channels and three planes."""
    path = tmp_path_factory.mktemp("ome") / "a.ome.tif"
    names = {"Name": ["BF", "DAPI"]}
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3, "Channel": names}
    tifffile.imwrite(path, PIXELS, metadata=metadata, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.ome_metadata is not None
        return tiff.ome_metadata


def written(folder, xml):
    path = folder / "b.ome.tif"
    options = {"metadata": None, "photometric": "minisblack"}
    tifffile.imwrite(path, PIXELS.reshape(6, 20, 24), description=xml.encode(), **options)
    return path


def test_what_is_true_is_read(tmp_path, described):
    np.testing.assert_array_equal(read_picture(written(tmp_path, described)).array[0], PIXELS)


@pytest.mark.parametrize(
    ("said", "instead", "line"),
    [
        ('SizeZ="3"', 'SizeZ="5"', "lacks planes that its description names"),
        ('SizeZ="3"', 'SizeZ="2"', "its OME-XML names 4 of its 6 planes"),
        ('SizeZ="3"', 'SizeZ="many"', "cannot be read as TIFF"),
        ('SizeC="2"', 'SizeC="3"', "describes 2 channels, and says that there are 3"),
        ('SizeX="24"', 'SizeX="48"', "is damaged, or contradicts its pages"),
        ('SizeY="20"', 'SizeY="10"', "is damaged, or contradicts its pages"),
        ('DimensionOrder="XYZCT"', 'DimensionOrder="XYQ"', "cannot be read as TIFF"),
        ('IFD="0"', 'IFD="77"', "is damaged, or contradicts its pages"),
        ("Pixels", "Voxels", "is damaged, or contradicts its pages"),
        ('Type="uint16"', 'Type="int16"', "its pixels are int16, and they are stored as uint16"),
        ("</OME>", "", "is damaged, or contradicts its pages"),
    ],
)
def test_what_contradicts_the_pages_is_refused(tmp_path, described, said, instead, line):
    path = written(tmp_path, described.replace(said, instead))
    for read in (read_picture, open_tiff):
        with pytest.raises(InputError, match=line) as error:
            read(path)
        assert "b.ome.tif: " in str(error.value)
        assert "\n" not in str(error.value)


def test_a_channel_that_is_not_described_is_refused(tmp_path, described):
    xml = re.sub(r'<Channel ID="Channel:0:1".*?</Channel>', "", described, flags=re.S)
    with pytest.raises(InputError, match="describes 1 channels, and says that there are 2"):
        read_picture(written(tmp_path, xml))


def test_axes_that_are_given_go_before_a_damaged_description(tmp_path, described):
    path = written(tmp_path, described.replace("</OME>", ""))
    assert read_picture(path, axes="ZYX").array.shape == (1, 1, 6, 20, 24)


@pytest.mark.parametrize("size", ["0", "-1", "NaN", "wide", '0.3" PhysicalSizeXUnit="ell'])
def test_a_pixel_size_that_is_none_is_not_known(tmp_path, described, size):
    xml = described.replace('PhysicalSizeX="0.3"', f'PhysicalSizeX="{size}"')
    assert xml != described
    assert read_picture(written(tmp_path, xml)).pixel_size is None
