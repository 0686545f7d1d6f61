import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.image import PixelSize, ZStack
from isl.imaging.read import read_picture, read_transmitted

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
