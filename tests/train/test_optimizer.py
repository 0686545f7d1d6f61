import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from isl.config import parse
from isl.errors import InputError
from isl_train.optimizer import (
    OptimizerConfig,
    build_optimizer,
    frozen_mask,
    learning_rate_schedule,
    learning_rates,
)

PARAMS = {"body": {"kernel": jnp.ones(3), "bias": jnp.ones(2)}, "head": {"kernel": jnp.ones(4)}}


def _config(**keys) -> OptimizerConfig:
    return parse(keys, OptimizerConfig, source="test")


def _rates(config: OptimizerConfig, steps: int, updates: list[int]) -> list[float]:
    schedule = learning_rate_schedule(config, steps)
    return [float(np.asarray(schedule(update))) for update in updates]


def test_the_papers_schedule() -> None:
    config = _config(schedule="step", boundaries=[100], factors=[0.1])
    assert _rates(config, 200, [0, 99, 101, 199]) == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])


def test_warmup_and_cosine() -> None:
    config = _config(schedule="warmup_cosine", learning_rate=1.0, warmup=10, final_factor=0.2)
    rates = _rates(config, 110, [0, 5, 10, 60, 110])
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.2])


def test_polynomial() -> None:
    config = _config(schedule="polynomial", learning_rate=2.0, power=2.0, final_factor=0.25)
    assert _rates(config, 10, [0, 5, 10]) == pytest.approx([2.0, 0.5 + 1.5 / 4, 0.5])


