"""The training loop: evaluate, checkpoint, draw, step, write, until the last update."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils
from rich.console import Console

from isl.config import to_toml
from isl.errors import InputError
from isl.files.folders import emptied, folder_written_whole

from . import data
from .checkpoint import Checkpoints, Progress
from .experiment import EXPERIMENT_FILE, ExperimentConfig
from .interrupt import Interrupt
from .ledger import Ledger
from .optimizer import build_optimizer, learning_rates
from .progress import ProgressDisplay
from .state import TrainState, initial_state
from .step import device_mesh, make_train_step, replicate, shard
from .task import Batch, Task, Tree
from .writers import Writers


def fit(
    task: Task,
    experiment: ExperimentConfig,
    workdir: Path,
    *,
    freeze: Sequence[str] = (),
    console: Console | None = None,
) -> Progress:
    """Trains a task, going on from the last checkpoint in `workdir` if there is one.

    Leaves `experiment.toml` (all settings), `checkpoints/` (last and best), `training.csv`,
    `validation.csv`, `clock.csv` (seconds spent on updates by each evaluation), `tensorboard/`,
    `pictures/` and `model/`: the best model where there is validation data, else the last.

    SIGINT or SIGTERM stop a single process after the update under way, with a checkpoint.

    Args:
        task: What to train.
        experiment: How.
        workdir: The run's folder.
        freeze: Paths of parameters that stay as they are.
        console: Where progress is shown; None: nowhere.

    Returns:
        How far the run is; less than `training.steps` updates if it was stopped.

    Raises:
        InputError: The loss is no longer finite, or the folder holds another network's run.
    """
    training = experiment.training
    optimizer, state = _start(task, experiment, freeze)
    with Checkpoints(
        workdir / "checkpoints",
        identity=task.identity(),
        optimizer=_optimizer_identity(experiment, freeze),
        selection=task.selection,
    ) as checkpoints:
        progress = Progress()
        if checkpoints.updates:
            state, progress = checkpoints.restore(state)
        start = progress.update
        is_first = jax.process_index() == 0
        with (
            data.batches(
                task.examples(experiment.seed),
                batch_size=training.batch_size // training.accumulate,
                start=progress.batches_drawn,
                workers=training.workers,
                process=(jax.process_index(), jax.process_count()),
            ) as batches,
            Writers(workdir, start=start, enabled=is_first) as writers,
            ProgressDisplay(
                start=start,
                steps=training.steps,
                pixels_per_update=training.batch_size * task.pixels_per_example,
                console=console if is_first else None,
            ) as display,
            Interrupt(enabled=jax.process_count() == 1) as interrupt,
        ):
            run = _Run(
                task=task,
                experiment=experiment,
                workdir=workdir,
                optimizer=optimizer,
                state=state,
                progress=progress,
                checkpoints=checkpoints,
                writers=writers,
                display=display,
            )
            run.announce()
            if is_first:
                text = to_toml(experiment)
                (workdir / EXPERIMENT_FILE).write_text(text, encoding="utf-8")
            for update in range(start, training.steps + 1):
                if update > start:
                    value = run.evaluate(update)
                    run.checkpoint(update, value, at_once=interrupt.requested)
                if update == training.steps:
                    break
                if interrupt.requested:
                    display.say(f"stopped after update {update}; run again to go on")
                    return run.progress
                run.step(update + 1, batches)
                run.write(update + 1)
            run.export_last()
            return run.progress


class _Run:
    """The parts of one run; its methods are the lines of the loop."""

    def __init__(
        self,
        *,
        task: Task,
        experiment: ExperimentConfig,
        workdir: Path,
        optimizer: optax.GradientTransformation,
        state: TrainState,
        progress: Progress,
        checkpoints: Checkpoints,
        writers: Writers,
        display: ProgressDisplay,
    ) -> None:
        self.task = task
        self.training = experiment.training
        self.model_folder = workdir / "model"
        self.state = state
        self.progress = progress
        self.start = progress.update
        self.checkpoints = checkpoints
        self.writers = writers
        self.display = display
        self.ledger = Ledger(task.describe)
        self.mesh = device_mesh()
        self.evaluations = 0
        self.learning_rates = learning_rates(experiment.optimizer, self.training.steps)
        self.train_step = make_train_step(
            task,
            optimizer,
            self.mesh,
            ema_decay=self.training.ema_decay,
            accumulate=self.training.accumulate,
        )

    def announce(self) -> None:
        """Says where the run starts, and that the first step takes long."""
        devices = f"{self.mesh.size} x {jax.devices()[0].device_kind}"
        if self.start >= self.training.steps:
            self.display.say(
                f"already trained for {self.start} updates (training.steps is "
                f"{self.training.steps}); nothing to do"
            )
            return
        begin = f"resuming after update {self.start}" if self.start else "starting"
        self.display.say(f"{begin} on {devices}; {self.task.identity()}")
        self.display.say("compiling the train step, which can take a minute or two ...")

    def evaluate(self, update: int) -> float | None:
        """Judges the network if it is time; returns the selection metric if there is one."""
        if not self._is_due(update, self.training.evaluate_every):
            return None
        with self._timed(update):
            self.ledger.settle()
        self.display.pause()
        self.writers.scalars("clock", update, {"seconds": self.progress.seconds})
        self.evaluations += 1
        every = self.training.picture_every
        is_last = update == self.training.steps
        pictures = every > 0 and (is_last or self.evaluations % every == 0)
        params, model_state = _on_one_device((self.state.averaged_params, self.state.model_state))
        evaluation = self.task.evaluate(params, model_state, pictures=pictures)
        value = self._selected(evaluation.metrics)
        if evaluation.metrics:
            self.writers.scalars("validation", update, evaluation.metrics)
            self.display.say(f"update {update}  validation: {_in_words(evaluation.metrics)}")
        self.writers.pictures(update, evaluation.pictures)
        if value is not None and self._is_better(value):
            self.progress = dataclasses.replace(self.progress, best=value, best_update=update)
            self._export(evaluation.metrics)
        self.display.go_on()
        return value

    def checkpoint(self, update: int, value: float | None, *, at_once: bool) -> None:
        """Saves if it is time, if this is the best so far, or at once."""
        is_best = self.progress.best_update == update
        is_due = self._is_due(update, self.training.checkpoint_every)
        if not (is_best or is_due or at_once):
            return
        self._write_metrics(update)
        self.checkpoints.save(self.state, self.progress, value=value)

    def step(self, update: int, batches: Iterator[Batch]) -> None:
        """Draws one update's batch, in parts when accumulating, and makes the update."""
        with self._timed(update):
            for _ in range(self.training.accumulate):
                batch = next(batches)
                self.state, sums = self.train_step(
                    self.state, shard(batch, self.mesh), self.learning_rates[update - 1]
                )
                self.ledger.add(update, batch, sums)
        self.progress = dataclasses.replace(
            self.progress,
            update=update,
            batches_drawn=self.progress.batches_drawn + self.training.accumulate,
        )
        self.display.advance(update)

    def write(self, update: int) -> None:
        """Writes metrics if it is time."""
        if update % self.training.log_every == 0 or update == self.training.steps:
            self._write_metrics(update)

    def export_last(self) -> None:
        """Leaves the last model behind where nothing says which one is best."""
        if self.progress.best is None and (
            self.start < self.training.steps or not self.model_folder.exists()
        ):
            self._export({})

    @contextlib.contextmanager
    def _timed(self, update: int) -> Iterator[None]:
        """Adds what an update takes to the clock, if it is not the first of this process."""
        began = time.monotonic()
        yield
        if update > self.start + 1:
            seconds = self.progress.seconds + time.monotonic() - began
            self.progress = dataclasses.replace(self.progress, seconds=seconds)

    def _is_due(self, update: int, every: int) -> bool:
        return update == self.training.steps or (every > 0 and update % every == 0)

    def _write_metrics(self, update: int) -> None:
        means = self.ledger.means()
        if means:
            rate = float(self.learning_rates[update - 1])
            loss_first = {"loss": means["loss"], **means, "learning_rate": rate}
            self.writers.scalars("training", update, loss_first)
            self.display.report(means["loss"])

    def _selected(self, metrics: Mapping[str, float]) -> float | None:
        """The selection metric, as the first process found it; None if it is not a number."""
        if self.task.selection is None:
            return None
        value = metrics[self.task.selection.metric]
        if jax.process_count() > 1:
            value = float(multihost_utils.broadcast_one_to_all(np.float32(value)))
        return None if math.isnan(value) else value

    def _is_better(self, value: float) -> bool:
        if self.task.selection is None or self.progress.best is None:
            return True
        return (value > self.progress.best) == self.task.selection.higher_is_better and (
            value != self.progress.best
        )

    def _export(self, metrics: Mapping[str, float]) -> None:
        """Puts a model folder in place as a whole, never half of one."""
        if jax.process_index() != 0:
            return
        params, model_state = _on_one_device((self.state.averaged_params, self.state.model_state))
        told = {**metrics, "updates": self.progress.update}
        with folder_written_whole(self.model_folder, replaceable=lambda _: True) as folder:
            # A task makes the folder itself.
            emptied(folder).rmdir()
            self.task.export(params, model_state, folder, told)


