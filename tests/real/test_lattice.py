"""No bundled model leaves the step of its strides in the images it makes."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isl.fragmentation.model import load_fragmentation_model
from isl.imaging.image import ZStack
from isl.imaging.inputs.read import read_transmitted
from isl.imaging.normalize import normalize
from isl.labeling.model import load_model
from isl.model_folder import BUNDLED, bundled_models, is_model_folder, model_kind
from isl.polarity.model import EZRIN_FOLDER
from isl_eval.metrics.lattice import STRIDES, has_lattice, lattice_amplitude

SMALLEST = 224
STATISTICS = ("mean", "median", "standard_deviation")
BRIGHT_FIELD = 6
FRAME = "ai4embryo/dic_aif/E118"
KINDS = {name: model_kind(folder) for name, folder in bundled_models().items()}
# Models that read predicted EZRIN may have a network of their own for it.
OWN = [f"{name}/{EZRIN_FOLDER}" for name, kind in KINDS.items() if kind == "polarity"]
LABELING = [
    *(name for name, kind in KINDS.items() if kind == "labeling"),
    *(name for name in OWN if is_model_folder(BUNDLED / name)),
]
SEGMENTING = [name for name, kind in KINDS.items() if kind == "fragmentation"]


@functools.cache
def real_planes(planes: int) -> np.ndarray:
    """A real image of so many planes, float32 [Y, X, Z] in [0, 1]."""
    data = Path(os.environ["ISL_DATA"])
    if planes == 1:
        frames = sorted((data / FRAME).iterdir())
        image = np.asarray(Image.open(frames[len(frames) // 2]).convert("L"))[None]
    elif planes == BRIGHT_FIELD:
        heights = sorted((data / "sephace" / "set1").glob("bf_*.png"))
        image = np.stack([np.asarray(Image.open(path)) for path in heights])
        assert len(image) == planes
    else:
        stack = read_transmitted(data / "condition_b_A4")
        assert isinstance(stack, ZStack)
        image = stack.planes
        assert len(image) == planes
    return np.moveaxis(normalize(image)[0], 0, -1)


def images_of(name: str, flat: bool) -> dict[str, np.ndarray]:
    """Every image that a labeling model makes, float32 [Y, X], by label and statistic."""
    model = load_model(BUNDLED / name)
    width = model.geometry.input_size(SMALLEST)
    planes = model.config.input.planes
    if flat:
        seen = np.full((width, width, planes), 0.5, np.float32)
    else:
        whole = real_planes(planes)
        corner = [(length - width) // 2 for length in whole.shape[:2]]
        assert min(corner) >= 0, "the image is too small for the model's margin"
        seen = whole[corner[0] :, corner[1] :][:width, :width]
    found = model.statistics(seen[None], model.labels, STATISTICS)
    return {
        f"{label} {statistic}": np.asarray(values)[0, ..., number]
        for statistic, values in found.items()
        for number, label in enumerate(model.labels)
    }


def expected(known: dict[str, str]) -> list[object]:
    """All labeling models; of those with a lattice, why."""
    return [
        pytest.param(
            name, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=known[name])
        )
        if name in known
        else name
        for name in LABELING
    ]


@pytest.mark.parametrize(
    "name",
    expected(
        {
            "neurons-phase": "2 and 4 pixels, up to 3 % of the deviation, most in deviations",
            "neurons-towers": "2 and 4 pixels, up to 1 % of the deviation, most in deviations",
            "nuclei-brightfield": "2 to 8 pixels, up to 4 % of the deviation, most in deviations",
            "embryo-chain/ezrin": "2 and 4 pixels, up to 2 % of the deviation, of foreign light",
            "phantom": "2 and 4 pixels, up to 6 % of the deviation, most of it in deviations",
        }
    ),
)
def test_real_light_gives_no_lattice(name: str) -> None:
    found = [
        f"{what} at {stride}"
        for what, image in images_of(name, flat=False).items()
        for stride in STRIDES
        if has_lattice(image, stride)
    ]
    assert not found


@pytest.mark.parametrize(
    "name", expected({"neurons-phase": "0.003 in images of deviations, of 4 pixels"})
)
def test_flat_light_gives_a_flat_image(name: str) -> None:
    for what, image in images_of(name, flat=True).items():
        for stride in STRIDES:
            assert lattice_amplitude(image, stride) < 0.002, (what, stride)


@pytest.mark.parametrize("name", SEGMENTING)
def test_masks_have_no_lattice(name: str) -> None:
    """Of flat light nothing is asked: zeros beyond the border make these images uneven."""
    model = load_fragmentation_model(name)
    size = model.config.size
    whole = real_planes(1)[..., 0]
    view = np.asarray(Image.fromarray(whole).resize((size, size)), np.float32)
    seen = np.asarray(model.see(view[None]).logits)[0]
    for channel in range(seen.shape[-1]):
        for stride in STRIDES:
            assert not has_lattice(seen[..., channel], stride), (channel, stride)
