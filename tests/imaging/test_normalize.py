import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isl.errors import InputError
from isl.imaging import normalize as module
from isl.imaging.image import Movie
from isl.imaging.normalize import (
    PlaneNormalization,
    apply_normalization,
    measure_plane,
    normalize,
    normalize_label,
)
from isl.labeling.source import field_of, measure


def stack_of(mean, deviation, dtype=np.float64):
    """One plane of exactly that mean and deviation, in units of full scale."""
    pattern = np.tile([[-1.0, 1.0], [1.0, -1.0]], (8, 8))
    return (mean + deviation * pattern)[None].astype(dtype)


def test_a_plane_is_mapped_to_the_wanted_mean_and_deviation():
    planes = np.stack([stack_of(0.2, 0.01)[0], stack_of(7.0, 3.0)[0]])
    normalized, records = normalize(planes)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized.mean(axis=(1, 2)), 0.5, rtol=1e-6)
    np.testing.assert_allclose(normalized.std(axis=(1, 2)), 0.125, rtol=1e-6)
    assert [record.plane for record in records] == [0, 1]
    assert records[0].mean == pytest.approx(0.2)
    assert records[0].standard_deviation == pytest.approx(0.01)
    assert records[0].scale == pytest.approx(12.5)
    assert records[0].offset == pytest.approx(0.5 - 0.2 * 12.5)


@pytest.mark.parametrize(
    ("mean", "deviation", "kept"),
    [
        (0.5, 0.125, True),
        (0.549, 0.125, True),
        (0.451, 0.125, True),
        (0.5, 0.154, True),
        (0.5, 0.096, True),
        (0.551, 0.125, False),
        (0.449, 0.125, False),
        (0.5, 0.156, False),
        (0.5, 0.094, False),
    ],
)
def test_a_plane_that_is_there_already_is_left_alone(mean, deviation, kept):
    planes = stack_of(mean, deviation, np.float32)
    normalized, (record,) = normalize(planes)
    assert np.array_equal(normalized, planes) == kept
    assert ((record.scale, record.offset) == (1.0, 0.0)) == kept


def test_one_plane_that_has_to_be_mapped_has_all_of_them_mapped():
    normal, dark = stack_of(0.52, 0.11)[0], stack_of(0.2, 0.01)[0]
    normalized, records = normalize(np.stack([normal, dark, normal]))
    assert not any(record.kept for record in records)
    np.testing.assert_allclose(normalized.mean(axis=(1, 2)), 0.5, rtol=1e-6)
    np.testing.assert_allclose(normalized.std(axis=(1, 2)), 0.125, rtol=1e-6)
    assert records[0] == PlaneNormalization(
        plane=0,
        mean=pytest.approx(0.52),
        standard_deviation=pytest.approx(0.11),
        scale=pytest.approx(0.125 / 0.11),
        offset=pytest.approx(0.5 - 0.52 * 0.125 / 0.11),
    )
    kept, records = normalize(np.stack([normal, normal]))
    assert all(record.kept for record in records)
    np.testing.assert_array_equal(kept[0], normal.astype(np.float32))


@pytest.mark.parametrize("mean", [0.47, 0.5, 0.7])
def test_a_picture_in_another_type_is_seen_alike(mean):
    """8 bits, 12 and 14 in 16, 16 and floats of several ranges: kept or mapped, all of them."""
    picture = np.clip(stack_of(mean, 0.11), 0, 1)
    seen, records = normalize(np.rint(picture * 65535).astype(np.uint16))
    assert records[0].done == ("mapped" if mean == 0.7 else "kept")
    for copy, grain in (
        (np.rint(picture * 255).astype(np.uint8), 1 / 255),
        (np.rint(picture * 255).astype(np.uint16), 1 / 255),
        (np.rint(picture * 1023).astype(np.uint16), 1 / 1023),
        (np.rint(picture * 4095).astype(np.uint16), 1 / 4095),
        (np.rint(picture * 16383).astype(np.uint16), 1 / 16383),
        (np.rint(picture * 32767).astype(np.uint16), 1 / 32767),
        (picture.astype(np.float32), 1e-5),
        ((picture * 255).astype(np.float32), 1e-5),
        ((picture * 4095).astype(np.float32), 1e-5),
        ((picture * 65535).astype(np.float32), 1e-5),
    ):
        own, (record,) = normalize(copy)
        assert (record.done == "mapped") == (mean == 0.7)
        np.testing.assert_allclose(own, seen, atol=1.2 * grain * max(1, 0.125 / 0.11))
        full = 1 if copy.dtype.kind == "f" else np.iinfo(copy.dtype).max
        expected = copy / full
        np.testing.assert_allclose(
            own, np.clip(expected * record.scale + record.offset, 0, 1), atol=1e-5
        )


def test_the_bits_of_a_recording_are_those_of_its_brightest_plane():
    """A plane of 10 bits beside one of 12 is dark, and not normal at a scale of its own."""
    planes = np.stack([stack_of(0.5, 0.12)[0] * 1023, stack_of(0.5, 0.12)[0] * 4095])
    _, records = normalize(np.rint(planes).astype(np.uint16))
    assert [record.done for record in records] == ["mapped", "mapped"]


