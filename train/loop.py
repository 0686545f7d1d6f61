"""The training loop: evaluate, checkpoint, draw, step, write, until the last update."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils
from rich.console import Console

from isl.config import to_toml
from isl.errors import InputError
from isl.files.folders import emptied, folder_written_whole
from isl.files.locks import alone_in
from isl.files.whole import write_texts

from . import data
from .checkpoint import Checkpoints, Progress, last_update
from .cost import cost_of
from .experiment import EXPERIMENT_FILE, ExperimentConfig, TrainingConfig
from .haste import Haste, allowed_in
from .interrupt import Interrupt
from .ledger import Ledger
from .micro_batch import parts_of
from .optimizer import build_optimizer, learning_rates
from .progress import ProgressDisplay
from .stages import Stage
from .state import TrainState, initial_state
from .step import Update, device_mesh, make_update, replicate
from .task import Batch, Task, Tree, ground_of, looks_at_stages, renews, updates_itself
from .writers import Writers

if TYPE_CHECKING:
    import grain

# Folded into the key of a renewal, so that it is none of an update.
_RENEWAL = 0x52


def fit(
    task: Task,
    experiment: ExperimentConfig,
    workdir: Path,
    *,
    freeze: Sequence[str] = (),
    console: Console | None = None,
) -> Progress:
    """Trains a task, resuming from the last checkpoint in `workdir` if there is one.

    Leaves `experiment.toml` (all settings), `checkpoints/` (last and best), `training.csv`,
    `validation.csv`, `clock.csv` (by each evaluation, seconds spent on updates and on judging),
    `tensorboard/`, `pictures/`, after some time `report.html` (see
    `isl_train.page`), and `model/`: the best model of the last stage where there is validation
    data, else the last.

    Where `allowed.json` in `workdir` says what updates may take, and they take longer, some are
    left out; see `isl_train.haste`.

    SIGINT or SIGTERM stop a single process after the update under way, with a checkpoint.

    Args:
        task: What to train.
        experiment: How.
        workdir: The run's folder.
        freeze: Paths of parameters that stay as they are in all stages, while batch statistics are
            taken.
        console: Where progress is shown; None: nowhere.

    Returns:
        How far the run is; less than `training.steps` updates if it was stopped.

    Raises:
        Diverged: The loss is no longer finite.
        InputError: The folder holds another network's run, or another process trains there.
    """
    training = experiment.training
    start = last_update(workdir / "checkpoints")
    is_first = jax.process_index() == 0
    with (
        # Two runs in one folder would write each other's checkpoints.
        alone_in(workdir, "isl train") if is_first else contextlib.nullcontext(),
        Writers(workdir, enabled=is_first) as writers,
        ProgressDisplay(
            start=start,
            steps=training.steps,
            pixels_per_update=training.batch_size * task.pixels_per_example,
            console=console if is_first else None,
        ) as display,
        Interrupt(enabled=jax.process_count() == 1) as interrupt,
    ):
        run = _Run(task, experiment, workdir, freeze=freeze, writers=writers, display=display)
        for stage in experiment.plan:
            if start > stage.last and stage.last < training.steps:
                continue
            with run.in_stage(stage):
                run.announce()
                begun = update = run.progress.update
                while update <= stage.last:
                    if update > begun:
                        value = run.evaluate(update)
                        run.checkpoint(update, value, at_once=interrupt.requested)
                    if update == stage.last:
                        break
                    if interrupt.requested:
                        display.say(f"stopped after update {update}; run again to resume")
                        return run.progress
                    run.renew(update)
                    update = run.next(update)
                    run.step(update)
                    run.write(update)
        run.export_last()
        return run.progress


class _Run:
    """The parts of one run; its methods are the lines of the loop."""

    stage: Stage
    state: TrainState
    checkpoints: Checkpoints
    update: Update
    batches: Iterator[Batch]

    def __init__(
        self,
        task: Task,
        experiment: ExperimentConfig,
        workdir: Path,
        *,
        freeze: Sequence[str],
        writers: Writers,
        display: ProgressDisplay,
    ) -> None:
        self.experiment = experiment
        self.training = experiment.training
        self.freeze = freeze
        self.workdir = workdir
        self.model_folder = workdir / "model"
        self.writers = writers
        self.display = display
        self.mesh = device_mesh()
        self.evaluations = 0
        self.haste = Haste(
            allowed_in(workdir),
            steps=self.training.steps,
            evaluate_every=self.training.evaluate_every,
        )
        self.is_said = False
        self.learning_rates = np.concatenate(
            [learning_rates(stage.optimizer, stage.last - stage.first) for stage in experiment.plan]
        )
        self.whole_task = self.task = task
        self.ground = ground_of(task)
        self.ledger = Ledger(lambda batch: self.task.describe(batch))
        self.is_begun = False
        self.progress = Progress()
        self._stream = contextlib.ExitStack()

    @contextlib.contextmanager
    def in_stage(self, stage: Stage) -> Iterator[None]:
        """Makes ready for a stage: resumes it, or starts where the one before it ended."""
        self.stage = stage
        self.task = task_in_stage(self.whole_task, stage)
        _check_devices(self.training, self.mesh.size)
        optimizer = self._prepare()
        with (
            Checkpoints(
                self.workdir / "checkpoints",
                identity=self.task.identity(),
                optimizer=_optimizer_identity(self.experiment, stage, self.freeze),
                ground=self.ground,
                selection=self.task.selection,
                stage=stage.title,
            ) as self.checkpoints,
            self._stream,
        ):
            if not self.is_begun:
                self._begin()
            self.start = self.progress.update
            self.before = self.start - 1
            self.update = make_update(
                self.task,
                optimizer,
                self.mesh,
                ema_decay=self.training.ema_decay,
                parts=parts_of(
                    self.training, self.task, self.state, self.mesh, self.experiment.seed
                ),
                free=stage.free,
            )
            self._draw_from_here()
            yield

    def _prepare(self) -> optax.GradientTransformation:
        """Puts the state at the start of the stage onto all devices; returns the optimizer."""
        key_of_params, key = jax.random.split(jax.random.key(self.experiment.seed))
        if self.is_begun:
            params, model_state = _on_one_device(
                (self.state.averaged_params, self.state.model_state)
            )
            self.progress = dataclasses.replace(self.progress, best=None, best_update=None)
        else:
            params, model_state = self.task.initial(key_of_params)
        stage = self.stage
        optimizer = build_optimizer(
            stage.optimizer,
            params,
            steps=stage.last - stage.first,
            freeze=self.freeze,
            free=stage.free,
        )
        own = self.task.optimizer_states if updates_itself(self.task) else optimizer.init
        average = self.training.ema_decay > 0
        step = self.progress.update
        state = initial_state(params, model_state, own(params), key, average=average, step=step)
        self.state = replicate(state, self.mesh)
        return optimizer

    def _judged(self) -> tuple[Tree, Tree]:
        """Averaged parameters, where there is an average, and model state, on one device."""
        return _on_one_device((self.state.averaged_params, self.state.model_state))

    def _begin(self) -> None:
        """Resumes the run if there is a checkpoint, and opens its files."""
        if self.checkpoints.updates:
            self.state, self.progress = self.checkpoints.restore(self.state)
        self.writers.open(self.progress.update)
        if jax.process_index() == 0:
            write_texts(self.workdir, {EXPERIMENT_FILE: to_toml(self.experiment)})
        self.is_begun = True

    def announce(self) -> None:
        """Says where the run starts, and that the first step takes long."""
        devices = f"{self.mesh.size} x {jax.devices()[0].device_kind}"
        if self.start >= self.training.steps:
            self.display.say(
                f"already trained for {self.start} updates (training.steps is "
                f"{self.training.steps}); nothing to do"
            )
            return
        if self.start == self.stage.last:
            return
        begin = f"resuming after update {self.start}" if self.start else "starting"
        if self.stage.title and self.start == self.stage.first:
            begin = f"{self.stage.title} of {len(self.experiment.plan)}: starting"
        self.display.say(f"{begin} on {devices}; {self.task.identity()}")
        if self.start == 0 and self.display.is_shown:
            state = self.state
            known = (self.task, self.experiment, state.params, state.model_state, self.freeze)
            for line in cost_of(*known):
                self.display.say(line)
        self.display.say("compiling the train step, which can take a minute or two ...")

    def evaluate(self, update: int) -> float | None:
        """Judges the network if it is time; returns the selection metric if there is one."""
        if not self._is_due(update, self.training.evaluate_every):
            return None
        with self._timed(update):
            self.ledger.settle()
        self.display.pause()
        began = time.monotonic()
        value = self._evaluated(update)
        judging = self.progress.judging + time.monotonic() - began
        self.progress = dataclasses.replace(self.progress, judging=judging)
        clock = {"seconds": self.progress.seconds, "judging": judging}
        self.writers.scalars("clock", update, clock)
        self.writers.page()
        self.display.resume()
        return value

    def _evaluated(self, update: int) -> float | None:
        self.evaluations += 1
        every = self.training.picture_every
        is_last = update == self.stage.last
        pictures = every > 0 and (is_last or self.evaluations % every == 0)
        params, model_state = self._judged()
        evaluation = self.task.evaluate(params, model_state, pictures=pictures)
        value = self._selected(evaluation.metrics)
        if evaluation.metrics:
            self.writers.scalars("validation", update, evaluation.metrics)
            self.display.say(f"update {update}  validation: {_in_words(evaluation.metrics)}")
        self.writers.pictures(update, evaluation.pictures)
        if value is not None and self._is_better(value):
            self.progress = dataclasses.replace(self.progress, best=value, best_update=update)
            self._export(evaluation.metrics)
        return value

    def checkpoint(self, update: int, value: float | None, *, at_once: bool) -> None:
        """Saves if it is time, if this is the best so far, or at once."""
        is_best = self.progress.best_update == update
        is_due = self._is_due(update, self.training.checkpoint_every)
        if not (is_best or is_due or at_once):
            return
        self._write_metrics(update)
        self.checkpoints.save(self.state, self.progress, value=value)

    def renew(self, update: int) -> None:
        """Lets the task choose its examples anew if it is time."""
        if not renews(self.task) or not self._is_passed(update, self.task.renew_every):
            return
        key = jax.random.fold_in(jax.random.fold_in(self.state.key, update), _RENEWAL)
        params, model_state, key = _on_one_device((self.state.params, self.state.model_state, key))
        chosen = replicate(self.task.renewed(params, model_state, key), self.mesh)
        self.state = dataclasses.replace(self.state, model_state=chosen)
        self._draw_from_here()

    def _draw_from_here(self) -> None:
        """Opens the stream of batches at the position of the run."""
        self._stream.close()
        self.batches = self._stream.enter_context(
            data.batches(
                self._examples(),
                batch_size=self.training.batch_size,
                start=self.progress.batches_drawn,
                workers=self.training.workers,
                process=(jax.process_index(), jax.process_count()),
            )
        )

    def _examples(self) -> "grain.MapDataset":
        if renews(self.task):
            model_state = _on_one_device(self.state.model_state)
            return self.task.examples_chosen(self.experiment.seed, model_state)
        return self.task.examples(self.experiment.seed)

    def next(self, update: int) -> int:
        """The number of the update to make; where time is short, some are passed over."""
        progress = self.progress
        stride = self.haste.stride(
            update,
            made=progress.batches_drawn,
            seconds=progress.seconds,
            judging=progress.judging,
        )
        if stride > 1 and not self.is_said:
            self.is_said = True
            self.display.say(
                f"slower than planned: after update {update}, some are left out so that the run "
                "ends in time, its schedule with it"
            )
        self.before = update
        return min(update + stride, self.stage.last)

    def step(self, update: int) -> None:
        """Draws one update's batch and makes the update."""
        with self._timed(update):
            batch = next(self.batches)
            self.state, sums = self.update(self.state, batch, self.learning_rates[update - 1])
            self.ledger.add(update, batch, sums)
        drawn = self.progress.batches_drawn + 1
        self.progress = dataclasses.replace(self.progress, update=update, batches_drawn=drawn)
        self.display.advance(update)

    def write(self, update: int) -> None:
        """Writes metrics if it is time."""
        if self._is_due(update, self.training.log_every):
            # Updates run ahead of this process, which waits here for what they found.
            with self._timed(update):
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
        return update == self.stage.last or (every > 0 and self._is_passed(update, every))

    def _is_passed(self, update: int, every: int) -> bool:
        """Whether a multiple of `every` is this update, or lies between the one before and it."""
        return update // every > self.before // every

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
        params, model_state = self._judged()
        known = {**metrics, "updates": self.progress.batches_drawn}
        with folder_written_whole(self.model_folder, replaceable=lambda _: True) as folder:
            # A task makes the folder itself.
            emptied(folder).rmdir()
            self.task.export(params, model_state, folder, known)


