"""Tiles read, computed and written at the same time, each in its own thread.

While the device computes a batch of tiles, the next one is read, and the one before is written.
Nothing waits in between: there are three batches at a time, whatever the image's size.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import numpy as np

Progress = Callable[[int, int], None]
"""Called with the number of tiles done, and of all."""

Job = TypeVar("Job")
Results = TypeVar("Results")


class Sink(Protocol):
    """Takes results tile by tile, every pixel once (again where tiles were halved)."""

    def __call__(
        self, name: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray, /
    ) -> None:
        """Takes one kind of result of one time point.

        Args:
            name: Which result.
            t: The time point.
            rows: int [n], where its rows belong.
            columns: int [m], likewise.
            pixels: float32 [C, n, m].
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Batch(Generic[Job]):
    """Tiles computed together.

    Attributes:
        jobs: What each tile is.
        patches: float32 [B, y, x, C]; B may be more than there are jobs, to be the same in all
            batches.
    """

    jobs: tuple[Job, ...]
    patches: np.ndarray


def in_batches(
    patches: Iterable[tuple[Job, np.ndarray]], shape: tuple[int, ...]
) -> Iterator[Batch[Job]]:
    """Patches in batches of one size, the last filled up with its last patch.

    Args:
        patches: Jobs, and what each reads: float32 [y, x, C].
        shape: B, y, x, C.
    """
    jobs: list[Job] = []
    batch = np.empty(shape, np.float32)
    for job, patch in patches:
        batch[len(jobs)] = patch
        jobs.append(job)
        if len(jobs) == shape[0]:
            yield Batch(tuple(jobs), batch)
            jobs, batch = [], np.empty(shape, np.float32)
    if jobs:
        batch[len(jobs) :] = batch[len(jobs) - 1]
        yield Batch(tuple(jobs), batch)


def stream(
    batches: Iterator[Batch[Job]],
    compute: Callable[[Batch[Job]], Results],
    write: Callable[[Batch[Job], Results], None],
    finished: Callable[[Batch[Job]], None],
) -> None:
    """Reads, computes and writes all batches; what goes wrong in a thread is raised here.

    Args:
        batches: Read in one other thread.
        compute: Called in this thread; may return before the device is done.
        write: Called in one other thread, batch after batch.
        finished: Called in this thread, once a batch is written.
    """
    running: collections.deque[tuple[Batch[Job], Future[None]]] = collections.deque()

    def finish() -> None:
        batch, future = running.popleft()
        future.result()
        finished(batch)

    reading = ThreadPoolExecutor(1, "isl-read")
    writing = ThreadPoolExecutor(1, "isl-write")
    try:
        upcoming = reading.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reading.submit(next, batches, None)
            running.append((batch, writing.submit(write, batch, compute(batch))))
            if len(running) > 1:
                finish()
        while running:
            finish()
    finally:
        for pool in (reading, writing):
            pool.shutdown(cancel_futures=True)
