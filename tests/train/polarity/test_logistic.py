"""Logistic regressions on a pretrained encoder: that they fit, and what their folder says."""

import dataclasses

import numpy as np
import pytest
from simulated_embryos import make_embryo

from isl.config import parse
from isl.errors import InputError
from isl.polarity.model import load_polarity_model, width_of
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.ensemble import tell_whose_ezrin, train_ensemble
from isl_train.polarity.logistic import (
    alike,
    calibrate,
    features_of,
    fit_members,
    held_out,
    held_out_figures,
    logistic_regression,
    probabilities,
)

EMBRYOS = [make_embryo(name, onset) for name, onset in (("A", 2), ("B", 4), ("C", 3), ("D", 3))]
EZRIN = {embryo.name: embryo.measured for embryo in EMBRYOS}
LOOKS = [{"stride": 4, "pool": "mean"}, {"stride": 4, "pool": "deviation"}]


def make_experiment(**tables) -> PolarityExperiment:
    given = {
        "task": "polarity",
        "dataset": "manifest.toml",
        "arm": "dic+ezrin",
        "rule": "posterior",
        "ezrin": {"experiment": "ezrin.toml", "model": "ezrin-aif"},
        "backbone": {"kind": "pretrained", "looks": LOOKS},
        "penalty": 1.0,
        "sight": {"size": 48, "window": 1.0, "centred": False},
        **tables,
    }
    return parse(given, PolarityExperiment, source="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs")
    return train_ensemble(make_experiment(), EMBRYOS, EZRIN, workdir, name="tiny")


def test_the_slope_is_that_of_the_least_loss() -> None:
    """Two points, by hand: at the minimum the pull of the data is that of the penalty."""
    read = np.array([[-1.0], [1.0]])
    found = logistic_regression(read, np.array([False, True]), np.ones(2), penalty=0.5)
    assert found.offset == pytest.approx(0, abs=1e-6)
    slope = found.slope
    # Of 2 log(1 + exp(-w)) + w^2 / 4.
    assert 2 / (1 + np.exp(slope[0])) == pytest.approx(0.5 * slope[0], rel=1e-3)


def test_units_of_a_feature_change_nothing() -> None:
    rng = np.random.default_rng(0)
    read, after = rng.normal(size=(40, 3)), rng.random(40) > 0.5
    scale, shift = np.array([3.0, 0.01, 100.0]), np.array([5.0, 0.0, -20.0])
    one = logistic_regression(read, after, np.ones(40), 10.0)
    other = logistic_regression(read * scale + shift, after, np.ones(40), 10.0)
    said = read @ one.slope + one.offset
    again = (read * scale + shift) @ other.slope + other.offset
    np.testing.assert_allclose(again, said, atol=1e-3)


