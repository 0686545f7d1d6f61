"""Meta Pseudo Labels on a problem of two parameters, where everything can be written down.

The teacher says of the one unlabelled patch u that it is of class 1 with probability
sigmoid(t u), the student sigmoid(s u); t and s are all there is to learn.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from isl_train.colony.meta import (
    MetaConfig,
    Pair,
    Patches,
    meta_update,
    student_step,
    teacher_loss,
)
from isl_train.optimizer import OptimizerConfig, build_optimizer

U, X = 0.8, -1.3
PATCHES = Patches(
    labelled=jnp.full((1, 1, 1, 1), X),
    labels=jnp.asarray([1]),
    plain=jnp.full((1, 1, 1, 1), U),
    augmented=jnp.full((1, 1, 1, 1), U),
)
ONLY_META = MetaConfig(threshold=0.0, uda_weight=0.0, uda_steps=0)
S = 0.4


def apply(params, state, patches):
    z = params * patches[:, 0, 0, 0]
    return jnp.stack([jnp.zeros_like(z), z], axis=-1), state


def descent() -> optax.GradientTransformationExtraArgs:
    config = OptimizerConfig(kind="sgd", learning_rate=1.0, b1=0.0)
    return optax.with_extra_args_support(build_optimizer(config, jnp.zeros(()), steps=1))


def sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def labelled_loss(s: float) -> float:
    return float(-np.log(sigmoid(s * X)))


def student_after(s: float, label: float, rate: float) -> float:
    """One step of descent on the cross-entropy with a label, or with a share, of class 1."""
    return s - rate * (sigmoid(s * U) - label) * U


def exact_derivative(t: float, rate: float) -> float:
    """d/dt of the mean, over labels that the teacher draws, of the new student's labelled loss."""
    slope = sigmoid(t * U) * (1 - sigmoid(t * U)) * U
    after = [labelled_loss(student_after(S, label, rate)) for label in (0, 1)]
    return slope * (after[1] - after[0])


def meta_gradient(t: float, label: int, rate: float, config: MetaConfig) -> float:
    """What the code adds to the teacher's gradient for one label, without the supervised part."""
    optimizer = descent()
    student, _, _, told = student_step(
        apply,
        optimizer,
        jnp.asarray(S),
        {},
        optimizer.init(jnp.asarray(S)),
        PATCHES,
        jnp.asarray([label]),
        jnp.ones(1),
        jnp.asarray(rate),
    )
    assert float(student) == pytest.approx(student_after(S, label, rate), abs=1e-6)
    benefit = told["labelled"] - labelled_loss(float(student))
    if config.sign == "published_code":
        benefit = -benefit

    def meta_part(t):
        total, (_, parts) = teacher_loss(
            apply,
            t,
            {},
            PATCHES,
            jnp.asarray([label]),
            jnp.ones(1),
            benefit,
            jnp.asarray(0),
            config,
        )
        return total - parts["teacher_supervised"]

    return float(jax.grad(meta_part)(jnp.asarray(t)))


@pytest.mark.parametrize("t", [-1.2, 0.3, 2.0])
@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_mean_over_the_teachers_labels_is_the_exact_derivative(t: float, rate: float) -> None:
    chance = sigmoid(t * U)
    mean = (1 - chance) * meta_gradient(t, 0, rate, ONLY_META) + chance * meta_gradient(
        t, 1, rate, ONLY_META
    )
    assert mean == pytest.approx(exact_derivative(t, rate), rel=2e-3, abs=2e-6)


def test_derivative_through_one_step_on_soft_labels_within_first_order() -> None:
    """With soft labels the student's step is a function of t: halving the rate quarters the gap."""
    t = 0.3

    def through_one_step(t: float, rate: float) -> float:
        return labelled_loss(student_after(S, sigmoid(t * U), rate))

    gaps = []
    for rate in (0.4, 0.2, 0.1):
        difference = (through_one_step(t + 1e-4, rate) - through_one_step(t - 1e-4, rate)) / 2e-4
        assert np.sign(difference) == np.sign(exact_derivative(t, rate))
        gaps.append(abs(difference - exact_derivative(t, rate)))
    assert gaps[1] / gaps[0] < 0.3
    assert gaps[2] / gaps[1] < 0.3


@pytest.mark.parametrize("sign", ["theory", "published_code"])
def test_which_sign_descends(sign) -> None:
    config = ONLY_META.model_copy(update={"sign": sign})
    t, rate = 0.3, 0.2
    chance = sigmoid(t * U)
    gradient = (1 - chance) * meta_gradient(t, 0, rate, config) + chance * meta_gradient(
        t, 1, rate, config
    )

    def mean_loss(t: float) -> float:
        chance = sigmoid(t * U)
        return (1 - chance) * labelled_loss(student_after(S, 0, rate)) + chance * labelled_loss(
            student_after(S, 1, rate)
        )

    change = mean_loss(t - 0.5 * gradient) - mean_loss(t)
    assert change < 0 if sign == "theory" else change > 0


def updated(config: MetaConfig, t: float = 0.6, rates: tuple[float, float] = (0.1, 0.2)):
    optimizer = descent()
    params = Pair(teacher=jnp.asarray(t), student=jnp.asarray(S))
    return meta_update(
        apply,
        optimizer,
        params,
        Pair(teacher={}, student={}),
        Pair(teacher=optimizer.init(params.teacher), student=optimizer.init(params.student)),
        PATCHES,
        jnp.asarray(0),
        Pair(teacher=jnp.asarray(rates[0]), student=jnp.asarray(rates[1])),
        config,
    )


def test_one_update_is_that_of_pencil_and_paper() -> None:
    settings = MetaConfig(threshold=0.5, uda_weight=3.0, uda_steps=0, uda_threshold=0.0)
    t = 0.6
    params, _, _, sums = updated(settings, t)
    student = student_after(S, 1, 0.2)
    benefit = labelled_loss(S) - labelled_loss(student)
    called = sigmoid(t * U)
    meta = benefit * -(1 - called) * U
    supervised = -(1 - sigmoid(t * X)) * X
    # Plain and augmented are the same patch: consistency's gradient vanishes where both agree.
    assert float(params.student) == pytest.approx(student, abs=1e-6)
    assert float(params.teacher) == pytest.approx(t - 0.1 * (meta + supervised), abs=1e-6)
    assert float(sums["benefit"][0]) == pytest.approx(benefit, abs=1e-6)


def test_unsure_calls_are_not_learned() -> None:
    params, _, _, sums = updated(MetaConfig(threshold=0.99, uda_weight=0.0))
    assert float(params.student) == pytest.approx(S)
    assert float(sums["kept"][0]) == 0
    assert float(sums["loss"][0]) == 0
    assert float(sums["benefit"][0]) == 0


def test_soft_labels_are_learned_as_shares() -> None:
    params, _, _, _ = updated(MetaConfig(threshold=0.0, soft_labels=True, uda_weight=0.0))
    assert float(params.student) == pytest.approx(student_after(S, sigmoid(0.6 * U), 0.2), abs=1e-6)


def test_what_is_kept_is_counted_by_class() -> None:
    _, _, _, sums = updated(MetaConfig(threshold=0.0))
    assert [float(x) for x in sums["kept_1"]] == [1, 1]
    assert [float(x) for x in sums["kept_0"]] == [0, 0]
