"""A z-stack or a movie in, statistics of every label's distribution at every pixel out."""

import collections
import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isl.errors import InputError, unknown
from isl.imaging.image import FluorescenceImage, Movie, PixelSize, ZStack
from isl.imaging.normalize import PlaneNormalization, normalize
from isl.labeling.contract import Fit, compare_intensity, fit_to_model
from isl.labeling.model import Model, ModelConfig
from isl.labeling.options import Options, check_options
from isl.labeling.renormalize import Renormalization, renormalize_images
from isl.labeling.resample import resample, resampled_size
from isl.labeling.tiling import TilePlan, plan_tiles

# Output widths of a tile: wide enough that the margin's share of the work is small, and narrow
# enough that a tile's features fit into memory. On 2 CPU cores, 384 to 1024 differ by a tenth
# (benchmarks/predict.txt); the GPU's is not measured.
AUTO_TILE = {"cpu": 384, "gpu": 1024}
# Widths of what a batch of smaller tiles may read together.
AUTO_READ = {"cpu": 640, "gpu": 1280}
# But at least this many margins: a network with a wide view would mostly compute margins.
_MARGINS = 3

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a model says about one field.

    Attributes:
        name: Name of the field.
        labels: L names.
        statistics: For every statistic asked for, in that order, float32 [L, Y, X] in [0, 1], or
            [T, L, Y, X] for a movie.
        offset: Row and column of the input at which the result's pixel (0, 0) lies.
        pixel_size: Micrometres, the input's; or None.
        interval: Minutes between frames; or None.
        planes: The planes used.
        normalization: What was done to each plane, one tuple a time point (a z-stack has one).
        renormalization: What `renormalize` did, empty where it was not asked for.
        tiles: Number of tiles a time point, and what each read (Y, X).
        tile_size: Y, X of what every tile read.
        options: What was asked for.
        warnings: Everything about the input that differs from what the model expects.
        source: The file or folder predicted.
    """

    name: str
    labels: tuple[str, ...]
    statistics: Mapping[str, np.ndarray]
    offset: int
    pixel_size: PixelSize | None
    interval: float | None
    planes: tuple[int, ...]
    normalization: tuple[tuple[PlaneNormalization, ...], ...]
    renormalization: tuple[Renormalization, ...]
    tiles: int
    tile_size: tuple[int, int]
    options: Options
    warnings: tuple[str, ...]
    source: Any = None

    def image(self, statistic: str | None = None) -> FluorescenceImage:
        """One statistic, the first by default, as a fluorescence image."""
        name = statistic or next(iter(self.statistics))
        if name not in self.statistics:
            raise unknown("statistic", name, self.statistics)
        return FluorescenceImage(
            name=self.name,
            channels=self.statistics[name],
            labels=self.labels,
            pixel_size=self.pixel_size,
            interval=self.interval,
            source=self.source,
        )


def predict(
    model: Model,
    stack: ZStack | Movie,
    *,
    labels: Sequence[str] | None = None,
    statistics: Sequence[str] = ("median",),
    stitch: str = "dense",
    border: str = "reflect",
    normalize: str | None = None,
    tile: int | str = "auto",
    planes: Sequence[int] | None = None,
    renormalize: bool = False,
    resample: bool = False,
    allow_mismatch: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Predicts fluorescence from transmitted light, in tiles.

    Args:
        model: A loaded model.
        stack: As stored; it is normalized here.
        labels: See `Options` and `check_options`, as for all below.
        statistics: Which numbers of a pixel's distribution; the first is the image.
        stitch: "dense" or "exact".
        border: "reflect" or "valid".
        normalize: "auto", "off", or None for the model's own.
        tile: Largest output width of a tile, or "auto".
        planes: Planes to use, counted from 0.
        renormalize: Bring intensities to the training labels' mean and deviation.
        resample: Bring the image to the model's pixel size, and the result back.
        allow_mismatch: Predict an image known not to fit.
        progress: Called with the number of tiles done, and of all.

    Raises:
        InputError: An option or the image does not fit the model.
    """
    options = check_options(
        model.config,
        labels=labels,
        statistics=statistics,
        stitch=stitch,
        border=border,
        normalize=normalize,
        tile=tile,
        planes=planes,
        renormalize=renormalize,
        resample=resample,
        allow_mismatch=allow_mismatch,
    )
    return predict_field(model, stack, options, progress)


