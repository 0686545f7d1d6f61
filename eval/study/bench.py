"""The runs of a comparison: every variant with every budget and seed, each made once and kept.

`DIR/runs/NAME/` holds one run: the training as `isl train` leaves it while it is under way, and
`judged.npz` once it was judged; checkpoints go then. A run that was stopped is resumed, a finished
one is not made again, and variants, budgets and seeds may be added to a study. `DIR/paces.json`
keeps how long an update of each variant takes, with a hash of what it was then, from which budgets
in seconds were turned into updates.
"""

import abc
import csv
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from rich.console import Console

from isl import registry
from isl.config import load_toml, task_name
from isl.errors import InputError
from isl.files.whole import write_text
from isl_train.budget import of_length, pixels_per_update, updates_for
from isl_train.experiment import EXPERIMENT_FILE, check_same_run, decisive
from isl_train.recipe import Recipe
from isl_train.recipe import Run as TrainingRun

from ..writing.kept_arrays import KeptArrays
from .config import OWN, StudyConfig

Say = Callable[[str], None]
# Bytes of a folder's name, on every common file system.
_LONGEST_NAME = 255
AnyConfig = TypeVar("AnyConfig", bound=StudyConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a study.

    Attributes:
        variant: Its name.
        budget: Its name; `OWN` for what has none.
        seed: Of all its random draws.
    """

    variant: str
    budget: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder; digits, letters and few other signs."""
        words = (self.variant, self.budget, str(self.seed))
        return ".".join("".join(c if c.isalnum() else "_" for c in word) for word in words)


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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What making a run took.

    Attributes:
        updates: Of the optimizer; None: there is none.
        pixels: Training pixels: those that the loss was taken over, or trees were fitted to.
        seconds: Spent on fitting.
        parameters: Numbers that were fitted; None where that says nothing.
        curve: Validation figures while it trained: `update`, `pixels`, `seconds`, and each figure.
    """

    updates: int | None
    pixels: float
    seconds: float
    parameters: int | None
    curve: tuple[Mapping[str, float], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunResult(Fitted):
    """What became of a run.

    Attributes:
        run: Which.
        rows: What it is worth, by target.
        pictures: float32 [y, x] around the judged ground of the first field, by target.
    """

    run: Run
    rows: Mapping[str, Judged]
    pictures: Mapping[str, np.ndarray]


def plan_runs(config: StudyConfig) -> tuple[Run, ...]:
    """Every run, all of one seed before the next: a study that is cut short is whole for some."""
    runs = []
    for number, seed in enumerate(config.seeds):
        for budget in config.budget or (OWN,):
            for name, variant in config.variant.items():
                if variant.trained:
                    runs.append(Run(variant=name, budget=budget, seed=seed))
        for name, variant in config.variant.items():
            if not variant.trained and (variant.random or number == 0):
                runs.append(Run(variant=name, budget=OWN, seed=seed))
    return tuple(runs)


def check_folders(runs: Sequence[Run], source: Path) -> None:
    """Refuses runs that would have one folder, or one that a file system does not take.

    Args:
        runs: All of a study.
        source: Its file, named in messages.

    Raises:
        InputError: The variants and budgets.
    """
    seen: dict[str, Run] = {}
    for run in runs:
        # Some file systems do not tell capitals from small letters.
        other = seen.setdefault(run.name.casefold(), run)
        if other != run:
            raise InputError(
                f"{source}: variant '{other.variant}', budget '{other.budget}' and variant "
                f"'{run.variant}', budget '{run.budget}' would have one folder, {run.name}; give "
                "one of them another name"
            )
        length = len(run.name.encode())
        if length > _LONGEST_NAME:
            raise InputError(
                f"{source}: the folder of variant '{run.variant}', budget '{run.budget}', would "
                f"have a name of {length} bytes, and file systems take {_LONGEST_NAME}; give a "
                "shorter name (a setting of best_of is part of it: make it a variant of its own)"
            )


class Bench(abc.ABC, Generic[AnyConfig]):
    """Makes the runs of a study, one at a time; a task fills in how they are judged.

    Attributes:
        config: What was asked for.
        folder: Where paths in the training experiment start from.
        out: Folder for results.
    """

    def __init__(
        self,
        config: AnyConfig,
        path: Path,
        out: Path,
        *,
        say: Say,
        console: Console | None = None,
    ) -> None:
        """Reads and checks the experiments of all variants; nothing is written.

        Args:
            config: What was asked for.
            path: The file it comes from.
            out: Folder for results.
            say: Called with what a person should know, a line at a time.
            console: Where the training's progress is shown; None: nowhere.

        Raises:
            InputError: An experiment has unknown keys, or does not fit; or as `check_folders`.
        """
        check_folders(plan_runs(config), path)
        self.config = config
        self.out = out
        self._file = path.parent / config.experiment
        self.folder = self._file.parent
        self._say = say
        self._console = console
        self.recipe: Recipe = registry.load(
            registry.TRAIN, task_name(self._file, config.changes), what=f"task in {self._file}:"
        )
        for name in config.variant:
            self.check(self.experiment(name, config.seeds[0]))

    def experiment(self, variant: str, seed: int) -> Any:
        """The training experiment of a variant, of the length it has itself."""
        changes = getattr(self.config.variant[variant], "changes", ())
        overrides = [*self.config.changes, *changes, f"seed={seed}"]
        return load_toml(self._file, self.recipe.config, overrides)

    # What a task fills in.

    @abc.abstractmethod
    def ground_of(self, variant: str) -> Mapping[str, Mapping[str, Any]]:
        """By name what a variant has `learned_from` and is `judged` on, as JSON can hold it."""

    @abc.abstractmethod
    def judge(self, run: Run, model: Any) -> tuple[Mapping[str, Judged], Mapping[str, np.ndarray]]:
        """What a run is worth, by target, and pictures of what it predicts, where there are any.

        Args:
            run: Which.
            model: What `train` or `fit` gave: the folder of a model as a rule.
        """

    @abc.abstractmethod
    def restored(self, facts: Mapping[str, Any], sums: np.ndarray) -> Judged:
        """A target's rows from `Judged.facts` and `Judged.sums`."""

    # What a task may know better.

    def check(self, experiment: Any) -> None:
        """Refuses an experiment that cannot be trained, before anything is computed."""

    def read_ground(self) -> None:
        """Refuses ground that cannot be judged, before anything is computed."""
        for variant in self.config.variant:
            self.ground_of(variant)

    def own_settings(self, run: Run, experiment: Any) -> Mapping[str, Any]:
        """What else a run depends on."""
        return {}

    def truths(self, targets: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """What `judge`'s pictures are beside, by target."""
        return {}

    def seconds_per_update(self, variant: str, experiment: Any) -> float:
        """The pace of a variant's updates on this machine."""
        raise InputError(
            f"{self._file}: how long updates of task '{experiment.task}' take is not known before "
            "they are made; give budgets in updates or pixels"
        )

    def train(self, run: Run, experiment: Any, place: Path) -> tuple[Fitted, Any]:
        """Trains a variant in a folder, and gives what is judged of it.

        Raises:
            KeyboardInterrupt: The training was stopped.
        """
        model = self.recipe.train(
            experiment,
            TrainingRun(
                folder=self.folder,
                workdir=place,
                name=run.variant,
                say=self._say,
                console=self._console,
            ),
        )
        pixels = pixels_per_update(experiment)
        clock = rows_of_numbers(place / "clock.csv")
        fitted = Fitted(
            updates=experiment.training.steps,
            pixels=experiment.training.steps * pixels,
            seconds=clock[-1]["seconds"] if clock else 0.0,
            parameters=None,
            curve=read_curve(place, pixels),
        )
        return fitted, model

    def fit(self, run: Run, variant: Any) -> tuple[Fitted, Any]:
        """Makes a variant that no trainer makes."""
        raise NotImplementedError(type(variant))

    # What is the same for all.

    def result(self, run: Run) -> RunResult:
        """Makes a run, or reads what it once gave.

        Raises:
            InputError: Its folder holds a run of other settings, or something does not fit.
            KeyboardInterrupt: The training was stopped; it is resumed the next time.
        """
        place = self.out / "runs" / run.name
        arrays_of = KeptArrays(place, self._settings(run))
        kept = arrays_of.read(place / "judged.npz")
        if kept is None:
            variant = self.config.variant[run.variant]
            if variant.trained:
                experiment = self._with_budget(run)
                check_same_run(place, experiment)
                # What is stopped goes on with these settings alone.
                with arrays_of.once_there(place / EXPERIMENT_FILE):
                    fitted, model = self.train(run, experiment, place)
            else:
                fitted, model = self.fit(run, variant)
            rows, pictures = self.judge(run, model)
            made = {
                **dataclasses.asdict(fitted),
                "labels": {target: dict(of.facts) for target, of in rows.items()},
            }
            arrays = {f"rows/{target}": of.sums for target, of in rows.items()}
            # Half precision is finer than the 256 intensities.
            arrays |= {f"picture/{t}": image.astype(np.float16) for t, image in pictures.items()}
            arrays_of.write(place / "judged.npz", made, arrays)
            shutil.rmtree(place / "checkpoints", ignore_errors=True)
            kept = made, arrays
        made, arrays = kept
        return RunResult(
            run=run,
            **{f.name: made[f.name] for f in dataclasses.fields(Fitted) if f.name != "curve"},
            curve=tuple(made["curve"]),
            rows={
                target: self.restored(facts, arrays[f"rows/{target}"])
                for target, facts in made["labels"].items()
            },
            pictures={
                target: arrays[f"picture/{target}"].astype(np.float32)
                for target in made["labels"]
                if f"picture/{target}" in arrays
            },
        )

    def pace(self, variant: str) -> float:
        """Seconds for an update of a variant as it is, measured once and kept."""
        path = self.out / "paces.json"
        paces = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        # Any seed will do: all have one pace, and one budget buys all as many updates.
        settings = self._settings(Run(variant=variant, budget=OWN, seed=0))
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        key = f"{variant}, {digest[:16]}"
        if key not in paces:
            self._say(f"{variant}: measuring the pace of its updates")
            experiment = self.experiment(variant, self.config.seeds[0])
            paces[key] = self.seconds_per_update(variant, experiment)
            write_text(path, json.dumps(paces, indent=1) + "\n", overwrite=True)
        return paces[key]

    def _with_budget(self, run: Run) -> Any:
        experiment = self.experiment(run.variant, run.seed)
        updates = experiment.training.steps
        if run.budget != OWN:
            budget = self.config.budget[run.budget]
            pace = self.pace(run.variant) if budget.seconds is not None else None
            updates = updates_for(budget, experiment, pace)
        return of_length(experiment, updates, evaluations=self.config.evaluations)

    def _settings(self, run: Run) -> dict[str, Any]:
        """All that a run depends on."""
        variant = self.config.variant[run.variant]
        experiment = self.experiment(run.variant, run.seed)
        settings: dict[str, Any] = {
            "experiment": decisive(experiment.model_dump(mode="json", exclude={"name"})),
            "variant": variant.model_dump(mode="json", exclude={"changes", "at", "line"}),
            **self.ground_of(run.variant),
        }
        if variant.trained:
            budget = None if run.budget == OWN else self.config.budget[run.budget]
            settings["budget"] = None if budget is None else budget.model_dump(mode="json")
            settings["evaluations"] = self.config.evaluations
        return settings | dict(self.own_settings(run, experiment))


def read_curve(place: Path, pixels_an_update: int) -> tuple[dict[str, float], ...]:
    """Validation figures of a run by update, with the pixels and the seconds it had spent."""
    seconds = {row["update"]: row["seconds"] for row in rows_of_numbers(place / "clock.csv")}
    return tuple(
        {
            "update": row["update"],
            "pixels": row["update"] * pixels_an_update,
            "seconds": seconds[row["update"]],
            **{name: value for name, value in row.items() if name != "update"},
        }
        for row in rows_of_numbers(place / "validation.csv")
    )


def rows_of_numbers(path: Path) -> list[dict[str, float]]:
    """Rows of a CSV of numbers; what was not measured is left out, and [] where there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
