import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isl.errors import InputError
from isl.preprocess.stages.exposures import sum_exposures


@given(
    arrays.arrays(
        np.uint16,
        st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 7)),
        elements=st.integers(0, 65535),
    )
)
def test_the_sum_is_exact(burst):
    expected = np.zeros(burst.shape[1:], object)
    for exposure in burst:
        expected += exposure.astype(object)
    summed = sum_exposures(list(burst))
    assert summed.dtype == np.float32
    assert (summed.astype(object) == expected).all()


def test_many_full_exposures_do_not_overflow():
    full = np.full((3, 4), 65535, np.uint16)
    assert (sum_exposures([full] * 256) == 256 * 65535).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_every_type_of_pixel(dtype):
    burst = [np.arange(6, dtype=dtype).reshape(2, 3) for _ in range(5)]
    before = [exposure.copy() for exposure in burst]
    np.testing.assert_array_equal(sum_exposures(burst), 5 * np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(burst, before)


def test_integers_are_rounded_once():
    # In float32 the ones would vanish beside 2^24, one by one.
    burst = [np.full((1, 1), count, np.uint32) for count in (2**24, 1, 1)]
    assert int(sum_exposures(burst)[0, 0]) == 2**24 + 2


def test_floats_are_rounded_once():
    # In float32 the ones would vanish beside 2^25, one by one.
    burst = [np.full((1, 1), 2.0**25, np.float32), *[np.ones((1, 1), np.float32)] * 64]
    assert sum_exposures(burst)[0, 0] == 2.0**25 + 64


@pytest.mark.parametrize(
    ("burst", "says"),
    [
        ([], "no exposure"),
        ([np.zeros((2, 3), np.uint16), np.zeros((3, 2), np.uint16)], r"exposure 1 .*\(3, 2\)"),
        ([np.zeros((2, 3), np.uint16), np.zeros((2, 3), np.uint8)], "exposure 1 is uint8"),
        ([np.zeros((2, 3, 3), np.uint8)], r"gray image .* shape \(2, 3, 3\)"),
        ([np.zeros((0, 3), np.uint8)], "gray image"),
        ([np.zeros((2, 3), complex)], "complex128"),
    ],
)
def test_bad_bursts_are_named(burst, says):
    with pytest.raises(InputError, match="^well-A1, tile 2: .*" + says):
        sum_exposures(burst, source="well-A1, tile 2")
