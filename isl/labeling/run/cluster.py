"""Fields predicted by several processes: here, or by Dask distributed on other machines.

Each field is a task. A worker that dies has its fields done again by others; what it had begun to
write never got a name. Workers need the same isl, and the model, the inputs and the results' folder
under the same paths. What tasks carry is pickled here, so that a scheduler need not import JAX.
"""

import contextlib
import dataclasses
import functools
import logging
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from isl.errors import InputError
from isl.workers import Workers, stopping

if TYPE_CHECKING:
    from distributed import Client, Future

    from isl.labeling.run.one_field import Field
    from isl.labeling.run.provenance import Call

# Seconds until a scheduler must have answered.
_PATIENCE = 5
# Results depend on these.
_COMPARED = ("isl", "jax", "jaxlib", "numpy")

# Workers with several threads predict one field at a time all the same: one fills the machine.
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """All a worker must know to predict one field.

    Attributes:
        field: What, with paths that hold everywhere.
        model: A bundled model's name, or a folder that all can read.
        call: How.
        device: "auto", "cpu" or "gpu".
        budget: Bytes that the process may take.
    """

    field: "Field"
    model: str
    call: "Call"
    device: str
    budget: int


@contextlib.contextmanager
def workers_of(address: str) -> Iterator["Client"]:
    """The workers of a running scheduler.

    Raises:
        InputError: Dask distributed is not installed, or no scheduler answers there.
    """
    distributed = _distributed()
    with _quiet():
        try:
            client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            raise InputError(
                f"`scheduler={address}`: no scheduler answers there ({reason}); start one with "
                "'dask scheduler', or give `workers=N` to use this machine"
            ) from error
        with client:
            yield client


def budget_of_workers(client: "Client") -> int:
    """Half of what a worker may take, as the first that answers says; versions are compared.

    Raises:
        InputError: Workers have no isl.
    """
    from isl.files.provenance import versions

    if not client.nthreads():
        print("waiting for the scheduler's first worker", file=sys.stderr)
    answer = client.submit(_facts, key=f"isl-facts-{uuid.uuid4().hex}", pure=False)
    budget, theirs = _result(answer)
    ours = versions()
    for name in _COMPARED:
        if theirs.get(name) != ours.get(name):
            logging.getLogger(__name__).warning(
                "workers have %s %s, this machine %s: results may differ from those made here",
                *(name, theirs.get(name), ours.get(name)),
            )
    return budget


def predict_in_processes(
    workers: Workers,
    fields: Sequence["Field"],
    model: str,
    call: "Call",
    *,
    device: str,
    budget: int,
) -> Iterator[tuple["Field", dict[str, Any] | InputError]]:
    """As `predict_there`, by processes on this machine."""
    tasks = [
        _Task(field=field, model=model, call=call, device=device, budget=budget) for field in fields
    ]
    for task, answer in workers.as_done(_predict, tasks):
        yield task.field, _answered(task.field, answer)


def predict_there(
    client: "Client",
    fields: Sequence["Field"],
    model: str,
    call: "Call",
    *,
    device: str,
    budget: int,
) -> Iterator[tuple["Field", dict[str, Any] | InputError]]:
    """Has fields predicted; yields each with its record, or why it failed, as they are done.

    Args:
        client: Of the workers.
        fields: What.
        model: A bundled model's name, or a folder.
        call: How.
        device: "auto", "cpu" or "gpu".
        budget: Bytes that each worker may take.
    """
    from distributed import as_completed

    run = uuid.uuid4().hex
    futures: dict[Future, Field] = {}
    for field in fields:
        task = _Task(field=_everywhere(field), model=model, call=call, device=device, budget=budget)
        key = f"isl-predict-{run}-{field.name}"
        futures[client.submit(_predict_there, pickle.dumps(task), key=key, pure=False)] = field
    try:
        for future in as_completed(futures, loop=client.loop):
            field = futures[future]
            try:
                answer = _result(future)
            except InputError as error:
                answer = error
            yield field, _answered(field, answer)
    finally:
        # What has not begun never will; what has, stops at its next tile.
        client.cancel([future for future in futures if not future.done()], force=True)


# The record of a field or why it failed, and the warnings on the way.
_Answer = tuple[dict[str, Any] | InputError, tuple[str, ...]]


def _answered(field: "Field", answer: _Answer | InputError) -> dict[str, Any] | InputError:
    """What became of a field, its warnings passed on."""
    if isinstance(answer, InputError):
        return InputError(f"{field.path}: {answer}")
    made, warnings = answer
    for warning in warnings:
        logging.getLogger(__name__).warning("%s", warning)
    return made


def _predict_there(pickled: bytes) -> _Answer:
    """One field, on a worker of a cluster."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    with _one_at_a_time:
        return _predict(pickle.loads(pickled), cancelled, f" on {worker.address}")


def _predict(task: _Task, cancelled: Callable[[], bool] = stopping, where: str = "") -> _Answer:
    """One field, in a worker."""
    from isl.labeling.run.one_field import predict_one

    def stop_if_cancelled(done: int, total: int) -> None:
        if cancelled():
            raise InputError("cancelled")

    with _warnings() as warnings:
        try:
            model, device = _loaded(task.model, task.device)
            if model.hash != task.call.model_hash:
                raise InputError(
                    f"{task.model}: the worker{where} has another model under this name; give "
                    "`model` a folder that all machines share"
                )
            made = predict_one(task.field, model, task.call, device, task.budget, stop_if_cancelled)
        except InputError as error:
            made = error
    return made, tuple(warnings)


def _facts() -> tuple[int, dict[str, str]]:
    """On a worker: bytes that it may take, and its versions."""
    from distributed import get_worker

    from isl.files.provenance import versions
    from isl.tiling.memory import memory_budget

    limit = get_worker().memory_manager.memory_limit
    budget = memory_budget(None)
    return min(budget, limit // 2) if limit else budget, versions()


@functools.lru_cache(maxsize=1)
def _loaded(model: str, device: str) -> tuple[Any, str]:
    from isl.devices import use_device
    from isl.labeling.model import load_models

    name = use_device(device)
    return load_models(model), name


def _result(future: "Future") -> Any:
    """What a worker answered.

    Raises:
        InputError: There is no answer: workers die of it, have no isl, or the scheduler is gone.
    """
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except KilledWorker as error:
        raise InputError(
            "every worker that tried this field died; give `memory` less, or look into the "
            "workers' logs"
        ) from error
    except FutureCancelledError as error:
        raise InputError("the scheduler was lost; start it again, and `resume`") from error
    except ModuleNotFoundError as error:
        raise InputError(
            f"workers cannot import {error.name}; install the same isl on the scheduler's and all "
            "workers' machines"
        ) from error


def _everywhere(field: "Field") -> "Field":
    """The field with absolute paths."""
    files = field.files
    absolute = dataclasses.replace(
        files,
        images={name: path.absolute() for name, path in files.images.items()},
        preview=files.preview.absolute(),
        record=files.record.absolute(),
    )
    return dataclasses.replace(field, path=field.path.absolute(), files=absolute)


def _distributed() -> Any:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise InputError(
            "`scheduler` needs Dask distributed, which is not installed: pip install 'isl[cluster]'"
        ) from error
    return distributed


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask says nothing of its own: what matters to a person is in the table of failures."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Messages that the block logs as warnings, which no one reads on a worker."""
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Collect(level=logging.WARNING)
    logger = logging.getLogger("isl")
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
