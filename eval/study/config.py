"""The TOML of a comparison: variants of one training experiment, trained and judged alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from isl.config import Config
from isl_train.budget import BudgetConfig

from ..statistics.resampled import ResampledConfig

OWN = "own"
"""The budget of what is not trained, and of what is where a study names none."""


class Placed(Config):
    """A variant of any kind.

    Attributes:
        at: On the horizontal axis, e.g. the number of planes; None: it has no place there.
        line: Which curve it belongs to.
        instead_of: The variant with `best_of` that it is one setting of; "": of none.
    """

    trained: ClassVar[bool] = True
    """Whether the trainer makes it, within a budget; else it has one of its own."""
    random: ClassVar[bool] = True
    """Whether another seed makes it another."""
    about: ClassVar[str] = ""
    """What it is, for the table."""

    at: float | None = None
    line: str = ""
    instead_of: str = ""


class Variant(Placed):
    """The base experiment with changes.

    Attributes:
        changes: `key=value` texts that override keys of the experiment.
        best_of: Further changes, each of which is tried in a variant of its own, named after it;
            the report says which is best. The paper tried four learning rates of each network and
            took the best: ["optimizer.learning_rate=1e-4", ...].
    """

    changes: tuple[str, ...] = ()
    best_of: tuple[str, ...] = ()


def _spelled_out(variants: Mapping[str, Any]) -> dict[str, Any]:
    """Variants with `best_of`, each replaced by one for every setting."""
    found: dict[str, Any] = {}
    for name, variant in variants.items():
        for each, spelled in _settings_of(name, variant):
            if each in found or (each != name and each in variants):
                raise ValueError(f"variant '{each}' is named twice")
            found[each] = spelled
    return found


def _settings_of(name: str, variant: Any) -> list[tuple[str, Any]]:
    settings = variant.get("best_of") if isinstance(variant, dict) else None
    if not isinstance(settings, list | tuple) or not all(isinstance(s, str) for s in settings):
        return [(name, variant)]
    if not settings:
        raise ValueError(f"variant.{name}.best_of names no setting")
    rest = {key: value for key, value in variant.items() if key != "best_of"}
    return [
        (
            f"{name}, {setting}",
            {**rest, "changes": [*rest.get("changes", ()), setting], "instead_of": name},
        )
        for setting in settings
    ]


PlainVariant = Annotated[Placed, pydantic.BeforeValidator(Variant.model_validate)]


class AxisConfig(Config):
    """The horizontal axis of the study's plot.

    Attributes:
        name: What it shows, e.g. "number of planes".
        logarithmic: Whether equal ratios are equally far apart.
    """

    name: str
    logarithmic: bool = False


class StudyConfig(ResampledConfig):
    """What to compare, and how; a task may ask for more, and know more kinds of variant.

    Attributes:
        description: What the study is for.
        experiment: The training experiment that variants change, of any task that has a
            `isl_eval.study.subject.Subject`; relative to the configuration's file.
        changes: `key=value` texts that override its keys for every variant.
        variant: By name, in the order of the tables; those with `best_of` as what they stand for.
        budget: By name, what each training run may spend: every variant is run with every budget.
            Without one, the experiment's own updates.
        seeds: Each variant is run once with each; those without randomness need none.
        evaluations: How often a run is judged while it trains: points of its learning curve.
        reference: The variant that others are compared with.
        axis: Of a plot of the figures; None: there is none.
    """

    description: str = ""
    task: Literal["comparison"]
    experiment: Path
    changes: tuple[str, ...] = ()
    variant: Mapping[str, PlainVariant] = pydantic.Field(min_length=1)
    budget: Mapping[str, BudgetConfig] = pydantic.Field(default_factory=dict)
    seeds: tuple[pydantic.NonNegativeInt, ...] = pydantic.Field(default=(0, 1, 2), min_length=1)
    evaluations: int = pydantic.Field(default=10, ge=1)
    reference: str | None = None
    axis: AxisConfig | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _each_setting_by_itself(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("variant"), dict):
            return given
        return {**given, "variant": _spelled_out(given["variant"])}

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> "StudyConfig":
        if self.reference is not None and self.reference not in self.variant:
            raise ValueError(f"reference '{self.reference}' is no variant")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one twice")
        if self.axis is None and any(each.at is not None for each in self.variant.values()):
            raise ValueError("a variant has a place 'at' on the axis, but there is no table axis")
        if OWN in self.budget:
            raise ValueError(f"no budget can be called '{OWN}'")
        return self
