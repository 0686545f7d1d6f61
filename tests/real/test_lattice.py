"""Whether bundled labeling models leave the step of their strides in what they predict.

A ratio of 1 is none; neighbouring frequencies hold as much energy. Frames differ by chance, so it
is averaged over some.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isl.imaging.normalize import normalize
from isl.labeling.model import load_model
from isl.model_folder import bundled_models, model_kind
from isl_eval.metrics.lattice import STRIDES, lattice_amplitude, lattice_ratio

WIDTH = 192
FLAT = 0.004
"""Of full scale: a step of an 8-bit image."""
RATIO = 6.0
LABELING = sorted(
    name for name, folder in bundled_models().items() if model_kind(folder) == "labeling"
)
# Known, and said on its card.
KNOWN = {("neurons-phase", "standard_deviation", 2)}


@pytest.fixture(scope="module", params=LABELING)
def model(request: pytest.FixtureRequest):
    return load_model(request.param)


@pytest.mark.parametrize("statistic", ["mean", "standard_deviation"])
def test_light_without_structure_gives_no_lattice(model, statistic: str) -> None:
    width = model.geometry.input_size(WIDTH)
    flat = np.full((1, width, width, model.config.input.planes), 0.5, np.float32)
    images = np.asarray(model.statistics(flat, model.labels, (statistic,))[statistic])[0]
    for label, image in zip(model.labels, np.moveaxis(images, -1, 0), strict=True):
        for stride in STRIDES:
            if (model.name, statistic, stride) in KNOWN:
                continue
            assert lattice_amplitude(image, stride) < FLAT, (label, stride)


@pytest.mark.parametrize("statistic", ["mean", "standard_deviation"])
def test_embryos_give_no_lattice(statistic: str) -> None:
    model = load_model("ezrin-aif")
    folder = Path(os.environ["ISL_DATA"]) / "ai4embryo" / "dic_aif"
    files = [sorted((folder / name).iterdir())[5] for name in ("E016", "E098", "E139", "E153")]
    ratios = {stride: [] for stride in STRIDES}
    margin = model.geometry.margin
    for file in files:
        planes, _ = normalize(np.asarray(Image.open(file).convert("L"))[None], "auto")
        around = np.pad(planes[0], margin, mode="symmetric")
        width = model.geometry.input_size(448)
        seen = around[None, 32 : 32 + width, 32 : 32 + width, None]
        made = model.statistics(seen, model.labels, (statistic,))[statistic]
        for stride in STRIDES:
            ratios[stride].append(lattice_ratio(np.asarray(made)[0, :, :, 0], stride))
    assert {stride: np.mean(r) < RATIO for stride, r in ratios.items()} == dict.fromkeys(
        STRIDES, True
    ), ratios
