"""What `isl predict` would do: fields, tiles, memory, disk, and what is wrong with inputs."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError, as_options
from isl.labeling.model_config import ModelConfig
from isl.labeling.plan import FieldPlan, expected_memory, plan_field
from isl.labeling.run.one_field import (
    Field,
    as_read,
    opened_field,
    opened_picture,
    with_uncertainty,
)
from isl.labeling.run.provenance import Call
from isl.labeling.source import TransmittedField
from isl.tiling.memory import GIB

# What Python, JAX and compiled programs take, besides pixels.
_BESIDES = 0.6 * GIB


@dataclasses.dataclass(kw_only=True)
class _Totals:
    """Over all fields: how many can be predicted, and what they need."""

    fields: int = 0
    tiles: int = 0
    pixels: int = 0
    memory: int = 0
    stored: int = 0


def dry_run(
    fields: Sequence[Field],
    config: ModelConfig,
    call: Call,
    *,
    out: Path,
    budget: int,
    processes: int = 1,
) -> list[tuple[str, InputError]]:
    """Prints what would be done with each field, and in all; returns those that would fail.

    Args:
        fields: What is to be predicted.
        config: The model's, which is not loaded.
        call: How.
        out: Folder of the results.
        budget: Bytes that a process may take.
        processes: How many share the work.

    Raises:
        InputError: The only field would fail.
    """
    failures: list[tuple[str, InputError]] = []
    totals = _Totals()
    print(f"model {config.name}: {', '.join(call.options.labels)}")
    print(f"statistics {', '.join(call.options.statistics)} as {call.dtype} to {out}")
    for field in fields:
        try:
            with opened_field(field.path, call.stated) as opened:
                options = with_uncertainty(call.options)
                plan = plan_field(config, opened, options, budget=budget)
                memory = expected_memory(config, opened, options, plan)
                rows, columns = opened.size if plan.fit.scale else plan.tiles.output_size
                pixels = opened.shape[0] * rows * columns
                stored = _stored_bytes(field, pixels, call)
        except InputError as error:
            if len(fields) == 1:
                raise
            failures.append((field.name, error))
            continue
        _describe(field, opened, plan)
        totals.fields += 1
        totals.tiles += plan.total
        totals.pixels += pixels
        totals.memory = max(totals.memory, memory)
        totals.stored += stored
    _sum_up(totals, call, out=out, processes=processes)
    return failures


def _describe(field: Field, opened: TransmittedField, plan: FieldPlan) -> None:
    rows, columns = opened.size if plan.fit.scale else plan.tiles.output_size
    stored = as_read(opened)
    shape = " x ".join(map(str, stored["shape"]))
    print(
        f"{field.name}: {stored['axes']} {shape}, planes "
        f"{','.join(map(str, plan.fit.planes))}, {len(plan.tiles)} tiles reading "
        f"{plan.tiles.tile_size[0]} x {plan.tiles.tile_size[1]}, output {rows} x {columns}"
    )
    for path in field.files.all:
        print(f"  {path}")
    for warning in plan.fit.warnings:
        print(f"  warning: {as_options(warning)}")


def _sum_up(totals: _Totals, call: Call, *, out: Path, processes: int) -> None:
    if not totals.fields:
        return
    fields = "1 field" if totals.fields == 1 else f"{totals.fields} fields"
    print(f"in all {fields}, {totals.tiles} tiles, {totals.pixels / 1e6:.3g} megapixels of output")
    each = " in each process" if processes > 1 else ""
    memory = (totals.memory + _BESIDES) / GIB
    print(f"memory: at most {memory:.2g} GiB{each}")
    free = _free_disk(out)
    print(
        f"disk: at most {_amount(totals.stored)} of images, before compression; "
        f"{_amount(free)} are free"
    )
    if totals.stored > free:
        full = f"{out} may become full; what is done by then stays (`resume` continues)"
        print(f"  warning: {as_options(full)}")


def _stored_bytes(field: Field, pixels: int, call: Call) -> int:
    """Of a field's images before compression, smaller resolutions of an OME-Zarr included.

    Args:
        field: What is to be predicted.
        pixels: T x Y x X of the result.
        call: How.
    """
    labels, statistics = len(call.options.labels), call.options.statistics
    types = [np.dtype(call.pixel_type(name)) for name in statistics]
    stored = pixels * labels * sum(dtype.itemsize for dtype in types)
    if call.into:
        with opened_picture(field.path, call.stated) as (measured, _):
            _, channels, planes, _, _ = measured.shape
            channels += labels * len(statistics)
            stored = (
                pixels * planes * channels * np.promote_types(measured.dtype, types[0]).itemsize
            )
    # Each resolution has a quarter of the pixels of the one before.
    return -(-4 * stored // 3) if field.files.format == "ome-zarr" else stored


def _free_disk(out: Path) -> int:
    existing = out.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _amount(count: int) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
