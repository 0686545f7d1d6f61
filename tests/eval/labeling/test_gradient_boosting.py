import numpy as np
import pytest

from isl.errors import InputError
from isl_eval.labeling import gradient_boosting
from isl_eval.labeling.gradient_boosting import BoostingConfig, filter_features, fit_boosting
from isl_train.labeling.crops import TrainingField

SMALL = BoostingConfig(pixels=400, widest=2, trees=20, leaves=8)


def field(seed: int, *, size: tuple[int, int] = (40, 36), labels: int = 1) -> TrainingField:
    """Labels are the smoothed first plane, which filter features know."""
    rng = np.random.default_rng(seed)
    planes = rng.random((*size, 2)).astype(np.float32)
    smooth = filter_features(np.ascontiguousarray(planes[..., 0]), 2)[..., :1]
    return TrainingField(
        name=f"f{seed}",
        group="g",
        transmitted=planes,
        targets=np.repeat(smooth, labels, axis=-1),
        measured=np.ones((*size, labels), bool),
        visible=np.ones(size, bool),
    )


def planes_of(given: TrainingField) -> np.ndarray:
    return np.moveaxis(given.transmitted, -1, 0)


def test_what_features_know_is_learned_and_holds_on_other_ground() -> None:
    fitted = fit_boosting([field(0), field(1)], ["DAPI"], SMALL, seed=0)
    other = field(2)
    found = fitted.predict(planes_of(other))
    assert found.shape == (1, 40, 36)
    assert np.corrcoef(found.ravel(), other.targets.ravel())[0, 1] > 0.9
    assert fitted.pixels == 400


def test_bands_and_windows_give_what_the_whole_image_gives(monkeypatch) -> None:
    fitted = fit_boosting([field(0)], ["DAPI"], SMALL, seed=0)
    planes = planes_of(field(3, size=(50, 61)))
    monkeypatch.setattr(gradient_boosting, "_BAND", 1000)
    whole = fitted.predict(planes)
    monkeypatch.setattr(gradient_boosting, "_BAND", 7)
    np.testing.assert_array_equal(fitted.predict(planes), whole)
    window = (slice(13, 40), slice(20, 49))
    np.testing.assert_array_equal(fitted.predict(planes, window), whole[:, *window])


def test_pixels_are_drawn_where_something_was_measured() -> None:
    first, second = field(0, labels=2), field(1, labels=2)
    first.measured[:] = False
    second.measured[:20, :, 1] = False
    features, targets, measured = gradient_boosting._drawn(
        [first, second], BoostingConfig(pixels=100_000, widest=2), np.random.default_rng(0)
    )
    assert len(features) == 40 * 36
    np.testing.assert_array_equal(targets, second.targets.reshape(-1, 2))
    assert measured.sum(axis=0).tolist() == [40 * 36, 20 * 36]


def test_a_plane_left_out_does_not_matter() -> None:
    config = BoostingConfig(pixels=200, widest=1, trees=3, planes=(0,))
    fitted = fit_boosting([field(0)], ["DAPI"], config, seed=0)
    planes = planes_of(field(1))
    before = fitted.predict(planes)
    planes[1] = 0.5
    np.testing.assert_array_equal(fitted.predict(planes), before)


def test_the_same_seed_draws_the_same() -> None:
    planes = planes_of(field(4))
    first, again, other = (
        fit_boosting([field(0)], ["DAPI"], SMALL, seed=seed).predict(planes) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_what_cannot_be_fitted_is_refused(monkeypatch) -> None:
    blank = field(0, labels=2)
    blank.measured[..., 1] = False
    with pytest.raises(InputError, match="label 'MAP2' was measured on fewer than 2"):
        fit_boosting([blank], ["DAPI", "MAP2"], SMALL, seed=0)
    config = BoostingConfig(pixels=10, widest=1, planes=(2,))
    with pytest.raises(InputError, match="names plane 2, but fields have planes 0 to 1"):
        fit_boosting([field(0)], ["DAPI"], config, seed=0)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    with pytest.raises(InputError, match=r"isl\[compare\]"):
        fit_boosting([field(0)], ["DAPI"], SMALL, seed=0)
