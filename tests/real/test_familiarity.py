"""Two real fields of different microscopes, and damaged copies: which of them are warned of.

Familiarity needs images only, so models are stood for by what their training ground looks like.
"""

import functools
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from isl.imaging.normalize import normalize
from isl.labeling.dataset import load_manifest
from isl.labeling.familiarity import (
    Familiarity,
    LearnedField,
    Unfamiliarity,
    crop_windows,
    learn_familiarity,
    unfamiliarity,
)
from isl.labeling.fields import load_field
from isl.labeling.model_config import read_model_config
from isl.model_folder import model_directory
from isl_train.labeling.crops import TrainingField
from isl_train.labeling.ground import load_ground
from isl_train.labeling.model_folder import familiarity_of

MANIFESTS = Path(__file__).parents[2] / "configs" / "data"
# The sharpest plane of each.
IN_FOCUS = {"condition_b_A4": 6, "sephace": 2}


class Ground:
    """A field's training ground, and the block of it that is held out, [Z, Y, X] each."""

    def __init__(self, name: str) -> None:
        (stated,) = load_manifest(MANIFESTS / f"{name}.toml").fields
        field = load_field(stated)
        self.planes, _ = normalize(field.transmitted.planes)
        self.usable = field.measured_for("train").any(axis=0)
        y0, y1, x0, x1 = stated.validation_region
        self.held_out = self.planes[:, y0:y1, x0:x1]
        self.in_focus = slice(IN_FOCUS[name], IN_FOCUS[name] + 1)

    @functools.cached_property
    def stack_taught(self) -> Familiarity:
        return self._taught(self.planes)

    @functools.cached_property
    def plane_taught(self) -> Familiarity:
        return self._taught(self.planes[self.in_focus])

    def _taught(self, planes: np.ndarray) -> Familiarity:
        ground = LearnedField(group="a", transmitted=planes, usable=self.usable)
        familiarity = learn_familiarity([ground])
        assert familiarity is not None
        return familiarity


@pytest.fixture(scope="module")
def neurons() -> Ground:
    return Ground("condition_b_A4")


@pytest.fixture(scope="module")
def sephace() -> Ground:
    return Ground("sephace")


def asked(familiarity: Familiarity, planes: np.ndarray) -> Unfamiliarity:
    planes, _ = normalize(np.ascontiguousarray(planes))
    windows = crop_windows(planes.shape[1:])
    found = unfamiliarity(familiarity, [planes[:, slice(*y), slice(*x)] for y, x in windows])
    assert found is not None
    return found


def test_each_field_is_unlike_the_other_and_like_itself(neurons: Ground, sephace: Ground) -> None:
    for own, other in ((neurons, sephace), (sephace, neurons)):
        familiarity = own.plane_taught
        assert not asked(familiarity, own.held_out[own.in_focus]).unlike
        assert asked(familiarity, other.planes[other.in_focus]).unlike


DAMAGED = {
    "defocus": lambda planes: scipy.ndimage.gaussian_filter(planes, (0, 2, 2)),
    "slight defocus": lambda planes: scipy.ndimage.gaussian_filter(planes, (0, 1, 1)),
    "inverted contrast": lambda planes: 1 - planes,
    "twice the magnification": lambda planes: scipy.ndimage.zoom(planes, (1, 2, 2), order=1),
    "half again the magnification": lambda planes: scipy.ndimage.zoom(
        planes, (1, 1.5, 1.5), order=1
    ),
}
OF_STACKS = {
    "two thirds of the magnification": lambda planes: scipy.ndimage.zoom(
        planes, (1, 0.67, 0.67), order=1
    ),
    "planes upside down": lambda planes: planes[::-1],
    "planes in another order": lambda planes: planes[np.random.default_rng(0).permutation(13)],
    "planes moved by three": lambda planes: planes[np.minimum(np.arange(13) + 3, 12)],
}


def test_held_out_ground_of_the_whole_stack_is_familiar(neurons: Ground) -> None:
    assert not asked(neurons.stack_taught, neurons.held_out).unlike


@pytest.mark.parametrize("damage", [*DAMAGED, *OF_STACKS])
def test_damaged_stacks_are_warned_of(neurons: Ground, damage: str) -> None:
    damaged = (DAMAGED | OF_STACKS)[damage](neurons.held_out)
    assert asked(neurons.stack_taught, damaged).unlike


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_planes_are_warned_of(neurons: Ground, damage: str) -> None:
    damaged = DAMAGED[damage](neurons.held_out[neurons.in_focus])
    assert asked(neurons.plane_taught, damaged).unlike


def test_the_bundled_model_knows_its_field_and_not_its_negative(neurons: Ground) -> None:
    familiarity = read_model_config(model_directory("neurons-phase")).familiarity
    assert familiarity is not None
    assert not asked(familiarity, neurons.planes).unlike
    assert asked(familiarity, 1 - neurons.planes).unlike


@pytest.mark.parametrize("name", ["neurons-phase", "neurons-towers"])
def test_the_field_is_warned_of_where_it_is_turned(name: str, neurons: Ground) -> None:
    familiarity = read_model_config(model_directory(name)).familiarity
    assert familiarity is not None
    assert not familiarity.turned
    for turned in (
        neurons.planes[:, ::-1],
        np.rot90(neurons.planes, 2, axes=(1, 2)),
        np.rot90(neurons.planes, 3, axes=(1, 2)),
    ):
        found = asked(familiarity, np.ascontiguousarray(turned))
        assert found.unlike
        assert "shading" in found.reason


@pytest.fixture(scope="module")
def embryos() -> tuple[TrainingField, ...]:
    """All frames, as training has them."""
    return load_ground(load_manifest(MANIFESTS / "ai4embryo.toml")).training


def planes_of(field: TrainingField) -> np.ndarray:
    return np.moveaxis(field.transmitted, -1, 0)


def test_an_embryo_it_never_saw_is_familiar_and_neurons_are_not(
    neurons: Ground, embryos: tuple[TrainingField, ...]
) -> None:
    """E139 is the least like the others."""
    for embryo in ("E115", "E139"):
        familiarity = familiarity_of([field for field in embryos if field.group != embryo])
        assert familiarity is not None
        held_out = [planes_of(field) for field in embryos if field.group == embryo]
        assert not any(asked(familiarity, planes).unlike for planes in held_out)
        damaged = [DAMAGED["defocus"](planes) for planes in held_out[::4]]
        assert sum(asked(familiarity, planes).unlike for planes in damaged) > 0.8 * len(damaged)
        assert asked(familiarity, neurons.planes[neurons.in_focus]).unlike


def test_the_bundled_model_knows_the_embryos_it_learned_from(
    neurons: Ground, embryos: tuple[TrainingField, ...]
) -> None:
    familiarity = read_model_config(model_directory("ezrin-aif")).familiarity
    assert familiarity is not None
    assert not any(asked(familiarity, planes_of(field)).unlike for field in embryos)
    assert asked(familiarity, neurons.planes[neurons.in_focus]).unlike
