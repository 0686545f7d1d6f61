"""Units of lengths and times as files write them, and times that contradict each other."""

import logging

import numpy as np
import pytest
import tifffile

from isl.imaging.image import PixelSize
from isl.imaging.inputs.read import read_picture
from isl.imaging.times import believed_interval, believed_times

PLANES = np.random.default_rng(0).integers(0, 60000, (6, 20, 24)).astype(np.uint16)


def put(path, description, **options):
    with tifffile.TiffWriter(path) as tiff:
        for number, plane in enumerate(PLANES):
            text = description if number == 0 else None
            tiff.write(plane, description=text, metadata=None, contiguous=False, **options)
    return read_picture(path)


def size(path, said, y, x, unit="NONE"):
    text = f"ImageJ=1.54f\nimages=6\nslices=6\n{said}\n".encode("latin-1")
    return put(path / "a.tif", text, resolution=(1 / x, 1 / y), resolutionunit=unit).pixel_size


@pytest.mark.parametrize(
    ("said", "pixel", "unit"),
    [
        ("unit=micron\nspacing=1.0", 0.3, "NONE"),
        ("unit=\\u00B5m\nspacing=1.0", 0.3, "NONE"),
        ("unit=\xb5m\nspacing=1.0", 0.3, "NONE"),
        ("unit=Microns\nspacing=1.0", 0.3, "NONE"),
        ("unit=micrometers\nspacing=1.0", 0.3, "NONE"),
        ("unit=micron\nspacing=-1.0", 0.3, "NONE"),
        ("unit=micron\nzunit=nm\nspacing=1000.0", 0.3, "NONE"),
        ("unit=nm\nzunit=micron\nspacing=1.0", 300.0, "NONE"),
        ("unit=nanometers\nspacing=1000", 300.0, "NONE"),
        ("unit=millimetre\nspacing=0.001", 3e-4, "NONE"),
        ("unit=cm\nspacing=1.0E-4", 3e-5, "CENTIMETER"),
        ("unit=inches\nspacing=3.937008E-5", 0.3 / 25400, "INCH"),
    ],
)
def test_imagej_says_lengths_in_many_units(tmp_path, said, pixel, unit):
    found = size(tmp_path, said, pixel, pixel, unit)
    assert found is not None
    assert (found.y, found.x, found.z) == pytest.approx((0.3, 0.3, 1.0), rel=1e-5)


def test_each_axis_has_its_own_unit(tmp_path):
    found = size(tmp_path, "unit=micron\nyunit=nm\nzunit=pixel\nspacing=1", 300.0, 0.3)
    assert found is not None
    assert (found.y, found.x, found.z) == (pytest.approx(0.3), pytest.approx(0.3), None)


def test_without_a_unit_the_tags_hold(tmp_path):
    for edge, unit in ((0.3 / 25400, "INCH"), (3e-5, "CENTIMETER")):
        found = size(tmp_path, "spacing=1", edge, edge, unit)
        assert found is not None
        assert (found.y, found.z) == (pytest.approx(0.3, rel=1e-5), None)
    assert size(tmp_path, "unit=pixel\nspacing=1", 1.0, 1.0) is None


def ome(path, said, times=(), unit=""):
    planes = "".join(
        f'<Plane TheZ="0" TheC="0" TheT="{t}" DeltaT="{time}"{unit}/>'
        for t, time in enumerate(times)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="24" '
        f'SizeY="20" SizeZ="1" SizeC="1" SizeT="6" {said}><Channel ID="Channel:0:0" '
        f'SamplesPerPixel="1"/><TiffData/>{planes}</Pixels></Image></OME>'
    )
    return put(path / "a.ome.tif", xml.encode()).interval


EVEN = [0, 1200, 2400, 3600, 4800, 6000]
MILLISECONDS = ' DeltaTUnit="ms"'


@pytest.mark.parametrize(
    ("said", "times", "unit"),
    [
        ('TimeIncrement="1200"', (), ""),
        ('TimeIncrement="20" TimeIncrementUnit="min"', (), ""),
        ('TimeIncrement="0.01388889" TimeIncrementUnit="d"', (), ""),
        ('TimeIncrement="1.2E9" TimeIncrementUnit="\xb5s"', (), ""),
        ("", EVEN, ""),
        ('TimeIncrement="0"', EVEN, ""),
        ('TimeIncrement="1200"', EVEN, ""),
        ("", [1000 * time for time in EVEN], MILLISECONDS),
    ],
)
def test_ome_says_times_in_many_ways(tmp_path, said, times, unit):
    assert ome(tmp_path, said, times, unit) == pytest.approx(20.0)


def test_times_go_before_an_interval_that_contradicts_them(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert ome(tmp_path, 'TimeIncrement="10"', EVEN) == pytest.approx(20.0)
    assert "says that frames are 0.1667 min apart, and they were taken 20 min apart" in caplog.text


def test_uneven_times_are_no_interval(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert ome(tmp_path, 'TimeIncrement="1200"', [0, 1200, 2400, 9600, 10800, 12000]) is None
    assert "frames were taken 20 to 120 min apart, so there is no interval" in caplog.text


def test_times_that_are_none_say_nothing():
    for times in ([], [0.0, 0.0, 0.0], [3.0]):
        assert believed_interval(5.0, believed_times(times, "a.tif"), "a.tif") == 5.0


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        ("finterval=1200\ntunit=sec", 20),
        ("finterval=1200", 20),
        ("finterval=20\ntunit=min", 20),
        ("finterval=0.01388889\ntunit=days", 20),
        ("finterval=1200000\ntunit=ms", 20),
        ("finterval=1\ntunit=frame", None),
        ("finterval=0", None),
    ],
)
def test_imagej_says_times_in_many_units(tmp_path, said, minutes):
    text = f"ImageJ=1.54f\nimages=6\nframes=6\nhyperstack=true\n{said}\n".encode()
    assert put(tmp_path / "a.tif", text).interval == (minutes and pytest.approx(minutes))


def test_a_stack_from_the_top_down_has_the_size_of_its_step(tmp_path):
    path = tmp_path / "a.ome.tif"
    sizes = {"PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3, "PhysicalSizeZ": -1.5}
    pixels = np.zeros((3, 8, 9), np.uint16)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "ZYX", **sizes})
    assert read_picture(path).pixel_size == PixelSize(y=0.3, x=0.3, z=1.5)