def test_constant() -> None:
    assert _rates(_config(learning_rate=0.5), 10, [0, 9]) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"boundaries": [5], "schedule": "step"}, "1 boundaries but 0 factors"),
        ({"boundaries": [5], "factors": [0.1]}, "need schedule = 'step', not 'constant'"),
        ({"boundaries": [5, 2], "factors": [1, 1], "schedule": "step"}, "do not increase"),
        ({"warmup": 5}, "warmup needs schedule"),
        ({"weight_decay": 0.1}, "needs kind = 'adamw' or 'sgd', not 'adam'"),
        ({"weight_decay": 0.1, "kind": "adagrad"}, "needs kind = 'adamw' or 'sgd', not 'adagrad'"),
        ({"kind": "rmsprop"}, "'adam', 'adamw', 'sgd' or 'adagrad'"),
        ({"learning_rat": 1}, "did you mean 'learning_rate'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _config(**keys)


def test_adagrad_divides_by_the_root_of_all_squares_so_far() -> None:
    optimizer = build_optimizer(_config(kind="adagrad", learning_rate=0.5), PARAMS, steps=2)
    gradients = jax.tree.map(lambda array: 2 * jnp.ones_like(array), PARAMS)
    state = optimizer.init(PARAMS)
    for squares in (0.1 + 4, 0.1 + 8):
        updates, state = optimizer.update(gradients, state, PARAMS)
        found = updates["body"]["kernel"]
        np.testing.assert_allclose(found, -0.5 * 2 / np.sqrt(squares) * np.ones(3), rtol=1e-5)


def test_frozen_paths() -> None:
    assert frozen_mask(PARAMS, ["body"]) == {
        "body": {"kernel": True, "bias": True},
        "head": {"kernel": False},
    }
    assert frozen_mask(PARAMS, ["*/kernel"]) == {
        "body": {"kernel": True, "bias": False},
        "head": {"kernel": True},
    }
    with pytest.raises(InputError, match="parameter to freeze 'bod'; did you mean 'body'"):
        frozen_mask(PARAMS, ["bod"])


def test_frozen_parameters_stay_and_count_in_no_norm() -> None:
    config = _config(learning_rate=0.1, clip_norm=1.0)
    optimizer = build_optimizer(config, PARAMS, steps=1, freeze=["body"])
    alone = build_optimizer(config, PARAMS["head"], steps=1)
    gradients = jax.tree.map(lambda x: 100 * x, PARAMS)
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    expected, _ = alone.update(gradients["head"], alone.init(PARAMS["head"]), PARAMS["head"])
    assert not jnp.any(updates["body"]["kernel"])
    assert not jnp.any(updates["body"]["bias"])
    np.testing.assert_array_equal(updates["head"]["kernel"], expected["kernel"])


def test_only_what_is_free_moves_and_counts() -> None:
    config = _config(learning_rate=0.1, clip_norm=1.0)
    freeing = build_optimizer(config, PARAMS, steps=1, free=["head"])
    freezing = build_optimizer(config, PARAMS, steps=1, freeze=["body"])
    gradients = jax.tree.map(lambda x: 100 * x, PARAMS)
    found, expected = (
        optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[0]
        for optimizer in (freeing, freezing)
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    with pytest.raises(InputError, match=r"stages.free 'haed'; did you mean 'head'"):
        build_optimizer(config, PARAMS, steps=1, free=["haed"])


def test_rates_by_path_scale_what_the_optimizer_changes() -> None:
    config = _config(kind="adamw", learning_rate=0.1, weight_decay=0.1)
    slowed = config.model_copy(update={"rates": {"body/bias": 0.5, "body": 0.25}})
    found, expected = (
        optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)[0]
        for optimizer in (build_optimizer(c, PARAMS, steps=1) for c in (slowed, config))
    )
    for path, factor in (("kernel", 0.25), ("bias", 0.5)):
        np.testing.assert_allclose(found["body"][path], factor * expected["body"][path], rtol=1e-6)
    np.testing.assert_array_equal(found["head"]["kernel"], expected["head"]["kernel"])
    with pytest.raises(InputError, match=r"parameter in optimizer.rates 'bdy'"):
        build_optimizer(_config(rates={"bdy": 0.5}), PARAMS, steps=1)


def test_adamw_is_optax_own() -> None:
    config = _config(kind="adamw", learning_rate=0.1, weight_decay=0.01, b2=0.9)
    ours = build_optimizer(config, PARAMS, steps=1)
    theirs = optax.adamw(0.1, weight_decay=0.01, b2=0.9)
    updates, _ = ours.update(PARAMS, ours.init(PARAMS), PARAMS)
    expected, _ = theirs.update(PARAMS, theirs.init(PARAMS), PARAMS)
    jax.tree.map(np.testing.assert_allclose, updates, expected)


def test_sgd_adds_weight_decay_to_the_gradient_and_has_momentum() -> None:
    """Velocity <- b1 velocity + gradient + decay x weight; weight <- weight - rate x velocity."""
    rate, momentum, decay = 0.1, 0.9, 0.01
    config = _config(kind="sgd", learning_rate=rate, b1=momentum, weight_decay=decay)
    optimizer = build_optimizer(config, PARAMS, steps=3)
    params, state = PARAMS, optimizer.init(PARAMS)
    weight, velocity = 1.0, 0.0
    for gradient in (1.0, -2.0, 0.5):
        gradients = jax.tree.map(lambda x, g=gradient: jnp.full_like(x, g), PARAMS)
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        velocity = momentum * velocity + gradient + decay * weight
        weight -= rate * velocity
    for array in jax.tree.leaves(params):
        np.testing.assert_allclose(array, weight, rtol=1e-6)


def test_a_given_learning_rate_goes_before_the_schedule() -> None:
    config = _config(kind="adamw", learning_rate=0.5, weight_decay=0.1, clip_norm=1.0)
    optimizer = build_optimizer(config, PARAMS, steps=4, freeze=["head"])
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    by_schedule = given = optimizer.init(PARAMS)
    for _ in range(2):
        expected, by_schedule = optimizer.update(gradients, by_schedule, PARAMS)
        found, given = optimizer.update(gradients, given, PARAMS, learning_rate=jnp.float32(0.25))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 2 * b, rtol=1e-6), expected, found)
    # What a checkpoint holds does not depend on where the rate came from.
    jax.tree.map(np.testing.assert_array_equal, by_schedule, given)


def test_rates_of_a_run_are_those_of_its_schedule() -> None:
    for settings in (
        {"schedule": "constant"},
        {"schedule": "step", "boundaries": [2, 4], "factors": [0.1, 0.5]},
        {"schedule": "warmup_cosine", "warmup": 2, "final_factor": 0.1},
    ):
        config = _config(learning_rate=0.3, **settings)
        schedule = learning_rate_schedule(config, 6)
        expected = [float(schedule(count)) for count in range(6)]
        assert learning_rates(config, 6) == pytest.approx(expected, rel=1e-6)
