"""How a task is trained from a configuration: what `isl train` needs to know of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from .experiment import ExperimentConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how one training run goes.

    Attributes:
        folder: Where the configuration's file lies; paths in it are relative to this.
        workdir: The run's own folder; resumed if it holds a checkpoint.
        name: The configuration's, for a model without a name of its own.
        say: Told what a person should know, a line at a time.
        console: Where progress is shown; None: nowhere.
    """

    folder: Path
    workdir: Path
    name: str
    say: Callable[[str], None]
    console: "Console | None" = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One task as `isl train` runs it; registered in the group `isl.train`.

    Attributes:
        config: What its configuration file holds.
        train: Trains as a configuration says, and returns the folder of the model it leaves. A run
            that was stopped before its end raises KeyboardInterrupt.
        several_processes: Whether several processes may train together.
    """

    config: "type[ExperimentConfig]"
    train: Callable[[Any, Run], Path]
    several_processes: bool = True
