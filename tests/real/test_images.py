"""Reading and normalizing real images; see the data's own README for where they come from."""

import os
from pathlib import Path

import numpy as np
import pytest

from isl.imaging.formats.published import read_published
from isl.imaging.image import PixelSize, ZStack
from isl.imaging.inputs.read import find_inputs, read_fluorescence, read_transmitted
from isl.imaging.normalize import normalize, normalize_label


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("ISL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.fail("set ISL_DATA to the folder of real images")
    return Path(folder)


@pytest.fixture(scope="module")
def field(data):
    return read_published(data / "condition_b_A4")


def test_the_field_of_condition_b(field):
    stack, labels = field
    assert stack.name == labels.name == "condition_b_A4"
    assert stack.modality == "PHASE_CONTRAST"
    assert (stack.planes.shape, stack.planes.dtype) == ((13, 1024, 1024), np.uint16)
    assert labels.labels == ("DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL")
    assert (labels.channels.shape, labels.channels.dtype) == ((3, 1024, 1024), np.uint16)


def test_the_blind_block_is_not_measured(field):
    labels = field[1]
    expected = np.ones((3, 1024, 1024), bool)
    expected[:, 629:, 629:] = False
    np.testing.assert_array_equal(labels.measured, expected)
    assert not labels.channels[~expected].any()


def test_neighboring_planes_resemble_each_other_most(field):
    """Planes in the order of file names (0, 1, 10, 11, ...) would jump."""
    planes = field[0].planes[:, ::8, ::8].reshape(13, -1).astype(float)
    correlation = np.corrcoef(planes)
    for plane in range(12):
        others = np.delete(correlation[plane], [plane])
        assert correlation[plane, plane + 1] >= np.sort(others)[-2] - 1e-3


def test_the_published_planes_need_no_normalization(field):
    planes = field[0].planes
    normalized, records = normalize(planes)
    assert all((record.scale, record.offset) == (1.0, 0.0) for record in records)
    assert all(abs(record.mean - 0.5) < 0.002 for record in records)
    assert all(0.108 < record.standard_deviation < 0.111 for record in records)
    np.testing.assert_array_equal(normalized, planes.astype(np.float32) / np.float32(65535))


def test_the_labels_are_intensities(field):
    intensities = normalize_label(field[1].channels)
    assert intensities.max() == 1.0
    assert 0.19 < intensities[field[1].measured].mean() < 0.27


def test_bright_field_of_another_laboratory_is_normalized(data):
    names = [name for name, _ in find_inputs([data / "sephace" / "set1"])]
    assert len(names) == 7
    stack = read_transmitted(data / "sephace" / "set1" / "bf_z1351.60.png")
    assert isinstance(stack, ZStack)
    assert (stack.planes.shape, stack.planes.dtype) == ((1, 1024, 1344), np.uint8)
    normalized, (record,) = normalize(stack.planes)
    assert record.scale > 5
    assert abs(float(normalized.mean()) - 0.5) < 0.01


def test_imagej_files(data):
    folder = data / "readers" / "imagej_tif"
    stack = read_transmitted(folder / "xy_16bit__embryo_transmission.tif")
    assert isinstance(stack, ZStack)
    assert (stack.planes.shape, stack.planes.dtype) == ((1, 223, 237), np.uint16)
    both = folder / "xyc_16bit__embryo_transmission_fluorescence.tif"
    transmitted = read_transmitted(both)
    fluorescence = read_fluorescence(both)
    assert isinstance(transmitted, ZStack)
    assert transmitted.modality == "BRIGHTFIELD"
    assert transmitted.pixel_size == PixelSize(
        y=pytest.approx(0.39, abs=1e-4), x=pytest.approx(0.39, abs=1e-4)
    )
    assert fluorescence.labels == ("BF with Disk", "C488")
    np.testing.assert_array_equal(transmitted.planes[0], fluorescence.channels[0])


def test_embryo_frames(data):
    frames = find_inputs([data / "ai4embryo" / "dic_aif" / "E139"])
    assert [name for name, _ in frames] == [f"t{t:03d}" for t in range(24, 55)]
    stack = read_transmitted(frames[0][1])
    assert isinstance(stack, ZStack)
    assert (stack.planes.shape, stack.planes.dtype) == ((1, 512, 512), np.uint8)
    assert stack.planes.max() == 255
    ezrin = read_fluorescence(data / "ai4embryo" / "ezrin_zmax" / "E139" / "t024.png")
    assert ezrin.channels.shape == (1, 512, 512)
