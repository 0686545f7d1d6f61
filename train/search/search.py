"""Hyperparameter search with Optuna: workers that share one journal, each trial a training run.

`DIR/journal.log` is all that workers share: any number may be started, on one machine or on several
that see the same folder, and each draws its next trial from what all have found. `DIR/trials/NNNN/`
holds a trial's runs. A worker shows that it lives by touching a file there; the trial of one that
does not is taken over by the next, and resumes from its last checkpoint.
"""

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from isl import registry
from isl.config import load_as_typed, load_toml, task_name, to_toml
from isl.errors import InputError
from isl.files.whole import write_text

from ..budget import of_length, seconds_per_update, updates_for
from ..experiment import ExperimentConfig, check_same_run
from ..loop import fit
from ..optimizer import frozen_mask
from ..recipe import Recipe, Run, SingleRun
from ..task import Selection, Task
from .config import Dimension, SearchConfig, as_text
from .report import write_results

ALIVE_EVERY = 20.0
"""Seconds between signs of life."""
LOST_AFTER = 180.0
"""Seconds without one after which a trial's worker is taken for lost."""
MOST_FAILURES = 10
"""Trials that may fail in a row, before a worker takes it that all of them will."""
_NAME = "search"
_ALIVE = "alive"
# A trial that takes the place of a lost one says which, and where its runs lie.
_INSTEAD_OF, _FOLDER = "instead_of", "folder"
# How long the run of its first seed is, which a budget in seconds does not say.
_UPDATES = "updates"

Say = Callable[[str], None]


def search_hyperparameters(
    path: Path,
    overrides: list[str],
    workdir: Path,
    *,
    trials: int | None = None,
    say: Say,
    console: Console | None = None,
) -> Path:
    """Works on a search until as many trials are complete as it is to have.

    Args:
        path: The configuration, of `SearchConfig`.
        overrides: `key=value` texts.
        workdir: The search's folder; resumed if it was begun before.
        trials: How many, over all workers; None: as the configuration says.
        say: Called with what a person should know, a line at a time.
        console: Where training's progress is shown; None: nowhere.

    Returns:
        The experiment with the best values, a TOML file.

    Raises:
        InputError: Optuna is missing, the folder holds another search, the experiment cannot be
            trained, values of the space do not fit it, or trials do nothing but fail.
        KeyboardInterrupt: It was stopped; it resumes from there the next time.
    """
    optuna = _optuna()
    config = load_as_typed(path, SearchConfig, overrides)
    search = _Search(config, path, workdir, optuna, say, console)
    wanted = config.trials if trials is None else trials
    while search.is_wanting(wanted):
        search.one_trial()
        search.check_failures(wanted)
    return search.end()


