import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.imaging.plane_file import PlaneFile


@given(data=st.data(), dtype=st.sampled_from(["uint8", "uint16", "float32"]))
def test_what_is_written_in_blocks_is_read_in_windows(tmp_path_factory, data, dtype):
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(3))
    expected = np.zeros(shape, dtype)
    with PlaneFile(tmp_path_factory.getbasetemp(), shape, dtype) as file:
        for seed in range(data.draw(st.integers(0, 4))):
            plane = data.draw(st.integers(0, shape[0] - 1))
            rows, columns = (
                np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
                for n in shape[1:]
            )
            values = np.random.default_rng(seed).random((len(rows), len(columns))) * 200
            file.write(plane, rows, columns, values)
            expected[plane][rows[:, None], columns] = values.astype(dtype)
        for plane in range(shape[0]):
            np.testing.assert_array_equal(
                file.read(plane, slice(None), slice(None)), expected[plane]
            )
            window = slice(0, data.draw(st.integers(1, shape[1]))), slice(shape[2] // 2, None)
            np.testing.assert_array_equal(file.read(plane, *window), expected[plane][window])


def test_nothing_stays(tmp_path):
    with PlaneFile(tmp_path, (1, 4, 4), "uint8") as file:
        file.write(0, np.arange(4), np.arange(4), np.ones((4, 4)))
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
    file.close()


def test_a_full_disk_is_an_error():
    class Full(PlaneFile):
        def __init__(self):
            self.shape, self.dtype = (1, 2, 2), np.dtype(np.uint8)
            self._file = open("/dev/full", "wb", buffering=0)

    with Full() as file, pytest.raises(OSError, match="No space left"):
        file.write(0, np.arange(2), np.arange(2), np.ones((2, 2)))
