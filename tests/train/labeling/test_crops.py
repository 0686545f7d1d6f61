import dataclasses

import numpy as np
import pytest

from isl.tiling.geometry import Geometry
from isl_train.labeling.crops import Cropper, TrainingField, bounding_box

GEOMETRY = Geometry(margin=3, step=2, smallest=8)
WIDTH = 10
SIZE = GEOMETRY.output_size(WIDTH)


def _field(name: str, measured: np.ndarray, visible: np.ndarray | None = None) -> TrainingField:
    """A field whose values name its pixels: targets are row + column / 1000."""
    height, width = measured.shape
    place = np.arange(height)[:, None] + np.arange(width) / 1000
    return TrainingField(
        name=name,
        group="g",
        transmitted=np.repeat(place[..., None], 2, axis=-1).astype(np.float32),
        targets=place[..., None].astype(np.float32),
        measured=measured[..., None],
        visible=np.ones(measured.shape, bool) if visible is None else visible,
    )


def _coverage(fields: list[TrainingField], draws: int) -> list[np.ndarray]:
    """How often each measured pixel of each field was drawn."""
    cropper = Cropper(fields, GEOMETRY, WIDTH)
    counts = [np.zeros(field.visible.shape, np.int64) for field in fields]
    rng = np.random.default_rng(0)
    for _ in range(draws):
        crop = cropper.draw(rng)
        values = crop["targets"][crop["measured"]].astype(np.float64)
        rows = np.floor(values + 1e-6).astype(int)
        columns = np.round((values - rows) * 1000).astype(int)
        counts[int(crop["field"])][rows, columns] += 1
    return counts


def test_a_crop_is_the_ground_and_its_reflected_surroundings() -> None:
    field = _field("a", np.ones((20, 30), bool))
    padded = np.pad(field.transmitted, ((3, 3), (3, 3), (0, 0)), mode="reflect")
    cropper = Cropper([field], GEOMETRY, WIDTH)
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(200):
        crop = cropper.draw(rng)
        assert crop["transmitted"].shape == (WIDTH, WIDTH, 2)
        assert crop["targets"].shape == crop["measured"].shape == (SIZE, SIZE, 1)
        value = float(crop["targets"][0, 0, 0])
        row, column = int(value + 1e-6), round((value - int(value + 1e-6)) * 1000)
        window = (slice(row, row + WIDTH), slice(column, column + WIDTH))
        np.testing.assert_array_equal(crop["transmitted"], padded[window])
        assert crop["measured"].all()
        seen.add((row, column))
    assert {(0, 0), (20 - SIZE, 30 - SIZE)} <= seen


def test_no_measured_pixel_is_drawn_less_often_than_in_the_middle() -> None:
    (counts,) = _coverage([_field("a", np.ones((24, 24), bool))], 20_000)
    middle = counts[8:16, 8:16].mean()
    # A pixel is in `SIZE ** 2` of the windows; twice as many in each direction next to an edge.
    assert counts.min() > 0.8 * middle
    assert counts.max() < 4.6 * middle
    np.testing.assert_allclose(counts[8:16, 8:16], middle, rtol=0.2)


def test_windows_are_taken_by_what_was_measured_of_them() -> None:
    """Half of the box is blank: it is computed for less often than it was drawn."""
    measured = np.ones((40, 40), bool)
    measured[20:, 20:] = measured[:20, :20] = False
    cropper = Cropper([_field("a", measured)], GEOMETRY, WIDTH)
    rng = np.random.default_rng(2)
    share = np.mean([cropper.draw(rng)["measured"].mean() for _ in range(500)])
    assert share > 0.7


def test_fields_are_drawn_by_their_ground() -> None:
    large, small = np.ones((40, 40), bool), np.zeros((40, 40), bool)
    small[:10, :20] = True
    windows = [43 * 43, 13 * 23]
    cropper = Cropper([_field("a", large), _field("b", small)], GEOMETRY, WIDTH)
    rng = np.random.default_rng(2)
    drawn = np.bincount([int(cropper.draw(rng)["field"]) for _ in range(4000)])
    np.testing.assert_allclose(drawn / 4000, np.array(windows) / sum(windows), atol=0.02)