def test_a_recording_is_kept_or_mapped_as_a_whole():
    """The second time point is dim: a choice of each would make the recording flicker."""
    frames = np.stack([stack_of(0.5, 0.12), stack_of(0.3, 0.12)]).astype(np.float32)
    for count, kept in ((1, True), (2, False)):
        field = field_of(Movie(name="m", frames=frames[:count]))
        records = measure(field, (0,), "auto")
        assert [[record.kept for record in time] for time in records] == [[kept]] * count
    assert all(r.kept for time in measure(field, (0,), "off") for r in time)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_integers_are_divided_by_their_type_maximum(dtype):
    top = np.iinfo(dtype).max
    planes = np.array([[[0, top // 2, top, 1]]], dtype)
    normalized, (record,) = normalize(planes, "off")
    np.testing.assert_allclose(normalized, planes / top, rtol=1e-7)
    assert normalized.max() == 1.0
    assert record.mean == pytest.approx((planes / top).mean())
    assert record.standard_deviation == pytest.approx((planes / top).std())
    assert (record.scale, record.offset) == (1.0, 0.0)


@given(
    arrays.arrays(
        np.uint16,
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(2, 9)),
        elements=st.integers(0, 65535),
    )
)
def test_the_record_says_what_was_done(planes):
    if any(plane.min() == plane.max() for plane in planes):
        return
    normalized, records = normalize(planes)
    for plane, result, record in zip(planes / 65535, normalized, records, strict=True):
        expected = np.clip(plane * record.scale + record.offset, 0, 1)
        np.testing.assert_allclose(result, expected, atol=2e-6 * max(1, record.scale))


def test_blocks_of_rows_make_no_difference(monkeypatch):
    planes = np.random.default_rng(0).normal(100, 3, (2, 37, 11))
    whole = normalize(planes)
    monkeypatch.setattr(module, "_BLOCK", 25)
    pieces = normalize(planes)
    np.testing.assert_allclose(pieces[0], whole[0], rtol=1e-6)
    assert pieces[1][1].standard_deviation == pytest.approx(planes[1].std())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_bands_and_windows_change_no_bit(monkeypatch, dtype, mode):
    monkeypatch.setattr(module, "_BLOCK", 70)
    monkeypatch.setattr(module, "_MAPPED", 30)
    scale = 1 if dtype == np.float32 else 200
    plane = (np.random.default_rng(0).random((41, 13)) * scale).astype(dtype)
    whole, (expected,) = normalize(plane[None], mode)
    for at_once in (0, 200, 10**9):
        asked = []

        def read(rows, asked=asked):
            asked.append(rows)
            return np.ascontiguousarray(plane[rows])

        record = measure_plane(read, plane.shape, mode, at_once=at_once)
        assert record == expected
        # Every row twice.
        rows = np.concatenate([np.arange(41)[part] for part in asked])
        np.testing.assert_array_equal(rows, np.tile(np.arange(41), 2))
    window = apply_normalization(plane[None, 5:30, 2:9], (record,))
    np.testing.assert_array_equal(window, whole[:, 5:30, 2:9])


def test_a_small_contrast_on_a_large_background_survives():
    planes = stack_of(1e6, 1.0, np.float32)
    normalized, _ = normalize(planes)
    np.testing.assert_allclose(np.unique(normalized), [0.375, 0.625], rtol=1e-4)


def test_results_are_clipped():
    plane = np.zeros((1, 20, 20))
    plane[0, 0, 0] = 1e9
    normalized, _ = normalize(plane)
    assert normalized.max() == 1.0
    within_tolerance = stack_of(0.5, 0.125)
    within_tolerance[0, 0, :2] = [1.4, -0.4]
    normalized, (record,) = normalize(within_tolerance)
    assert record.scale == 1.0
    assert (normalized.min(), normalized.max()) == (0.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_nan_and_infinity_are_refused_by_plane(bad, mode):
    planes = np.repeat(stack_of(0.5, 0.1), 3, axis=0)
    planes[2, 0, :2] = bad
    with pytest.raises(InputError, match=r"A4.tif: plane 2 holds 2 pixels that are NaN"):
        normalize(planes, mode, source="A4.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_constant_plane_is_refused_under_auto_only(dtype):
    planes = np.full((1, 4, 4), 1, dtype)
    with pytest.raises(InputError, match=r"plane 0 is constant \(every pixel is 1\)"):
        normalize(planes)
    assert np.ptp(normalize(planes, "off")[0]) == 0


def test_off_refuses_what_leaves_the_range():
    with pytest.raises(InputError, match=r"values 0 to 1.5, not in \[0, 1\]"):
        normalize(np.array([[[0.0, 1.5]]]), "off")
    with pytest.raises(InputError, match=r"values -2 to 3"):
        normalize(np.array([[[-2, 3]]], np.int16), "off")


def test_other_calls_are_refused():
    with pytest.raises(InputError, match="unknown normalization 'aut'; did you mean 'auto'"):
        normalize(stack_of(0.5, 0.1), "aut")
    with pytest.raises(InputError, match=r"shape \(4, 4\)"):
        normalize(np.zeros((4, 4)))
    with pytest.raises(InputError, match="type bool"):
        normalize(np.zeros((1, 4, 4), bool))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_are_divided_by_their_type_maximum(dtype):
    top = np.iinfo(dtype).max
    image = np.array([[0, 1, top // 3, top]], dtype)
    label = normalize_label(image)
    assert label.dtype == np.float32
    np.testing.assert_allclose(label, image / top, rtol=1e-7)


def test_every_bin_survives_eight_bits():
    label = normalize_label(np.arange(256, dtype=np.uint8))
    np.testing.assert_array_equal(np.round(label * 255), np.arange(256))


def test_float_labels_must_be_in_range():
    image = np.array([0.0, 0.25, 1.0])
    np.testing.assert_array_equal(normalize_label(image), image.astype(np.float32))
    with pytest.raises(InputError, match=r"dapi.tif: has values 0 to 300"):
        normalize_label(np.array([0.0, 300.0]), source="dapi.tif")
    with pytest.raises(InputError, match="NaN"):
        normalize_label(np.array([0.0, np.nan]))
