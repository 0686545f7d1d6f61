"""The TOML of a comparison: variants of one training experiment, trained and judged alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from isl.config import Config
from isl_train.budget import BudgetConfig  # pyright: ignore[reportMissingImports]

from ..statistics.bootstrap import LEVEL, REPLICATES
from .gradient_boosting import BoostingConfig


class _Placed(Config):
    """Where a variant stands in the study's plot.

    Attributes:
        at: On the horizontal axis, e.g. the number of planes; None: it has no place there.
        line: Which curve it belongs to.
    """

    at: float | None = None
    line: str = ""


class NetworkVariant(_Placed):
    """A labeling network: the base experiment with changes.

    Attributes:
        changes: `key=value` texts that override keys of the experiment.
    """

    kind: Literal["network"] = "network"
    changes: tuple[str, ...] = ()


class RegressorVariant(_Placed):
    """The same body with one number a label, fitted by squared error: the plain yardstick.

    Attributes:
        changes: As of a network.
    """

    kind: Literal["regressor"] = "regressor"
    changes: tuple[str, ...] = ()


class BoostingVariant(BoostingConfig, _Placed):
    """Gradient boosting on filter features; see `BoostingConfig`. It has a budget of its own."""


class MeanVariant(_Placed):
    """The label's mean and histogram on the training ground, at every pixel."""

    kind: Literal["mean"] = "mean"


def _network_unless_said(given: Any) -> Any:
    return {"kind": "network", **given} if isinstance(given, dict) else given


Variant = Annotated[
    Annotated[
        NetworkVariant | RegressorVariant | BoostingVariant | MeanVariant,
        pydantic.Field(discriminator="kind"),
    ],
    pydantic.BeforeValidator(_network_unless_said),
]


class AxisConfig(Config):
    """The horizontal axis of the study's plot.

    Attributes:
        name: What it shows, e.g. "number of planes".
        logarithmic: Whether equal ratios are equally far apart.
    """

    name: str
    logarithmic: bool = False


class StudyConfig(Config):
    """What to compare, and how.

    Attributes:
        description: What the study is for.
        experiment: The training experiment that variants change; relative to the configuration's
            file.
        changes: `key=value` texts that override its keys for every variant.
        variant: By name, in the order of the tables.
        budget: By name, what each run of a network may spend: every variant is run with every
            budget. Without one, the experiment's own updates.
        seeds: Each variant is run once with each; the mean needs none.
        evaluations: How often a run is judged while it trains: points of its learning curve.
        image: Which statistic of a distribution is the image that is judged.
        reference: The variant that others are compared with.
        axis: Of a plot of the figures; None: there is none.
        replicates: Of every bootstrap.
        level: Of every interval.
        seed: Of every bootstrap.
    """

    description: str = ""
    task: Literal["comparison"]
    experiment: Path
    changes: tuple[str, ...] = ()
    variant: Mapping[str, Variant] = pydantic.Field(min_length=1)
    budget: Mapping[str, BudgetConfig] = pydantic.Field(default_factory=dict)
    seeds: tuple[pydantic.NonNegativeInt, ...] = pydantic.Field(default=(0, 1, 2), min_length=1)
    evaluations: int = pydantic.Field(default=10, ge=1)
    image: Literal["median", "mean"] = "mean"
    reference: str | None = None
    axis: AxisConfig | None = None
    replicates: int = pydantic.Field(default=REPLICATES, ge=1)
    level: float = pydantic.Field(default=LEVEL, gt=0, lt=1)
    seed: int = pydantic.Field(default=0, ge=0)

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


OWN = "own"
"""The budget of what is no network, and of networks where a study names none."""
