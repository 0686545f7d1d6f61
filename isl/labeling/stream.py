"""A field predicted tile by tile; with smaller tiles where a device runs out of memory."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from isl.errors import InputError
from isl.imaging.normalize import PlaneNormalization
from isl.imaging.resample import resample
from isl.labeling.bins import SAMPLE
from isl.labeling.coherence import sampled_shares, seed_of
from isl.labeling.mixture import AnyModel, Distributions, predictor
from isl.labeling.options import Options
from isl.labeling.plan import FieldPlan, smaller
from isl.labeling.source import TransmittedField, normalized
from isl.tiling.plan import Tile, kept
from isl.tiling.stream import Batch, Progress, Sink, in_batches, stream

logger = logging.getLogger(__name__)


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
            shares = _shares(predicting, model.config.coherence, plan, options)
            patches = _patches(field, plan, normalization)
            _run(predicting, patches, plan, options, shares, sink, progress)
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
    model: Distributions,
    patches: Iterator[tuple[tuple[int, Tile], np.ndarray]],
    plan: FieldPlan,
    options: Options,
    shares: Callable[[Batch[tuple[int, Tile]]], np.ndarray] | None,
    sink: Sink,
    progress: Progress | None,
) -> None:
    """One pass over all tiles; see `isl.tiling.stream`."""
    done = 0

    def compute(batch: Batch[tuple[int, Tile]]) -> Mapping[str, jax.Array]:
        drawn = None if shares is None else shares(batch)
        return model.statistics(batch.patches, options.labels, options.from_distributions, drawn)

    def write(batch: Batch[tuple[int, Tile]], results: Mapping[str, jax.Array]) -> None:
        for statistic, result in results.items():
            for (t, tile), pixels in zip(batch.jobs, np.asarray(result), strict=False):
                rows, columns = tile
                sink(statistic, t, rows.lands, columns.lands, kept(tile, pixels))

    def finished(batch: Batch[tuple[int, Tile]]) -> None:
        nonlocal done
        done += len(batch.jobs)
        if progress is not None:
            progress(done, plan.total)

    shape = (plan.batch, *plan.tiles.tile_size, len(plan.fit.planes))
    stream(in_batches(patches, shape), compute, write, finished)


def _shares(
    model: Distributions,
    coherence: Mapping[str, Sequence[float]],
    plan: FieldPlan,
    options: Options,
) -> Callable[[Batch[tuple[int, Tile]]], np.ndarray] | None:
    """For a batch of tiles the shares [B, y, x, L] at which a sample is drawn; None: none is."""
    if SAMPLE not in options.from_distributions:
        return None
    size = tuple(model.geometry.output_size(n) for n in plan.tiles.tile_size)

    def drawn(batch: Batch[tuple[int, Tile]]) -> np.ndarray:
        shares = np.full((len(batch.patches), *size, len(options.labels)), 0.5, np.float32)
        for number, (t, (rows, columns)) in enumerate(batch.jobs):
            for index, label in enumerate(options.labels):
                shares[number, rows.kept[:, None], columns.kept, index] = sampled_shares(
                    coherence[label],
                    rows.lands,
                    columns.lands,
                    seed_of(options.seed, label, t),
                )
        return shares

    return drawn


def _patches(
    field: TransmittedField,
    plan: FieldPlan,
    normalization: Sequence[Sequence[PlaneNormalization]],
) -> Iterator[tuple[tuple[int, Tile], np.ndarray]]:
    """Time point and tile, and what it reads: float32 [y, x, Z] in [0, 1]."""
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
                yield (t, tile), plan.tiles.read(planes, tile, corner)
            # The next block is read when this one is gone.
            del planes
