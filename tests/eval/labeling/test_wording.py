"""Remedies are what a configuration or a dataset can say, never options of another command."""

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.image import PixelSize, ZStack
from isl.imaging.normalize import normalize
from isl.labeling.contract import compare_intensity, fit_to_model
from isl.labeling.model_config import InputContract
from isl.labeling.source import field_of
from isl_eval.labeling.wording import in_keys


def said(count, expected, *, size=None, modality=None, **options):
    """All that is said of a stack of so many planes: the refusal, or the warnings."""
    pixel_size = None if size is None else PixelSize(z=size[0], y=size[1], x=size[1])
    planes = np.zeros((count, 5, 7), np.uint8)
    stack = ZStack(name="f", planes=planes, pixel_size=pixel_size, modality=modality)
    try:
        fit = fit_to_model(field_of(stack), InputContract(**expected), model="m", **options)
    except InputError as error:
        return str(error)
    return "; ".join(fit.warnings)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (said(2, {"planes": 3}), "model 'm' expects 3 (give 'planes' to choose)"),
        (said(2, {"planes": 1}, planes=(5,)), "2 planes are 0 to 1 (correct 'planes')"),
        (said(2, {"planes": 2}, planes=(1,)), "'planes' names 1 plane; model 'm' expects 2"),
        (
            said(5, {"planes": 2, "z_step": 1.0}, size=(0.7, 1.0)),
            '(give planes = "interpolate" to blend neighbours, planes = [...] to choose)',
        ),
        (said(3, {"planes": 2, "z_step": 9.0}, size=(3.0, 1.0)), "(give planes = [...] to choose)"),
        (said(5, {"planes": 2, "z_step": 1.0}, size=(0.5, 1.0)), "('planes' chooses others)"),
        (
            said(2, {"planes": 2, "z_step": 9.0}, size=(3.0, 1.0), planes=(0, 1)),
            "(give 'planes' to choose others, 'z_step' in the dataset if the file is wrong, or "
            "allow_mismatch = true)",
        ),
        (
            said(1, {"planes": 1, "pixel_size": 1.0}, size=(1.0, 3.0)),
            "(give another model, 'pixel_size' in the dataset if the file is wrong, or "
            "allow_mismatch = true)",
        ),
        (said(1, {"planes": 1, "pixel_size": 1.0}), "(give 'pixel_size' in the dataset)"),
        (said(2, {"planes": 2, "z_step": 1.0}), "(give 'z_step' in the dataset)"),
        (said(1, {"planes": 1, "modality": "DIC"}), "(give 'modality' in the dataset)"),
        (
            said(1, {"planes": 1, "modality": "DIC"}, modality="BRIGHT_FIELD"),
            "(take another model, or allow_mismatch = true)",
        ),
    ],
)
def test_every_remedy_of_a_misfit_is_a_key(text, remedy):
    assert remedy in in_keys(text)
    assert "--" not in in_keys(text)


def test_planes_that_cannot_be_normalized_are_left_out_by_a_key():
    with pytest.raises(InputError, match="leave it out with `planes`") as caught:
        normalize(np.full((1, 4, 4), 7, np.uint8), source="f")
    assert in_keys(str(caught.value)).endswith("leave it out with 'planes'")
    stored = normalize(np.arange(16, dtype=np.uint8).reshape(1, 4, 4), "off", source="f")[1]
    (warning,) = compare_intensity(stored, InputContract(planes=1), normalize="off")
    assert in_keys(warning).endswith("expected about 0.5 and 0.125; 'normalize' corrects that)")
