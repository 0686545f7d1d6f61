"""Work on other machines, by the workers of a running Dask scheduler.

A worker that dies has its items done again by others; what it had begun to write never got a name.
Workers need the same isl, and models, inputs and the results' folder under the same paths. What
tasks carry is pickled here, so that a scheduler need not import JAX.
"""

import contextlib
import contextvars
import dataclasses
import logging
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from isl.errors import InputError
from isl.files.provenance import versions
from isl.tiling.memory import memory_budget
from isl.warned import warnings_logged

if TYPE_CHECKING:
    from distributed import Client, Future

Given = TypeVar("Given")
Made = TypeVar("Made")

# Seconds until a scheduler must have answered.
_PATIENCE = 5
# Results depend on these.
_COMPARED = ("isl", "jax", "jaxlib", "numpy")

# Workers with several threads do one item at a time all the same: one fills the machine.
_one_at_a_time = threading.Lock()


def _never() -> bool:
    return False


# On a worker, whether what it does is wanted no more.
_cancelled: contextvars.ContextVar[Callable[[], bool]] = contextvars.ContextVar(
    "_cancelled", default=_never
)

logger = logging.getLogger(__name__)


def cancelled() -> bool:
    """On a worker, whether what it does is wanted no more."""
    return _cancelled.get()()


def check_workers(workers: int | None, scheduler: str | None) -> None:
    """Refuses processes of this machine and those of a scheduler at once, and fewer than one.

    Raises:
        InputError: Which it is.
    """
    if workers is not None and scheduler is not None:
        raise InputError("`workers` starts processes here, `scheduler` takes others: give one")
    if workers is not None and workers < 1:
        raise InputError(f"`workers={workers}`: expected a number of processes")


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
    if not client.nthreads():
        print("waiting for the scheduler's first worker", file=sys.stderr)
    answer = client.submit(_facts, key=f"isl-facts-{uuid.uuid4().hex}", pure=False)
    budget, theirs = _result(answer)
    ours = versions()
    for name in _COMPARED:
        if theirs.get(name) != ours.get(name):
            logger.warning(
                "workers have %s %s, this machine %s: results may differ from those made here",
                *(name, theirs.get(name), ours.get(name)),
            )
    return budget


def done_there(
    client: "Client", function: Callable[[Given], Made], items: Sequence[Given]
) -> Iterator[tuple[Given, Made | InputError]]:
    """Items with their results, or why they failed, as they come.

    Args:
        client: Of the workers.
        function: Can be pickled; may ask whether it is `cancelled`. What it logs as warnings is
            logged here.
        items: On what, with paths that hold everywhere.
    """
    from distributed import as_completed

    run = uuid.uuid4().hex
    futures: dict[Future, Given] = {}
    for place, item in enumerate(items):
        task = pickle.dumps(_Task(function=function, item=item))
        futures[client.submit(_do, task, key=f"isl-{run}-{place}", pure=False)] = item
    try:
        for future in as_completed(futures, loop=client.loop):
            try:
                made, warnings = _result(future)
            except InputError as error:
                made, warnings = error, ()
            for warning in warnings:
                logger.warning("%s", warning)
            yield futures[future], made
    finally:
        # What has not begun never will; what has, stops when it next asks.
        client.cancel([future for future in futures if not future.done()], force=True)


def with_warnings(
    function: Callable[[Given], Made], item: Given
) -> tuple[Made | InputError, tuple[str, ...]]:
    """What became of an item, and what was logged as warnings, which no one reads where it is done.

    Args:
        function: May raise an InputError, which is then what became of it.
        item: On what.
    """
    # What is said on a worker, no one reads there.
    with warnings_logged("isl") as warnings:
        try:
            made = function(item)
        except InputError as error:
            made = error
    return made, tuple(warnings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    function: Callable[[Any], Any]
    item: Any


def _do(pickled: bytes) -> tuple[Any, tuple[str, ...]]:
    """On a worker: what became of an item, and the warnings on the way."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    task = pickle.loads(pickled)
    with _one_at_a_time:
        before = _cancelled.set(unwanted)
        try:
            return with_warnings(task.function, task.item)
        finally:
            _cancelled.reset(before)


def _facts() -> tuple[int, dict[str, str]]:
    """On a worker: bytes that it may take, and its versions."""
    from distributed import get_worker

    limit = get_worker().memory_manager.memory_limit
    budget = memory_budget(None)
    return min(budget, limit // 2) if limit else budget, versions()


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
            "every worker that tried this died; give `memory` less, or look into the workers' logs"
        ) from error
    except FutureCancelledError as error:
        raise InputError("the scheduler was lost; start it again, and `resume`") from error
    except ModuleNotFoundError as error:
        raise InputError(
            f"workers cannot import {error.name}; install the same isl on the scheduler's and all "
            "workers' machines"
        ) from error


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
    distributed = logging.getLogger("distributed")
    level = distributed.level
    distributed.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        distributed.setLevel(level)
