"""Familiarity: statistics of simple images, and warnings where an image is another or damaged."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl.imaging.image import ZStack
from isl.imaging.normalize import measure_plane, normalize
from isl.labeling.familiarity import (
    CROPS,
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
    from isl.config import to_toml
    from isl.labeling.model import ModelConfig, read_model_config
    from isl.labeling.unet import UNetConfig

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


def test_predicting_warns_of_what_the_model_has_not_learned(tmp_path, familiarity, caplog):
    from flax import nnx

    from isl.labeling.model import InputContract, ModelConfig, load_model, save_model
    from isl.labeling.network import build_network
    from isl.labeling.unet import UNetConfig

    architecture = UNetConfig(levels=2, width=2)
    network = build_network(
        architecture, planes=3, labels=("NUCLEI",), autoencode=False, rngs=nnx.Rngs(0)
    )
    config = ModelConfig(
        name="small",
        labels=("NUCLEI",),
        architecture=architecture,
        input=InputContract(planes=3),
        familiarity=familiarity,
    )
    save_model(tmp_path / "small", network, config, "# small\n")
    model = load_model(tmp_path / "small")
    image = texture(3, (192, 192))
    known = model.predict(ZStack(name="known", planes=image))
    assert not any("unlike" in warning for warning in known.warnings)
    (warning,) = (
        warning
        for warning in model.predict(ZStack(name="negative", planes=1 - image)).warnings
        if "unlike" in warning
    )
    assert warning.startswith("is unlike what model 'small' learned from: asymmetry at ")
    assert f"negative: {warning}" in caplog.messages
