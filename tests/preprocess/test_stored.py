"""Canvases to stored images, against arithmetic on whole arrays."""

import numpy as np
import pytest
import scipy.ndimage

from isl.config import parse
from isl.errors import InputError
from isl.imaging.image import FluorescenceImage, PixelSize, ZStack
from isl.imaging.inputs.read import read_picture
from isl.preprocess import scratch
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.stages.canvas import plan_canvas
from isl.preprocess.stages.normalization import to_raw
from isl.preprocess.stages.registration import Shift
from isl.preprocess.stored import (
    Canvases,
    measure_registration,
    store_labels,
    store_transmitted,
    write_images,
)

SIZE = (140, 90)
NOWHERE = Shift(y=0.0, x=0.0, confidence=0.0)


def settings(**changed):
    given = {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}}
    return parse(given | changed, PreprocessConfig, source="test")


def canvases_of(folder, arrays, covered=None):
    files = {}
    for channel, array in arrays.items():
        files[channel] = folder / f"{channel}.npy"
        scratch.save(files[channel], np.asarray(array, np.float32))
    covered = np.ones(SIZE, bool) if covered is None else covered
    return Canvases(
        canvas=plan_canvas(np.zeros((1, 2)), SIZE),
        files=files,
        covered=covered,
        full_scale=dict.fromkeys(arrays, 4000.0),
    )


def counts(depth=1, seed=0):
    smooth = np.random.default_rng(seed).normal(size=(depth, *SIZE))
    return 1000 + 300 * smooth


@pytest.fixture
def covered():
    found = np.ones(SIZE, bool)
    found[:20, 50:] = False
    return found


def test_transmitted_planes_have_the_papers_mean_and_deviation(covered, tmp_path):
    stack = counts(4) * np.array([1, 2, 3, 4])[:, None, None]
    canvases = canvases_of(tmp_path, {"phase": stack}, covered)
    found = store_transmitted(canvases, "phase", (1, 3), settings())
    assert found.images.dtype == np.uint16
    for image, plane, normalization in zip(
        found.images, stack[[1, 3]], found.normalization, strict=True
    ):
        values = image[covered] / 65535
        assert values.mean() == pytest.approx(0.5, abs=1e-3)
        assert values.std() == pytest.approx(0.125, abs=1e-3)
        assert (abs(image[~covered] / 65535 - 0.5) < 1e-4).all()
        back = to_raw(image / np.float32(65535), normalization)
        inside = covered & (image > 0) & (image < 65535)
        np.testing.assert_allclose(back[inside], plane[inside], rtol=1e-3, atol=0.2)
        assert normalization.clipped == pytest.approx(1 - inside.sum() / covered.sum())


def test_labels_are_nothing_where_none_was_measured(covered, tmp_path):
    canvases = canvases_of(tmp_path, {"DAPI": counts(), "MAP2": counts(seed=1)}, covered)
    found, measured = store_labels(canvases, {"DAPI": NOWHERE, "MAP2": NOWHERE}, settings())
    np.testing.assert_array_equal(measured, covered)
    for image in found.images:
        assert (image[~covered] == 0).all()
        assert image[covered].mean() / 65535 == pytest.approx(0.25, abs=5e-3)


def test_without_normalization_values_are_shares_of_a_full_pixel(tmp_path):
    canvases = canvases_of(tmp_path, {"phase": counts()})
    config = settings(stages=["downscale"])
    found = store_transmitted(canvases, "phase", (0,), config)
    np.testing.assert_allclose(
        found.images[0] / 65535, np.clip(counts()[0] / 4000, 0, 1), atol=1e-5
    )
    assert found.normalization[0].scale == 1 / 4000


def test_images_without_contrast_are_left_to_quality(tmp_path):
    canvases = canvases_of(tmp_path, {"phase": np.full((1, *SIZE), 900.0)})
    found = store_transmitted(canvases, "phase", (0,), settings())
    assert (abs(found.images / 65535 - 0.5) < 1e-4).all()
    back = to_raw(found.images[0] / np.float32(65535), found.normalization[0])
    np.testing.assert_allclose(back, 900, rtol=1e-3)
    with pytest.raises(InputError, match="channel 'phase': every pixel is 900"):
        store_transmitted(canvases, "phase", (0,), settings(stages=["normalization"]))


