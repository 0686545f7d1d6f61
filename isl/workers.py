"""Work spread over processes, or done here where one is enough."""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Generic, TypeVar

from isl.files.stopped import StoppedError, stopped_by_full_disk

Given = TypeVar("Given")
Made = TypeVar("Made")


def usable_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


class Workers:
    """Some processes; to be used with `with`.

    They are started anew (spawn) rather than forked: a fork of a process with threads may hang.
    They end with the process that started them, however that ends.
    """

    def __init__(self, count: int) -> None:
        """`count` processes, started when first needed; with 1 all is done in this one."""
        self._pool = (
            concurrent.futures.ProcessPoolExecutor(
                count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
            if count > 1
            else None
        )

    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
        """Results in the order of the items; the first error ends it.

        Raises:
            InputError: What the function raised.
            StoppedError: The disk is full, or a process was ended from outside.
        """
        call = _Call(function=function)
        if self._pool is None:
            yield from map(call, items)
            return
        try:
            yield from self._pool.map(call, items)
        except BrokenProcessPool as error:
            raise StoppedError(
                "a worker process was ended from outside, most often for want of memory; run "
                "again with fewer `workers` to go on"
            ) from error

    def __enter__(self) -> "Workers":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the processes; what was not begun is left."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Call(Generic[Given, Made]):
    function: Callable[[Given], Made]

    def __call__(self, item: Given) -> Made:
        with stopped_by_full_disk():
            return self.function(item)


def _begin() -> None:
    """What a worker does first: whoever interrupts the run interrupts its parent, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
