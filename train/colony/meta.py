"""Meta Pseudo Labels (Pham et al. 2021): teacher and student in one update.

The student learns what the teacher calls unlabelled patches; the teacher learns which of its calls
made the student better on labelled ones:

    theta_S' = theta_S - eta_S grad CE(y^, S(u'))            y^ = argmax T(u)
    h        = L_old - L_new                                 student's cross-entropy on (x_l, y_l)
    g_T      = h grad CE(y^, T(u')) + grad CE(y_l, T(x_l)) + lambda grad UDA(T)

h is the first order of how much the student's step along its gradient lowered the labelled loss.
Averaged over y^ drawn from T(u), h grad CE(y^, T(u)) is the exact derivative of the new student's
labelled loss with respect to the teacher. The paper's published code has h = L_new - L_old, with
which the teacher climbs that loss; it is a setting.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
import pydantic

from isl.config import Config

from ..task import Sums, Tree
from .losses import confident, consistency, cross_entropy, masked_mean, ramp, sharpened

Apply = Callable[[Tree, Tree, jax.Array], tuple[jax.Array, Tree]]
"""(params, model state, patches [B, Y, X, C]) to logits [B, K] in training and the new state."""


class MetaConfig(Config):
    """The table `meta`: how teacher and student teach each other.

    Attributes:
        threshold: Pseudo-labels of less probability are not learned by the student.
        temperature: Sharpens the teacher's probabilities.
        soft_labels: The student learns the teacher's probabilities in place of its calls.
        uda_weight: lambda, of the teacher's consistency.
        uda_steps: Updates over which it rises from 0.
        uda_threshold: How sure the teacher must be for it.
        sign: theory: h = L_old - L_new; published_code: the other way round.
        meta_weight: Of the term with h; 0 leaves the teacher to its labels.
        warmup_epochs: Epochs over which the student's rate rises from 0.
        teacher_in_warmup: Whether the teacher is updated during these.
    """

    threshold: float = pydantic.Field(default=0.65, ge=0, le=1)
    temperature: float = pydantic.Field(default=1.0, gt=0)
    soft_labels: bool = False
    uda_weight: float = pydantic.Field(default=8.0, ge=0)
    uda_steps: int = pydantic.Field(default=5000, ge=0)
    uda_threshold: float = pydantic.Field(default=0.65, ge=0, le=1)
    sign: Literal["theory", "published_code"] = "theory"
    meta_weight: float = pydantic.Field(default=1.0, ge=0)
    warmup_epochs: float = pydantic.Field(default=10.0, ge=0)
    teacher_in_warmup: bool = True


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Something of both networks: parameters, states or optimizer states."""

    teacher: Any
    student: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patches:
    """What one update sees; B labelled and B unlabelled patches.

    Attributes:
        labelled: float32 [B, Y, X, C], augmented.
        labels: int32 [B].
        plain: float32 [B, Y, X, C], unlabelled, as they were labelled.
        augmented: The same, augmented.
    """

    labelled: jax.Array
    labels: jax.Array
    plain: jax.Array
    augmented: jax.Array


