import numpy as np
import pytest

from isl.tiling.geometry import Geometry
from isl_train.labeling.ground import ValidationField
from isl_train.labeling.validation import validate

GEOMETRY = Geometry(margin=2, step=2, smallest=6)


def _field(seed: int, region, size: int = 30) -> ValidationField:
    rng = np.random.default_rng(seed)
    shape = tuple(high - low for low, high in region)
    return ValidationField(
        name=f"field{seed}",
        transmitted=rng.random((1, size, size), dtype=np.float32),
        region=region,
        targets=rng.random((2, *shape), dtype=np.float32),
        measured=rng.random((2, *shape)) < 0.7,
    )


def _cross_sum(transmitted, targets, measured):
    """A stand-in for a network: label 0 is what lies 2 pixels around, label 1 the pixel itself."""
    image = transmitted[..., 0]
    around = (
        image[:, :-4, 2:-2] + image[:, 4:, 2:-2] + image[:, 2:-2, :-4] + image[:, 2:-2, 4:]
    ) / 4
    mean = np.stack([around, image[:, 2:-2, 2:-2]], axis=-1)
    errors = np.where(measured, np.abs(mean - targets), 0).sum(axis=(0, 1, 2))
    counts = measured.sum(axis=(0, 1, 2))
    return {"mean": mean, "median": mean**2, "sums": errors, "counts": counts}


@pytest.mark.parametrize("tile", [2, 6, 100])
def test_any_tiling_gives_what_the_whole_region_gives(tile: int) -> None:
    fields = [_field(0, ((0, 30), (0, 30))), _field(1, ((7, 20), (3, 30)))]
    evaluation = validate(_cross_sum, GEOMETRY, fields, ("A", "B"), tile=tile, pictures=True)
    predicted = []
    for field in fields:
        padded = np.pad(field.transmitted, ((0, 0), (2, 2), (2, 2)), mode="reflect")
        (y0, y1), (x0, x1) = field.region
        window = padded[None, 0, y0 : y1 + 4, x0 : x1 + 4, None]
        empty = np.zeros((1, y1 - y0, x1 - x0, 2))
        predicted.append(np.moveaxis(_cross_sum(window, empty, empty > 0)["mean"][0], -1, 0))
    for index, label in enumerate("AB"):
        pairs = [
            (p[index][f.measured[index]], f.targets[index][f.measured[index]])
            for p, f in zip(predicted, fields, strict=True)
        ]
        mean, truth = (np.concatenate(part) for part in zip(*pairs, strict=True))
        expected = np.corrcoef(mean, truth)[0, 1]
        assert evaluation.metrics[f"pearson_mean/{label}"] == pytest.approx(expected, abs=1e-6)
        squared = np.corrcoef(mean**2, truth)[0, 1]
        assert evaluation.metrics[f"pearson_median/{label}"] == pytest.approx(squared, abs=1e-6)
        error = np.abs(mean - truth).mean()
        assert evaluation.metrics[f"cross_entropy/{label}"] == pytest.approx(error, rel=1e-5)
    single = [evaluation.metrics[f"pearson_mean/{label}"] for label in "AB"]
    assert evaluation.metrics["pearson_mean"] == pytest.approx(np.mean(single))
    # A row a label: measured and predicted, enlarged by a whole factor, each with its title above.
    factor = 512 // 27
    height, width, _ = evaluation.pictures["field1"].shape
    assert height > 2 * 13 * factor
    assert width > 2 * 27 * factor


def test_a_label_measured_nowhere_has_no_score_and_no_part_in_the_mean() -> None:
    field = _field(0, ((0, 30), (0, 30)))
    field.measured[1] = False
    metrics = validate(_cross_sum, GEOMETRY, [field], ("A", "B"), tile=10, pictures=False).metrics
    assert np.isnan(metrics["pearson_mean/B"])
    assert np.isnan(metrics["cross_entropy/B"])
    assert metrics["pearson_mean"] == metrics["pearson_mean/A"]
