"""What a task tells a study: how its variants are made and judged, and what figures are called.

A task joins by an entry point of the group `isl.study`, named as the `task` of its experiments:
colony = "isl_eval.colony.study:SUBJECT". What it must write is a `Bench`, most of which is here.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from isl import registry
from isl.config import load_toml, read_toml, task_name
from isl.errors import InputError

from .config import StudyConfig

if TYPE_CHECKING:
    from .bench import Bench
    from .tables import Findings


class Judged(Protocol):
    """What one target of a run (a label, a class) is worth: rows that figures come of.

    Attributes:
        fields: [R], what each row is of: runs judged on the same rows are subtracted.
        groups: [R], the group of each row.
        sums: float64 [R, K], whatever figures come of: sums that add up, or truth and predictions.
    """

    @property
    def fields(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def groups(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def sums(self) -> np.ndarray: ...  # noqa: D102

    @property
    def drawn(self) -> Sequence[str] | None:
        """What a bootstrap draws: the groups of the rows; None: rows."""
        ...

    @property
    def over(self) -> str:
        """The same in a word: "groups", or what a row is."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """All but `sums`, as JSON can hold it."""
        ...

    def figures_from(self, sums: np.ndarray) -> Mapping[str, float | None]:
        """Every figure of rows that were drawn, float64 [any, K]."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """One task as studies see it.

    Attributes:
        config: What a study's file holds.
        bench: Makes the runs of a study; called as `Bench` is.
        figures: Names of every figure, in the order of the tables.
        titles: Of those with intervals, what they are called and how many digits are shown.
        overview: Those shown as means over all targets.
        in_tables: Those shown of every target.
        main: The first to look at, e.g. "pearson".
        curves: Validation figures that are drawn while a run trains, and what they are called.
        along: Figures that are drawn along the study's axis, and what they are called.
        about: How runs were judged, a sentence each.
    """

    config: type[StudyConfig]
    bench: "Callable[..., Bench]"
    figures: tuple[str, ...]
    titles: Mapping[str, tuple[str, int]]
    overview: tuple[str, ...]
    in_tables: tuple[str, ...]
    main: str
    curves: Mapping[str, str]
    along: Mapping[str, str]
    about: "Callable[[Findings], list[str]]"


def read_study(path: Path, overrides: Sequence[str]) -> tuple[Subject, StudyConfig]:
    """A study's configuration, as the task of its experiment reads it.

    Raises:
        InputError: It does not fit, or no such task can be compared.
    """
    tables = read_toml(path)
    changed = [text.partition("=")[2] for text in overrides if text.startswith("experiment=")]
    experiment = changed[-1].strip("\"'") if changed else tables.get("experiment")
    if not isinstance(experiment, str):
        raise InputError(f"{path}: names no training experiment; give 'experiment'")
    file = path.parent / experiment
    what = f"task that can be compared, in {file}:"
    subject: Subject = registry.load(registry.STUDY, task_name(file, ()), what=what)
    return subject, load_toml(path, subject.config, overrides)
