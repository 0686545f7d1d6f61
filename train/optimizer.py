"""Optimizers from configuration: adam, adamw, sgd, adagrad; schedules, clipping, rates by layer."""

import fnmatch
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pydantic

from isl.config import Config
from isl.errors import unknown

from .state import Tree

EVERYTHING = ("*",)
"""Matches every path."""


class OptimizerConfig(Config):
    """The optimizer and the course of its learning rate; lengths are in updates.

    The paper: adam at 1e-4 for one week, then at 1e-5 for a second: `schedule = "step"`,
    `boundaries = [n]`, `factors = [0.1]`.

    Attributes:
        kind: adam; adamw with decoupled weight decay; sgd with momentum `b1`, whose weight decay is
            added to the gradient; or adagrad, its sums of squares started at TensorFlow's 0.1.
        learning_rate: The highest learning rate of the schedule.
        schedule: constant; step: multiplied by `factors[i]` at `boundaries[i]`; warmup_cosine:
            linear from 0 over `warmup` updates, then half a cosine down to `final_factor`;
            polynomial: from 1 down to `final_factor` along (1 - share of the run) ^ `power`.
        boundaries: Updates at which a step schedule changes.
        factors: What it is multiplied by there.
        warmup: Updates of linear rise.
        final_factor: Share of the learning rate left at the end of the cosine or polynomial.
        power: Of the polynomial.
        b1: Decay of adam's first moment, or of sgd's velocity.
        b2: Decay of adam's second moment.
        epsilon: Added to the root of the second moment.
        weight_decay: adamw and sgd only.
        clip_norm: Gradients of a larger global norm are scaled down to it; 0 turns it off.
        rates: Factors of the learning rate by path of parameters, e.g. { encoder = 0.25 }; of
            several paths that match, the first counts. 1 unless given.
    """

    kind: Literal["adam", "adamw", "sgd", "adagrad"] = "adam"
    learning_rate: float = pydantic.Field(default=1e-4, gt=0)
    schedule: Literal["constant", "step", "warmup_cosine", "polynomial"] = "constant"
    boundaries: tuple[int, ...] = ()
    factors: tuple[float, ...] = ()
    warmup: int = pydantic.Field(default=0, ge=0)
    final_factor: float = pydantic.Field(default=0.0, ge=0, le=1)
    power: float = pydantic.Field(default=0.9, gt=0, exclude_if=lambda power: power == 0.9)
    b1: float = pydantic.Field(default=0.9, ge=0, lt=1)
    b2: float = pydantic.Field(default=0.999, ge=0, lt=1)
    epsilon: float = pydantic.Field(default=1e-8, gt=0)
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    clip_norm: float = pydantic.Field(default=0.0, ge=0)
    rates: Mapping[str, pydantic.PositiveFloat] = pydantic.Field(
        default_factory=dict, exclude_if=operator.not_
    )

    @pydantic.model_validator(mode="after")
    def _settings_fit(self) -> "OptimizerConfig":
        if len(self.boundaries) != len(self.factors):
            raise ValueError(
                f"{len(self.boundaries)} boundaries but {len(self.factors)} factors; give one "
                "factor for each boundary"
            )
        if self.boundaries and self.schedule != "step":
            raise ValueError(f"boundaries need schedule = 'step', not '{self.schedule}'")
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries {list(self.boundaries)} do not increase")
        if self.warmup and self.schedule != "warmup_cosine":
            raise ValueError(f"warmup needs schedule = 'warmup_cosine', not '{self.schedule}'")
        if self.weight_decay and self.kind in ("adam", "adagrad"):
            raise ValueError(f"weight_decay needs kind = 'adamw' or 'sgd', not '{self.kind}'")
        return self


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Learning rate by update, for a run of `steps` updates."""
    if config.schedule == "step":
        return optax.piecewise_constant_schedule(
            config.learning_rate, dict(zip(config.boundaries, config.factors, strict=True))
        )
    if config.schedule == "warmup_cosine":
        return optax.warmup_cosine_decay_schedule(
            init_value=0.0 if config.warmup else config.learning_rate,
            peak_value=config.learning_rate,
            warmup_steps=config.warmup,
            decay_steps=max(steps, config.warmup + 1),
            end_value=config.learning_rate * config.final_factor,
        )
    if config.schedule == "polynomial":
        end = config.learning_rate * config.final_factor
        return optax.polynomial_schedule(config.learning_rate, end, config.power, steps)
    return optax.constant_schedule(config.learning_rate)


def learning_rates(config: OptimizerConfig, steps: int) -> np.ndarray:
    """float32 [steps], the learning rate of every update of a run."""
    schedule = learning_rate_schedule(config, steps)
    return np.asarray(jax.vmap(lambda count: jnp.float32(schedule(count)))(jnp.arange(steps)))


def build_optimizer(
    config: OptimizerConfig,
    params: Tree,
    *,
    steps: int,
    freeze: Sequence[str] = (),
    free: Sequence[str] = EVERYTHING,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer for `params`.

    Its `update` takes the learning rate as a keyword, and without one looks it up in the schedule.
    Given, one compiled program serves every learning rate and length of run.

    Args:
        config: What was asked for.
        params: Only its structure is used.
        steps: Updates of the whole run, for the schedule.
        freeze: Paths of parameters that stay as they are: a path such as "projection/kernel", a
            prefix such as "projection", or a pattern with "*".
        free: Likewise, of all that is trained; the rest stays as it is.

    Raises:
        InputError: A path to freeze, to free, or with a rate of its own, names no parameter.
    """
    schedule = learning_rate_schedule(config, steps)
    chain = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    decay = [optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []
    if config.kind == "sgd":
        chain += [*decay, optax.trace(decay=config.b1)]
    elif config.kind == "adagrad":
        chain += [optax.scale_by_rss(initial_accumulator_value=0.1, eps=config.epsilon)]
    else:
        chain += [optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.epsilon), *decay]
    if config.rates:
        chain += [_scale_by_path(config.rates, params)]
    optimizer = optax.chain(*chain, _scale_by_learning_rate(schedule))
    if freeze or tuple(free) != EVERYTHING:
        trained = jax.tree.map(
            lambda is_frozen, is_free: is_free and not is_frozen,
            frozen_mask(params, freeze),
            free_mask(params, free),
        )
        held = jax.tree.map(operator.not_, trained)
        optimizer = optax.chain(
            optax.masked(optimizer, trained), optax.masked(optax.set_to_zero(), held)
        )
    return optax.with_extra_args_support(optimizer)


