"""How a task is trained from a configuration: what `isl train` needs to know of it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from .experiment import ExperimentConfig
    from .lengths import Resize
    from .task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how one training run goes.

    Attributes:
        folder: Where the configuration's file lies; paths in it are relative to this.
        workdir: The run's own folder; resumed if it holds a checkpoint.
        name: The configuration's, for a model without a name of its own.
        say: Called with what a person should know, a line at a time.
        console: Where progress is shown; None: nowhere.
    """

    folder: Path
    workdir: Path
    name: str
    say: Callable[[str], None]
    console: "Console | None" = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleRun:
    """An experiment that is one task, fitted once: `isl search` can make many of it.

    Attributes:
        task: The task of a configuration.
        freeze: Paths of parameters that stay as they are; see `isl_train.loop.fit`.
        check: Refuses what can be refused before any data are read.
        from_anywhere: The configuration with absolute paths, for a file that lies elsewhere than in
            the folder given.
    """

    task: "Callable[[Any, Run], Task]"
    freeze: Callable[[Any], Sequence[str]] = lambda _: ()
    check: Callable[[Any], None] = lambda _: None
    from_anywhere: Callable[[Any, Path], Any] = lambda experiment, _: experiment

    def train(self, experiment: Any, run: Run) -> Path:
        """Fits the task, and returns the folder of the model.

        Raises:
            KeyboardInterrupt: It was stopped; it resumes from there the next time.
        """
        from .loop import fit

        freeze = self.freeze(experiment)
        task = self.task(experiment, run)
        progress = fit(task, experiment, run.workdir, freeze=freeze, console=run.console)
        if progress.update < experiment.training.steps:
            raise KeyboardInterrupt
        return run.workdir / "model"

    def look(self, experiment: Any, run: Run) -> tuple[str, ...]:
        """Reads all, lays out the network, and draws a batch; see `Recipe.look`."""
        from .check import try_start

        return try_start(self.task(experiment, run), experiment, self.freeze(experiment))


def _alone(experiment: Any, run: Run) -> "Mapping[str, ExperimentConfig]":
    return {".": experiment}


def _as_ever(experiment: Any, folder: Path, resize: "Resize") -> Any:
    return resize(experiment)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One task as `isl train` runs it; registered in the group `isl.train`.

    Attributes:
        config: What its configuration file holds.
        train: Trains as a configuration says, and returns the folder of the model it leaves. A run
            that was stopped before its end raises KeyboardInterrupt.
        several_processes: Whether several processes may train together.
        single: One run of one task that `isl search` makes many of; None: there is none. Where
            training is nothing else, `train` is its own.
        look: What `isl train --check` does: reads everything that training would read, refuses what
            training would refuse, keeps nothing, and says what it found, a line each; None: it
            cannot be checked.
        fits: By folder within the run's (as a pattern, such as "member_*"): the experiments that
            are fitted there, for `isl train --budget`; {}: nothing that takes updates.
        resized: The experiment with all its lengths changed: (experiment, the folder its paths are
            relative to, what changes one experiment).
        data: The key that names the data.
        purpose: What a model of it does, in a sentence, for cards.
    """

    config: "type[ExperimentConfig]"
    train: Callable[[Any, Run], Path]
    several_processes: bool = True
    single: SingleRun | None = None
    look: Callable[[Any, Run], Sequence[str]] | None = None
    fits: "Callable[[Any, Run], Mapping[str, ExperimentConfig]]" = _alone
    resized: "Callable[[Any, Path, Resize], Any]" = _as_ever
    data: str = "dataset"
    purpose: str = ""
