import dataclasses

import numpy as np
import pytest

from isl.tiling.geometry import Geometry
from isl_train.labeling.augment import AugmentConfig
from isl_train.labeling.crops import Cropper, TrainingField
from isl_train.labeling.fields import draw_crop
from isl_train.labeling.warp import Warp, draw_warp, sampled, sampled_where

GEOMETRY = Geometry(margin=3, step=2, smallest=8)
WIDTH = 14
STRAIGHT = Warp(matrix=np.eye(2), elastic=0.0)


def _field() -> TrainingField:
    """Targets are rows and columns; of the ground, a corner was not measured."""
    places = np.stack(np.meshgrid(np.arange(40), np.arange(50), indexing="ij"), axis=-1)
    measured = np.ones((40, 50, 2), bool)
    measured[25:, 30:] = False
    return TrainingField(
        name="a",
        group="g",
        transmitted=(places / 50).astype(np.float32),
        targets=places.astype(np.float32),
        measured=measured,
        visible=measured[..., 0],
    )


def _draw(warp: Warp | None, seed: int) -> dict[str, np.ndarray]:
    return Cropper([_field()], GEOMETRY, WIDTH).draw(np.random.default_rng(seed), warp)


def test_a_warp_that_changes_nothing_cuts_the_same_crop() -> None:
    for seed in range(30):
        plain, warped = _draw(None, seed), _draw(STRAIGHT, seed)
        for name, array in plain.items():
            np.testing.assert_allclose(warped[name], array, atol=1e-6, err_msg=name)


def test_a_quarter_turn_turns_images_and_masks_together() -> None:
    quarter = Warp(matrix=np.array([[0.0, -1.0], [1.0, 0.0]]), elastic=0.0)
    for seed in range(30):
        plain, warped = _draw(None, seed), _draw(quarter, seed)
        for name in ("transmitted", "targets", "measured", "visible"):
            turned = np.rot90(plain[name], -1)
            np.testing.assert_allclose(warped[name], turned, atol=1e-4, err_msg=name)


def test_a_scale_shows_more_or_less_of_the_field() -> None:
    twice = Warp(matrix=2 * np.eye(2), elastic=0.0)
    field = dataclasses.replace(_field(), measured=np.ones((40, 50, 2), bool))
    crop = Cropper([field], GEOMETRY, WIDTH).draw(np.random.default_rng(3), twice)
    inside = crop["targets"][crop["measured"].all(axis=-1)]
    assert inside.size
    steps = np.diff(crop["targets"][:, :, 0], axis=0)
    both = crop["measured"][1:, :, 0] & crop["measured"][:-1, :, 0]
    np.testing.assert_allclose(steps[both], 2.0, atol=1e-4)


def test_bent_crops_count_measured_pixels_of_the_field_alone() -> None:
    """No target that counts comes from the corner that was not measured."""
    bent = Warp(matrix=np.eye(2), elastic=2.0)
    differing = 0
    for seed in range(60):
        crop = _draw(bent, seed)
        counted = crop["targets"][crop["measured"][..., 0]]
        # Of neighbours that were measured alone: nothing of the corner that was not.
        outside = (counted[:, 0] > 24.5) & (counted[:, 1] > 29.5)
        assert not outside.any()
        differing += not np.allclose(crop["targets"], _draw(None, seed)["targets"], atol=0.1)
    assert differing == 60


def test_half_of_the_crops_are_warped_where_a_warp_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert draw_warp(rng, turn=0.0, zoom=0.0, elastic=0.0) is None
    drawn = [draw_warp(rng, turn=15.0, zoom=0.1, elastic=0.0) for _ in range(400)]
    matrices = [warp.matrix for warp in drawn if warp is not None]
    assert len(matrices) / 400 == pytest.approx(0.5, abs=0.08)
    scales = np.sqrt([np.linalg.det(matrix) for matrix in matrices])
    assert np.std(np.log(scales)) == pytest.approx(0.1, rel=0.2)
    angles = np.rad2deg([np.arctan2(matrix[1, 0], matrix[0, 0]) for matrix in matrices])
    assert 10 < np.abs(angles).max() <= 15


def test_places_beyond_the_border_are_reflected() -> None:
    image = np.arange(5, dtype=np.float32)[None, :, None]
    places = np.array([[[0.0, 0.0, 0.0]], [[-1.5, 0.5, 4.5]]])
    np.testing.assert_allclose(sampled(image, places)[0, :, 0], [1.5, 0.5, 3.5])


def test_what_is_mirrored_keeps_the_axis_and_turns_what_is_across() -> None:
    """Half of the warps; light that comes along the axis still does."""
    rng = np.random.default_rng(0)
    drawn = [draw_warp(rng, turn=0.0, zoom=0.0, elastic=0.0, mirror_axis=30.0) for _ in range(400)]
    matrices = [warp.matrix for warp in drawn if warp is not None]
    mirrored = [matrix for matrix in matrices if np.linalg.det(matrix) < 0]
    assert len(mirrored) / len(matrices) == pytest.approx(0.5, abs=0.1)
    along = np.array([np.cos(np.deg2rad(30)), np.sin(np.deg2rad(30))])
    across = np.array([-along[1], along[0]])
    np.testing.assert_allclose(mirrored[0] @ along, along, atol=1e-12)
    np.testing.assert_allclose(mirrored[0] @ across, -across, atol=1e-12)


def test_scattered_labels_stay_labels_where_crops_are_bent() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((60, 60, 1), dtype=np.float32)
    measured = rng.random((60, 60, 1)) < 0.5
    places = np.stack(np.meshgrid(np.arange(5.3, 50), np.arange(5.7, 50), indexing="ij"))
    values, counted = sampled_where(image, lambda *at: measured[at], places)
    assert counted.mean() == pytest.approx(0.5, abs=0.05)
    assert np.isfinite(values).all()
    rows, columns = np.floor(places).astype(int)

    def around(outside: float) -> np.ndarray:
        holes = np.where(measured, image, np.float32(outside))
        return np.stack([holes[rows + y, columns + x][counted] for y in (0, 1) for x in (0, 1)])

    low, high = around(np.inf).min(axis=0), around(-np.inf).max(axis=0)
    assert (values[counted] >= low - 1e-5).all()
    assert (values[counted] <= high + 1e-5).all()


@pytest.mark.parametrize(
    "bent", [{"turn": 20.0}, {"zoom": 0.3}, {"elastic": 3.0}, {"mirror_axis": 10.0}]
)
def test_every_way_of_bending_reaches_the_crops(bent: dict[str, float]) -> None:
    config = AugmentConfig(flip=False, rotate=False, **bent)
    cropper = Cropper([_field()], GEOMETRY, WIDTH)
    changed = 0
    for seed in range(60):
        crop = draw_crop(np.random.default_rng(seed), cropper=cropper, config=config)
        whole = crop["targets"] == np.round(crop["targets"])
        changed += not whole.all()
        assert crop["transmitted"].shape == (WIDTH, WIDTH, 2)
    assert 15 < changed < 45
