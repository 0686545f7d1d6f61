"""Familiarity: statistics of simple images, and warnings where an image is another or damaged."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.ndimage
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl.imaging.image import ZStack
from isl.imaging.normalize import measure_plane, normalize
from isl.labeling.familiarity import (
    CROPS,
    Familiarity,
    LearnedField,
    crop_windows,
    learn_familiarity,
    look_at,
    statistic_names,
    statistics_of,
    unfamiliarity,
)
from isl.labeling.source import field_of


def texture(seed: int, size: tuple[int, int] = (384, 384), planes: int = 3) -> np.ndarray:
    """Blurred bright spots; higher planes are blurred more. float32 [Z, Y, X], normalized."""
    rng = np.random.default_rng(seed)
    spots = (rng.random(size) < 0.01) * rng.random(size)
    stack = [scipy.ndimage.gaussian_filter(spots, 1.5 + 0.5 * z) for z in range(planes)]
    stack = [plane / plane.std() + rng.normal(0, 0.05, size) for plane in stack]
    return normalize(np.array(stack, np.float32))[0]


def learned(images: list[np.ndarray]):
    return learn_familiarity(
        [
            LearnedField(group=str(index), transmitted=image, usable=np.ones(image.shape[1:], bool))
            for index, image in enumerate(images)
        ]
    )


def looked(familiarity, image: np.ndarray):
    windows = crop_windows(image.shape[1:])
    return unfamiliarity(familiarity, [image[:, slice(*y), slice(*x)] for y, x in windows])


@pytest.fixture(scope="module")
def familiarity():
    return learned([texture(1), texture(2)])


def test_names_go_with_statistics():
    for planes in (1, 2, 5):
        crop = np.random.default_rng(0).random((planes, 64, 128), np.float32)
        names = statistic_names(planes)
        assert len(set(names)) == len(names) == statistics_of(crop).size


def test_detail_of_a_checkerboard_is_where_it_is():
    for size in (1, 2, 4):
        y, x = np.indices((128, 128)) // size
        board = np.where((y + x) % 2, 0.75, 0.25).astype(np.float32)[None]
        found = dict(zip(statistic_names(1), statistics_of(board), strict=True))
        details = {name: value for name, value in found.items() if name.startswith("detail")}
        assert max(details, key=details.get) == f"detail at {2 * size} pixels"
        assert details[f"detail at {2 * size} pixels"] == pytest.approx(np.log(0.25), abs=1e-4)


def test_bright_spots_are_asymmetric_and_dark_ones_the_other_way():
    image = np.zeros((1, 128, 128), np.float32)
    image[0, 3::8, 5::8] = 1
    bright, dark = statistics_of(image), statistics_of(1 - image)
    for name, one, other in zip(statistic_names(1), bright, dark, strict=True):
        sign = -1 if name.startswith("asymmetry") else 1
        assert one == pytest.approx(sign * other, abs=1e-3), name
    assert bright[statistic_names(1).index("asymmetry at 2 pixels")] > 1


def test_the_sharpest_plane_and_the_twin_planes_show():
    sharp = np.random.default_rng(0).random((128, 128)).astype(np.float32)
    blurred = scipy.ndimage.gaussian_filter(sharp, 2)
    found = statistics_of(np.array([blurred, sharp, sharp]))
    named = dict(zip(statistic_names(3), found, strict=True))
    assert named["sharpness of plane 1"] > named["sharpness of plane 0"] + 1
    assert named["likeness of planes 1 and 2"] == pytest.approx(np.arctanh(0.999), abs=1e-3)
    assert named["likeness of planes 0 and 1"] < 2


def test_more_of_the_same_is_familiar(familiarity):
    for seed in (3, 4, 5):
        found = looked(familiarity, texture(seed))
        assert not found.unlike
        assert found.score < found.limit


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda image: scipy.ndimage.gaussian_filter(image, (0, 2, 2)),
            "detail|like|asym",
        ),
        (lambda image: 1 - image, "asymmetry"),
        (lambda image: image.repeat(2, axis=1).repeat(2, axis=2), "detail|asymmetry"),
        (lambda image: image[::-1], "sharpness of plane"),
        (lambda image: image[[0, 0, 0]], "likeness of planes"),
    ],
)
def test_damaged_copies_are_warned_of_with_a_reason(familiarity, damage, reason):
    image = normalize(np.ascontiguousarray(damage(texture(3))))[0]
    found = looked(familiarity, image)
    assert found.unlike
    kind = found.reason.split(" is ")[0]
    assert any(kind.startswith(start) for start in reason.split("|")), found.reason
    assert "deviations" in found.reason
    assert found.reason.endswith("what it learned from")


def test_one_plane_is_enough():
    one = learned([texture(1, planes=1), texture(2, planes=1)])
    assert not looked(one, texture(3, planes=1)).unlike
    assert looked(one, 1 - texture(3, planes=1)).unlike


def test_ground_that_may_not_be_used_is_not_learned():
    image = texture(1)
    spoilt = image.copy()
    spoilt[:, :, :256] = 1 - spoilt[:, :, :256]
    usable = np.zeros(image.shape[1:], bool)
    # Crops that reach beyond the last 128 columns are not wholly usable.
    usable[:, 256:] = True

    def taught(planes: np.ndarray):
        return learn_familiarity(
            [LearnedField(group="a", transmitted=planes, usable=usable)] * 4
        ).statistics

    assert taught(image) == taught(spoilt)
    assert taught(image) != learned([spoilt] * 4).statistics


def test_too_little_ground_teaches_nothing():
    assert learned([texture(0, (64, 64))]) is None
    assert learned([texture(0, (63, 500))]) is None
    nowhere = LearnedField(group="a", transmitted=texture(0), usable=np.zeros((384, 384), bool))
    assert learn_familiarity([nowhere]) is None
    assert learn_familiarity([]) is None


def of_group(group: str, image: np.ndarray) -> LearnedField:
    return LearnedField(group=group, transmitted=image, usable=np.ones(image.shape[1:], bool))


def grouped() -> list[LearnedField]:
    """Fields of one crop; those of a group are alike, and groups differ in sharpness."""
    return [
        of_group(group, scipy.ndimage.gaussian_filter(texture(seed, (128, 128)), (0, blur, blur)))
        for group, blur in (("a", 0.5), ("b", 1.0), ("c", 3.0))
        for seed in range(8)
    ]


def test_the_limit_is_what_fields_of_groups_left_out_score_at_most():
    fields, scores = grouped(), []
    for field in fields:
        others = learn_familiarity([other for other in fields if other.group != field.group])
        scores.append(unfamiliarity(others, [field.transmitted]).score)
    limit = learn_familiarity(fields).limit
    assert limit == pytest.approx(max(scores), abs=2e-3)
    # Sister fields would make it too small.
    alone = [dataclasses.replace(field, group=str(n)) for n, field in enumerate(fields)]
    assert limit > 1.3 * learn_familiarity(alone).limit


def test_all_places_of_many_fields_are_learned(monkeypatch):
    monkeypatch.setattr("isl.labeling.familiarity._TRAINING_CROPS", 4)
    images = [texture(seed, (256, 256)) for seed in range(4)]
    for image in images:
        image[:, :128, :128] = scipy.ndimage.gaussian_filter(image[:, :128, :128], (0, 3, 3))
    familiarity = learned(images)
    assert all(not looked(familiarity, image).unlike for image in images)


def test_of_very_many_fields_some_are_looked_at(monkeypatch):
    monkeypatch.setattr("isl.labeling.familiarity._TRAINING_FIELDS", 3)
    images = [texture(seed, (256, 256)) for seed in range(5)]
    assert learned(images) == learned(images[::2]) != learned(images[:3])


def test_crops_of_training_ground_are_familiar_and_damaged_ones_are_not():
    images = [texture(seed, (256, 256)) for seed in range(4)]
    familiarity = learned(images)
    assert min(familiarity.piece_limits) >= familiarity.limit
    for index, image in enumerate(images):
        for width, top, left in ((128, 11, 97), (192, 40, 7), (64, 50 * index, 133)):
            crop = normalize(image[:, top : top + width, left : left + width])[0]
            found = looked(familiarity, crop)
            assert not found.unlike, (index, width, found.reason)
        assert looked(familiarity, 1 - image[:, :128, :128]).unlike


def test_limits_lie_between_those_of_known_sizes():
    familiarity = Familiarity(limit=2.0, piece_limits=(3.0, 2.6, 2.5), statistics={})
    assert [familiarity.limit_of(n) for n in (1, 4, 9, 16, CROPS)] == [3.0, 2.6, 2.5, 2.0, 2.0]
    between = (1 / 12**0.5 - 1 / 4) / (1 / 3 - 1 / 4)
    assert familiarity.limit_of(12) == pytest.approx(2 + 0.5 * between, abs=1e-3)
    assert familiarity.limit_of(1 / 4) == pytest.approx(2 + (2 - 1 / 4) / (1 - 1 / 4), abs=1e-3)
    # What an older model does not say.
    silent = Familiarity(limit=2.0, statistics={})
    assert (silent.limit_of(1), silent.limit_of(CROPS)) == (3.0, 2.0)
    assert silent.limit_of(4) == pytest.approx(2 + (1 / 2 - 1 / 4) / (1 - 1 / 4), abs=1e-3)


def test_images_too_small_to_tell_are_not_judged(familiarity):
    assert looked(familiarity, texture(3, (63, 400))) is None
    assert looked(familiarity, texture(3, (64, 100))) is not None


@given(st.integers(1, 700), st.integers(1, 700))
def test_windows_lie_within_the_image_and_spread_over_it(height, width):
    windows = crop_windows((height, width))
    assert len(windows) <= CROPS
    assert (min(height, width) >= 64) == bool(windows)
    for (top, bottom), (left, right) in windows:
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        assert bottom - top == right - left
        assert (bottom - top) % 64 == 0
    if windows and min(height, width) >= 256:
        assert windows[-1] == ((height - 128, height), (width - 128, width))


def records_of(planes: np.ndarray):
    return [
        measure_plane(plane.__getitem__, plane.shape, "auto", plane=index)
        for index, plane in enumerate(planes)
    ]


def test_a_field_is_looked_at_as_it_is_normalized(familiarity):
    image = texture(3)
    stored = (image * 20_000 + 7).astype(np.uint16)
    found = look_at(familiarity, field_of(ZStack(name="a", planes=stored)), records_of(stored))
    expected = looked(familiarity, normalize(stored)[0])
    assert found.score == pytest.approx(expected.score, rel=1e-6)


def test_a_field_is_looked_at_on_the_models_pixel_size(familiarity):
    large = texture(3).repeat(2, axis=1).repeat(2, axis=2)
    field = field_of(ZStack(name="a", planes=large))
    assert look_at(familiarity, field, records_of(large)).unlike
    assert not look_at(familiarity, field, records_of(large), (0.5, 0.5)).unlike


def test_records_of_other_planes_are_refused(tmp_path, familiarity):
    from isl.backbones.unet import UNetConfig
    from isl.config import to_toml
    from isl.labeling.model_config import ModelConfig, read_model_config

    def written(planes: int):
        tables = {
            "name": "a",
            "labels": ("NUCLEI",),
            "architecture": UNetConfig(levels=2, width=4),
            "input": {"planes": 3},
            "familiarity": familiarity,
        }
        text = to_toml(ModelConfig.model_validate(tables))
        (tmp_path / "model.toml").write_text(text.replace("planes = 3", f"planes = {planes}"))
        return read_model_config(tmp_path)

    kept = written(3).familiarity
    assert kept == familiarity
    with pytest.raises(InputError, match=r"familiarity\.statistics are not those of 5 planes"):
        written(5)


def small_model(folder, familiarity):
    from flax import nnx

    from isl.backbones.unet import UNetConfig
    from isl.labeling.model import load_model, save_model
    from isl.labeling.model_config import InputContract, ModelConfig
    from isl.labeling.network import build_network

    architecture = UNetConfig(levels=2, width=2)
    network = build_network(
        architecture, planes=3, labels=("NUCLEI",), autoencode=False, rngs=nnx.Rngs(0)
    )
    config = ModelConfig(
        name=folder.name,
        labels=("NUCLEI",),
        architecture=architecture,
        input=InputContract(planes=3),
        familiarity=familiarity,
    )
    save_model(folder, network, config, "# small\n")
    return load_model(folder)


def test_predicting_warns_of_what_the_model_has_not_learned(tmp_path, familiarity, caplog):
    model = small_model(tmp_path / "small", familiarity)
    image = texture(3, (192, 192))
    known = model.predict(ZStack(name="known", planes=image))
    assert not any("unlike" in warning for warning in known.warnings)
    assert 0 < known.familiarity.score < known.familiarity.limit == familiarity.piece_limits[0]
    (warning,) = (
        warning
        for warning in model.predict(ZStack(name="negative", planes=1 - image)).warnings
        if "unlike" in warning
    )
    assert warning.startswith("is unlike what model 'small' learned from: asymmetry at ")
    assert f"negative: {warning}" in caplog.messages


def test_of_several_models_the_strangest_ones_score_counts(tmp_path, familiarity):
    from isl.labeling.model import ensemble

    image = texture(3, (192, 192))
    negative = learned([1 - texture(1), 1 - texture(2)])
    one, other, silent = (
        small_model(tmp_path / name, learned_from)
        for name, learned_from in (("one", familiarity), ("other", negative), ("silent", None))
    )
    stack = ZStack(name="a", planes=image)
    alone = other.predict(stack).familiarity
    assert alone.unlike
    for members in ([one, other, silent], [other, one]):
        together = ensemble(members).predict(stack)
        assert together.familiarity.score == alone.score
        assert any("unlike" in warning for warning in together.warnings)
    assert not ensemble([one, silent]).predict(stack).familiarity.unlike
    assert silent.predict(stack).familiarity is None


def test_the_record_of_a_field_has_its_score(tmp_path, familiarity):
    from isl import cli

    small_model(tmp_path / "small", familiarity)
    image = texture(3, (192, 192))
    for name, planes in (("known", image), ("negative", 1 - image), ("tiny", image[:, :60])):
        stored = (planes * 40_000).astype(np.uint16)
        tifffile.imwrite(
            tmp_path / f"{name}.tif", stored, photometric="minisblack", metadata={"axes": "ZYX"}
        )
        words = ["predict", tmp_path / f"{name}.tif", "--model", tmp_path / "small"]
        words += ["--out", tmp_path / name, "--device", "cpu"]
        assert cli.main([str(word) for word in words]) == 0

    def made(name: str):
        return json.loads((tmp_path / name / f"{name}.json").read_text())["familiarity"]

    known, negative = made("known"), made("negative")
    assert (known["unlike"], negative["unlike"]) == (False, True)
    assert known["score"] < known["limit"] == negative["limit"] == familiarity.piece_limits[0]
    assert len(negative["deviations"]) == 3
    values = np.array(list(negative["deviations"].values()))
    assert list(np.abs(values)) == sorted(np.abs(values), reverse=True)
    assert negative["score"] == pytest.approx(np.sqrt(np.mean(values**2)), rel=1e-3)
    assert made("tiny") is None