def test_scattered_ground_is_found_and_nothing_else_counts() -> None:
    measured = np.zeros((60, 60), bool)
    measured[5, 5] = measured[50:53, 40:43] = True
    cropper = Cropper([_field("a", measured)], GEOMETRY, WIDTH)
    rng = np.random.default_rng(3)
    for _ in range(100):
        crop = cropper.draw(rng)
        values = crop["targets"][crop["measured"]]
        assert values.size
        assert np.isin(values, _field("a", measured).targets[measured]).all()


def test_held_out_ground_is_never_shown() -> None:
    visible = np.ones((30, 30), bool)
    visible[10:20, 10:20] = False
    field = _field("a", visible.copy(), visible)
    hidden = field.targets[~visible][:, 0]
    cropper = Cropper([field], GEOMETRY, WIDTH)
    rng = np.random.default_rng(4)
    for _ in range(300):
        crop = cropper.draw(rng)
        assert not np.isin(crop["targets"][crop["measured"]], hidden).any()
        assert not np.isin(crop["targets"][..., 0][crop["visible"]], hidden).any()


def test_a_field_smaller_than_a_crop_counts_once() -> None:
    cropper = Cropper([_field("a", np.ones((3, 2), bool))], GEOMETRY, WIDTH)
    crop = cropper.draw(np.random.default_rng(5))
    assert int(crop["measured"].sum()) == 6
    assert int(crop["visible"].sum()) == 6


def test_no_ground_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no field has measured ground"):
        Cropper([_field("a", np.zeros((9, 9), bool))], GEOMETRY, WIDTH)


def test_bounding_box() -> None:
    mask = np.zeros((7, 9), bool)
    assert bounding_box(mask) is None
    mask[2, 3] = mask[4, 8] = True
    assert bounding_box(mask) == ((2, 5), (3, 9))


def test_crops_go_where_the_light_is() -> None:
    measured = np.ones((30, 30), bool)
    bright = _field("a", measured)
    light = np.zeros((30, 30, 1), np.float32)
    light[20:24, 20:24] = 1.0
    field = dataclasses.replace(bright, targets=light)
    rng = np.random.default_rng(0)

    def mean_light(toward_light: float) -> float:
        cropper = Cropper([field], GEOMETRY, WIDTH, toward_light)
        return float(np.mean([cropper.draw(rng)["targets"].sum() for _ in range(200)]))

    assert mean_light(0.0) < 1
    # Windows of 4 x 4 hold 1, 2, 3, 4, 3, 2, 1 of the light's rows, and as many of its columns.
    rows = np.array([1, 2, 3, 4, 3, 2, 1])
    assert mean_light(2.0) == pytest.approx(((rows**3).sum() / (rows**2).sum()) ** 2, rel=0.1)


def test_a_field_without_light_is_drawn_all_the_same() -> None:
    field = dataclasses.replace(
        _field("a", np.ones((12, 12), bool)), targets=np.zeros((12, 12, 1), np.float32)
    )
    assert Cropper([field], GEOMETRY, WIDTH, 2.0).draw(np.random.default_rng(0))["measured"].all()


def test_fields_that_weigh_more_are_drawn_more_often() -> None:
    fields = [_field("a", np.ones((20, 20), bool)), _field("b", np.ones((20, 20), bool))]
    fields[1] = dataclasses.replace(fields[1], weight=3.0)
    cropper = Cropper(fields, GEOMETRY, WIDTH)
    rng = np.random.default_rng(0)
    drawn = [int(cropper.draw(rng)["field"]) for _ in range(1200)]
    # Three of four; the deviation of the mean is 0.0125.
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.05)
