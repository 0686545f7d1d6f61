"""Tiles read, predicted and written at the same time, each in its own thread.

While the device computes a batch of tiles, the next one is read and normalized, and the one before
is written. Nothing waits in between: there are three batches at a time, whatever the image's size.
"""

import collections
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import jax
import numpy as np

from isl.errors import InputError
from isl.imaging.normalize import PlaneNormalization
from isl.imaging.resample import resample
from isl.labeling.mixture import AnyModel, Mixture, predictor
from isl.labeling.options import Options
from isl.labeling.plan import FieldPlan, smaller
from isl.labeling.source import TransmittedField, normalized
from isl.tiling.plan import Tile, kept

# Called with the number of tiles done, and of all.
Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes what was predicted, tile by tile, every pixel once (again where tiles were halved)."""

    def __call__(
        self, statistic: str, t: int, rows: np.ndarray, columns: np.ndarray, pixels: np.ndarray, /
    ) -> None:
        """Takes float32 [L, n, m] in [0, 1], of those rows (int [n]) and columns (int [m])."""


class _Batch(NamedTuple):
    """Tiles predicted together.

    Attributes:
        jobs: Time point and tile of each.
        patches: float32 [B, y, x, Z]; B may be more, to be the same in all batches.
    """

    jobs: tuple[tuple[int, Tile], ...]
    patches: np.ndarray


def predict_tiles(
    model: AnyModel,
    field: TransmittedField,
    plan: FieldPlan,
    options: Options,
    normalization: Sequence[Sequence[PlaneNormalization]],
    sink: Sink,
    progress: Progress | None = None,
) -> FieldPlan:
    """Predicts a field tile by tile; where a device runs out of memory, with smaller tiles.

    Args:
        model: A loaded model, or several.
        field: Where pixels come from.
        plan: How it is cut.
        options: What is predicted.
        normalization: For every time point, what is done to each plane.
        sink: Where results go; called from one other thread.
        progress: Called from this thread.

    Returns:
        The plan that was carried out.

    Raises:
        InputError: Pixels cannot be read, or there is not enough memory for the smallest tile.
    """
    while True:
        try:
            predicting = predictor(model, options, plan.tiles.output_size)
            _run(predicting, _batches(field, plan, normalization), plan, options, sink, progress)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
        else:
            return plan
        before, halved = plan.tiles.tile_size, smaller(model.config, field, options, plan)
        where = f"{field.source or field.name}"
        reads = f"tiles that read {before[0]} x {before[1]} pixels"
        if halved is None:
            raise InputError(
                f"{where}: does not fit into memory, even in {reads}; ask for fewer statistics or "
                "labels, or give `device=cpu`"
            )
        logger.warning("%s: out of memory with %s; taking smaller ones", where, reads)
        plan = halved


def _run(
    model: AnyModel | Mixture,
    batches: Iterator[_Batch],
    plan: FieldPlan,
    options: Options,
    sink: Sink,
    progress: Progress | None,
) -> None:
    """One pass over all batches; see the module."""
    done = 0
    running: collections.deque[Future[int]] = collections.deque()

    def write(jobs: Sequence[tuple[int, Tile]], results: Mapping[str, jax.Array]) -> int:
        for statistic, result in results.items():
            for (t, tile), pixels in zip(jobs, np.asarray(result), strict=False):
                rows, columns = tile
                sink(statistic, t, rows.lands, columns.lands, kept(tile, pixels))
        return len(jobs)

    def finish(future: Future[int]) -> None:
        nonlocal done
        done += future.result()
        if progress is not None:
            progress(done, plan.total)

    reading = ThreadPoolExecutor(1, "isl-read")
    writing = ThreadPoolExecutor(1, "isl-write")
    try:
        upcoming = reading.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reading.submit(next, batches, None)
            results = model.statistics(batch.patches, options.labels, options.from_distributions)
            running.append(writing.submit(write, batch.jobs, results))
            if len(running) > 1:
                finish(running.popleft())
        while running:
            finish(running.popleft())
    finally:
        for pool in (reading, writing):
            pool.shutdown(cancel_futures=True)


def _batches(
    field: TransmittedField,
    plan: FieldPlan,
    normalization: Sequence[Sequence[PlaneNormalization]],
) -> Iterator[_Batch]:
    """All tiles of all time points in batches of one size, the last filled up."""
    shape = (plan.batch, *plan.tiles.tile_size, len(plan.fit.planes))
    jobs: list[tuple[int, Tile]] = []
    patches = np.empty(shape, np.float32)
    for t, tile, patch in _patches(field, plan, normalization):
        patches[len(jobs)] = patch
        jobs.append((t, tile))
        if len(jobs) == plan.batch:
            yield _Batch(tuple(jobs), patches)
            jobs, patches = [], np.empty(shape, np.float32)
    if jobs:
        patches[len(jobs) :] = patches[len(jobs) - 1]
        yield _Batch(tuple(jobs), patches)


def _patches(
    field: TransmittedField,
    plan: FieldPlan,
    normalization: Sequence[Sequence[PlaneNormalization]],
) -> Iterator[tuple[int, Tile, np.ndarray]]:
    """Time point, tile and what it reads: float32 [y, x, Z] in [0, 1]."""
    whole = plan.fit.scale is not None
    for t, records in enumerate(normalization):
        for block in plan.tiles.blocks(None if whole else plan.window):
            if whole:
                rows, columns = field.size
                planes = normalized(field, t, records, ((0, rows), (0, columns)))
                planes = resample(planes, plan.tiles.image_size)
                corner = (0, 0)
            else:
                planes = normalized(field, t, records, block.window)
                corner = block.corner
            for tile in block.tiles:
                yield t, tile, plan.tiles.read(planes, tile, corner)
            # The next block is read when this one is gone.
            del planes
