from pathlib import Path

import numpy as np
import pytest
from simulated_fields import write_dataset

from isl.labeling.dataset import load_manifest
from isl_train.labeling.crops import TrainingField, bounding_box
from isl_train.labeling.ground import load_ground, with_planes
from isl_train.labeling.ground_part import part_of


def field(measured: np.ndarray) -> TrainingField:
    size = measured.shape[:2]
    return TrainingField(
        name="a",
        group="g",
        transmitted=np.zeros((*size, 1), np.float32),
        targets=np.zeros(measured.shape, np.float32),
        measured=measured,
        visible=np.ones(size, bool),
    )


@pytest.mark.parametrize("share", [1 / 16, 1 / 4])
def test_a_part_is_a_rectangle_of_that_share(share: float) -> None:
    whole = field(np.ones((40, 80, 2), bool))
    part = part_of(whole, share, np.random.default_rng(0))
    assert part.measured.sum() == share * whole.measured.sum()
    box = bounding_box(part.measured[..., 0])
    assert box is not None
    (top, bottom), (left, right) = box
    assert (bottom - top) * 2 == right - left
    assert part.measured[top:bottom, left:right].all()


def test_ground_that_was_left_out_is_avoided() -> None:
    measured = np.ones((64, 64, 1), bool)
    measured[20:] = False
    measured[:, :30] = False
    measured[63, 0] = True
    part = part_of(field(measured), 1 / 16, np.random.default_rng(0))
    assert part.measured.sum() == 16 * 16
    assert not (part.measured & ~measured).any()


def test_seeds_draw_different_places_and_the_same_seed_the_same() -> None:
    whole = field(np.ones((50, 50, 1), bool))
    one, again, other = (
        part_of(whole, 0.1, np.random.default_rng(seed)).measured for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_all_of_it_and_none_of_it_stay() -> None:
    whole = field(np.ones((5, 5, 1), bool))
    assert part_of(whole, 1.0, np.random.default_rng(0)) is whole
    nothing = field(np.zeros((5, 5, 1), bool))
    assert part_of(nothing, 0.5, np.random.default_rng(0)) is nothing


def test_ground_of_a_dataset_has_its_planes_and_its_share(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"], "b": ["DAPI"]}, validation_region=(0, 16, 0, 64))
    manifest = load_manifest(tmp_path / "manifest.toml")
    whole = load_ground(manifest)
    chosen = load_ground(with_planes(manifest, (2, 0))).part(0.25, seed=3)
    assert (whole.planes, chosen.planes) == (3, 2)
    np.testing.assert_array_equal(
        chosen.training[0].transmitted, whole.training[0].transmitted[..., [2, 0]]
    )
    places = [each.measured for each in chosen.training]
    assert [place.sum() for place in places] == [24 * 32, 24 * 32]
    assert (places[0] != places[1]).any()
    assert chosen.validation[0].measured.sum() == whole.validation[0].measured.sum()
    assert with_planes(manifest, None) is manifest
