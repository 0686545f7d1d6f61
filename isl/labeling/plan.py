"""How one field is made to fit a model, cut into tiles, and kept within memory."""

import dataclasses

import jax

from isl.errors import InputError
from isl.imaging.resample import resampled_size
from isl.labeling.contract import Fit, fit_to_model
from isl.labeling.exact import exact_geometry
from isl.labeling.memory import bytes_per_pixel
from isl.labeling.model_config import ModelConfig
from isl.labeling.options import Options
from isl.labeling.source import TransmittedField, stored_planes
from isl.tiling import memory
from isl.tiling.geometry import Geometry, joint_geometry
from isl.tiling.plan import TilePlan, plan_tiles

# Output widths of a tile: wide enough that the margin's share of the work is small, and narrow
# enough that a tile's features fit into memory. On 2 CPU cores, 384 to 1024 differ by a tenth
# (benchmarks/predict.txt); the GPU's is not measured.
AUTO_TILE = {"cpu": 384, "gpu": 1024}
# Widths of what a batch of smaller tiles may read together.
AUTO_READ = {"cpu": 640, "gpu": 1280}
# But at least this many margins: a network with a wide view would mostly compute margins.
_MARGINS = 3
# Tiles are not made narrower than this to fit into memory.
_NARROWEST = 32


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FieldPlan:
    """What is decided before a field is predicted.

    Attributes:
        fit: How the image is made to fit the model.
        tiles: How it is cut.
        batch: How many tiles are predicted together.
        window: Pixels [Y, X] of the image that may be in memory, normalized; None: all of them.
        hold: Whether the stored planes are to be read into memory at once.
        total: Tiles of all time points.
    """

    fit: Fit
    tiles: TilePlan
    batch: int
    window: int | None
    hold: bool
    total: int

    @property
    def batch_reads(self) -> int:
        """Pixels that a batch reads."""
        return self.batch * self.tiles.tile_size[0] * self.tiles.tile_size[1]


def plan_field(
    config: ModelConfig,
    field: TransmittedField,
    options: Options,
    *,
    budget: int | None = None,
) -> FieldPlan:
    """Plans one field; computes nothing.

    Args:
        config: The model's.
        field: What is to be predicted.
        options: As checked against the model.
        budget: Bytes that prediction may take; None: as many as it likes.

    Raises:
        InputError: The image does not fit the model, or the model not the memory.
    """
    fit = fit_to_model(
        field,
        config.input,
        model=config.name,
        planes=options.planes,
        resample=options.resample,
        allow_mismatch=options.allow_mismatch,
    )
    also = (*_narrow(config, field, fit), *_known(config, field))
    fit = dataclasses.replace(fit, warnings=(*fit.warnings, *also))
    read_at_once = None
    if budget is not None:
        read_at_once = memory.batch_pixels(budget, _bytes_per_pixel(config, options))
        if fit.scale is not None:
            _check_whole(field, fit, options, budget)
    tiles, batch = _cut(config, field, fit, options, _widest(config, options), read_at_once)
    fit = dataclasses.replace(fit, warnings=(*fit.warnings, *_seams(config, options, len(tiles))))
    plan = FieldPlan(
        fit=fit,
        tiles=tiles,
        batch=batch,
        window=None if budget is None else memory.window_pixels(budget, len(fit.planes)),
        hold=budget is not None and memory.may_hold(budget, _stored_bytes(field, fit)),
        total=field.shape[0] * len(tiles),
    )
    if read_at_once is not None and options.tile == "auto" and plan.batch_reads > read_at_once:
        needed = 8 / 3 * plan.batch_reads * _bytes_per_pixel(config, options)
        raise InputError(
            f"{field.source or field.name}: {(budget or 0) / memory.GIB:.2g} GiB of memory are too "
            f"few for model '{config.name}', which needs {needed / memory.GIB:.2g}; give more "
            "with `memory`"
        )
    return plan


def _known(config: ModelConfig, field: TransmittedField) -> tuple[str, ...]:
    """Says so where the model learned from the field, which flatters what it predicts."""
    if field.name not in (config.trained_on or ()):
        return ()
    return (
        f"a field of this name is among those that '{config.name}' learned from: what is predicted "
        "of it flatters",
    )


def _narrow(config: ModelConfig, field: TransmittedField, fit: Fit) -> tuple[str, ...]:
    """A warning where a side is so short that its reflection would have to be reflected again."""
    margin = joint_geometry([each.geometry for each in config.architectures]).margin
    rows, columns = field.size if fit.scale is None else resampled_size(field.size, fit.scale)
    if min(rows, columns) > margin:
        return ()
    return (
        f"is {rows} x {columns} pixels, and model '{config.name}' looks {margin} around each of "
        "them; most of what it sees is the image reflected: predict a larger image, and crop the "
        "result",
    )


def _seams(config: ModelConfig, options: Options, tiles: int) -> tuple[str, ...]:
    """A warning where a field that should be seen whole is not."""
    if tiles == 1 or not _geometry(config, options).whole:
        return ()
    return (
        f"is predicted in {tiles} tiles, and model '{config.name}' looks at all of a tile: results "
        "may differ at their seams",
    )


