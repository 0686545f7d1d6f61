import dataclasses

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, PixelSize
from isl.imaging.inputs.open_image import open_images
from isl.imaging.lazy import LazyPicture
from isl.imaging.zarr.added_channels import add_channels
from isl.imaging.zarr.reader import open_ome_zarr


def picture_of(pixels, names=None, source="input.zarr", directory=None, **options):
    return LazyPicture(
        name="input",
        shape=pixels.shape,
        dtype=pixels.dtype,
        read_plane=lambda t, c, z, rows, columns: pixels[t, c, z, rows, columns],
        close=lambda: None,
        source=directory / source,
        channel_names=names,
        **options,
    )


@pytest.fixture
def make(tmp_path):
    def make(shape, dtype=np.uint16, names=None, source="input.zarr", **options):
        pixels = np.random.default_rng(shape[1]).integers(0, 200, shape).astype(dtype)
        return picture_of(pixels, names, source, tmp_path, **options)

    return make


def everything(picture):
    t, c, z, *size = picture.shape
    planes = [picture.read(t=a, c=b, z=d) for a, b, d in np.ndindex(t, c, z)]
    return np.reshape(planes, (t, c, z, *size))


def added(path, measured, predicted, **options):
    add_channels(path, measured, predicted, chunk=16, shard=64, **options)
    (copy,) = open_ome_zarr(path)
    return copy


@pytest.mark.parametrize(("t", "z"), [(1, 1), (3, 1), (1, 2), (2, 2)])
def test_measured_and_predicted_are_side_by_side(tmp_path, make, t, z):
    measured = make(
        (t, 2, z, 70, 33),
        names=("Phase", "DAPI"),
        pixel_size=PixelSize(y=0.3, x=0.25, z=1.5 if z > 1 else None),
        interval=4.0 if t > 1 else None,
        stage=(3.0, 5.0),
    )
    predicted = make((t, 3, z, 70, 33), names=("DAPI", "TUJ1", "MAP2"), source="out.zarr")
    copy = added(tmp_path / "a.ome.zarr", measured, predicted, annotations={"model": "m"})
    assert copy.shape == (t, 5, z, 70, 33)
    assert copy.channel_names == ("Phase", "DAPI", "DAPI (predicted)", "TUJ1", "MAP2")
    assert copy.dtype == np.uint16
    assert (copy.pixel_size, copy.interval) == (measured.pixel_size, measured.interval)
    assert copy.stage == pytest.approx((3.0, 5.0))
    assert copy.modality == "PHASE_CONTRAST"
    expected = np.concatenate([everything(measured), everything(predicted)], axis=1)
    np.testing.assert_array_equal(everything(copy), expected)


@pytest.mark.parametrize("plane", [None, 0, 2])
def test_one_predicted_plane_beside_a_stack(tmp_path, make, plane):
    measured, predicted = make((1, 1, 3, 20, 20)), make((1, 2, 1, 20, 20), source="out.zarr")
    copy = everything(added(tmp_path / "a", measured, predicted, plane=plane))
    expected = np.repeat(everything(predicted), 3, axis=2)
    if plane is not None:
        expected[:, :, [z for z in range(3) if z != plane]] = 0
    np.testing.assert_array_equal(copy[:, 1:], expected)
    np.testing.assert_array_equal(copy[:, :1], everything(measured))


@pytest.mark.parametrize(
    ("measured_type", "predicted_type", "common"),
    [
        ("uint8", "uint16", "uint16"),
        ("uint16", "uint8", "uint16"),
        ("uint16", "float32", "float32"),
        ("float32", "uint8", "float32"),
    ],
)
def test_no_value_is_changed(tmp_path, make, measured_type, predicted_type, common):
    measured = make((1, 1, 1, 20, 20), measured_type)
    predicted = make((1, 2, 1, 20, 20), predicted_type, source="out.zarr")
    copy = added(tmp_path / "a", measured, predicted)
    assert copy.dtype == common
    expected = np.concatenate([everything(measured), everything(predicted)], axis=1)
    np.testing.assert_array_equal(everything(copy), expected)
    assert copy.channel_names == ("channel 1", "predicted 1", "predicted 2")


