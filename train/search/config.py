"""The TOML of a hyperparameter search: an experiment, and what of it may vary."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from isl.config import Config

from ..budget import BudgetConfig


class Dimension(Config):
    """The values that one key of the experiment may take: a range, or a list.

    Attributes:
        low: Least value of a range.
        high: Greatest.
        logarithmic: Whether equal ratios are equally likely, rather than equal differences.
        integer: Whether only whole numbers are meant.
        choices: Values of any type, in place of a range.
        when: Other keys of the search and the value each must have for this one to vary; else the
            experiment's own value is kept.
    """

    low: float | None = None
    high: float | None = None
    logarithmic: bool = False
    integer: bool = False
    choices: tuple[Any, ...] = ()
    when: Mapping[str, Any] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _range_or_list(self) -> "Dimension":
        if self.choices:
            if self.low is not None or self.high is not None:
                raise ValueError("give choices, or low and high, not both")
            return self
        if self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("give choices, or low and a greater high")
        if self.logarithmic and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, not at {self.low:g}")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("the ends of a range of integers are integers")
        return self


class SearchConfig(Config):
    """What to search, and how.

    Attributes:
        description: What the search is for.
        experiment: The training experiment; relative to the configuration's file.
        changes: `key=value` texts that override its keys in every trial.
        space: By key of the experiment, e.g. "optimizer.learning_rate".
        budget: What each run may spend; the experiment's own updates unless given.
        seeds: Each trial is run with each of these, and worth the mean.
        folds: Each is `key=value` texts that name other ground, such as another `dataset`; each
            trial is run on each, with every seed, and worth the mean. The paper had four.
        evaluations: How often a run is judged; its best counts.
        trials: How many, over all workers.
        startup: Trials drawn at random before the search learns from them.
        seed: Of the search.
    """

    description: str = ""
    task: Literal["search"]
    experiment: Path
    changes: tuple[str, ...] = ()
    space: Mapping[str, Dimension] = pydantic.Field(min_length=1)
    budget: BudgetConfig | None = None
    seeds: tuple[pydantic.NonNegativeInt, ...] = pydantic.Field(default=(0,), min_length=1)
    folds: tuple[tuple[str, ...], ...] = pydantic.Field(
        default=(), exclude_if=lambda folds: not folds
    )
    evaluations: int = pydantic.Field(default=4, ge=1)
    trials: int = pydantic.Field(default=30, ge=1)
    startup: int = pydantic.Field(default=10, ge=1)
    seed: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _conditions_come_after(self) -> "SearchConfig":
        before: set[str] = set()
        for key, dimension in self.space.items():
            for other in dimension.when:
                if other not in before:
                    raise ValueError(
                        f"space.'{key}': when names '{other}', which is no key of the space before "
                        "it"
                    )
            before.add(key)
        return self


def as_text(value: Any) -> str:
    """A value as `key=value` takes it; what JSON and TOML write alike."""
    return json.dumps(value)
