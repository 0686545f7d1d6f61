"""What a task says to a study: how its variants are made and judged, and what figures are called.

A task joins by an entry point of the group `isl.study`, named as the `task` of its experiments:
colony = "isl_eval.colony.study:SUBJECT". What it must write is a `Bench`, most of which is here.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isl import registry
from isl.config import load_as_typed, read_toml, seen_from_the_shell, task_name
from isl.errors import InputError

from .bench import Bench
from .config import StudyConfig


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
        about: From what a study found (`isl_eval.study.tables.Findings`) to how runs were judged, a
            sentence each.
    """

    config: type[StudyConfig]
    bench: Callable[..., Bench[Any]]
    figures: tuple[str, ...]
    titles: Mapping[str, tuple[str, int]]
    overview: tuple[str, ...]
    in_tables: tuple[str, ...]
    main: str
    curves: Mapping[str, str]
    along: Mapping[str, str]
    about: Callable[[Any], list[str]]


def read_study(path: Path, overrides: Sequence[str]) -> tuple[Subject, StudyConfig]:
    """A study's configuration, as the task of its experiment reads it.

    Raises:
        InputError: It does not fit, or no such task can be compared.
    """
    tables = read_toml(path)
    # Which kind of study it is, the experiment says, and where that lies every kind says alike.
    overrides = seen_from_the_shell(overrides, StudyConfig, path.parent)
    changed = [text.partition("=")[2] for text in overrides if text.startswith("experiment=")]
    experiment = changed[-1].strip("\"'") if changed else tables.get("experiment")
    if not isinstance(experiment, str):
        raise InputError(f"{path}: names no training experiment; give 'experiment'")
    file = path.parent / experiment
    what = f"task that can be compared, in {file}:"
    subject: Subject = registry.load(registry.STUDY, task_name(file, ()), what=what)
    return subject, load_as_typed(path, subject.config, overrides)