def meta_update(
    apply: Apply,
    optimizer: optax.GradientTransformationExtraArgs,
    params: Pair,
    states: Pair,
    moments: Pair,
    patches: Patches,
    step: jax.Array,
    rates: Pair,
    config: MetaConfig,
) -> tuple[Pair, Pair, Pair, Sums]:
    """One update of both networks; pure.

    Args:
        apply: A network in training; both have one architecture.
        optimizer: Of each network, with the learning rate as a keyword.
        params: Parameters.
        states: Batch statistics.
        moments: Of the optimizer.
        patches: What is seen.
        step: int32 scalar, updates so far.
        rates: Learning rates.
        config: How.

    Returns:
        Parameters, states, moments, and diagnostics as (sum, count).
    """
    logits, _ = apply(
        params.teacher,
        states.teacher,
        jnp.concatenate([patches.labelled, patches.plain, patches.augmented]),
    )
    _, plain, _ = jnp.split(jax.lax.stop_gradient(logits), 3)
    soft = sharpened(plain, config.temperature)
    calls = soft.argmax(axis=-1)
    sure = confident(soft, config.threshold)

    student, student_state, student_moments, told = student_step(
        apply,
        optimizer,
        params.student,
        states.student,
        moments.student,
        patches,
        soft if config.soft_labels else calls,
        sure,
        rates.student,
    )
    after, _ = apply(student, student_state, jnp.concatenate([patches.labelled, patches.augmented]))
    new = cross_entropy(jnp.split(after, 2)[0], patches.labels).mean()
    benefit = told["labelled"] - new
    if config.sign == "published_code":
        benefit = -benefit

    gradient_of = jax.value_and_grad(teacher_loss, argnums=1, has_aux=True)
    (loss, (teacher_state, parts)), gradients = gradient_of(
        apply, params.teacher, states.teacher, patches, calls, sure, benefit, step, config
    )
    updates, teacher_moments = optimizer.update(
        gradients, moments.teacher, params.teacher, learning_rate=rates.teacher
    )
    teacher = optax.apply_updates(params.teacher, updates)
    one = jnp.ones((), jnp.float32)
    sums: Sums = {
        "loss": (told["loss"], one),
        "teacher_loss": (loss, one),
        "benefit": (benefit, one),
        "student_labelled": (new, one),
        "kept": (sure.sum(), jnp.asarray(len(sure), jnp.float32)),
        **{name: (value, one) for name, value in parts.items()},
    }
    for number in range(logits.shape[-1]):
        called = (calls == number).astype(jnp.float32)
        sums[f"kept_{number}"] = ((sure * called).sum(), called.sum())
    return (
        Pair(teacher=teacher, student=student),
        Pair(teacher=teacher_state, student=student_state),
        Pair(teacher=teacher_moments, student=student_moments),
        sums,
    )


def student_step(
    apply: Apply,
    optimizer: optax.GradientTransformationExtraArgs,
    params: Tree,
    state: Tree,
    moments: Tree,
    patches: Patches,
    targets: jax.Array,
    sure: jax.Array,
    rate: jax.Array,
) -> tuple[Tree, Tree, Tree, dict[str, jax.Array]]:
    """The student learns pseudo-labels of the augmented patches.

    Arguments as for `meta_update`, of the student alone; `targets` are calls int32 [B] or
    probabilities float32 [B, K], and `sure`, float32 [B], says which of them are learned.

    Returns:
        Parameters, state, moments, and "loss" with the cross-entropy on labelled patches before
        the update, "labelled".
    """

    def loss(params: Tree) -> tuple[jax.Array, tuple[Tree, jax.Array]]:
        logits, new_state = apply(
            params, state, jnp.concatenate([patches.labelled, patches.augmented])
        )
        labelled, augmented = jnp.split(logits, 2)
        before = cross_entropy(jax.lax.stop_gradient(labelled), patches.labels).mean()
        return masked_mean(cross_entropy(augmented, targets), sure), (new_state, before)

    (value, (state, before)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    updates, moments = optimizer.update(gradients, moments, params, learning_rate=rate)
    told = {"loss": value, "labelled": before}
    return optax.apply_updates(params, updates), state, moments, told


def teacher_loss(
    apply: Apply,
    params: Tree,
    state: Tree,
    patches: Patches,
    calls: jax.Array,
    sure: jax.Array,
    benefit: jax.Array,
    step: jax.Array,
    config: MetaConfig,
) -> tuple[jax.Array, tuple[Tree, dict[str, jax.Array]]]:
    """What the teacher descends: the meta term, cross-entropy on labels, and consistency.

    The meta term covers the calls that the student was taught; others had no part in `benefit`.

    Returns:
        The loss, and the new state with its parts by name.
    """
    logits, state = apply(
        params, state, jnp.concatenate([patches.labelled, patches.plain, patches.augmented])
    )
    labelled, plain, augmented = jnp.split(logits, 3)
    meta = jax.lax.stop_gradient(benefit) * masked_mean(cross_entropy(augmented, calls), sure)
    supervised = cross_entropy(labelled, patches.labels).mean()
    uda = consistency(
        plain, augmented, temperature=config.temperature, threshold=config.uda_threshold
    )
    weight = ramp(step, config.uda_weight, config.uda_steps)
    total = config.meta_weight * meta + supervised + weight * uda
    parts = {"teacher_supervised": supervised, "teacher_meta": meta, "teacher_uda": uda}
    return total, (state, parts)
