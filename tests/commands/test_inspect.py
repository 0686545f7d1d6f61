"""`isl inspect`: what is known of a file stands there, whatever is unclear."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.commands.inspect import describe
from isl.errors import InputError
from isl.imaging.inputs.stated import Stated


def test_lengths_and_times_are_shown_where_a_channel_is_unclear(tmp_path):
    path = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 60000, (3, 2, 4, 8, 9)).astype(np.uint16)
    told = {
        "axes": "TCZYX",
        "Channel": {"Name": ["DAPI", "C2"]},
        "PhysicalSizeX": 0.3,
        "PhysicalSizeY": 0.3,
        "PhysicalSizeZ": 1.5,
        "TimeIncrement": 300,
    }
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=told)
    facts = describe(str(path))
    names = [name for name, _ in facts]
    said = dict(facts)
    assert said["pixel size"] == "0.3 um"
    assert said["z step"] == "1.5 um"
    assert said["interval"] == "5 min"
    assert names.index("times") + 1 == names.index("transmitted")
    assert 'name it, `channel="DAPI"`' in said["transmitted"]
    assert [name for name in names if "model" in name] == ["every model"]
    assert dict(describe(str(path), Stated(pixel_size=0.6)))["pixel size"] == "0.6 um"
    clear = dict(describe(str(path), Stated(channel="C2")))
    assert clear["transmitted"] == "TZYX 3 x 4 x 8 x 9 uint16"
    assert (clear["pixel size"], clear["interval"]) == ("0.3 um", "5 min")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.bmp"])
def test_of_color_is_shown_what_is_known(tmp_path, name):
    colors = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    path = tmp_path / name
    if name == "a.tif":
        tifffile.imwrite(path, colors, photometric="rgb")
    else:
        Image.fromarray(colors).save(path)
    facts = dict(describe(str(path)))
    assert facts["stored"] == "1 T x 1 C x 1 Z x 20 Y x 24 X"
    assert "is a color image, whose red, green and blue differ" in facts["transmitted"]
    # These read color, so that "every model" is not all there is to say.
    assert {"fragmentation", "viability-phantom"} <= set(
        facts["not asked"].split(":")[0].split(", ")
    )


def test_a_path_that_is_not_there_is_no_model(tmp_path):
    for path in (tmp_path / "wells", tmp_path / "a.tif"):
        with pytest.raises(InputError, match=r"^[^ ]*: there is no such file or folder$"):
            describe(str(path))
    with pytest.raises(InputError, match=r"^wells: there is no such file or folder; unknown model"):
        describe("wells")
