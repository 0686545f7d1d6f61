"""Figures from sums over blocks: the same as those of whole images, and drawn by group or block."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.special
from simulated_labeling import blobs

from isl_eval.labeling.blocks import (
    FIGURES,
    SPECTRAL,
    block_rows,
    constant_scores,
    differences,
    intervals,
    joined,
    spectral_blocks,
    spectral_intervals,
    spectral_of,
    with_all_columns,
)
from isl_eval.labeling.distributions import DistributionFigures
from isl_eval.labeling.ground import to_bins
from isl_eval.labeling.judge import scores_of_histogram
from isl_eval.labeling.predictions import BLOCK, _Blocks
from isl_eval.metrics.pixel_figures import pixel_figures
from isl_eval.metrics.spectral import spectral_correlation
from isl_eval.statistics.bootstrap import Resampling

SIZE = (150, 140)


def images(seed, size=SIZE):
    rng = np.random.default_rng(seed)
    true = blobs(seed, size, count=30)
    predicted = np.clip(0.7 * true + 0.1 + 0.05 * rng.normal(size=size), 0, 1)
    mask = rng.random(size) < 0.999
    mask[:40, :50] = False
    return true, predicted.astype(np.float32), mask


def rows_of(seed, *, field="a", group="g", distributions=None, size=SIZE):
    return block_rows(*images(seed, size), distributions or {}, field=field, group=group)


def test_one_field_has_the_figures_of_its_image():
    true, predicted, mask = images(0)
    whole = pixel_figures(true, predicted, mask)
    rows = rows_of(0)
    assert rows.sums.shape[0] == math.prod(-(-n // BLOCK) for n in SIZE)
    for name in ("pearson", "foreground_pearson", "mae", "nrmse", "ssim", "psnr"):
        assert rows.figures[name] == pytest.approx(getattr(whole, name), rel=1e-6), name
    assert tuple(rows.figures) == FIGURES
    assert rows.figures["cross_entropy"] is None


def test_the_median_image_is_judged_beside_the_one_that_is_shown():
    true, predicted, mask = images(6)
    median = np.clip(predicted + 0.05 * np.random.default_rng(1).normal(size=SIZE), 0, 1)
    given = {"field": "a", "group": "g", "median": median.astype(np.float32)}
    figures = block_rows(true, predicted, mask, {}, **given).figures
    assert figures["pearson"] == rows_of(6).figures["pearson"]
    expected = np.corrcoef(true[mask], median[mask])[0, 1]
    assert figures["pearson_median"] == pytest.approx(expected, rel=1e-5)
    assert figures["pearson_median"] < figures["pearson"]
    assert rows_of(6).figures["pearson_median"] is None


def test_rows_that_were_kept_before_medians_were_judged_are_read():
    rows = rows_of(7)
    kept = with_all_columns(rows.sums[:, :-4])
    assert kept.shape == rows.sums.shape
    assert dataclasses.replace(rows, sums=kept).figures == rows.figures


def test_several_fields_are_judged_over_all_their_pixels():
    parts = [rows_of(seed, field=str(seed), group=str(seed)) for seed in (1, 2)]
    pixels = [
        [image[mask] for image in (true, predicted)]
        for true, predicted, mask in (images(1), images(2))
    ]
    true, predicted = (np.concatenate(each) for each in zip(*pixels, strict=True))
    figures = joined(parts).figures
    assert figures["pearson"] == pytest.approx(np.corrcoef(true, predicted)[0, 1], rel=1e-6)
    error = math.sqrt(np.mean((true.astype(float) - predicted) ** 2))
    assert figures["nrmse"] == pytest.approx(error / np.ptp(true), rel=1e-6)
    assert joined(parts).within(["1"], "groups").figures["mae"] == parts[0].figures["mae"]


def test_distributions_of_blocks_add_up_to_those_of_the_field():
    true, predicted, mask = images(3)
    rng = np.random.default_rng(0)
    mask &= rng.random(SIZE) < 0.2
    log_p = scipy.special.log_softmax(rng.normal(size=(*SIZE, 256)), axis=-1).astype(np.float32)

    class Strip:
        def __init__(self, size):
            self.lands = np.arange(size)

    blocks = _Blocks(0)
    blocks.add(log_p, true, mask, (Strip(SIZE[0]), Strip(SIZE[1])))
    assert set(blocks.sums) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    found = block_rows(true, predicted, mask, blocks.sums, field="a", group="g").figures
    whole = DistributionFigures()
    whole.add(log_p[mask], true[mask])
    result = whole.result()
    assert found["cross_entropy"] == pytest.approx(result.cross_entropy)
    assert found["ranked_probability_score"] == pytest.approx(result.ranked_probability_score)
    assert found["sharpness"] == pytest.approx(result.sharpness)
    # Places within bins are drawn, so coverage is the same up to that.
    assert found["coverage_90"] == pytest.approx(result.coverage[0.9], abs=0.02)


def test_a_constant_prediction_has_an_error_and_no_correlation():
    true, _, mask = images(4)
    rows = block_rows(true, np.full(SIZE, 0.2437), mask, {}, field="a", group="g")
    assert rows.figures["pearson"] is None
    assert rows.figures["foreground_pearson"] is None
    assert rows.figures["mae"] == pytest.approx(np.abs(true[mask] - 0.2437).mean(), rel=1e-6)


def test_the_histogram_as_a_distribution_scores_its_entropy():
    true, _, mask = images(5)
    bins = to_bins(true)
    histogram = np.bincount(bins[mask], minlength=256)
    rows = block_rows(true, np.full(SIZE, true.mean()), mask, {}, field="a", group="g")
    scores = scores_of_histogram(histogram)
    figures = constant_scores(rows, bins, mask, scores).figures
    p = histogram[histogram > 0] / histogram.sum()
    assert figures["cross_entropy"] == pytest.approx(-(p * np.log(p)).sum() / math.log(256))
    cumulative = np.cumsum(histogram) / histogram.sum()
    slow = np.mean([np.mean((cumulative - (np.arange(256) >= t)) ** 2) for t in bins[mask][:500]])
    table = scores[1][bins[mask][:500]].mean()
    assert table == pytest.approx(slow)
    assert figures["coverage_90"] is None


def test_groups_are_drawn_where_there_are_five_and_blocks_where_there_are_fewer():
    few = joined([rows_of(n, field=str(n), group=str(n % 4)) for n in range(5)])
    many = joined([rows_of(n, field=str(n), group=str(n)) for n in range(5)])
    drawing = Resampling(replicates=40, level=0.9)
    assert (few.over, many.over) == ("blocks", "groups")
    assert intervals(few, drawing)["pearson"].units == len(few.fields) == 20
    found = intervals(many, drawing)["pearson"]
    assert found.units == 5
    assert found.low <= found.estimate <= found.high


def test_frequencies_are_summed_by_block_and_drawn_as_the_other_figures():
    drawing = Resampling(replicates=40, level=0.9)
    parts = [rows_of(n, field=str(n), group=str(n)) for n in range(5)]
    sums = [spectral_blocks(*images(n)) for n in range(5)]
    assert [len(each) for each in sums] == [len(each.fields) for each in parts]
    for number, of_field in enumerate(sums):
        bands = spectral_correlation(*images(number))
        values = [band.correlation for band in bands]
        assert list(spectral_of(of_field.sum(axis=0)).values()) == pytest.approx(values)
    every, few = slice(5), slice(2)
    for chosen, units in ((every, 5), (few, 8)):
        rows, stacked = joined(parts[chosen]), np.concatenate(sums[chosen])
        found = spectral_intervals(rows, stacked, drawing)
        assert tuple(found) == SPECTRAL
        coarse = found["spectral_1"]
        assert coarse.estimate == spectral_of(stacked.sum(axis=0))["spectral_1"]
        assert coarse.units == units == intervals(rows, drawing)["pearson"].units
        assert coarse.low < coarse.estimate < coarse.high
    alone = spectral_intervals(parts[0], sums[0], drawing)["spectral_1"]
    assert (alone.low, alone.note) == (None, "no interval: 4 rows are too few")


def test_fewer_than_five_blocks_bound_nothing():
    rows = rows_of(8)
    drawing = Resampling(replicates=40, level=0.95)
    for found in (
        intervals(rows, drawing),
        differences(rows, rows, drawing),
    ):
        assert found["pearson"].estimate is not None
        assert (found["pearson"].low, found["pearson"].high) == (None, None)
        assert found["pearson"].note == "no interval: 4 rows are too few"


def test_differences_are_of_the_same_blocks():
    first, second = joined([rows_of(6), rows_of(9)]), rows_of(7, size=(100, 100))
    drawing = Resampling(replicates=20, level=0.9)
    same = differences(first, first, drawing)
    assert (same["pearson"].estimate, same["pearson"].low, same["mae"].high) == (0, 0, 0)
    assert same["cross_entropy"].estimate is None
    with pytest.raises(ValueError, match="same blocks"):
        differences(first, second, drawing)
