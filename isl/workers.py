"""Work spread over processes, or done here where one is enough."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from isl.cluster import cancelled, done_there, with_warnings
from isl.errors import InputError
from isl.files.stopped import StoppedError, stopped_by_full_disk
from isl.progress import FieldProgress, Item

if TYPE_CHECKING:
    from distributed import Client

Given = TypeVar("Given")
Made = TypeVar("Made")

logger = logging.getLogger(__name__)

# What a process takes of a GPU, as JAX does by default.
_GPU_SHARE = 0.75
# In a worker, what its parent sets to have the work stopped.
_stop: Any = None


def usable_cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def share_of_machine(workers: int) -> Share:
    """This machine, divided among so many processes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        found = Path("/proc/driver/nvidia/gpus")
        count = len(list(found.iterdir())) if found.is_dir() else 0
        visible = ",".join(map(str, range(count)))
    gpus = tuple(gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1"))
    return Share(workers=workers, threads=max(1, usable_cores() // workers), gpus=gpus)


def stopping() -> bool:
    """In a worker, whether what it does is wanted no more."""
    return cancelled() or (_stop is not None and _stop.is_set())


def stop_if_unwanted(done: int, total: int) -> None:
    """Progress of work in a worker, which ends where it is wanted no more.

    Raises:
        InputError: It is not.
    """
    if stopping():
        raise InputError("cancelled")


class Workers:
    """Some processes; to be used with `with`.

    They are started anew (spawn) rather than forked: a fork of a process with threads may hang.
    They end with the process that started them, however that ends.
    """

    def __init__(self, count: int, share: Share | None = None) -> None:
        """`count` processes, started when first needed; with 1 all is done in this one.

        Args:
            count: How many.
            share: What of this machine each takes; None: what it finds.
        """
        self._count = count
        self._share = share
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._pool = self._begun() if count > 1 else None

    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
        """Results in the order of the items; the first error ends it.

        What processes log as warnings is logged here.

        Raises:
            InputError: What the function raised.
            StoppedError: The disk is full, or a process was ended from outside.
        """
        call = _Call(function=function)
        if self._pool is None:
            yield from map(call, items)
            return
        try:
            heard = functools.partial(with_warnings, call)
            for made, warnings in self._pool.map(heard, items):
                for warning in warnings:
                    logger.warning("%s", warning)
                if isinstance(made, InputError):
                    raise made
                yield made
        except BrokenProcessPool as error:
            raise StoppedError(
                "a worker process was ended from outside, most often for want of memory; run "
                "again with fewer `workers` to continue"
            ) from error

    def as_done(
        self, function: Callable[[Given], Made], items: Sequence[Given]
    ) -> Iterator[tuple[Given, Made | InputError]]:
        """Items with their results as they come; of more than one process.

        What a process that was ended from outside may have been doing is done again, alone; an item
        that ends its process then as well comes with an error.

        Args:
            function: Raises nothing; may ask whether it is `stopping`.
            items: On what.
        """
        left = list(items)
        while left:
            futures, undone = {}, []
            for place, item in enumerate(left):
                try:
                    futures[self._submit(function, item)] = place
                except BrokenProcessPool:
                    # A process ended while the rest was still being handed out.
                    undone.append(place)
            for future in concurrent.futures.as_completed(futures):
                try:
                    made = future.result()
                except BrokenProcessPool:
                    undone.append(futures[future])
                else:
                    yield left[futures[future]], made
            # They are begun in order.
            left = [left[place] for place in sorted(undone)]
            suspects, left = left[: self._count], left[self._count :]
            for item in suspects:
                if item is suspects[0]:
                    self._pool = self._begun()
                try:
                    made = self._submit(function, item).result()
                except BrokenProcessPool:
                    self._pool = self._begun()
                    made = InputError(
                        "every process that tried it was ended from outside, most often for want "
                        "of memory; give `memory` less"
                    )
                yield item, made

    def __enter__(self) -> "Workers":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the processes; what was not begun is left, and what was begun stops."""
        if error is not None:
            self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _begun(self) -> concurrent.futures.ProcessPoolExecutor:
        numbers = self._context.SimpleQueue()
        for number in range(self._count):
            numbers.put({} if self._share is None else self._share.environment(number))
        return concurrent.futures.ProcessPoolExecutor(
            self._count,
            mp_context=self._context,
            initializer=_begin,
            initargs=(numbers, self._stop),
        )

    def _submit(
        self, function: Callable[[Given], Made], item: Given
    ) -> "concurrent.futures.Future[Made]":
        assert self._pool is not None
        # The first that is submitted starts the processes.
        with _uninterrupted():
            return self._pool.submit(function, item)


def side_by_side(
    items: Sequence[Item],
    work: Callable[[Item], str],
    *,
    workers: int = 1,
    client: "Client | None" = None,
    finished: Callable[[Item], None] = lambda item: None,
) -> dict[str, str]:
    """Does the work on every item, in several processes, and shows how far it is.

    Args:
        items: On what.
        work: Says what became of an item, such as "done"; a function that processes can be given.
        workers: How many processes; with 1 all is done in this one.
        client: The workers of a scheduler, in place of those processes; items then have paths that
            hold everywhere.
        finished: Called here with every item that did not fail.

    Returns:
        Those that failed, by name, with the reasons.

    Raises:
        InputError: The only item failed.
    """
    failed: dict[str, str] = {}
    attempt = _Attempt(work=work)
    count = 1 if client is not None else min(workers, len(items))
    with (
        FieldProgress(len(items)) as progress,
        Workers(count) as processes,
    ):
        if client is not None:
            results = done_there(client, attempt, items)
        else:
            results = zip(items, processes.map(attempt, items), strict=True)
        for item, made in results:
            outcome, wrong, seconds = made if isinstance(made, tuple) else ("failed", made, None)
            if wrong is not None and len(items) == 1:
                raise wrong
            if wrong is None:
                finished(item)
            else:
                failed[item.name] = str(wrong)
            progress.end(outcome, item.name, seconds)
    return failed


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Attempt(Generic[Item]):
    """Work that says what was wrong, and what time it took."""

    work: Callable[[Item], str]

    def __call__(self, item: Item) -> tuple[str, InputError | None, float]:
        began = time.monotonic()
        try:
            outcome, wrong = self.work(item), None
        except InputError as error:
            outcome, wrong = "failed", error
        return outcome, wrong, time.monotonic() - began


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Call(Generic[Given, Made]):
    function: Callable[[Given], Made]

    def __call__(self, item: Given) -> Made:
        with stopped_by_full_disk():
            return self.function(item)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Threads and processes begun meanwhile, and all that they begin, never see Ctrl-C.

    It reaches all processes of a terminal; the one that began them ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Which is begun with the first process, and would make the thread that begins it see it again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(environments: Any, stop: Any) -> None:
    """What a worker does first: whoever interrupts the run interrupts its parent, which ends it."""
    global _stop
    _stop = stop
    os.environ.update(environments.get())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
