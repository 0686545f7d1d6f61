"""Descriptions that count other images than there are: read where that is clear, else refused."""

import logging

import numpy as np
import pytest
import tifffile

from isl.errors import InputError
from isl.imaging.formats.tiff import open_tiff
from isl.imaging.inputs.movie import time_points
from isl.imaging.inputs.read import read_picture

PLANES = np.random.default_rng(0).integers(0, 60000, (13, 20, 24)).astype(np.uint16)
TURNED = PLANES[:, ::-1]
BOTH = np.concatenate([PLANES, TURNED])
WOVEN = np.stack([PLANES, TURNED], 1).reshape(26, 20, 24)


def put(path, planes, description):
    with tifffile.TiffWriter(path) as tiff:
        for number, plane in enumerate(planes):
            options = {"photometric": "minisblack", "metadata": None, "contiguous": False}
            text = description.encode() if number == 0 else None
            tiff.write(plane, description=text, **options)
    return path


def imagej(path, planes, said):
    return put(path, planes, "ImageJ=1.54f\n" + said.replace(" ", "\n") + "\nunit=micron\n")


def ome(path, planes, data="<TiffData/>", order="XYZCT", **sizes):
    counts = {"Z": 13, "C": 1, "T": 1} | sizes
    said = " ".join(f'Size{axis}="{count}"' for axis, count in counts.items())
    channels = "".join(
        f'<Channel ID="Channel:0:{c}" SamplesPerPixel="1"/>' for c in range(counts["C"])
    )
    return put(
        path,
        planes,
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" '
        f'SizeX="24" SizeY="20" {said}>{channels}{data}</Pixels></Image></OME>',
    )


@pytest.mark.parametrize(
    ("planes", "said", "read"),
    [
        (PLANES, "images=26 slices=26", PLANES[None, None]),
        (BOTH, "images=39 slices=13 frames=3", np.stack([PLANES, TURNED])[:, None]),
        (BOTH[:18], "images=26 slices=13 frames=2", PLANES[None, None]),
        (WOVEN[:20], "images=26 channels=2 slices=13", np.stack([PLANES, TURNED])[None, :, :10]),
    ],
)
def test_what_a_stopped_acquisition_holds_whole_is_read(tmp_path, caplog, planes, said, read):
    with caplog.at_level(logging.WARNING):
        picture = read_picture(imagej(tmp_path / "a.tif", planes, said))
    np.testing.assert_array_equal(picture.array, read)
    assert "a.tif: of " in caplog.text
    assert "are there whole, and are read" in caplog.text
    assert time_points(tmp_path / "a.tif") == len(read)
    assert open_tiff(tmp_path / "a.tif").told_by.endswith("as its ImageJ description says")


@pytest.mark.parametrize(
    ("planes", "said"),
    [
        (BOTH, "images=13 slices=13"),
        (PLANES, "images=13 slices=5 frames=3"),
        (PLANES, "images=26 channels=2 slices=13 order=zct"),
    ],
)
def test_what_imagej_counts_otherwise_is_refused_unless_axes_are_given(tmp_path, planes, said):
    path = imagej(tmp_path / "a.tif", planes, said)
    with pytest.raises(InputError, match=rf"a.tif: its ImageJ.* holds {len(planes)} images.*axes"):
        read_picture(path)
    np.testing.assert_array_equal(read_picture(path, axes="ZYX").array[0, 0], planes)


@pytest.mark.parametrize(("planes", "order"), [(BOTH, "zct"), (WOVEN, "czt")])
def test_the_order_of_a_hyperstack_is_obeyed(tmp_path, planes, order):
    path = imagej(tmp_path / "a.tif", planes, f"images=26 channels=2 slices=13 order={order}")
    np.testing.assert_array_equal(read_picture(path).array[0], np.stack([PLANES, TURNED]))


def test_pages_in_one_piece_are_counted_too(tmp_path, caplog):
    tifffile.imwrite(tmp_path / "a.tif", PLANES, imagej=True, metadata={"axes": "ZYX"})
    written = (tmp_path / "a.tif").read_bytes()
    said = b"images=13\nslices=13"
    (tmp_path / "more.tif").write_bytes(written.replace(said, b"images=26\nslices=26"))
    (tmp_path / "less.tif").write_bytes(written.replace(said, b"images=11\nslices=11"))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_picture(tmp_path / "more.tif").array[0, 0], PLANES)
    assert "of 26 planes that its description names 13 are there" in caplog.text
    with pytest.raises(InputError, match="says 11 slices, and it holds 13 images"):
        read_picture(tmp_path / "less.tif")


def test_a_stopped_ome_tiff_is_read_as_far_as_it_goes(tmp_path, caplog):
    movie = ome(tmp_path / "movie.ome.tif", np.concatenate([BOTH, PLANES[:5]]), T=4)
    stack = ome(tmp_path / "stack.ome.tif", PLANES, Z=20)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(
            read_picture(movie).array, np.stack([PLANES, TURNED])[:, None]
        )
        np.testing.assert_array_equal(read_picture(stack).array[0, 0], PLANES)
    assert "of 4 time points that its description names 2 are there whole" in caplog.text
    assert "of 20 planes that its description names 13 are there whole" in caplog.text
    assert time_points(movie) == 2


def test_a_gap_is_refused_by_its_place(tmp_path):
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z - (z > 6)}" PlaneCount="1"/>' for z in range(13) if z != 6
    )
    path = ome(tmp_path / "a.ome.tif", np.concatenate([PLANES[:6], PLANES[7:]]), data, T=1, Z=13)
    with pytest.raises(InputError, match=r"lacks planes that its description names \(first Z 6\)"):
        read_picture(path)
    assert read_picture(path, axes="ZYX").array.shape == (1, 1, 12, 20, 24)


def test_more_pages_than_are_named_are_all_read_by_axes(tmp_path):
    path = ome(tmp_path / "a.ome.tif", BOTH)
    with pytest.raises(InputError, match="names 13 of its 26 planes"):
        read_picture(path)
    np.testing.assert_array_equal(read_picture(path, axes="ZYX").array[0, 0], BOTH)