def task_in_stage(task: Task, stage: Stage) -> Task:
    """A task as it is in a stage.

    Raises:
        InputError: The stage weighs losses, of which the task does not know.
    """
    if stage.settings is None:
        return task
    if looks_at_stages(task):
        return task.in_stage(stage.settings)
    if stage.settings.losses:
        raise InputError(f"{stage.title}: this task has one loss without parts; leave losses out")
    return task


def _check_devices(training: TrainingConfig, devices: int) -> None:
    part = training.batch_size // (training.parts or 1)
    if part % devices:
        raise InputError(
            f"{part} examples (training.batch_size / training.accumulate) cannot be cut for "
            f"{devices} devices: set training.batch_size to a multiple of "
            f"{devices * (training.parts or 1)}"
        )


def _optimizer_identity(experiment: ExperimentConfig, stage: Stage, freeze: Sequence[str]) -> str:
    """What gives the optimizer's state its shape, in words."""
    parts = [stage.optimizer.kind]
    if stage.optimizer.clip_norm:
        parts.append("clipped")
    if stage.optimizer.rates:
        parts.append("with rates by path")
    if experiment.training.ema_decay:
        parts.append("with average")
    if freeze:
        parts.append(f"frozen {' '.join(freeze)}")
    if stage.settings is not None:
        parts.append(f"free {' '.join(stage.free)}")
    return ", ".join(parts)


def _on_one_device(tree: Tree) -> Tree:
    """This process's copy of replicated arrays."""
    return jax.tree.map(lambda array: array.addressable_data(0), tree)


def _in_words(metrics: Mapping[str, float]) -> str:
    known = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return "  ".join(f"{name} {value:.4f}" for name, value in known.items())
