"""Statistics of distributions against NumPy, bin by bin."""

import jax.numpy as jnp
import numpy as np
import pytest

from isl.labeling import bins


def test_intensities_fall_into_the_nearest_bin() -> None:
    assert bins.to_bins(jnp.array([0.0, 0.4 / 255, 0.6 / 255, 1.0])).tolist() == [0, 0, 1, 255]


def test_running_sums_are_those_of_numpy() -> None:
    p = np.random.default_rng(0).random((3, 2, 256)).astype(np.float32)
    np.testing.assert_allclose(bins.cumulative(jnp.asarray(p)), np.cumsum(p, axis=-1), rtol=1e-5)


def test_statistics_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(1)
    logits = (3 * rng.normal(size=(50, 256))).astype(np.float32)
    given = bins.statistics(jnp.asarray(logits))
    assert tuple(given) == bins.STATISTICS
    intensities = np.arange(256) / 255
    for i, row in enumerate(logits.astype(np.float64)):
        p = np.exp(row - row.max())
        p /= p.sum()
        mean = (p * intensities).sum()
        expected = {
            "median": np.count_nonzero(np.cumsum(p) < 0.5) / 255,
            "mean": mean,
            "mode": row.argmax() / 255,
            "standard_deviation": np.sqrt((p * (intensities - mean) ** 2).sum()),
            "probability_nonzero": 1 - p[0],
            "entropy": -(p * np.log(p + 1e-7)).sum() / np.log(256),
        }
        for name, value in expected.items():
            assert given[name][i] == pytest.approx(value, abs=2e-6), name


@pytest.mark.parametrize("spread", [0.01, 1, 3, 30])
def test_mean_and_deviation_alone_are_what_they_are_among_others(spread: float) -> None:
    rng = np.random.default_rng(4)
    logits = (spread * rng.normal(size=(60, 256))).astype(np.float32)
    # Two that are certain of the darkest and of the brightest, and one that cannot tell the two.
    logits[:3] = -1000
    logits[0, 0], logits[1, 255], logits[2, [0, 255]] = 500, 500, 500
    names = ("standard_deviation", "mean")
    alone = bins.statistics(jnp.asarray(logits), names)
    assert tuple(alone) == names
    p = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    intensities = np.arange(256) / 255
    mean = p @ intensities
    deviation = np.sqrt((p * (intensities - mean[:, None]) ** 2).sum(axis=-1))
    np.testing.assert_allclose(alone["mean"], mean, atol=1e-6)
    np.testing.assert_allclose(alone["standard_deviation"], deviation, atol=3e-4)


def test_a_certain_pixel_has_no_spread() -> None:
    logits = jnp.zeros(256).at[100].set(100.0)
    found = bins.statistics(logits)
    for name in ("median", "mean", "mode"):
        assert found[name] == pytest.approx(100 / 255, abs=1e-6)
    assert found["standard_deviation"] == pytest.approx(0, abs=1e-6)
    assert found["entropy"] == pytest.approx(0, abs=1e-6)
    assert found["probability_nonzero"] == 1


def test_a_uniform_pixel_has_the_greatest_entropy() -> None:
    assert bins.statistics(jnp.zeros(256), ("entropy",))["entropy"] == pytest.approx(1, abs=1e-4)


def test_the_interval_holds_ninety_percent_of_probability_spread_over_bins() -> None:
    rng = np.random.default_rng(2)
    logits = (4 * rng.normal(size=(40, 256))).astype(np.float32)
    logits[0], logits[1] = 0, 0
    logits[1, 77] = 100
    given = np.asarray(bins.statistics(jnp.asarray(logits), ("interval_90",))["interval_90"])
    assert given[0] == pytest.approx(0.9 * 256 / 255, abs=1e-5)
    assert given[1] == pytest.approx(0.9 / 255, abs=1e-5)
    ends = (np.arange(257) - 0.5) / 255
    for row, width in zip(logits.astype(np.float64), given, strict=True):
        p = np.exp(row - row.max())
        reached = np.concatenate([[0], np.cumsum(p / p.sum())])
        low, high = np.interp((0.05, 0.95), reached, ends)
        assert width == pytest.approx(high - low, abs=1e-5)


def test_an_interpolated_median_halves_probability_spread_over_bins() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(256, 0.05), 40).astype(np.float32)
    p[0] = np.eye(256)[0]
    p[1] = np.eye(256)[255]
    given = bins.statistics_of(jnp.asarray(p), (bins.INTERPOLATED_MEDIAN, "median"))
    edges = (np.arange(257) - 0.5) / 255
    for row, found in zip(p.astype(np.float64), given[bins.INTERPOLATED_MEDIAN], strict=True):
        expected = np.interp(0.5, np.concatenate([[0], np.cumsum(row)]), edges)
        assert found == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)
    apart = np.abs(np.asarray(given[bins.INTERPOLATED_MEDIAN]) - np.asarray(given["median"]))
    assert apart.max() <= 0.501 / 255


def _logits_of_every_shape() -> np.ndarray:
    """Random ones, sharp and flat, single bins, and halves that blocks of bins end at."""
    rng = np.random.default_rng(4)
    scales = np.repeat([0.1, 1.0, 5.0, 30.0], 50)[:, None]
    single = np.full((256, 256), -60.0)
    np.fill_diagonal(single, 0.0)
    balanced = np.full((2000, 256), -60.0)
    for row in balanced:
        low, high = rng.choice(128, 4, replace=False), 128 + rng.choice(128, 4, replace=False)
        row[low] = values = rng.normal(size=4)
        row[high] = values[::-1]
    return np.concatenate([scales * rng.normal(size=(200, 256)), single, balanced])


def test_a_median_by_blocks_is_that_of_all_running_sums() -> None:
    logits = _logits_of_every_shape().astype(np.float32)
    name = bins.INTERPOLATED_MEDIAN
    found = np.asarray(bins.statistics(jnp.asarray(logits), (name,))[name])
    assert np.isfinite(found).all()
    edges = (np.arange(257) - 0.5) / 255
    exact = logits.astype(np.float64)
    p = np.exp(exact - exact.max(axis=1, keepdims=True))
    reached = np.cumsum(p / p.sum(axis=1, keepdims=True), axis=1)
    below, above = (
        np.array([np.interp(0.5 + off, np.append(0, row), edges) for row in reached])
        for off in (-1e-5, 1e-5)
    )
    # Where nothing lies between two halves, any place between them is a median.
    assert (found >= np.clip(below, 0, 1) - 1e-4).all()
    assert (found <= np.clip(above, 0, 1) + 1e-4).all()


def test_all_means_the_six() -> None:
    assert len(bins.STATISTICS) == 6
    assert not set(bins.STATISTICS) & set(bins.FURTHER_STATISTICS)
