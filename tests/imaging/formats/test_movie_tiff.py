import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie, PixelSize
from isl.imaging.inputs.read import read_transmitted


def movie(dtype=np.uint16, shape=(3, 2, 5, 7), **said):
    frames = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return Movie(name="E7", frames=frames, **said)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (4, 1, 5, 7)])
def test_a_movie_reads_back(tmp_path, dtype, shape):
    given = movie(dtype, shape, pixel_size=PixelSize(y=0.5, x=0.25, z=4.0), interval=20.0)
    write_movie(tmp_path / "E7.ome.tif", given)
    read = read_transmitted(tmp_path / "E7.ome.tif")
    assert isinstance(read, Movie)
    assert (read.name, read.pixel_size, read.interval) == ("E7", given.pixel_size, 20.0)
    assert read.frames.dtype == dtype
    np.testing.assert_array_equal(read.frames, given.frames)


def test_what_is_not_known_is_not_said(tmp_path):
    write_movie(tmp_path / "E7.ome.tif", movie())
    read = read_transmitted(tmp_path / "E7.ome.tif")
    assert isinstance(read, Movie)
    assert (read.pixel_size, read.interval, read.modality) == (None, None, None)
    write_movie(tmp_path / "E8.ome.tif", movie(modality="DIC"))
    assert read_transmitted(tmp_path / "E8.ome.tif").modality == "DIC"


def test_equal_movies_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_movie(tmp_path / f"{name}.ome.tif", movie(interval=10.0))
    write_movie(tmp_path / "c.ome.tif", movie(interval=11.0))
    first, same, other = ((tmp_path / f"{name}.ome.tif").read_bytes() for name in "abc")
    assert first == same
    assert first != other


def test_a_file_that_exists_is_kept(tmp_path):
    write_movie(tmp_path / "E7.ome.tif", movie())
    with pytest.raises(InputError, match="exists already"):
        write_movie(tmp_path / "E7.ome.tif", movie())
    write_movie(tmp_path / "E7.ome.tif", movie(np.uint8), overwrite=True)


@pytest.mark.parametrize("shape", [(2, 5, 7), (0, 2, 5, 7)])
def test_what_is_no_movie_is_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="frames are"):
        write_movie(tmp_path / "E7.ome.tif", movie(shape=shape))
    assert not list(tmp_path.iterdir())
