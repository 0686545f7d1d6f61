"""Batches for the train step: the same stream for a seed, whatever prepares it.

Example i of a run depends on the seed and on i only, so the position of the stream is one number:
how many batches were drawn. It is what a checkpoint stores, and it holds for any number of workers.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import grain
import numpy as np
from absl import flags

from isl.errors import InputError

from .task import Batch

_THREADS = 2
_BATCHES_AHEAD = 4


# As many examples as nobody draws; grain's own endless repetition cannot be cut into batches of 1.
_ENDLESS = 2**53


def endless(
    draw: Callable[[np.random.Generator], Mapping[str, np.ndarray]], seed: int
) -> grain.MapDataset:
    """Examples without end, each drawn by itself.

    Args:
        draw: One example; sent to the processes that prepare batches, with the data it holds.
        seed: The same one gives the same examples.
    """
    return grain.MapDataset.range(_ENDLESS).random_map(functools.partial(_drawn, draw), seed=seed)


def _drawn(
    draw: Callable[[np.random.Generator], Mapping[str, np.ndarray]],
    _: int,
    rng: np.random.Generator,
) -> Mapping[str, np.ndarray]:
    return draw(rng)


def in_batches(
    examples: Sequence[Mapping[str, np.ndarray]], size: int
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Examples in batches of one size, so that one program judges them all.

    Yields:
        Arrays [size, ...], and how many of them count: the last batch is filled up with its last
        example.
    """
    for first in range(0, len(examples), size):
        some = list(examples[first : first + size])
        filled = [*some, *some[-1:] * (size - len(some))]
        yield {name: np.stack([each[name] for each in filled]) for name in some[0]}, len(some)


@contextlib.contextmanager
def batches(
    examples: "grain.MapDataset",
    *,
    batch_size: int,
    start: int = 0,
    workers: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[Iterator[Batch]]:
    """Batches of examples, prepared ahead of their use.

    Args:
        examples: An endless dataset of single examples.
        batch_size: Examples of a batch, over all processes.
        start: Batches that were drawn before.
        workers: Processes that prepare batches, each with its own copy of what data are in memory;
            0: threads of this process.
        process: Index of this process and how many there are; each draws its part of every batch.

    Raises:
        InputError: The batch cannot be cut into equal parts for the processes.
    """
    index, count = process
    if batch_size % count:
        raise InputError(
            f"a batch of {batch_size} examples cannot be cut for {count} processes: "
            f"set training.batch_size to a multiple of {count}"
        )
    local = examples.batch(batch_size // count)[start * count + index :: count]
    ahead = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_BATCHES_AHEAD)
    dataset = local.to_iter_dataset(ahead)
    if workers:
        _let_workers_start()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        )
    iterator = iter(dataset)
    try:
        yield iterator
    finally:
        iterator.close()


def _let_workers_start() -> None:
    """Grain hands absl's flags to its workers and refuses to if nobody parsed any."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