def test_what_one_does_not_say_the_other_does(tmp_path, make):
    size = PixelSize(y=0.5, x=0.5)
    predicted = make((2, 2, 1, 9, 9), source="out.zarr", pixel_size=size, interval=3.0)
    copy = added(tmp_path / "a", make((2, 1, 1, 9, 9)), predicted)
    assert (copy.pixel_size, copy.interval) == (size, 3.0)


def test_ome_tiffs(tmp_path):
    """A measured and a predicted file as isl writes them."""
    channels = np.random.default_rng(0).integers(0, 60000, (2, 90, 70), dtype=np.uint16)
    for name, label, own in (("in", "Phase", channels[:1]), ("out", "DAPI", channels[1:])):
        image = FluorescenceImage(name=name, channels=own, labels=(label,))
        write_ome_tiff(tmp_path / f"{name}.ome.tif", image)
    before = (tmp_path / "in.ome.tif").read_bytes()
    ((measured,), (predicted,)) = (open_images(tmp_path / f"{n}.ome.tif") for n in ("in", "out"))
    with measured, predicted:
        copy = added(tmp_path / "in.ome.zarr", measured, predicted)
    assert copy.channel_names == ("Phase", "DAPI")
    np.testing.assert_array_equal(everything(copy)[0, :, 0], channels)
    assert (tmp_path / "in.ome.tif").read_bytes() == before


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 20, 19), (1, 1, 1, 19, 20), (2, 1, 1, 20, 20), (1, 1, 2, 20, 20)]
)
def test_pictures_that_do_not_lie_on_one_another(tmp_path, make, shape):
    measured, predicted = make((1, 1, 3, 20, 20)), make(shape, source="out.zarr")
    with pytest.raises(InputError, match=r"out.zarr: is .* does not lie on .*input.zarr"):
        added(tmp_path / "a", measured, predicted)
    assert list(tmp_path.iterdir()) == []


def test_no_input_is_changed(tmp_path, make):
    measured = make((1, 1, 1, 9, 9), source="plate.zarr/B/02/0")
    predicted = make((1, 1, 1, 9, 9), source="out.zarr")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("plate.zarr", "plate.zarr/B/02/0", "plate.zarr/B/02/0/labels", "link/out.zarr"):
        with pytest.raises(InputError, match=r"would change .*; give the copy another name"):
            added(tmp_path / name, measured, predicted, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_plane_that_is_not_there(tmp_path, make):
    measured, predicted = make((1, 1, 3, 9, 9)), make((1, 1, 1, 9, 9), source="out.zarr")
    with pytest.raises(ValueError, match="plane 3 of 3"):
        added(tmp_path / "a", measured, predicted, plane=3)


def test_an_interrupted_copy_is_gone_on_with(tmp_path, make):
    measured, predicted = make((1, 1, 1, 200, 100)), make((1, 1, 1, 200, 100), source="out.zarr")
    reads = []

    def read(*place):
        reads.append(place)
        if len(reads) == 3:
            raise InputError("input.zarr: is gone")
        return predicted.read_plane(*place)

    with pytest.raises(InputError, match="is gone"):
        added(
            tmp_path / "a", measured, dataclasses.replace(predicted, read_plane=read), resume=True
        )
    copy = added(
        tmp_path / "a", measured, dataclasses.replace(predicted, read_plane=read), resume=True
    )
    # Eight blocks of 64, of which one was asked for in vain.
    assert len(reads) == 4 * 2 + 1
    expected = np.concatenate([everything(measured), everything(predicted)], axis=1)
    np.testing.assert_array_equal(everything(copy), expected)