def predict_field(
    model: Model,
    stack: ZStack | Movie,
    options: Options,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """`predict`, with options that were checked before."""
    fit, plan = plan_field(model.config, stack, options)
    values, normalization = _predict_tiles(model, stack, options, fit, plan, progress)
    warnings = fit.warnings + compare_intensity(
        [plane for planes in normalization for plane in planes],
        model.config.input,
        normalize=options.normalize,
    )
    for warning in warnings:
        logger.warning("%s: %s", stack.source or stack.name, warning)
    if fit.scale is not None:
        values = {name: _resample_back(value, stack) for name, value in values.items()}
    renormalization: tuple[Renormalization, ...] = ()
    if options.renormalize:
        values, renormalization = renormalize_images(
            values, options.labels, model.config.label_statistics
        )
    movie = isinstance(stack, Movie)
    return Prediction(
        name=stack.name,
        labels=options.labels,
        statistics=values if movie else {name: value[0] for name, value in values.items()},
        offset=plan.offset,
        pixel_size=stack.pixel_size,
        interval=stack.interval if movie else None,
        planes=fit.planes,
        normalization=normalization,
        renormalization=renormalization,
        tiles=len(plan),
        tile_size=plan.tile_size,
        options=options,
        warnings=warnings,
        source=stack.source,
    )


def plan_field(
    config: ModelConfig, stack: ZStack | Movie, options: Options
) -> tuple[Fit, TilePlan]:
    """How one image is made to fit a model and cut into tiles; computes nothing.

    Raises:
        InputError: The image does not fit.
    """
    fit = fit_to_model(
        stack,
        config.input,
        model=config.name,
        planes=options.planes,
        resample=options.resample,
        allow_mismatch=options.allow_mismatch,
    )
    size = _size(stack)
    tile = options.tile
    if tile == "auto":
        tile = max(AUTO_TILE[_platform()], _MARGINS * config.architecture.geometry.margin)
    try:
        plan = plan_tiles(
            config.architecture.geometry,
            resampled_size(size, fit.scale) if fit.scale else size,
            tile=tile,
            border=options.border,
            stitch=options.stitch,
        )
    except InputError as error:
        raise InputError(f"{stack.source or stack.name}: {error}") from error
    return fit, plan


def _predict_tiles(
    model: Model,
    stack: ZStack | Movie,
    options: Options,
    fit: Fit,
    plan: TilePlan,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, np.ndarray], tuple[tuple[PlaneNormalization, ...], ...]]:
    """float32 [T, L, Y, X] for every statistic, on the grid of the plan."""
    times = stack.frames.shape[0] if isinstance(stack, Movie) else 1
    shape = (times, len(options.labels), *plan.output_size)
    values = {name: np.empty(shape, np.float32) for name in options.statistics}
    records: list[tuple[PlaneNormalization, ...]] = []

    def patches() -> Iterator[tuple[tuple[int, Any], np.ndarray]]:
        for t in range(times):
            planes, record = _normalized_planes(stack, t, options, fit, plan)
            records.append(record)
            for tile in plan.tiles():
                yield (t, tile), plan.read(planes, tile)

    def collect(jobs: Sequence[tuple[int, Any]], results: Mapping[str, jax.Array]) -> None:
        for name, result in results.items():
            for (t, tile), pixels in zip(jobs, np.asarray(result), strict=False):
                plan.write(values[name][t], tile, pixels)
        nonlocal done
        done += len(jobs)
        if progress is not None:
            progress(done, times * len(plan))

    done = 0
    size = _batch_size(plan, times * len(plan))
    # One batch is computed while the one before is written and the next one is read.
    running: collections.deque[tuple[Sequence[tuple[int, Any]], Mapping[str, jax.Array]]]
    running = collections.deque()
    for group in _batched(patches(), size):
        jobs = [job for job, _ in group]
        batch = np.stack([patch for _, patch in group] + [group[-1][1]] * (size - len(group)))
        running.append((jobs, model.statistics(batch, options.labels, options.statistics)))
        if len(running) > 1:
            collect(*running.popleft())
    collect(*running.popleft())
    return values, tuple(records)


def _normalized_planes(
    stack: ZStack | Movie, t: int, options: Options, fit: Fit, plan: TilePlan
) -> tuple[np.ndarray, tuple[PlaneNormalization, ...]]:
    """float32 [Z, Y, X] in [0, 1] on the plan's grid, and what was done to each plane."""
    stored = stack.frames[t] if isinstance(stack, Movie) else stack.planes
    planes, records = normalize(
        stored[list(fit.planes)], options.normalize, source=stack.source or stack.name
    )
    numbered = tuple(
        dataclasses.replace(record, plane=plane)
        for record, plane in zip(records, fit.planes, strict=True)
    )
    return (resample(planes, plan.image_size) if fit.scale else planes), numbered


def _resample_back(values: np.ndarray, stack: ZStack | Movie) -> np.ndarray:
    """[T, L, y, x] to [T, L, Y, X] of the stack."""
    return np.stack([resample(value, _size(stack)) for value in values])


def _batch_size(plan: TilePlan, jobs: int) -> int:
    """Tiles a batch, evened out: small tiles together read no more than one large one."""
    at_most = max(1, AUTO_READ[_platform()] ** 2 // (plan.tile_size[0] * plan.tile_size[1]))
    batches = -(-jobs // at_most)
    return -(-jobs // batches)


def _batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while group := list(itertools.islice(items, size)):
        yield group


def _size(stack: ZStack | Movie) -> tuple[int, int]:
    rows, columns = (stack.frames if isinstance(stack, Movie) else stack.planes).shape[-2:]
    return rows, columns


def _platform() -> str:
    return "cpu" if jnp.zeros(()).devices().pop().platform == "cpu" else "gpu"