def _start(
    task: Task, experiment: ExperimentConfig, freeze: Sequence[str]
) -> tuple[optax.GradientTransformation, TrainState]:
    """The optimizer and the state before the first update, on all devices."""
    training = experiment.training
    devices = jax.device_count()
    part = training.batch_size // training.accumulate
    if part % devices:
        raise InputError(
            f"{part} examples (training.batch_size / training.accumulate) cannot be cut for "
            f"{devices} devices: set training.batch_size to a multiple of "
            f"{devices * training.accumulate}"
        )
    key_of_params, key_of_steps = jax.random.split(jax.random.key(experiment.seed))
    params, model_state = task.initial(key_of_params)
    optimizer = build_optimizer(
        experiment.optimizer,
        params,
        steps=training.steps,
        accumulate=training.accumulate,
        freeze=freeze,
    )
    average = training.ema_decay > 0
    state = initial_state(params, model_state, optimizer, key_of_steps, average=average)
    return optimizer, replicate(state, device_mesh())


def _optimizer_identity(experiment: ExperimentConfig, freeze: Sequence[str]) -> str:
    """What gives the optimizer's state its shape, in words."""
    parts = [experiment.optimizer.kind]
    if experiment.optimizer.clip_norm:
        parts.append("clipped")
    if experiment.training.accumulate > 1:
        parts.append(f"accumulate {experiment.training.accumulate}")
    if experiment.training.ema_decay:
        parts.append("with average")
    if freeze:
        parts.append(f"frozen {' '.join(freeze)}")
    return ", ".join(parts)


def _on_one_device(tree: Tree) -> Tree:
    """This process's copy of replicated arrays."""
    return jax.tree.map(lambda array: array.addressable_data(0), tree)


def _in_words(metrics: Mapping[str, float]) -> str:
    known = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return "  ".join(f"{name} {value:.4f}" for name, value in known.items())
