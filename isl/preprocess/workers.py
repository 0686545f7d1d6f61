"""Work spread over processes, or done here where one is enough."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def usable_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


class Workers:
    """Some processes; to be used with `with`.

    They are started anew (spawn) rather than forked: a fork of a process with threads may hang.
    """

    def __init__(self, count: int) -> None:
        """`count` processes, started when first needed; with 1 all is done in this one."""
        self._pool = (
            concurrent.futures.ProcessPoolExecutor(
                count, mp_context=multiprocessing.get_context("spawn")
            )
            if count > 1
            else None
        )

    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
        """Results in the order of the items; the first error ends it."""
        if self._pool is None:
            return map(function, items)
        return self._pool.map(function, items)

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
