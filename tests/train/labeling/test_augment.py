import numpy as np
import pytest

from isl_train.labeling.augment import AugmentConfig, augment

NOTHING = AugmentConfig(flip=False, rotate=False)


def _example() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    large = rng.random((8, 8, 3), dtype=np.float32)
    return {
        "transmitted": large,
        "targets": large[2:6, 2:6, :2].copy(),
        "measured": rng.random((4, 4, 2)) < 0.5,
        "field": np.asarray(3, np.int32),
    }


def test_nothing_asked_for_changes_nothing() -> None:
    example = _example()
    same = augment(example, NOTHING, np.random.default_rng(1))
    for name, array in example.items():
        np.testing.assert_array_equal(same[name], array)


def test_input_and_targets_turn_together_in_all_eight_ways() -> None:
    example = _example()
    rng = np.random.default_rng(2)
    ways = set()
    for _ in range(200):
        turned = augment(example, AugmentConfig(), rng)
        centre = turned["transmitted"][2:6, 2:6, :2]
        np.testing.assert_array_equal(turned["targets"], centre)
        assert turned["measured"].sum() == example["measured"].sum()
        assert turned["field"] == 3
        ways.add(turned["targets"].tobytes())
    assert len(ways) == 8


@pytest.mark.parametrize(
    ("name", "axes_in_common"), [("multiplier", (0, 1)), ("offset", (0, 1)), ("noise", None)]
)
def test_disturbances_happen_to_half_of_the_examples(name, axes_in_common) -> None:
    example = {"transmitted": np.full((16, 16, 5), 0.5, np.float32)}
    config = NOTHING.model_copy(update={name: 0.02})
    rng = np.random.default_rng(3)
    changes = []
    for _ in range(400):
        change = augment(example, config, rng)["transmitted"] - 0.5
        if change.any():
            changes.append(change)
            if axes_in_common is not None:
                assert np.ptp(change, axis=axes_in_common).max() < 1e-6
    assert len(changes) / 400 == pytest.approx(0.5, abs=0.08)
    expected = 0.01 if name == "multiplier" else 0.02
    assert np.std(changes) == pytest.approx(expected, rel=0.1)


def test_fewer_planes_stand_in_the_places_of_all() -> None:
    """Each example holds some of its planes in order, evenly repeated; each number of them."""
    planes = np.arange(4, dtype=np.float32) / 4
    example = {"transmitted": np.tile(planes, (2, 2, 1))}
    config = NOTHING.model_copy(update={"fewer_planes": 0.8})
    rng = np.random.default_rng(0)
    seen = [tuple(augment(example, config, rng)["transmitted"][0, 0] * 4) for _ in range(400)]
    whole = sum(places == (0, 1, 2, 3) for places in seen)
    assert whole / 400 == pytest.approx(0.2, abs=0.06)
    assert {len(set(places)) for places in seen} == {1, 2, 3, 4}
    for places in seen:
        assert list(places) == sorted(places)
    two = {places for places in seen if len(set(places)) == 2}
    assert all(places[0] == places[1] != places[2] == places[3] for places in two)
    assert len(two) == 6


def test_a_plane_that_stands_at_several_places_is_disturbed_once() -> None:
    example = {"transmitted": np.tile(np.arange(1, 5, dtype=np.float32) / 8, (3, 3, 1))}
    config = AugmentConfig(multiplier=0.05, offset=0.05, noise=0.05, fewer_planes=1.0)
    rng = np.random.default_rng(0)
    numbers = set()
    for _ in range(100):
        transmitted = augment(example, config, rng)["transmitted"]
        assert transmitted.shape == (3, 3, 4)
        different = {tuple(transmitted[..., z].ravel().tolist()) for z in range(4)}
        numbers.add(len(different))
    assert numbers == {1, 2, 3}


