"""Polarity models: what members are shown, what is stored, and that it is read back as it was."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from isl.backbones.resnet import ResNetConfig
from isl.errors import InputError
from isl.model_folder import CONFIG_FILE, WEIGHTS_FILE, arrays_of
from isl.polarity.classifier import build_classifier
from isl.polarity.model import (
    ARMS,
    EZRIN_FOLDER,
    PolarityConfig,
    channels_of,
    load_polarity_model,
    mean_of_orientations,
    middles_of,
    orientations,
    save_polarity_model,
    views_of,
)
from isl.polarity.view import standardized, view

BACKBONE = ResNetConfig(depth=10, width=4, stem="small")
SIZE = 16
CALLED = np.array([False, True, True])


def softmax(logits):
    exponents = np.exp(logits)
    return exponents / exponents.sum(-1, keepdims=True)


def make_members(count, channels):
    """As training leaves them: with an auxiliary head, and opinions."""
    members = [
        build_classifier(BACKBONE, channels, auxiliary=True, rngs=nnx.Rngs(seed))
        for seed in range(count)
    ]
    rng = np.random.default_rng(0)
    for member in members:
        for _, norm in nnx.iter_modules(member):
            if isinstance(norm, nnx.BatchNorm):
                norm.mean[...] = jnp.asarray(0.1 * rng.normal(size=norm.mean.shape), jnp.float32)
                norm.var[...] = jnp.asarray(1 + rng.random(norm.var.shape), jnp.float32)
        member.dense.kernel[...] = 3 * member.dense.kernel[...]
        member.eval()
    return members


def make_config(arm="dic+ezrin", members=2, **changes):
    given = {"name": "tiny", "backbone": BACKBONE, "size": SIZE, "window": 0.5}
    return PolarityConfig(arm=arm, members=members, ezrin="ezrin-aif", **{**given, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "tiny"
    config = make_config(embryos=("E1", "E2"), threshold=0.4)
    save_polarity_model(directory, make_members(2, 2), config, "# Tiny\n")
    return directory


@pytest.fixture(scope="module")
def model(folder):
    return load_polarity_model(folder)


def recording(frames=3, size=(48, 48), seed=0):
    """Frames and EZRIN of a bright disc off the middle, float32 [T, Y, X]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    disc = np.hypot(y - 20, x - 27) < 10
    dic = np.where(disc, rng.random((frames, *size)), 0.5).astype(np.float32)
    ezrin = (0.8 * disc + 0.05 * rng.random((frames, *size))).astype(np.float32)
    return dic, ezrin


@pytest.mark.parametrize(
    ("arm", "channels"),
    [
        ("dic", ("dic",)),
        ("ezrin", ("ezrin",)),
        ("dic+ezrin", ("dic", "ezrin")),
        ("measured", ("ezrin",)),
    ],
)
def test_channels_of_every_arm(arm, channels):
    assert channels_of(arm) == channels
    dic, ezrin = recording()
    middles = middles_of(ezrin)
    views = views_of(arm, dic, ezrin, middles, window=0.5, size=SIZE)
    assert views.shape == (3, SIZE, SIZE, len(channels))
    assert views.dtype == np.float32
    images = {"dic": dic, "ezrin": ezrin}
    for index, name in enumerate(channels):
        for t in range(3):
            expected = view(images[name][t], tuple(middles[t]), 0.5, SIZE)
            np.testing.assert_array_equal(views[t, :, :, index], expected)


def test_there_are_four_arms():
    assert ARMS == ("dic", "ezrin", "dic+ezrin", "measured")


