"""What stands behind a frozen backbone, trained for many splits of the same images.

An evaluation trains hundreds of heads of a second's work each. Here losses, updates, the choice of
an epoch and of the update that is kept are those of the tasks that `isl_train.loop.fit` trains;
batches are drawn as the tasks draw them, from another stream of random numbers. Updates between two
events are one compiled program, which serves every split and seed, and nothing is written.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isl.colony.model import ColonyConfig

from ..optimizer import build_optimizer, learning_rates
from ..state import TrainState, initial_state
from ..step import device_mesh, make_train_step, replicate
from ..task import Sums, Tree
from .config import ColonyExperiment
from .ground import Ground, Judge
from .images import Images
from .recipe import before_of
from .split import Split, check_method
from .task import ContrastTask, FixMatchTask, MetaTask, SupervisedTask

Row = dict[str, float]
"""A line of training.csv."""
Drawn = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
"""Of several updates: image and place of every vector [S, B, 2] by name; numbers [S, B] by name."""
# Apart from the stream that renewals draw from.
_DRAWS = 0x4EAD


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """What came of a split.

    Attributes:
        task: The method, with the images and the split.
        params: All parameters of the update that was kept.
        model_state: What goes with them.
        rows: Means of every `training.log_every` updates.
        before: Likewise, of what went before the method.
    """

    task: SupervisedTask
    params: Tree
    model_state: Tree
    rows: tuple[Row, ...]
    before: tuple[Row, ...] = ()

    def logits(self, which: np.ndarray, patches: int) -> np.ndarray:
        """What is said of so many patches of each of N images, float32 [N * patches, K]."""
        fixed = self.task.ground.fixed(which, patches)
        return self.task.judge.logits(*self.task.finished(self.params, self.model_state), fixed)

    def config(self) -> ColonyConfig:
        """What the model says of itself, measured on the validation images."""
        return self.task.config_of(*self.task.finished(self.params, self.model_state))


def are_quick(experiment: ColonyExperiment) -> bool:
    """Whether `Heads` trains an experiment as `train_colony` does.

    Averages of parameters, batches in parts, and stages are the trainer's alone.
    """
    training = experiment.training
    return not training.ema_decay and training.parts == 1 and not experiment.stages


class Heads:
    """Trains heads on vectors of one set of images; programs and teachers are kept."""

    def __init__(self, images: Images) -> None:
        """Knows all images, which have vectors."""
        if images.vectors is None:
            raise ValueError("the images have no vectors")
        self._images = images
        self._vectors = jnp.asarray(images.vectors)
        self._judges: dict[str, Judge] = {}
        self._programs: dict[str, Any] = {}
        self._known: dict[str, Head] = {}

    def trained(self, experiment: ColonyExperiment, split: Split) -> Head:
        """Trains as `isl_train.colony.recipe.train_colony` does.

        Args:
            experiment: Has `frozen`, and no model to begin with; see `are_quick`.
            split: Who lends a label, or judges.

        Raises:
            InputError: The method learns from images without a label, and there is none.
        """
        check_method(experiment.method, split)
        ground = Ground(
            images=self._images,
            split=split,
            patch=experiment.patch,
            balance=experiment.balance.labelled,
        )
        method = experiment.method
        if method in ("supervised", "ceiling"):
            return self._supervised(experiment, ground, ceiling=method == "ceiling")
        if method == "fixmatch":
            return self._run(self._task(FixMatchTask, experiment, ground, title="fixmatch"))
        before = before_of(experiment)
        if method == "meta":
            teacher = self._supervised(before, ground)
            task = self._task(MetaTask, experiment, ground)
            params, state = task.initial(jax.random.key(experiment.seed))
            params = {**params, "teacher": teacher.params}
            state = {**state, "teacher": teacher.model_state}
            return dataclasses.replace(self._run(task, (params, state)), before=teacher.rows)
        known = self._run(self._task(ContrastTask, before, ground))
        task = self._task(SupervisedTask, experiment, ground, title="head")
        linear = experiment.pretraining.head == "linear"
        started = known.task.finished(known.params, known.model_state)
        head = self._run(task, started, freeze=("norm", "hidden") if linear else ())
        return dataclasses.replace(head, before=known.rows)

    def _supervised(
        self, experiment: ColonyExperiment, ground: Ground, *, ceiling: bool = False
    ) -> Head:
        """Labels alone; arms that begin alike share what they begin with."""
        facts = experiment.model_dump(
            mode="json", exclude={"name", "description", "method", "meta", "pretraining", "balance"}
        )
        named = json.dumps([facts, ground.balance, ceiling], sort_keys=True)
        if named not in self._known:
            task = self._task(SupervisedTask, experiment, ground, ceiling=ceiling)
            self._known[named] = self._run(task)
        return self._known[named]

    def _task(self, kind: Any, experiment: ColonyExperiment, ground: Ground, **settings) -> Any:
        named = json.dumps(
            [
                experiment.network.model_dump(mode="json"),
                experiment.training.model_dump(mode="json"),
                experiment.augment.model_dump(mode="json"),
            ]
        )
        if named not in self._judges:
            sizes = len(self._images.channels), len(self._images.classes)
            self._judges[named] = Judge(experiment, *sizes)
        return kind(experiment, ground, judge=self._judges[named], **settings)

    def _run(
        self,
        task: SupervisedTask,
        start: tuple[Tree, Tree] | None = None,
        *,
        freeze: Sequence[str] = (),
    ) -> Head:
        """Makes all updates of a task."""
        experiment = task.experiment
        training = experiment.training
        of_params, key = jax.random.split(jax.random.key(experiment.seed))
        params, model_state = start or task.initial(of_params)
        optimizer = build_optimizer(
            experiment.optimizer, params, steps=training.steps, freeze=freeze
        )
        own = task.optimizer_states if isinstance(task, MetaTask) else optimizer.init
        mesh = device_mesh()
        # Wherever arrays come from, one program takes them.
        state = replicate(initial_state(params, model_state, own(params), key, average=False), mesh)
        rates = learning_rates(experiment.optimizer, training.steps)
        epoch = task.renew_every if isinstance(task, MetaTask) else 0
        logged, judged, renewed = (
            set(range(number, training.steps, number)) | {training.steps} if number else set()
            for number in (training.log_every, training.evaluate_every, epoch)
        )
        events = sorted(logged | judged | renewed | {0, training.steps})
        longest = training.log_every or int(np.diff(events).max())
        program = self._program(task, optimizer, freeze)
        rng = np.random.default_rng([experiment.seed, _DRAWS])
        sums, best, kept, rows = _Sums(), -np.inf, None, []
        for first, last in itertools.pairwise(events):
            if isinstance(task, MetaTask) and first in renewed | {0}:
                chosen = task.renewed(
                    state.params, state.model_state, jax.random.fold_in(key, first)
                )
                state = dataclasses.replace(state, model_state=replicate(chosen, mesh))
            drawn = _drawn(task, rng, first, last - first, state.model_state)
            padded = jax.tree.map(lambda a: np.resize(a, (longest, *a.shape[1:])), drawn)
            rate = np.resize(rates[first:last], longest)
            state, said = program(state, self._vectors, padded, rate, last - first)
            sums.add(said)
            if last in logged:
                rows.append(
                    {"update": last, **sums.means(), "learning_rate": float(rates[last - 1])}
                )
            if task.selection is not None and last in judged | {training.steps}:
                found = task.evaluate(state.params, state.model_state, pictures=False)
                value = found.metrics[task.selection.metric]
                if value > best:
                    best, kept = value, (state.params, state.model_state)
        params, model_state = kept or (state.params, state.model_state)
        return Head(task=task, params=params, model_state=model_state, rows=tuple(rows))

    def _program(self, task: SupervisedTask, optimizer: Any, freeze: Sequence[str]) -> Any:
        """From a state, by what was drawn, to the state so many updates on, and their sums."""
        experiment = task.experiment
        facts = experiment.model_dump(mode="json", exclude={"name", "description", "seed", "split"})
        # What an update of teacher and student does depends on how long an epoch is.
        epoch = task.renew_every if isinstance(task, MetaTask) else 0
        named = json.dumps([type(task).__name__, facts, list(freeze), epoch], sort_keys=True)
        if named not in self._programs:
            step = make_train_step(task, optimizer, device_mesh())
            self._programs[named] = jax.jit(functools.partial(_several, step))
        return self._programs[named]


class _Sums:
    """Diagnostics added up between two lines."""

    def __init__(self) -> None:
        self._totals: dict[str, np.ndarray] = {}

    def add(self, said: Sums) -> None:
        for name, pair in jax.device_get(said).items():
            self._totals[name] = self._totals.get(name, 0.0) + np.array(pair, np.float64)

    def means(self) -> Row:
        means = {
            name: float(total / count) if count else float("nan")
            for name, (total, count) in self._totals.items()
        }
        self._totals = {}
        return means


def _several(step, state: TrainState, vectors: jax.Array, drawn: Drawn, rates, count):
    """Makes `count` updates; what was drawn and the rates may hold more."""
    places, known = drawn

    def update(state: TrainState, number) -> tuple[TrainState, Sums]:
        batch = {name: vectors[at[number, :, 0], at[number, :, 1]] for name, at in places.items()}
        return step(state, {**batch, **{n: a[number] for n, a in known.items()}}, rates[number])

    def one(number, carry):
        state, said = update(carry[0], number)
        return state, jax.tree.map(jnp.add, carry[1], said)

    shapes = jax.eval_shape(update, state, 0)[1]
    nothing = jax.tree.map(lambda array: jnp.zeros(array.shape, array.dtype), shapes)
    return jax.lax.fori_loop(0, count, one, (state, nothing))


def _drawn(
    task: SupervisedTask, rng: np.random.Generator, first: int, count: int, model_state: Tree
) -> Drawn:
    """What the batches of some updates hold, as the task's examples would."""
    ground, split = task.ground, task.ground.split
    size = (count, task.experiment.training.batch_size)
    places = rng.integers(0, ground.places, size)

    def at(images: np.ndarray, places: np.ndarray = places) -> np.ndarray:
        return np.stack([images, places], axis=-1).astype(np.int32)

    if isinstance(task, ContrastTask):
        images = rng.choice(np.concatenate([split.labelled, split.unlabelled]), size)
        neighbours = rng.integers(0, ground.places, size)
        return {"patch": at(images), "neighbour": at(images, neighbours)}, {
            "image": images.astype(np.int32)
        }
    images = ground.many_labelled(rng, task.learned, size)
    where = {"labelled": at(images)}
    if isinstance(task, FixMatchTask):
        unlabelled = rng.choice(split.unlabelled, size)
        where["unlabelled"] = at(unlabelled, rng.integers(0, ground.places, size))
    if isinstance(task, MetaTask):
        chosen = {name: np.asarray(array) for name, array in model_state["chosen"].items()}
        numbers = first * size[1] + np.arange(size[0] * size[1]).reshape(size)
        which = numbers % int(chosen["size"])
        where["unlabelled"] = at(chosen["image"][which], chosen["top"][which])
    labels = ground.images.labels[images].astype(np.int32)
    return where, {"label": labels, "image": images.astype(np.int32)}