class _Search:
    """One worker's view of a search."""

    def __init__(
        self,
        config: SearchConfig,
        path: Path,
        workdir: Path,
        optuna: Any,
        say: Say,
        console: Console | None,
    ) -> None:
        self._config = config
        self._file = path.parent / config.experiment
        self._workdir = workdir
        self._optuna = optuna
        self._say = say
        self._console = console
        self._failures: list[str] = []  # Reasons of those since this worker's last success.
        self._kind, self._single = searchable(self._file, config.changes)
        base = search_space_fits(config, self._file)
        judged = [
            load_toml(self._file, self._kind, [*config.changes, *fold]) for fold in config.folds
        ]
        # Trials are told apart on the folds, where there are any.
        selection, *_ = [self._check_ground(each) for each in judged or [base]]
        self._metric = selection.metric
        self._study = self._open("maximize" if selection.higher_is_better else "minimize")

    def _task(self, experiment: ExperimentConfig) -> Task:
        quiet = Run(folder=self._file.parent, workdir=self._workdir, name="model", say=_keep_silent)
        return self._single.task(experiment, quiet)

    def _check_ground(self, experiment: ExperimentConfig) -> Selection:
        """Refuses an experiment of which no trial could be trained and judged.

        Raises:
            InputError: Its data, validation ground or model to start from is missing or does not
                fit.
        """
        task = self._task(experiment)
        if task.selection is None:
            where = self._file.parent / getattr(experiment, "dataset", self._file.name)
            raise InputError(
                f"{where}: holds out no validation ground, by which trials are told apart"
            )
        # Weights to start from are read, and what is to be frozen is looked for.
        params, _ = task.initial(jax.random.key(experiment.seed))
        frozen_mask(params, self._single.freeze(experiment))
        return task.selection

    def _open(self, direction: str) -> Any:
        """The journal's study; refused if it is of other settings."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        journal = self._optuna.storages.journal
        storage = self._optuna.storages.JournalStorage(
            journal.JournalFileBackend(str(self._workdir / "journal.log"))
        )
        study = self._optuna.create_study(
            storage=storage,
            study_name=_NAME,
            direction=direction,
            load_if_exists=True,
        )
        settings = self._settings()
        if study.user_attrs.setdefault("settings", settings) != settings:
            raise InputError(
                f"{self._workdir}: holds a search of other settings; name another folder, or "
                "remove this one"
            )
        study.set_user_attr("settings", settings)
        return study

    def _settings(self) -> str:
        """A hash of all that makes trials comparable; how many there are does not."""
        stated = self._config.model_dump(mode="json", exclude={"trials", "description", "startup"})
        base = load_toml(self._file, self._kind, self._config.changes)
        text = json.dumps([stated, base.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def is_wanting(self, wanted: int) -> bool:
        """Whether a trial is left to be made by this worker."""
        self._take_over_lost()
        trials = self._study.get_trials(deepcopy=False)
        state = self._optuna.trial.TrialState
        counted = [t for t in trials if t.state in (state.COMPLETE, state.RUNNING)]
        return any(t.state == state.WAITING for t in trials) or len(counted) < wanted

    def check_failures(self, wanted: int) -> None:
        """Refuses to continue where trials do nothing but fail."""
        if len(self._failures) < min(wanted, MOST_FAILURES):
            return
        found = f"{len(self._failures)} trials failed in a row"
        if not self._has_best():
            found = "no trial is complete"
        raise InputError(
            f"{self._workdir}: {found}; the last failed: {self._failures[-1]}; fix it and start "
            "again (trials that failed do not count)"
        )

    def one_trial(self) -> None:
        """Draws values, trains with them, and tells the journal what they are worth."""
        trial = self._study.ask()
        # A generator of its own for every trial: workers that start together draw different ones.
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=int(
                np.random.SeedSequence([self._config.seed, trial.number]).generate_state(1)[0]
            ),
            n_startup_trials=self._config.startup,
            constant_liar=True,
        )
        changes = suggest(trial, self._config.space)
        folder = self._folder(trial.user_attrs.get(_FOLDER, trial.number))
        self._say(f"trial {trial.number}: {', '.join(changes)}")
        with _alive(folder):
            try:
                value = self._value(trial, changes, folder)
            except InputError as error:
                # Values may not work, as where the loss is no longer finite: others are drawn.
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                self._failures.append(str(error))
                self._say(f"trial {trial.number}: failed: {error}")
            else:
                self._failures.clear()
                self._study.tell(trial, value)
                self._say(f"trial {trial.number}: {self._metric} {value:.4f}")
        for checkpoints in folder.glob("*/checkpoints"):
            shutil.rmtree(checkpoints, ignore_errors=True)
        # Compiled programs of networks that are done with.
        jax.clear_caches()
        self.write_results()

    def end(self) -> Path:
        """Says what others still do, and writes the results; refused where there are none."""
        running = self._optuna.trial.TrialState.RUNNING
        if others := len(self._study.get_trials(deepcopy=False, states=(running,))):
            self._say(
                f"{others} of the trials are under way with other workers; that of a worker which "
                f"is gone can be taken over after {LOST_AFTER / 60:.0f} minutes: start again then"
            )
        self.write_results()
        if not self._has_best():
            reason = f"; the last failed: {self._failures[-1]}" if self._failures else ""
            raise InputError(f"{self._workdir}: no trial is complete{reason}")
        return self._workdir / "best.toml"

    def write_results(self) -> None:
        """The table, the report and the best experiment, as far as the search is."""
        if self._has_best():
            write_text(self._workdir / "best.toml", to_toml(self._best()), overwrite=True)
        write_results(self._study, self._config, self._metric, self._workdir)

    def _has_best(self) -> bool:
        complete = self._optuna.trial.TrialState.COMPLETE
        return bool(self._study.get_trials(deepcopy=False, states=(complete,)))

    def _best(self) -> ExperimentConfig:
        """What trains the best trial again, with paths that hold in any folder.

        Its first seed, on the experiment's own ground: the first run of the trial, where there are
        no folds.
        """
        trial = self._study.best_trial
        changes = [
            f"{key}={_text_of(value, self._config.space[key])}"
            for key, value in trial.params.items()
        ]
        experiment = self._experiment(changes, self._config.seeds[0])
        updates = trial.user_attrs[_UPDATES]
        whole = of_length(experiment, updates, evaluations=self._config.evaluations)
        return self._single.from_anywhere(whole, self._file.parent)

    def _experiment(
        self, changes: list[str], seed: int, fold: Sequence[str] = ()
    ) -> ExperimentConfig:
        overrides = [*self._config.changes, *fold, *changes, f"seed={seed}"]
        return load_toml(self._file, self._kind, overrides)

    def _value(self, trial: Any, changes: list[str], folder: Path) -> float:
        """The best selection metric of a run, the mean over folds and seeds."""
        runs = [
            self._run(self._experiment(changes, seed, fold), folder / f"{place}seed{seed}")
            for place, fold in _places(self._config.folds)
            for seed in self._config.seeds
        ]
        trial.set_user_attr(_UPDATES, runs[0][1])
        return float(np.mean([value for value, _ in runs]))

    def _run(self, experiment: ExperimentConfig, run: Path) -> tuple[float, int]:
        """The best selection metric of one run, and its updates."""
        task = self._task(experiment)
        updates = self._updates(task, experiment, run)
        whole = of_length(experiment, updates, evaluations=self._config.evaluations)
        check_same_run(run, whole)
        freeze = self._single.freeze(whole)
        progress = fit(task, whole, run, freeze=freeze, console=self._console)
        if progress.update < whole.training.steps:
            raise KeyboardInterrupt
        if progress.best is None:
            raise InputError(f"{self._metric} is undefined on the validation ground")
        return progress.best, updates

    def _updates(self, task: Task, experiment: ExperimentConfig, run: Path) -> int:
        budget = self._config.budget
        if budget is None:
            return experiment.training.steps
        if budget.seconds is None:
            return updates_for(budget, experiment, None)
        kept = run.with_suffix(".pace.json")
        if not kept.exists():
            pace = seconds_per_update(task, experiment, self._single.freeze(experiment))
            write_text(kept, json.dumps(pace))
        return updates_for(budget, experiment, json.loads(kept.read_text(encoding="utf-8")))

    def _folder(self, number: int) -> Path:
        return self._workdir / "trials" / f"{number:04d}"

    def _take_over_lost(self) -> None:
        """Puts trials whose worker is lost back into the queue."""
        state = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            number = trial.user_attrs.get(_FOLDER, trial.number)
            if not _is_lost(self._folder(number), trial.datetime_start):
                continue
            try:
                self._study.tell(trial.number, state=state.FAIL)
            except ValueError:
                continue  # Another worker was faster.
            self._study.enqueue_trial(
                trial.params, user_attrs={_INSTEAD_OF: trial.number, _FOLDER: number}
            )
            self._say(f"trial {trial.number}: its worker is gone; it is taken over")


def searchable(experiment: Path, changes: Sequence[str]) -> tuple[type[Any], SingleRun]:
    """What the configuration of an experiment holds, and how it is trained.

    Raises:
        InputError: There is no such task, or it is more than one training run.
    """
    name = task_name(experiment, changes)
    recipe: Recipe = registry.load(registry.TRAIN, name, what=f"task in {experiment}:")
    if recipe.single is None:
        raise InputError(
            f"{experiment}: task '{name}' is more than one training run, which isl search does not "
            "make"
        )
    return recipe.config, recipe.single


def search_space_fits(config: SearchConfig, experiment: Path) -> ExperimentConfig:
    """Refuses a space with keys that the experiment does not have, before anything is trained.

    Args:
        config: What was asked for.
        experiment: The file of the experiment.

    Returns:
        The experiment that trials change.

    Raises:
        InputError: Names the key, or what else is wrong with the experiment.
    """
    kind, single = searchable(experiment, config.changes)
    base = load_toml(experiment, kind, config.changes)
    single.check(base)
    for key, dimension in config.space.items():
        value = dimension.choices[0] if dimension.choices else dimension.low
        whole = int(value) if dimension.integer and value is not None else value
        changes = [f"{other}={as_text(wanted)}" for other, wanted in dimension.when.items()]
        overrides = [*config.changes, *changes, f"{key}={as_text(whole)}"]
        load_toml(experiment, kind, overrides)
    return base


def suggest(trial: Any, space: Any) -> list[str]:
    """Values for a trial, as `key=value` texts.

    Args:
        trial: Optuna's.
        space: Dimensions by key, in order.
    """
    chosen: dict[str, str] = {}
    for key, dimension in space.items():
        if any(chosen.get(other) != as_text(value) for other, value in dimension.when.items()):
            continue
        if dimension.choices:
            value = trial.suggest_categorical(key, [as_text(c) for c in dimension.choices])
        elif dimension.integer:
            value = trial.suggest_int(
                key, int(dimension.low), int(dimension.high), log=dimension.logarithmic
            )
        else:
            value = trial.suggest_float(
                key, dimension.low, dimension.high, log=dimension.logarithmic
            )
        chosen[key] = _text_of(value, dimension)
    return [f"{key}={text}" for key, text in chosen.items()]


def _places(folds: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """What the folders of each fold begin with, and its changes; without folds there are none."""
    return [(f"fold{number}_", fold) for number, fold in enumerate(folds)] or [("", ())]


def _keep_silent(_: str) -> None:
    """Says nothing to anybody."""


def _text_of(value: Any, dimension: Dimension) -> str:
    """Optuna's value as `key=value` takes it; choices are kept as such texts."""
    return value if dimension.choices else as_text(value)


@contextlib.contextmanager
def _alive(folder: Path) -> Iterator[None]:
    """Shows signs of life; after a stop the trial is free at once."""
    folder.mkdir(parents=True, exist_ok=True)
    sign = folder / _ALIVE
    sign.touch()
    done = threading.Event()

    def show() -> None:
        while not done.wait(ALIVE_EVERY):
            sign.touch()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        os.utime(sign, (0, 0))


def _is_lost(folder: Path, started: Any) -> bool:
    sign = folder / _ALIVE
    if sign.exists():
        return time.time() - sign.stat().st_mtime > LOST_AFTER
    return started is not None and time.time() - started.timestamp() > LOST_AFTER


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise InputError("isl search needs Optuna: pip install 'isl[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
