"""Models that learned light from one side alone: what they refuse, and what they warn of."""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.imaging.normalize import normalize
from isl.labeling.check import check
from isl.labeling.familiarity import (
    Familiarity,
    LearnedField,
    Unfamiliarity,
    crop_windows,
    learn_familiarity,
    side_of_light,
    statistic_names,
    statistics_of,
    unfamiliarity,
)
from isl.labeling.model import Model
from isl.labeling.model_config import InputContract, ModelConfig, joined
from isl.labeling.network import build_network
from isl.labeling.options import check_options
from isl_train.labeling.augment import AugmentConfig

CONFIG = ModelConfig(
    name="oblique",
    architecture=UNetConfig(levels=2, width=2),
    labels=("DAPI",),
    input=InputContract(planes=2, turned=False),
)


def _lit(seed: int) -> np.ndarray:
    """Round cells, bright below and dark above: float32 [Z, Y, X], normalized."""
    rng = np.random.default_rng(seed)
    cells = (rng.random((384, 384)) < 0.002) * (0.5 + rng.random((384, 384)))
    planes = []
    for z in range(2):
        thickness = scipy.ndimage.gaussian_filter(cells, 4 + z)
        light = -np.gradient(thickness, axis=0)
        planes.append(light / light.std() + rng.normal(0, 0.05, light.shape))
    return normalize(np.array(planes, np.float32))[0]


def _looked(familiarity: Familiarity, image: np.ndarray) -> Unfamiliarity:
    windows = crop_windows(image.shape[1:])
    found = unfamiliarity(familiarity, [image[:, slice(*y), slice(*x)] for y, x in windows])
    assert found is not None
    return found


def _learned(turned: bool) -> Familiarity:
    fields = [
        LearnedField(group=str(seed), transmitted=_lit(seed), usable=np.ones((384, 384), bool))
        for seed in (1, 2)
    ]
    familiarity = learn_familiarity(fields, turned=turned)
    assert familiarity is not None
    return familiarity


def test_names_go_with_statistics() -> None:
    crop = np.random.default_rng(0).random((2, 64, 128), np.float32)
    names = statistic_names(2, turned=False)
    assert names[:-2] == statistic_names(2)
    assert statistics_of(crop, turned=False).size == len(names)


def test_shade_on_another_side_is_warned_of() -> None:
    familiarity, image = _learned(turned=False), _lit(3)
    assert not familiarity.turned
    assert not _looked(familiarity, image).unlike
    assert not _looked(familiarity, image[:, :, ::-1]).unlike
    for turned in (image[:, ::-1], np.rot90(image, axes=(1, 2)), np.rot90(image, 3, axes=(1, 2))):
        found = _looked(familiarity, turned)
        assert found.unlike
        assert "shading" in found.reason


def test_a_model_that_learned_every_side_knows_them_all() -> None:
    familiarity, image = _learned(turned=True), _lit(3)
    assert familiarity.turned
    for turned in (image, image[:, ::-1], np.rot90(image, axes=(1, 2))):
        assert not _looked(familiarity, turned).unlike


def test_symmetries_are_refused() -> None:
    with pytest.raises(InputError, match=r"light from one side alone.*leave `symmetries` out"):
        check_options(CONFIG, symmetries=True)


def test_a_mixture_is_turned_if_all_of_its_models_are() -> None:
    every_side = CONFIG.model_copy(update={"input": InputContract(planes=2)})
    assert not joined([CONFIG, every_side]).input.turned
    assert not joined([every_side, CONFIG]).input.turned
    assert joined([every_side, every_side]).input.turned


def test_the_contract_says_it_only_where_it_is_so() -> None:
    assert "turned" not in InputContract(planes=2).model_dump()
    assert CONFIG.input.model_dump()["turned"] is False


def test_a_check_turns_no_image() -> None:
    network = build_network(CONFIG.architecture, planes=2, labels=CONFIG.labels, rngs=nnx.Rngs(0))
    network.eval()
    model = Model(config=CONFIG, card="", directory=Path("oblique"), network=network)
    planes = np.random.default_rng(0).random((2, 40, 40), np.float32)
    found = check(model, planes, check_options(CONFIG), budget=2**30)
    assert found.turns == {}
    assert found.shifts
    assert found.passed


def test_training_says_which_light_it_showed() -> None:
    assert AugmentConfig().all_ways
    assert AugmentConfig(rotate=False, turn=180).all_ways
    assert not AugmentConfig(rotate=False, turn=15).all_ways


def test_the_side_of_light_is_found_where_there_is_one() -> None:
    def found(*images: np.ndarray) -> tuple[float, float] | None:
        return side_of_light(
            [
                LearnedField(group=str(n), transmitted=image, usable=np.ones(image.shape[1:], bool))
                for n, image in enumerate(images)
            ]
        )

    image = _lit(1)
    down, right = found(image) or (0.0, 0.0)
    assert down > 0.3
    assert abs(right) < 0.3 * down
    left = found(np.rot90(image, 3, axes=(1, 2)))
    assert left is not None
    assert left[1] < -0.3
    assert found(image, image[:, ::-1]) is None
    assert found(image[:, :64, :64]) is None


def test_a_model_that_learned_mirrored_images_knows_light_from_left_and_right() -> None:
    images = [np.ascontiguousarray(np.rot90(_lit(seed), axes=(1, 2))) for seed in (1, 2)]
    fields = [
        LearnedField(group=str(n), transmitted=image, usable=np.ones((384, 384), bool))
        for n, image in enumerate(images)
    ]
    unseen = np.rot90(_lit(3), axes=(1, 2))
    for mirrored in (False, True):
        familiarity = learn_familiarity(fields, turned=False, mirrored=mirrored)
        assert familiarity is not None
        assert not _looked(familiarity, unseen).unlike
        assert _looked(familiarity, unseen[:, :, ::-1]).unlike is not mirrored


def test_records_of_the_other_kind_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"light from one side \(input.turned = false\)"):
        ModelConfig.model_validate(
            {**CONFIG.model_dump(), "familiarity": _learned(turned=True).model_dump()}
        )