def smaller(
    config: ModelConfig, field: TransmittedField, options: Options, plan: FieldPlan
) -> FieldPlan | None:
    """The same with tiles half as wide that read half as much at a time; None: there are none."""
    width = width_of(config, options, plan) // 2
    try:
        tiles, batch = _cut(config, field, plan.fit, options, width, plan.batch_reads // 2)
    except InputError:
        return None
    before = _seams(config, options, len(plan.tiles))
    warnings = tuple(line for line in plan.fit.warnings if line not in before)
    seams = _seams(config, options, len(tiles))
    found = dataclasses.replace(
        plan,
        fit=dataclasses.replace(plan.fit, warnings=(*warnings, *seams)),
        tiles=tiles,
        batch=batch,
        window=None if plan.window is None else max(1, plan.window // 2),
        total=field.shape[0] * len(tiles),
    )
    return found if found.batch_reads < plan.batch_reads else None


def width_of(config: ModelConfig, options: Options, plan: FieldPlan) -> int:
    """The output width of a plan's tiles: asked for as a tile, it gives the same again."""
    geometry = _geometry(config, options)
    # An image may be smaller than the narrowest tile that can be asked for.
    narrowest = geometry.input_size(geometry.step)
    return geometry.output_size(max(narrowest, *plan.tiles.tile_size))


def expected_memory(
    config: ModelConfig, field: TransmittedField, options: Options, plan: FieldPlan
) -> int:
    """Bytes that pixels and the network take at the most while a plan is carried out."""
    rows, columns = field.size
    if plan.fit.scale:
        window = _whole_bytes(field, plan.fit, options)
    else:
        pixels = rows * columns if plan.window is None else min(rows * columns, plan.window)
        window = memory.window_bytes(pixels, len(plan.fit.planes))
    held = _stored_bytes(field, plan.fit) if plan.hold else 0
    return plan.batch_reads * _bytes_per_pixel(config, options) + window + held


def _widest(config: ModelConfig, options: Options) -> int:
    if options.tile != "auto":
        return options.tile
    geometry = _geometry(config, options)
    return max(AUTO_TILE[platform()], _MARGINS * geometry.margin, geometry.whole)


def _geometry(config: ModelConfig, options: Options) -> Geometry:
    """Sizes that tiles must have."""
    geometries = [architecture.geometry for architecture in config.architectures]
    if options.stitch == "exact":
        geometries = [exact_geometry(geometry) for geometry in geometries]
    return joint_geometry(geometries, turned=options.symmetries)


def _cut(
    config: ModelConfig,
    field: TransmittedField,
    fit: Fit,
    options: Options,
    tile: int,
    read_at_once: int | None,
) -> tuple[TilePlan, int]:
    """Tiles at most so wide, narrower where a batch may not read them, and how many a batch has."""
    size = resampled_size(field.size, fit.scale) if fit.scale else field.size
    devices = jax.local_device_count()
    geometry = _geometry(config, options)
    while True:
        try:
            tiles = plan_tiles(geometry, size, tile=tile, border=options.border)
        except InputError as error:
            raise InputError(f"{field.source or field.name}: {error}") from error
        reads = tiles.tile_size[0] * tiles.tile_size[1]
        jobs = field.shape[0] * len(tiles)
        too_wide = read_at_once is not None and reads > read_at_once
        # What looks at all of a tile is not cut for the devices' sake.
        idle = not geometry.whole and jobs < devices and tile // 2 >= geometry.margin
        if options.tile != "auto" or tile // 2 < _NARROWEST or not (too_wide or idle):
            break
        tile //= 2
    at_most = devices * max(reads, AUTO_READ[platform()] ** 2)
    if read_at_once is not None:
        at_most = min(at_most, read_at_once)
    # Evened out: small tiles together read no more than one large one.
    together = max(1, at_most // reads)
    batch = -(-jobs // -(-jobs // together))
    # Every device gets as many tiles as any other.
    shared = -(-batch // devices) * devices
    return tiles, shared if shared <= together else batch


def _bytes_per_pixel(config: ModelConfig, options: Options) -> int:
    return bytes_per_pixel(
        config,
        statistics=len(options.from_distributions),
        labels=len(options.labels),
        symmetries=8 if options.symmetries else 1,
        on_cpu=platform() == "cpu",
    )


def _stored_bytes(field: TransmittedField, fit: Fit) -> int:
    rows, columns = field.size
    return field.shape[0] * len(stored_planes(fit.planes)) * rows * columns * field.dtype.itemsize


def _check_whole(field: TransmittedField, fit: Fit, options: Options, budget: int) -> None:
    needed = _whole_bytes(field, fit, options)
    if needed > budget:
        raise InputError(
            f"{field.source or field.name}: `resample` needs the image whole, "
            f"{needed / memory.GIB:.2g} GiB, more than the {budget / memory.GIB:.2g} GiB "
            "allowed; give more with `memory`, or resample the file first"
        )


def _whole_bytes(field: TransmittedField, fit: Fit, options: Options) -> int:
    """Resampling needs the image and the result whole."""
    rows, columns = field.size
    y, x = fit.scale or (1.0, 1.0)
    results = field.shape[0] * len(options.from_distributions) * len(options.labels)
    return round(4 * rows * columns * ((1 + y * x) * (len(fit.planes) + results)))


def platform() -> str:
    """Which of the tables above holds: "cpu" or "gpu"."""
    return "cpu" if jax.local_devices()[0].platform == "cpu" else "gpu"
