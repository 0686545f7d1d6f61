"""The same picture stored in other ways is the same picture; what is no gray is refused."""

import logging

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.photo import stored_photo
from isl.imaging.inputs.read import read_picture, read_transmitted
from isl.imaging.normalize import normalize

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(2**9, 2**15, (3, 20, 24)).astype(np.uint16)
SMALL = (PICTURE >> 8).astype(np.uint8)
RAMP = np.arange(256, dtype=np.uint16)


def put(path, planes, **options):
    with tifffile.TiffWriter(path) as tiff:
        for plane in planes:
            tiff.write(plane, metadata=None, contiguous=False, **options)
    return path


def palette(red, green, blue):
    return (np.stack([red, green, blue]) * 257).astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("picture", [PICTURE, SMALL])
def test_white_that_is_zero_is_read_as_it_is_shown(tmp_path, caplog, picture, compression):
    inverted = np.iinfo(picture.dtype).max - picture
    path = put(tmp_path / "a.tif", inverted, photometric="miniswhite", compression=compression)
    with caplog.at_level(logging.WARNING):
        read = read_picture(path).array
    np.testing.assert_array_equal(read[0, 0], picture)
    assert read.dtype == picture.dtype
    assert "a.tif: says that 0 is white" in caplog.text


def test_a_palette_that_turns_the_grays_is_obeyed(tmp_path):
    turned = palette(*[255 - RAMP] * 3)
    path = put(tmp_path / "a.tif", 255 - SMALL, photometric="palette", colormap=turned)
    np.testing.assert_array_equal(read_picture(path).array[0, 0], SMALL)


@pytest.mark.parametrize("colors", [(RAMP, RAMP, RAMP), (0 * RAMP, RAMP, 0 * RAMP)])
def test_a_palette_of_growing_brightness_is_for_display_only(tmp_path, colors):
    path = put(tmp_path / "a.tif", SMALL, photometric="palette", colormap=palette(*colors))
    np.testing.assert_array_equal(read_picture(path).array[0, 0], SMALL)


def test_a_palette_of_colors_is_refused(tmp_path):
    colors = palette(*RNG.integers(0, 256, (3, 256)))
    path = put(tmp_path / "a.tif", SMALL, photometric="palette", colormap=colors)
    with pytest.raises(InputError, match=r"a.tif: is colored by a palette .*save it as grayscale"):
        read_picture(path)


@pytest.mark.parametrize("dtype", [np.int16, np.int8, np.uint32, np.complex64])
def test_numbers_that_are_no_intensities_are_refused(tmp_path, dtype):
    path = put(tmp_path / "a.tif", PICTURE.astype(dtype))
    with pytest.raises(InputError, match=rf"a.tif: has pixels of type {np.dtype(dtype)}; save it"):
        read_picture(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("opacity", "planar"), [(False, "contig"), (True, "contig"), (False, "separate")]
)
def test_gray_that_is_stored_in_color_is_read_as_gray(
    tmp_path, caplog, compression, opacity, planar
):
    samples = [SMALL[0]] * 3 + [np.full_like(SMALL[0], 255)] * opacity
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.stack(samples, 0 if planar == "separate" else -1),
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["unassalpha"] * opacity,
        compression=compression,
    )
    read = read_picture(path)
    assert read.array.shape == (1, 1, 1, *SMALL[0].shape)
    np.testing.assert_array_equal(read.array[0, 0, 0], SMALL[0])
    assert "is stored in color, and gray" in caplog.text


def test_a_movie_of_gray_in_color_is_read_frame_by_frame(tmp_path):
    frames = RNG.integers(0, 256, (3, 8, 9)).astype(np.uint8)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.stack([frames] * 3, -1), photometric="rgb", metadata={"axes": "TYXS"})
    np.testing.assert_array_equal(read_picture(path).array[:, 0, 0], frames)
    frames = np.stack([frames] * 3, -1)
    frames[2, 3, 4] = (9, 9, 8)
    tifffile.imwrite(path, frames, photometric="rgb", metadata={"axes": "TYXS"})
    with pytest.raises(InputError, match=r"a.ome.tif: is a color image, whose red, green and blue"):
        read_picture(path)


def test_color_that_is_not_opaque_is_refused(tmp_path):
    samples = [SMALL[0]] * 3 + [np.full_like(SMALL[0], 128)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack(samples, -1), photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(
        InputError, match=r"a.tif: is a color image with pixels that are not opaque"
    ):
        read_picture(path)


@pytest.mark.parametrize(
    "same",
    [PICTURE >> 1, PICTURE.astype(np.float32), (PICTURE / 65535).astype(np.float32), PICTURE * 2],
)
def test_a_picture_in_another_scale_is_seen_alike(same):
    seen, _ = normalize(PICTURE)
    again, _ = normalize(same)
    np.testing.assert_allclose(again, seen, atol=2e-4)


def test_a_tiff_that_is_to_be_turned_is_read_as_stored_with_a_warning(tmp_path, caplog):
    path, pixels = tmp_path / "a.tif", np.arange(48, dtype=np.uint8).reshape(6, 8)
    for orientation in (1, 6):
        turned = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(path, pixels, metadata=None, extratags=turned)
        np.testing.assert_array_equal(read_picture(path).array[0, 0, 0], pixels)
        assert ("to be turned (orientation 6)" in caplog.text) == (orientation == 6)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_color_is_read_as_its_brightness_where_it_is_asked_for(tmp_path, planar, dtype, caplog):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    stored = (RNG.random((2, 20, 24, 3)) * top).astype(dtype)
    pages = stored if planar == "contig" else np.moveaxis(stored, -1, 1)
    options = {"photometric": "rgb", "planarconfig": planar}
    path = put(tmp_path / "a.tif", pages, **options)
    with pytest.raises(InputError, match="is a color image"):
        read_picture(path)
    read = read_transmitted(path, axes="TYX", colors=True).frames[:, 0]
    assert read.dtype == dtype
    expected = 0.299 * stored[..., 0] + 0.587 * stored[..., 1] + 0.114 * stored[..., 2]
    np.testing.assert_allclose(read, expected, atol=0.5 if top > 1 else 1e-6)
    assert caplog.text == ""


def test_planes_that_may_be_colors_are_told(tmp_path, caplog):
    planes = RNG.integers(0, 256, (3, 20, 24)).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    assert read_transmitted(path, colors=True).planes.shape == (1, 20, 24)
    assert "its 3 planes are taken for colors; give `axes`" in caplog.text
    np.testing.assert_array_equal(read_transmitted(path, axes="ZYX", colors=True).planes, planes)


def test_brightness_is_that_of_photographs(tmp_path):
    stored = RNG.integers(0, 256, (20, 24, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"])
    Image.fromarray(stored[..., :3]).save(tmp_path / "a.png")
    read = read_transmitted(tmp_path / "a.tif", colors=True).planes[0]
    np.testing.assert_array_equal(read, stored_photo(tmp_path / "a.png", "L"))
