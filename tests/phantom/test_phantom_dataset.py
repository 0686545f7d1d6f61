import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.inputs.read import read_fluorescence, read_transmitted
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.phantom import LABELS, PhantomConfig, make_phantom, write_phantoms

CONFIG = PhantomConfig(height=40, width=33, planes=3, z_step=0.7, pixel_size=0.4, modality="DIC")


def test_a_dataset_of_phantoms_reads_back(tmp_path):
    manifest = load_manifest(write_phantoms(tmp_path / "new", 3, CONFIG, 5, validation=1))
    assert [field.name for field in manifest.fields] == [
        "phantom-000",
        "phantom-001",
        "phantom-002",
    ]
    assert [field.split for field in manifest.fields] == ["train", "train", "validation"]
    groups = [field.group for field in manifest.fields]
    assert groups == ["phantom-5-000", "phantom-5-001", "phantom-5-002"]
    for number, field in enumerate(manifest.fields):
        loaded = load_field(field, LABELS)
        stack, labels = make_phantom(CONFIG, np.random.default_rng([5, number]), field.name)
        np.testing.assert_array_equal(loaded.transmitted.planes, stack.planes)
        np.testing.assert_array_equal(loaded.labels.channels, labels.channels)
        assert loaded.labels.labels == LABELS
        assert loaded.labels.measured is not None
        assert loaded.labels.measured.all()
        assert loaded.transmitted.modality == "DIC"


def test_files_keep_pixel_sizes(tmp_path):
    write_phantoms(tmp_path, 1, CONFIG, 0)
    stack = read_transmitted(tmp_path / "phantom-000.tif")
    labels = read_fluorescence(tmp_path / "phantom-000.labels.ome.tif")
    for size in (stack.pixel_size, labels.pixel_size):
        assert size is not None
        assert (size.y, size.x) == pytest.approx((0.4, 0.4))
    assert stack.pixel_size is not None
    assert stack.pixel_size.z == pytest.approx(0.7)


def test_a_phantom_does_not_depend_on_how_many_follow(tmp_path):
    for count in (1, 2):
        write_phantoms(tmp_path / str(count), count, CONFIG, 3)
    for file in ("phantom-000.tif", "phantom-000.labels.ome.tif"):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_what_is_there_is_kept_unless_told_otherwise(tmp_path):
    manifest = write_phantoms(tmp_path, 1, CONFIG, 0)
    before = (tmp_path / "phantom-000.tif").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_phantoms(tmp_path, 1, CONFIG, 1)
    assert (tmp_path / "phantom-000.tif").read_bytes() == before
    assert write_phantoms(tmp_path, 1, CONFIG, 1, overwrite=True) == manifest
    assert (tmp_path / "phantom-000.tif").read_bytes() != before


@pytest.mark.parametrize(
    ("count", "seed", "validation", "complaint"),
    [(0, 0, 0, "0 phantoms"), (2, 0, 3, "3 of 2"), (1, -1, 0, "seed -1")],
)
def test_impossible_datasets_are_refused(tmp_path, count, seed, validation, complaint):
    with pytest.raises(InputError, match=complaint):
        write_phantoms(tmp_path / "new", count, CONFIG, seed, validation=validation)
    assert not (tmp_path / "new").exists()