def _scale_by_learning_rate(schedule: optax.Schedule) -> optax.GradientTransformationExtraArgs:
    by_schedule = optax.scale_by_learning_rate(schedule)

    def update(
        updates: Tree,
        state: Any,
        params: Tree | None = None,
        *,
        learning_rate: jax.Array | None = None,
        **_: Any,
    ) -> tuple[Tree, Any]:
        scaled, counted = by_schedule.update(updates, state, params)
        if learning_rate is not None:
            scaled = jax.tree.map(lambda array: -learning_rate * array, updates)
        return scaled, counted

    return optax.GradientTransformationExtraArgs(by_schedule.init, update)


def _scale_by_path(rates: Mapping[str, float], params: Tree) -> optax.GradientTransformation:
    """Multiplies what changes a parameter by the factor of the first path that matches."""
    _check_paths(params, rates, "parameter in optimizer.rates")

    def factor(path: tuple[Any, ...]) -> float:
        own = parameter_path(path)
        return next((rate for pattern, rate in rates.items() if matches(own, pattern)), 1.0)

    return optax.stateless(
        lambda updates, _: jax.tree.map_with_path(
            # Masked parameters, which are no arrays, have no leaves here.
            lambda path, update: update * factor(path),
            updates,
        )
    )


def frozen_mask(params: Tree, freeze: Sequence[str]) -> Tree:
    """A tree like `params` with True where a path matches one of `freeze`.

    Raises:
        InputError: One of them matches nothing.
    """
    _check_paths(params, freeze, "parameter to freeze")
    return path_mask(params, freeze)


def free_mask(params: Tree, free: Sequence[str]) -> Tree:
    """A tree like `params` with True where a path matches one of `free`, of a stage.

    Raises:
        InputError: One of them matches nothing.
    """
    _check_paths(params, free, "parameter in stages.free")
    return path_mask(params, free)


def path_mask(tree: Tree, patterns: Sequence[str]) -> Tree:
    """A tree like `tree` with True where a path matches one of the patterns.

    Batch statistics lie at the path of their module, as its parameters do: a pattern that matches
    a whole module matches both.
    """
    return jax.tree.map_with_path(lambda path, _: any_matches(parameter_path(path), patterns), tree)


def parameter_path(path: tuple[jax.tree_util.KeyEntry, ...]) -> str:
    """A pytree path as text: "towers/0/expand/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def any_matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path is one of the patterns, lies under one, or fits one with "*"."""
    return any(matches(path, pattern) for pattern in patterns)


def matches(path: str, pattern: str) -> bool:
    """Whether a path is `pattern`, lies under it, or fits it where it has a "*"."""
    pattern = pattern.rstrip("/")
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, f"{pattern}/*")


def _check_paths(params: Tree, patterns: Iterable[str], what: str) -> None:
    paths = [parameter_path(path) for path, _ in jax.tree.leaves_with_path(params)]
    for pattern in patterns:
        if not any(matches(path, pattern) for path in paths):
            raise unknown(what, pattern, {path.split("/")[0] for path in paths})