def test_views_are_cut_where_ezrin_says_the_embryo_lies(model):
    dic, ezrin = recording()
    np.testing.assert_allclose(middles_of(ezrin), [[20, 27]] * 3, atol=0.5)
    views = standardized(model.views(dic, ezrin))
    both = np.roll(dic, (5, -9), (1, 2)), np.roll(ezrin, (5, -9), (1, 2))
    moved = standardized(model.views(*both))
    inside = (slice(None), slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(moved[inside], views[inside], atol=0.3)
    elsewhere = standardized(model.views(dic, np.roll(ezrin, 9, 2)))
    assert np.abs(elsewhere[inside] - views[inside]).max() > 1


def test_a_saved_model_is_read_back_bit_for_bit(folder, model):
    members = make_members(2, 2)
    for stored, member in zip(model.members, members, strict=True):
        member.auxiliary = None
        expected, found = arrays_of(member), arrays_of(stored)
        assert expected.keys() == found.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
    assert model.card == "# Tiny\n"
    assert (model.name, model.config.arm, model.config.threshold) == ("tiny", "dic+ezrin", 0.4)
    assert model.config.embryos == ("E1", "E2")
    assert model.config.backbone == BACKBONE


def test_arrays_are_named_by_member_and_auxiliary_heads_are_left_out(folder):
    names = set(safetensors.numpy.load_file(folder / WEIGHTS_FILE))
    assert {name.split("/")[0] for name in names} == {"members"}
    assert {name.split("/")[1] for name in names} == {"0", "1"}
    assert "members/1/dense/kernel" in names
    assert not any("auxiliary" in name for name in names)


def test_the_hash_is_that_of_the_weights(folder, model):
    assert model.hash == hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()


def test_saving_again_gives_the_same_bytes(folder, model, tmp_path):
    save_polarity_model(tmp_path / "again", model.members, model.config, model.card)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_every_member_speaks_for_itself(model):
    dic, ezrin = recording()
    plain = dataclasses.replace(model, config=make_config(symmetries=False))
    logits = plain.member_logits(dic, ezrin)
    assert logits.shape == (2, 3, 2)
    assert logits.dtype == np.float32
    views = standardized(plain.views(dic, ezrin))
    for member, said in zip(plain.members, logits, strict=True):
        alone = jax.jit(lambda seen, member=member: member(seen))(views)
        np.testing.assert_allclose(softmax(said), softmax(alone), rtol=1e-4, atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_brightness_matters_to_members_whose_views_are_not_standardized(model):
    dic, ezrin = recording()
    dimmed = 0.25 + 0.5 * dic, 0.2 + 0.3 * ezrin
    mixed = dataclasses.replace(model, config=make_config(standardize=(True, False)))
    for each, indifferent in ((model, (True, True)), (mixed, (True, False))):
        found, expected = each.member_logits(*dimmed), each.member_logits(dic, ezrin)
        differences = np.abs(found - expected).max(axis=(1, 2))
        assert tuple((differences < 2e-3).tolist()) == indifferent
    np.testing.assert_array_equal(
        mixed.member_logits(dic, ezrin)[0], model.member_logits(dic, ezrin)[0]
    )
    maps, mixed_maps = (each.activation_maps(dic, ezrin, CALLED) for each in (model, mixed))
    assert np.abs(maps - mixed_maps).max() > 1e-3


def test_the_number_of_frames_does_not_matter(model):
    views = np.random.default_rng(3).normal(size=(35, SIZE, SIZE, 2)).astype(np.float32)
    whole = model.logits_of_views(views)
    assert whole.shape == (2, 35, 2)
    parts = [model.logits_of_views(views[start : start + 7]) for start in range(0, 35, 7)]
    np.testing.assert_allclose(whole, np.concatenate(parts, axis=1), atol=1e-5)


def test_a_turned_or_mirrored_recording_says_the_same(model):
    dic, ezrin = recording()
    expected = softmax(model.member_logits(dic, ezrin))
    for turn in (lambda a: np.rot90(a, 1, (1, 2)), lambda a: a[:, :, ::-1]):
        found = softmax(model.member_logits(turn(dic), turn(ezrin)))
        np.testing.assert_allclose(found, expected, atol=1e-3)
    plain = dataclasses.replace(model, config=make_config(symmetries=False))
    turned = plain.member_logits(np.rot90(dic, 1, (1, 2)), np.rot90(ezrin, 1, (1, 2)))
    assert np.abs(turned - plain.member_logits(dic, ezrin)).max() > 1e-3


def test_the_eight_orientations_are_all_there_are():
    views = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    seen = {each.tobytes() for each in map(np.ascontiguousarray, orientations(views))}
    assert len(seen) == 8
    assert views.tobytes() in seen
    assert views.transpose(0, 2, 1, 3).copy().tobytes() in seen


def test_orientations_are_averaged_as_probabilities():
    logits = [np.array([[0.0, np.log(3.0)]]), np.array([[np.log(3.0), 0.0]]), np.zeros((1, 2))]
    np.testing.assert_allclose(softmax(mean_of_orientations(logits)), [[0.5, 0.5]], rtol=1e-6)
    logits = [np.array([[0.0, np.log(3.0)]]), np.array([[0.0, 0.0]])]
    np.testing.assert_allclose(softmax(mean_of_orientations(logits)), [[0.375, 0.625]], rtol=1e-6)
    certain = mean_of_orientations([np.array([[-500.0, 500.0]])] * 2)
    assert np.isfinite(certain).all()


def test_activation_is_where_the_view_was_cut(model):
    dic, ezrin = recording()
    maps = model.activation_maps(dic, ezrin, CALLED)
    assert maps.shape == dic.shape
    assert maps.dtype == np.float32
    # The view is 24 pixels wide, around (20, 27).
    seen = np.zeros(dic.shape[1:], bool)
    seen[8:33, 15:40] = True
    assert not maps[:, ~seen].any()
    assert (np.abs(maps[:, 10:30, 17:37]).max(axis=(1, 2)) > 0).all()


def test_activation_is_of_the_weights_of_the_class_that_each_frame_is_called(model):
    """The paper's weighted sum over the features, by hand, whatever the ensemble itself thinks."""
    dic, ezrin = recording()
    plain = dataclasses.replace(model, config=make_config(symmetries=False))
    before, after, mixed = (
        plain.activation_maps(dic, ezrin, np.array(called))
        for called in ([False] * 3, [True] * 3, [False, True, False])
    )
    np.testing.assert_array_equal(mixed, np.stack([before[0], after[1], before[2]]))
    views = standardized(plain.views(dic, ezrin))
    for called, found in ((0, before), (1, after)):
        by_hand = np.mean(
            [
                np.asarray(jax.jit(member.backbone.features)(views))
                @ np.asarray(member.dense.kernel[:, called])
                for member in plain.members
            ],
            axis=0,
        )
        # Enlarging keeps the mean but for the border; the view is 24 of 48 pixels wide.
        inside = found[:, 8:32, 15:39].mean(axis=(1, 2))
        np.testing.assert_allclose(inside, by_hand.mean(axis=(1, 2)), rtol=0.15, atol=0.02)
    difference = plain.activation_maps(dic, ezrin, np.array([True] * 3), difference=True)
    np.testing.assert_allclose(difference, after - before, atol=1e-5)
    opposite = plain.activation_maps(dic, ezrin, np.array([False] * 3), difference=True)
    np.testing.assert_allclose(opposite, -difference, atol=1e-5)


def test_activation_of_a_turned_recording_is_turned(model):
    """Where all orientations are looked at, each map is turned back before the mean."""
    dic, ezrin = recording(size=(48, 48))
    maps = model.activation_maps(dic, ezrin, CALLED)
    for turn in (lambda a: np.rot90(a, 1, (1, 2)), lambda a: a[:, :, ::-1]):
        turned = model.activation_maps(turn(dic), turn(ezrin), CALLED)
        inside = (slice(None), slice(8, 40), slice(8, 40))
        close = np.corrcoef(turned[inside].ravel(), turn(maps)[inside].ravel())[0, 1]
        assert close > 0.97
        assert np.corrcoef(turned[inside].ravel(), maps[inside].ravel())[0, 1] < close


def test_activation_at_the_border_is_cut_like_the_view(model):
    dic, ezrin = recording()
    shift = (-18, 20)
    dic, ezrin = (np.roll(image, shift, (1, 2)) for image in (dic, ezrin))
    ezrin[:, 30:] = ezrin[:, :, :15] = 0
    maps = model.activation_maps(dic, ezrin, CALLED)
    assert maps.shape == dic.shape
    assert maps[:, :10, 38:].any(axis=(1, 2)).all()
    assert not maps[:, 24:].any()


def save_one(directory, arm, **changes):
    channels = len(channels_of(arm))
    config = make_config(arm, 1, **changes)
    save_polarity_model(directory, make_members(1, channels), config, "# Tiny")
    return load_polarity_model(directory)


@pytest.mark.parametrize(("arm", "blind_to"), [("dic", 1), ("ezrin", 0)])
def test_an_arm_of_one_channel_is_blind_to_the_other(tmp_path, arm, blind_to):
    """But for where the embryo lies, which EZRIN always says."""
    model = save_one(tmp_path / arm, arm, symmetries=False)
    seen = list(recording())
    expected = model.member_logits(*seen)
    seen[blind_to] = 0.5 * seen[blind_to] ** 2 if blind_to else 1 - seen[blind_to] ** 2
    np.testing.assert_allclose(model.member_logits(*seen), expected, atol=1e-5)
    other = recording(seed=5)
    seen = list(recording())
    seen[1 - blind_to] = other[1 - blind_to]
    assert np.abs(model.member_logits(*seen) - expected).max() > 1e-5


def test_a_model_brings_its_ezrin_model_or_names_a_bundled_one(
    folder, model, ezrin_model, tmp_path
):
    assert model.ezrin_model().name == "ezrin-aif"
    config = make_config().model_copy(update={"ezrin": None})
    save_polarity_model(tmp_path / "own", make_members(2, 2), config, "# Own")
    with pytest.raises(InputError, match=r"holds no folder 'ezrin', the model that predicts EZRIN"):
        load_polarity_model(tmp_path / "own")
    target = tmp_path / "own" / EZRIN_FOLDER
    target.mkdir()
    for path in ezrin_model.directory.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    assert load_polarity_model(tmp_path / "own").ezrin_model().name == "tiny-ezrin"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('arm = "dic+ezrin"', 'arm = "dic"', "has another shape"),
        ('arm = "dic+ezrin"', 'arm = "dic-ezrin"', r"model\.toml: arm: Input should be"),
        ("members = 2", "members = 3", "variable 'members/2/.*' is missing"),
        ("members = 2", "members = 1", "variable 'members/1/.*' belongs to no part"),
        ("depth = 10", "depth = 11", r"model\.toml"),
        ('kind = "polarity"', 'kind = "labeling"', "is a model of kind 'labeling', not 'polarity'"),
        ("size = 16", "sizes = 16", r"unknown key 'sizes'; did you mean 'size'"),
    ],
)
def test_a_folder_that_was_tampered_with_is_refused(folder, tmp_path, old, new, message):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / CONFIG_FILE).read_text()
    assert old in text
    (tmp_path / CONFIG_FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_polarity_model(tmp_path)


def test_damaged_weights_are_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = bytearray((tmp_path / WEIGHTS_FILE).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / WEIGHTS_FILE).write_bytes(damaged)
    with pytest.raises(InputError, match=r"weights\.safetensors: is damaged or was changed"):
        load_polarity_model(tmp_path)


def test_no_such_model():
    with pytest.raises(InputError, match="unknown model 'polarty'"):
        load_polarity_model("polarty")
