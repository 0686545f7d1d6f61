import dataclasses
import math

import numpy as np
import pytest

from isl.errors import InputError
from isl_eval.metrics.pixel_figures import pixel_figures

rng = np.random.default_rng(0)
TRUE = rng.random((23, 31))
PREDICTED = np.clip(0.7 * TRUE + 0.1 + 0.05 * rng.standard_normal(TRUE.shape), 0, 1)


def test_each_figure_is_what_its_name_says():
    figures = pixel_figures(TRUE, PREDICTED)
    x, y = TRUE.ravel(), PREDICTED.ravel()
    square = np.mean((x - y) ** 2)
    slope = np.mean((x - x.mean()) * (y - y.mean())) / x.var()
    assert figures.pearson == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert figures.pearson_sampled == figures.pearson
    assert figures.mae == pytest.approx(np.mean(np.abs(x - y)))
    assert figures.nrmse == pytest.approx(math.sqrt(square) / (x.max() - x.min()))
    assert figures.psnr == pytest.approx(-10 * math.log10(square))
    assert figures.slope == pytest.approx(slope)
    assert figures.intercept == pytest.approx(y.mean() - slope * x.mean())
    assert (figures.pixels, figures.notes) == (TRUE.size, ())


def test_similarity_of_the_middle_as_by_hand():
    # An 11 x 11 image has one window that lies within it.
    true, predicted = TRUE[:11, :11], PREDICTED[:11, :11]
    steps = np.arange(-5, 6)
    bell = np.exp(-(steps**2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    mean = [(weights * each).sum() for each in (true, predicted)]
    variance = [
        (weights * each**2).sum() - m**2 for each, m in zip((true, predicted), mean, strict=True)
    ]
    shared = (weights * true * predicted).sum() - mean[0] * mean[1]
    c1, c2 = 0.01**2, 0.03**2
    by_hand = ((2 * mean[0] * mean[1] + c1) * (2 * shared + c2)) / (
        (mean[0] ** 2 + mean[1] ** 2 + c1) * (sum(variance) + c2)
    )
    assert pixel_figures(true, predicted).ssim == pytest.approx(by_hand)


def test_foreground_is_what_otsu_parts():
    true = np.full((20, 20), 0.1)
    true[5:12, 5:12] = 0.8 + 0.1 * rng.random((7, 7))
    predicted = rng.random((20, 20))
    predicted[5:12, 5:12] = 1 - true[5:12, 5:12]
    assert pixel_figures(true, predicted).foreground_pearson == pytest.approx(-1)


def test_what_the_mask_leaves_out_has_no_part_in_any_figure():
    mask = np.ones(TRUE.shape, bool)
    mask[:, 19:] = False
    spoiled = np.where(mask, TRUE, 1.0), np.where(mask, PREDICTED, np.nan)
    masked = pixel_figures(*spoiled, mask)
    assert masked == pixel_figures(TRUE, PREDICTED, mask)
    cut = pixel_figures(TRUE[:, :19], PREDICTED[:, :19])
    for name, value in dataclasses.asdict(cut).items():
        assert getattr(masked, name) == (value if name == "notes" else pytest.approx(value))


def test_pixels_are_drawn_by_seed():
    one, again, other = (
        pixel_figures(TRUE, PREDICTED, samples=40, seed=seed).pearson_sampled for seed in (1, 1, 2)
    )
    assert one == again != other
    assert abs(one - pixel_figures(TRUE, PREDICTED).pearson) < 0.05


def test_identical_images():
    figures = pixel_figures(TRUE, TRUE)
    assert (figures.pearson, figures.ssim, figures.mae, figures.nrmse) == pytest.approx(
        (1, 1, 0, 0)
    )
    assert figures.psnr is None
    assert any("identical" in note for note in figures.notes)


def test_constant_images_have_reasons_in_place_of_figures():
    flat = np.full(TRUE.shape, 0.25)
    figures = pixel_figures(TRUE, flat)
    assert (figures.pearson, figures.pearson_sampled, figures.foreground_pearson) == (None,) * 3
    assert (figures.slope, figures.intercept) == pytest.approx((0, 0.25))
    assert figures.notes[0].startswith("the predicted image is constant")
    figures = pixel_figures(flat, PREDICTED)
    assert (figures.pearson, figures.nrmse, figures.slope, figures.intercept) == (None,) * 4
    assert figures.mae is not None
    assert figures.notes[0].startswith("the true image is constant")


def test_a_mask_that_leaves_nothing():
    figures = pixel_figures(TRUE, PREDICTED, np.zeros(TRUE.shape, bool))
    values = dataclasses.asdict(figures)
    assert values.pop("notes") == ("no pixel counts: nothing is defined",)
    assert values.pop("pixels") == 0
    assert set(values.values()) == {None}


def test_an_image_smaller_than_a_window():
    figures = pixel_figures(TRUE[:10], PREDICTED[:10])
    assert figures.ssim is None
    assert "11 x 11" in figures.notes[0]
    assert figures.pearson is not None


def test_differing_sizes_are_refused():
    with pytest.raises(InputError, match="23 x 31 pixels, the predicted image 22 x 31"):
        pixel_figures(TRUE, PREDICTED[:-1])
