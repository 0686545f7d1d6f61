"""Fields predicted by several processes, here or on other machines, through Dask distributed.

Each field is a task. A worker that dies has its fields done again by others; what it had begun to
write never got a name. Workers need the same isl, and the model, the inputs and the results' folder
under the same paths. What tasks carry is pickled here, so that a scheduler need not import JAX.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import os
import pickle
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isl.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

    from isl.labeling.run.one_field import Field
    from isl.labeling.run.provenance import Call

# Seconds until a scheduler must have answered.
_PATIENCE = 5
# What a process takes of a GPU, as JAX does by default.
_GPU_SHARE = 0.75
# Results depend on these.
_COMPARED = ("isl", "jax", "jaxlib", "numpy")

# Workers with several threads predict one field at a time all the same: one fills the machine.
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """What of this machine each of several processes takes.

    Attributes:
        workers: How many processes there are.
        threads: For each.
        gpus: Names of all GPUs, as CUDA takes them; processes are dealt out among them.
    """

    workers: int
    threads: int
    gpus: tuple[str, ...] = ()

    def environment(self, worker: int) -> dict[str, str]:
        """What JAX must find when it starts in a worker, counted from 0."""
        found = {"NPROC": str(self.threads)}
        if self.gpus:
            together = math.ceil(self.workers / len(self.gpus))
            found["CUDA_VISIBLE_DEVICES"] = self.gpus[worker % len(self.gpus)]
            found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{_GPU_SHARE / together:.3f}"
        return found


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """All a worker must know to predict one field.

    Attributes:
        field: What, with paths that hold everywhere.
        model: A bundled model's name, or a folder that all can read.
        call: How.
        device: "auto", "cpu" or "gpu".
        budget: Bytes that the process may take.
        share: What of its machine it takes; None: all.
    """

    field: "Field"
    model: str
    call: "Call"
    device: str
    budget: int
    share: Share | None


def share_of_machine(workers: int) -> Share:
    """This machine, divided among so many processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        found = Path("/proc/driver/nvidia/gpus")
        count = len(list(found.iterdir())) if found.is_dir() else 0
        visible = ",".join(map(str, range(count)))
    gpus = tuple(gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1"))
    return Share(workers=workers, threads=max(1, (cores or 1) // workers), gpus=gpus)


@contextlib.contextmanager
def local_workers(count: int) -> Iterator["Client"]:
    """Processes on this machine, for as long as the block lasts.

    Raises:
        InputError: Dask distributed is not installed, or they cannot be started.
    """
    distributed = _distributed("workers")
    with (
        _quiet(),
        tempfile.TemporaryDirectory(prefix="isl-workers-", ignore_cleanup_errors=True) as scratch,
        contextlib.ExitStack() as stack,
    ):
        try:
            with _deaf():
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=count,
                        threads_per_worker=1,
                        processes=True,
                        # isl keeps within a budget of its own.
                        memory_limit=0,
                        dashboard_address=None,
                        silence_logs=logging.CRITICAL,
                        local_directory=scratch,
                    )
                )
        except (OSError, RuntimeError) as error:
            raise InputError(f"`workers={count}`: cannot be started ({error})") from error
        yield stack.enter_context(distributed.Client(cluster, set_as_default=False))


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Threads and processes begun meanwhile, and all that they begin, never hear of Ctrl-C.

    It reaches all processes of a terminal; the one that began them ends them.
    """
    # Which is begun with the first process, and would make the thread that begins it hear again.
    resource_tracker.ensure_running()
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


@contextlib.contextmanager
def workers_of(address: str) -> Iterator["Client"]:
    """The workers of a running scheduler.

    Raises:
        InputError: Dask distributed is not installed, or no scheduler answers there.
    """
    distributed = _distributed("scheduler")
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


def predict_there(
    client: "Client",
    fields: Sequence["Field"],
    model: str,
    call: "Call",
    *,
    device: str,
    budget: int,
    share: Share | None,
) -> Iterator[tuple["Field", dict[str, Any] | InputError]]:
    """Has fields predicted; yields each with its record, or why it failed, as they are done.

    Args:
        client: Of the workers.
        fields: What.
        model: A bundled model's name, or a folder.
        call: How.
        device: "auto", "cpu" or "gpu".
        budget: Bytes that each worker may take.
        share: What of this machine each takes; None: workers have machines of their own.
    """
    from distributed import as_completed

    run = uuid.uuid4().hex
    futures: dict[Future, Field] = {}
    for field in fields:
        task = _Task(
            field=_everywhere(field),
            model=model,
            call=call,
            device=device,
            budget=budget,
            share=share,
        )
        key = f"isl-predict-{run}-{field.name}"
        futures[client.submit(_predict, pickle.dumps(task), key=key, pure=False)] = field
    try:
        for future in as_completed(futures, loop=client.loop):
            field = futures[future]
            try:
                made, warnings = _result(future)
            except InputError as error:
                made, warnings = InputError(f"{field.path}: {error}"), ()
            for warning in warnings:
                logging.getLogger(__name__).warning("%s", warning)
            yield field, made
    finally:
        # What has not begun never will; what has, stops at its next tile.
        client.cancel([future for future in futures if not future.done()], force=True)


def _predict(pickled: bytes) -> tuple[dict[str, Any] | InputError, tuple[str, ...]]:
    """One field, on a worker: its record or why it failed, and the warnings on the way."""
    from distributed import get_worker

    from isl.labeling.run.one_field import predict_one

    task: _Task = pickle.loads(pickled)
    worker = get_worker()
    key = worker.get_current_task()

    def stop_if_cancelled(done: int, total: int) -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state == "cancelled":
            raise InputError("cancelled")

    with _one_at_a_time, _warnings() as warnings:
        try:
            if task.share is not None:
                os.environ.update(task.share.environment(int(worker.name)))
            model, device = _loaded(task.model, task.device)
            if model.hash != task.call.model_hash:
                raise InputError(
                    f"{task.model}: the worker on {worker.address} has another model under this "
                    "name; give `model` a folder that all machines share"
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


def _distributed(option: str) -> Any:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise InputError(
            f"`{option}` needs Dask distributed, which is not installed: pip install 'isl[cluster]'"
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