def test_intensities_stay_within_their_range() -> None:
    config = AugmentConfig(multiplier=3.0, offset=3.0, noise=3.0)
    rng = np.random.default_rng(4)
    for _ in range(20):
        transmitted = augment(_example(), config, rng)["transmitted"]
        assert transmitted.dtype == np.float32
        assert transmitted.min() >= 0
        assert transmitted.max() <= 1


def test_a_moved_stack_repeats_its_last_plane() -> None:
    planes = np.arange(6, dtype=np.float32) / 6
    example = {"transmitted": np.tile(planes, (2, 2, 1))}
    config = NOTHING.model_copy(update={"plane_shift": 1})
    rng = np.random.default_rng(0)
    seen = {
        tuple(np.round(augment(example, config, rng)["transmitted"][0, 0] * 6).astype(int))
        for _ in range(100)
    }
    assert seen == {(0, 1, 2, 3, 4, 5), (0, 0, 1, 2, 3, 4), (1, 2, 3, 4, 5, 5)}


def test_a_neighbour_stands_in_the_place_of_a_lost_plane() -> None:
    planes = np.arange(6, dtype=np.float32) / 6
    example = {"transmitted": np.tile(planes, (2, 2, 1))}
    config = NOTHING.model_copy(update={"lost_planes": 0.3})
    rng = np.random.default_rng(0)
    lost = []
    for _ in range(400):
        shown = np.round(augment(example, config, rng)["transmitted"][0, 0] * 6).astype(int)
        assert list(shown) == sorted(shown)
        there = sorted(set(shown))
        for place, plane in enumerate(shown):
            assert abs(plane - place) == min(abs(other - place) for other in there)
        lost.append(6 - len(there))
    assert np.mean(lost) / 6 == pytest.approx(0.15, abs=0.03)


def test_defocus_takes_fine_detail_from_half_of_the_examples() -> None:
    noise = np.random.default_rng(1).random((32, 32, 3), dtype=np.float32)
    config = NOTHING.model_copy(update={"defocus": 2.0})
    rng = np.random.default_rng(0)
    deviations = [
        np.std(augment({"transmitted": noise}, config, rng)["transmitted"]) for _ in range(200)
    ]
    kept = [deviation for deviation in deviations if deviation == np.std(noise)]
    assert len(kept) / 200 == pytest.approx(0.5, abs=0.1)
    assert min(deviations) < 0.3 * np.std(noise)


def test_auto_turns_crops_unless_light_comes_from_one_side() -> None:
    auto = AugmentConfig(flip="auto", rotate="auto", noise=0.1)
    from_all = auto.settled(one_sided=False)
    assert (from_all.flip, from_all.rotate, from_all.noise) == (True, True, 0.1)
    assert from_all.all_ways
    from_one = auto.settled(one_sided=True)
    assert (from_one.flip, from_one.rotate, from_one.noise) == (False, False, 0.1)
    assert not from_one.all_ways
    for half in (AugmentConfig(flip="auto"), AugmentConfig(rotate="auto")):
        settled = half.settled(one_sided=True)
        assert (settled.flip, settled.rotate) == (False, False)
    said = AugmentConfig(flip=False, rotate=True)
    assert said.settled(one_sided=True) is said


def test_hidden_squares_show_the_mean_of_their_plane_in_all_planes_alike() -> None:
    planes = np.random.default_rng(1).random((40, 56, 3), dtype=np.float32)
    config = NOTHING.model_copy(update={"hidden": 0.4})
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        shown = augment({"transmitted": planes}, config, rng)["transmitted"]
        means = np.broadcast_to(planes.mean(axis=(0, 1)), planes.shape)
        hidden = (shown == means).all(axis=-1)
        np.testing.assert_array_equal(shown[~hidden], planes[~hidden])
        squares = hidden[:32, :48].reshape(2, 16, 3, 16).mean(axis=(1, 3))
        assert set(squares.ravel()) <= {0.0, 1.0}
        shares.append(hidden.mean())
    assert np.mean(shares) == pytest.approx(0.2, abs=0.04)