def test_both_classes_of_an_embryo_weigh_alike() -> None:
    weights = alike(np.array([False, True, True, True]))
    np.testing.assert_allclose(weights, [1, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(alike(np.zeros(4, bool)), np.full(4, 1 / 4))


def test_what_was_learned_holds_for_an_embryo_that_nobody_saw(folder) -> None:
    model = load_polarity_model(folder)
    unseen = make_embryo("unseen", 3)
    logits = model.member_logits(unseen.dic, unseen.measured)
    assert logits.shape == (2, 6, 2)
    np.testing.assert_array_equal(logits.mean(axis=0)[:, 1] > 0, unseen.after)


def test_the_folder_says_what_looked_and_how_intervals_were_calibrated(folder) -> None:
    config = load_polarity_model(folder).config
    assert (config.members, config.rule, config.centred) == (2, "posterior", False)
    assert config.calibration is not None
    assert config.calibration.embryos == 4
    assert config.for_intervals == {
        "temper": config.calibration.temper,
        "spread": config.calibration.spread,
    }
    card = load_polarity_model(folder).card
    assert "mean at stride 4, deviation at stride 4" in card
    assert "4 embryos, each held out in turn" in card
    assert "| onset error, frames |" in card


def test_maps_say_where_the_members_read_what_they_say(folder) -> None:
    """The mean of a map is what the member says, but for its bias; seen unturned."""
    model = load_polarity_model(folder)
    embryo = make_embryo("unseen", 3)
    maps = model.activation_maps(embryo.dic, embryo.measured, embryo.after)
    assert maps.shape == embryo.dic.shape
    assert model.frozen is not None
    views = model.views(embryo.dic, embryo.measured)
    kernels = [np.asarray(member.kernel[...]) for member in model.members]
    places = model.frozen.contributions(views, kernels)
    both = np.stack([views, views[:, ::-1, ::-1]])
    features = [model.frozen.of_views(seen) for seen in both]
    said = np.mean(
        [f @ k for looks in features for f, k in zip(looks, kernels, strict=True)], axis=0
    )
    turned = np.mean(
        [model.frozen.contributions(seen, kernels).mean(axis=(1, 2)) for seen in both], axis=0
    )
    assert places.shape == (6, 12, 12, 2)
    np.testing.assert_allclose(turned, said, atol=1e-3)


def in_wider_field(images, scale):
    """float [T, Y, X] amid as much again on each side, a pixel becoming scale x scale."""
    side = images.shape[1]
    wide = np.pad(images, ((0, 0), (side // 2, side // 2), (side // 2, side // 2)))
    return wide.repeat(scale, axis=1).repeat(scale, axis=2)


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    """Trained where a pixel is 0.5 um."""
    known = [dataclasses.replace(embryo, pixel_size=0.5) for embryo in EMBRYOS]
    workdir = tmp_path_factory.mktemp("scaled")
    return load_polarity_model(train_ensemble(make_experiment(), known, EZRIN, workdir, name="um"))


@pytest.mark.parametrize("scale", [1, 2])
def test_views_are_as_wide_in_micrometres_whatever_the_pixel(scaled, scale) -> None:
    embryo = make_embryo("unseen", 3)
    assert scaled.config.width == embryo.dic.shape[2] * 0.5
    plain = scaled.views(embryo.dic, embryo.measured)
    images = [in_wider_field(each, scale) for each in (embryo.dic, embryo.measured)]
    # The embryo's middle is found to a fraction of a pixel; reducing pixels that are alike is, but
    # for interpolation, the pixels again.
    limit = 0.005 if scale == 1 else 0.15
    assert np.abs(scaled.views(*images, 0.5 / scale) - plain).mean() < limit
    assert np.abs(scaled.views(*images) - plain).mean() > 0.2
    maps = scaled.activation_maps(*images, embryo.after, pixel_size=0.5 / scale)
    quarter = images[0].shape[1] // 4
    assert np.abs(maps[:, quarter:-quarter, quarter:-quarter]).max() > 0
    maps[:, quarter:-quarter, quarter:-quarter] = 0
    assert not maps.any()


def test_an_embryo_off_the_middle_of_a_wider_field_is_looked_at(scaled) -> None:
    embryo = make_embryo("unseen", 3)
    plain = scaled.views(embryo.dic, embryo.measured)
    images = [
        np.roll(in_wider_field(i, 1), (20, -18), (1, 2)) for i in (embryo.dic, embryo.measured)
    ]
    seen = scaled.views(*images, 0.5)
    # Within a pixel of where it was.
    assert np.abs(seen - plain).mean() < 0.15
    at_the_middle = scaled.views(images[0], np.zeros_like(images[1]), 0.5)
    assert np.abs(at_the_middle - plain).mean() > 0.2


def test_a_pixel_size_that_leaves_too_little_in_the_frame_is_refused(scaled) -> None:
    embryo = make_embryo("unseen", 3)
    with pytest.raises(
        InputError, match=r"48 pixels of 0\.1 um .* 4\.8 um .* looks at 24 um; corr"
    ):
        scaled.member_logits(embryo.dic, embryo.measured, 0.1)


def test_no_width_is_learned_where_one_pixel_size_is_unknown(folder) -> None:
    assert load_polarity_model(folder).config.width is None
    sizes = [(48, 0.5), (96, 0.5), (48, 1.0)]
    assert width_of(0.5, sizes) == 24
    assert width_of(0.5, [*sizes, (48, None)]) is None


@pytest.mark.parametrize(
    ("names", "measured", "told"),
    [("AB", True, True), ("AB", False, False), (["E016"], True, False)],
)
def test_own_embryos_whose_ezrin_another_model_shows_are_told_of(names, measured, told) -> None:
    said: list[str] = []
    embryos = [make_embryo(name, 2, measured=measured) for name in names]
    tell_whose_ezrin("ezrin-aif", embryos, said.append)
    assert ["learned from none of these embryos" in line for line in said] == [True] * told


def test_what_looks_like_nothing_it_knows_is_refused(folder) -> None:
    model = load_polarity_model(folder)
    known = make_embryo("unseen", 3)
    assert model.unfamiliar(known.dic, known.measured) is None
    stripes = np.tile(np.arange(48) % 8 < 4, (6, 48, 1)).astype(np.float32)
    refused = model.unfamiliar(stripes, stripes)
    assert refused is not None
    assert "do not look like" in refused


def test_nobody_is_held_out_of_two() -> None:
    features = features_of(make_experiment(), EMBRYOS, EZRIN)
    assert held_out(EMBRYOS[:2], features, 1.0) == {}


def test_figures_are_of_embryos_that_members_were_fitted_without() -> None:
    features = features_of(make_experiment(), EMBRYOS, EZRIN)
    held = held_out(EMBRYOS, features, 1.0)
    assert list(held) == ["A", "B", "C", "D"]
    without = fit_members(EMBRYOS[1:], features, 1.0)
    expected = probabilities(
        np.stack([m.logits(f) for m, f in zip(without, features["A"], strict=True)])
    )
    np.testing.assert_allclose(held["A"].members, expected, atol=1e-6)
    assert calibrate(list(held.values())).spread >= 1
    figures = held_out_figures(list(held.values()), "posterior")
    assert figures["AUC per frame"] > 0.9
    assert figures["onset error, frames"] < 1


def test_frames_of_one_kind_are_refused() -> None:
    embryo = make_embryo("early", None)
    features = {"early": [np.zeros((6, 2))]}
    with pytest.raises(InputError, match="before the onset"):
        fit_members([embryo], features, 1.0)


def test_a_pretrained_backbone_has_no_optimizer_and_a_member_for_every_look() -> None:
    assert make_experiment().members == 2
    with pytest.raises(InputError, match="optimizer has no say"):
        make_experiment(optimizer={"kind": "adam"})
    with pytest.raises(InputError, match="has 2 looks"):
        make_experiment(members=3)


def test_probabilities_are_those_of_two_classes() -> None:
    logits = np.log(np.array([[[0.2, 0.8], [0.5, 0.5]]], np.float32))
    np.testing.assert_allclose(probabilities(logits), [[0.8, 0.5]], rtol=1e-6)
