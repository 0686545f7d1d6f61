import numpy as np
import pytest
import tifffile

from isl.errors import InputError
from isl.imaging.colors import label_color
from isl.imaging.formats import imagej_tiff
from isl.imaging.formats.imagej_tiff import write_imagej, write_stack
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, PixelSize, ZStack
from isl.imaging.inputs.read import read_picture, read_transmitted
from isl.imaging.lazy import LazyPicture

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planes", [1, 3, 4, 13])
def test_a_stack_reads_back(tmp_path, dtype, planes):
    path = tmp_path / "field.tif"
    stored = RNG.integers(0, 250, (planes, 6, 9)).astype(dtype)
    size = PixelSize(y=0.4, x=0.3, z=1.5)
    write_stack(path, ZStack(name="field", planes=stored, pixel_size=size))
    picture = read_picture(path)
    assert picture.array.shape == (1, 1, planes, 6, 9)
    assert picture.array.dtype == dtype
    np.testing.assert_array_equal(picture.array[0, 0], stored)
    assert picture.pixel_size is not None
    assert (picture.pixel_size.y, picture.pixel_size.x) == pytest.approx((0.4, 0.3))
    assert picture.pixel_size.z == pytest.approx(1.5)


def test_unknown_pixel_sizes_stay_unknown(tmp_path):
    path = tmp_path / "field.tif"
    write_stack(path, ZStack(name="field", planes=np.zeros((2, 4, 5), np.uint8)))
    assert read_picture(path).pixel_size is None


def test_modality_is_kept_as_the_channels_name(tmp_path):
    path = tmp_path / "field.tif"
    write_stack(path, ZStack(name="field", planes=np.zeros((2, 4, 5), np.uint8), modality="DIC"))
    stack = read_transmitted(path)
    assert isinstance(stack, ZStack)
    assert stack.modality == "DIC"


def test_a_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "field.tif"
    stack = ZStack(name="field", planes=np.zeros((2, 4, 5), np.uint8))
    write_stack(path, stack)
    with pytest.raises(InputError, match="exists already"):
        write_stack(path, stack)
    write_stack(path, stack, overwrite=True)


def test_other_pixel_types_are_refused(tmp_path):
    with pytest.raises(ValueError, match="int32"):
        write_stack(tmp_path / "a.tif", ZStack(name="a", planes=np.zeros((2, 4, 5), np.int32)))


LABELS = ("DAPI", "β-TUBULIN", "NFH")


def image(dtype, *shape, interval=None):
    """Background of 4 to 8 %, and in each channel one per cent of bright pixels."""
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    channels = (full * RNG.uniform(0.04, 0.08, shape)).astype(dtype)
    channels[..., : shape[-2] // 10, : shape[-1] // 10] = 0.8 * full
    return FluorescenceImage(
        name="A4",
        channels=channels,
        labels=LABELS[: shape[-3]],
        pixel_size=PixelSize(y=0.3, x=0.6),
        interval=interval,
    )


def picture_of(image):
    frames = image.channels.reshape(-1, *image.channels.shape[-3:])
    return LazyPicture(
        name=image.name,
        shape=(*frames.shape[:2], 1, *frames.shape[2:]),
        dtype=frames.dtype,
        read_plane=lambda t, c, z, rows, columns: frames[t, c, rows, columns],
        source=image.name,
        channel_names=image.labels,
        pixel_size=image.pixel_size,
        interval=image.interval,
    )


def check_what_imagej_is_told(path, image):
    """The description, and the tags with ranges and colors, as ImageJ's own reader takes them."""
    movie = image.channels.ndim == 4
    with tifffile.TiffFile(path) as tiff:
        told = tiff.imagej_metadata
        page = tiff.pages.first
        assert told is not None
        assert told["channels"] == len(image.labels)
        assert told.get("frames", 1) == (len(image.channels) if movie else 1)
        assert told["unit"] == "um"
        x, y = (page.tags[f"{axis}Resolution"].value for axis in "XY")
        assert (x[1] / x[0], y[1] / y[0]) == pytest.approx((0.6, 0.3))
        assert page.tags["ResolutionUnit"].value == 1
        assert told["mode"] == "composite"
        if movie:
            assert told["finterval"] == pytest.approx(image.interval * 60)
    ranges = np.reshape(told["Ranges"], (-1, 2))
    first = image.channels[0] if movie else image.channels
    expected = np.percentile(first.astype(float), (5, 99.8), axis=(1, 2)).T
    if first.dtype.kind == "u":
        expected = np.stack([np.floor(expected[:, 0]), np.ceil(expected[:, 1])], axis=1)
    np.testing.assert_allclose(ranges, expected)
    for lut, label in zip(told["LUTs"], image.labels, strict=True):
        assert tuple(lut[:, 255]) == label_color(label)
        assert not lut[:, 0].any()
    return told


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(3, 300, 270), (2, 3, 40, 31)])
def test_hyperstacks(tmp_path, dtype, shape):
    path = tmp_path / "A4.tif"
    written = image(dtype, *shape, interval=15.0)
    write_imagej(path, picture_of(written), annotations={"model": "demo"})
    told = check_what_imagej_is_told(path, written)
    assert told["Labels"] == list(written.labels) * (shape[0] if len(shape) == 4 else 1)
    assert "model = demo" in told["Info"]
    with tifffile.TiffFile(path) as tiff:
        # ImageJ reads all planes as one block behind the first page's offset.
        assert told["images"] == written.channels.size // (shape[-1] * shape[-2])
        assert tiff.series[0].dataoffset is not None
        np.testing.assert_array_equal(
            tiff.asarray().reshape(written.channels.shape), written.channels
        )
    read = read_picture(path)
    assert read.channel_names == written.labels
    assert read.pixel_size is not None
    assert (read.pixel_size.y, read.pixel_size.x) == pytest.approx((0.3, 0.6))
    assert read.interval == (15.0 if len(shape) == 4 else None)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(3, 300, 270), (2, 3, 40, 31)])
def test_an_ome_tiff_tells_imagej_the_same(tmp_path, dtype, shape):
    path = tmp_path / "A4.ome.tif"
    written = image(dtype, *shape, interval=15.0)
    write_ome_tiff(path, written)
    told = check_what_imagej_is_told(path, written)
    assert "images" not in told
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].kind == "ome"
        tags = [tag.code for tag in tiff.pages.first.tags]
        assert tags == sorted(tags)
        for page in tiff.pages:
            # With other compressions or predictors ImageJ shows wrong pixels, or none.
            keyframe = page.keyframe
            assert (keyframe.compression, keyframe.predictor) == (8, 1)
            assert not keyframe.is_tiled


def test_what_is_larger_than_imagejs_tiff_is_refused(tmp_path, monkeypatch):
    written = image(np.uint8, 2, 30, 40)
    monkeypatch.setattr(imagej_tiff, "CLASSIC_LIMIT", written.channels.nbytes - 1)
    with pytest.raises(InputError, match="ImageJ's TIFF ends at 4; take `format=ome-tiff`"):
        write_imagej(tmp_path / "A4.tif", picture_of(written))
    assert not list(tmp_path.iterdir())