def moved(image, y, x):
    return np.roll(image, (y, x), (0, 1))


def test_labels_are_moved_back_only_where_asked(tmp_path):
    still = scipy.ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SIZE), 2)
    canvases = canvases_of(tmp_path, {"DAPI": moved(still, 3, -5)[None]})
    shifts = {"DAPI": Shift(y=3.0, x=-5.0, confidence=0.9)}
    left, measured = store_labels(canvases, shifts, settings())
    assert measured.all()
    back, measured = store_labels(canvases, shifts, settings(registration={"correct": True}))
    inside = np.s_[10:-10, 10:-10]
    assert np.corrcoef(left.images[0][inside].ravel(), still[inside].ravel())[0, 1] < 0.5
    # Alike, but for what normalization clips.
    assert np.corrcoef(back.images[0][inside].ravel(), still[inside].ravel())[0, 1] > 0.99
    assert not measured[-3:].any()
    assert not measured[:, :5].any()
    assert measured[:-3, 5:].all()
    # An unknown shift moves nothing.
    unknown = {"DAPI": Shift(y=3.0, x=-5.0, confidence=0.0)}
    kept, measured = store_labels(canvases, unknown, settings(registration={"correct": True}))
    np.testing.assert_array_equal(kept.images, left.images)
    assert measured.all()


def test_registration_is_not_measured_where_the_canvas_is_too_small(tmp_path):
    canvases = canvases_of(tmp_path, {"phase": counts(), "DAPI": counts()})
    found = measure_registration(canvases, "phase", 0, ["DAPI"], 23)
    assert not found["DAPI"].known
    found = measure_registration(canvases, "phase", 0, ["DAPI"], 22)
    assert found["DAPI"].length == pytest.approx(0, abs=0.1)


def images(labels, measured):
    size = PixelSize(y=0.6, x=0.6, z=None)
    rng = np.random.default_rng(0)
    return (
        ZStack(
            name="A1",
            planes=rng.integers(0, 65536, (2, 8, 9)).astype(np.uint16),
            pixel_size=PixelSize(y=0.6, x=0.6, z=1.5),
        ),
        FluorescenceImage(
            name="A1",
            channels=rng.integers(0, 65536, (len(labels), 8, 9)).astype(np.uint16),
            labels=labels,
            measured=np.broadcast_to(measured, (max(1, len(labels)), 8, 9)),
            pixel_size=size,
        ),
    )


def test_files_of_a_field(tmp_path):
    measured = np.ones((8, 9), bool)
    measured[:3] = False
    stack, labels = images(("DAPI", "MAP2"), measured)
    files = [tmp_path / name for name in ("a.tif", "a.labels.ome.tif", "a.measured.tif")]
    write_images(*files, stack, labels)
    np.testing.assert_array_equal(read_picture(files[0]).array[0, 0], stack.planes)
    assert read_picture(files[0]).pixel_size.z == pytest.approx(1.5)
    np.testing.assert_array_equal(read_picture(files[1]).array[0, :, 0], labels.channels)
    assert read_picture(files[1]).channel_names == ("DAPI", "MAP2")
    np.testing.assert_array_equal(read_picture(files[2]).array.squeeze() == 255, measured)
    # Done again, and measured everywhere now: the old mask does not stay.
    before = files[0].read_bytes()
    write_images(*files, *images(("DAPI", "MAP2"), np.ones((8, 9), bool)))
    assert not files[2].exists()
    assert files[0].read_bytes() == before


def test_a_field_without_labels_has_no_file_of_them(tmp_path):
    stack, labels = images((), np.ones((8, 9), bool))
    write_images(
        tmp_path / "a.tif", tmp_path / "a.labels.ome.tif", tmp_path / "m.tif", stack, labels
    )
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
