"""What is judged, and what cannot be: regions, masks, labels, sizes."""

import re

import numpy as np
import pytest
import tifffile
from simulated_labeling import SIZE, write_field, write_ground

from isl.errors import InputError
from isl.labeling.dataset import Manifest, load_manifest, write_manifest
from isl_eval.labeling.ground import bounding_window, survey_ground, to_bins


def survey(folder, **options):
    options = {"predicted": ["DAPI"], **options}
    return survey_ground(load_manifest(folder / "dataset.toml"), **options)


def write(folder, *fields):
    manifest = Manifest(fields=tuple(field for field, _ in fields))
    write_manifest(folder / "dataset.toml", manifest, overwrite=True)


def test_every_measured_pixel_is_judged_and_read(tmp_path):
    truths = write_ground(tmp_path)
    ground = survey(tmp_path)
    assert ground.labels == ("DAPI",)
    assert ground.groups == ("g0", "g1")
    assert [field.pixels for field in ground.fields] == [{"DAPI": SIZE[0] * SIZE[1]}] * 2
    field = ground.read("f1")
    np.testing.assert_allclose(field.truth[0], truths["f1"]["DAPI"], atol=1e-5)
    histogram = np.bincount(
        np.concatenate([to_bins(truth["DAPI"].ravel()) for truth in truths.values()]),
        minlength=256,
    )
    assert np.abs(ground.histogram("DAPI") - histogram).sum() < 20
    assert ground.histogram("DAPI").sum() == histogram.sum()


def test_a_region_and_a_mask_say_what_counts(tmp_path):
    mask = np.ones(SIZE, bool)
    mask[:20] = False
    region = (10, 50, 5, 25)
    write(tmp_path, write_field(tmp_path, "a", 0, mask=mask, validation_region=region))
    held_out = survey(tmp_path, split="validation")
    assert held_out.fields[0].pixels == {"DAPI": 30 * 20}
    rows, columns = bounding_window(held_out.read("a").measured[0])
    assert (rows, columns) == (slice(20, 50), slice(5, 25))
    assert survey(tmp_path).fields[0].pixels == {"DAPI": int(mask.sum())}
    assert survey(tmp_path, split="train").fields[0].pixels == {"DAPI": int(mask.sum()) - 600}


def test_a_field_that_its_mask_leaves_nothing_of_is_said(tmp_path):
    nothing = np.zeros(SIZE, bool)
    write(tmp_path, write_field(tmp_path, "a", 0), write_field(tmp_path, "b", 1, mask=nothing))
    ground = survey(tmp_path)
    assert [field.name for field in ground.fields] == ["a"]
    assert ground.notes == ("Field b is not judged: its masks leave nothing.",)


def test_masks_that_leave_nothing_at_all_are_refused(tmp_path):
    write(tmp_path, write_field(tmp_path, "a", 0, mask=np.zeros(SIZE, bool)))
    with pytest.raises(InputError, match=r"label 'DAPI' was never measured .* correct the masks"):
        survey(tmp_path)


def test_a_label_that_was_never_measured_is_refused_if_asked_for_and_else_said(tmp_path):
    nothing = np.zeros(SIZE, bool)
    first = write_field(tmp_path, "a", 0)
    second = write_field(tmp_path, "b", 1, labels=("MAP2",), mask=nothing)
    write(tmp_path, first, second)
    both = ["DAPI", "MAP2"]
    with pytest.raises(InputError, match="label 'MAP2' was never measured"):
        survey(tmp_path, predicted=both, labels=both)
    ground = survey(tmp_path, predicted=both)
    assert ground.labels == ("DAPI",)
    assert "Label MAP2 is not judged: it was measured nowhere on this ground." in ground.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["DAPY"]}, "unknown label 'DAPY'; did you mean 'DAPI'"),
        ({"labels": ["DAPI"], "predicted": ["NFH"]}, "no model predicts it: unknown label 'DAPI'"),
        ({"predicted": ["NFH"]}, "holds DAPI, and the models predict NFH: they share no label"),
        ({"split": "test"}, "no field has split 'test'"),
        ({"leave_out": ["g0", "g1"]}, "no field is left"),
        ({"leave_out": ["g9"]}, "unknown group 'g9'"),
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path, options, message):
    write_ground(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        survey(tmp_path, **options)


def test_a_truth_of_another_size_is_refused(tmp_path):
    write_ground(tmp_path, 1)
    tifffile.imwrite(tmp_path / "f0-DAPI.tif", np.zeros((50, 60), np.uint16))
    with pytest.raises(InputError, match=r"label 'DAPI' is 50 x 60, but the .* are 70 x 60"):
        survey(tmp_path)


def test_other_pixels_or_masks_are_another_field(tmp_path):
    prints = []
    for mask in (None, np.eye(*SIZE, dtype=bool)):
        write(tmp_path, write_field(tmp_path, "a", 0, mask=mask))
        prints.append(survey(tmp_path).fields[0].fingerprint)
    write(tmp_path, write_field(tmp_path, "a", 1))
    prints.append(survey(tmp_path).fields[0].fingerprint)
    for stated in ({"pixel_size": 0.25}, {"z_step": 2.0}, {"modality": "DIC"}):
        write(tmp_path, write_field(tmp_path, "a", 1, **stated))
        prints.append(survey(tmp_path).fields[0].fingerprint)
    planes = tifffile.imread(tmp_path / "a.tif")
    # The same bytes as more planes of another type.
    halves = planes.view(np.uint8).reshape(-1, *planes.shape[1:])
    tifffile.imwrite(tmp_path / "a.tif", halves, photometric="minisblack", metadata={"axes": "ZYX"})
    prints.append(survey(tmp_path).fields[0].fingerprint)
    assert len(set(prints)) == 7
