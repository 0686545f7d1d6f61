import numpy as np
import pytest

from isl.errors import InputError
from isl.preprocess import scratch


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, bool])
def test_arrays_come_back(dtype, tmp_path):
    array = (np.random.default_rng(0).random((3, 7, 5)) * 9).astype(dtype)
    file = tmp_path / "a" / "b.npy"
    assert not scratch.is_saved(file)
    scratch.save(file, array, {"saturated": 0.25})
    assert scratch.is_saved(file)
    assert scratch.shape_of(file) == (3, 7, 5)
    assert scratch.notes_of(file) == {"saturated": 0.25}
    np.testing.assert_array_equal(scratch.load(file), array)
    np.testing.assert_array_equal(scratch.load(file, plane=1), array[1])
    np.testing.assert_array_equal(scratch.load(file, rows=slice(2, 4)), array[:, 2:4])
    np.testing.assert_array_equal(scratch.load(file, plane=2, rows=slice(2, 4)), array[2, 2:4])
    np.testing.assert_array_equal(np.load(file), array)


def test_not_contiguous_arrays_come_back_too(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::-2]
    scratch.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(scratch.load(tmp_path / "a.npy"), array)


def test_bands_make_the_whole_array(tmp_path):
    array = np.random.default_rng(1).random((2, 11, 6)).astype(np.float32)
    file = tmp_path / "a.npy"
    with scratch.saved_in_bands(file, (2, 11, 6)) as write:
        for rows in (slice(8, 11), slice(0, 5), slice(5, 8)):
            write(rows, array[:, rows].astype(np.float64))
        assert not scratch.is_saved(file)
    np.testing.assert_array_equal(scratch.load(file), array)


def half_written(file):
    with scratch.saved_in_bands(file, (1, 2, 2)) as write:
        write(slice(0, 1), np.zeros((1, 1, 2)))
        raise InputError("none")


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="none"):
        half_written(tmp_path / "a.npy")
    assert not list(tmp_path.iterdir())


def test_what_is_loaded_is_a_copy(tmp_path):
    scratch.save(tmp_path / "a.npy", np.zeros((1, 2, 3)))
    scratch.load(tmp_path / "a.npy")[:] = 1
    assert not scratch.load(tmp_path / "a.npy").any()


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("DAPI", "DAPI"),
        ("Cy5/GFP", "Cy5%2FGFP"),
        ("..", ".."),
        ("β-tubulin (Cy3)", "β-tubulin (Cy3)"),
        ('a:b\\c*?"<>|%', "a%3Ab%5Cc%2A%3F%22%3C%3E%7C%25"),
        ("a\nb", "a%0Ab"),
    ],
)
def test_channels_in_file_names(channel, name, tmp_path):
    assert scratch.file_name_of(channel) == name
    scratch.save(tmp_path / f"{scratch.file_name_of(channel)}.npy", np.zeros(1))
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.npy"]


def test_channels_keep_apart():
    names = ["a/b", "a%2Fb", "a b", "a_b", "a%b"]
    assert len({scratch.file_name_of(name) for name in names}) == len(names)


def test_removing_what_is_not_there(tmp_path):
    scratch.remove(tmp_path / "none")
    scratch.save(tmp_path / "some" / "a.npy", np.zeros(1))
    scratch.remove(tmp_path / "some")
    assert not (tmp_path / "some").exists()
