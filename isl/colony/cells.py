"""Pictures of single cells, as imaging flow cytometry takes them: each classified as a whole."""

import dataclasses
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from skimage.transform import resize

from isl.colony.assess import named
from isl.colony.drawing import draw_cells, draw_composition
from isl.colony.model import DEFAULT_CELL_MODEL, ColonyModel, load_colony_model
from isl.colony.record import (
    COMPOSITION_COLUMNS,
    PURPOSE,
    known_alone,
    most_first,
    shares_of_classes,
    which_share,
)
from isl.colony.run import COMPOSITION, REPORT, Request, model_channels
from isl.devices import use_device
from isl.errors import InputError
from isl.files.failures import report_failures
from isl.files.locks import alone_in
from isl.files.records import as_csv
from isl.files.whole import write_texts
from isl.imaging.inputs.read import find_inputs, open_transmitted
from isl.imaging.lazy import LazyPicture
from isl.imaging.outputs.result_checks import check_files
from isl.report import figure, heading, notices, paragraph, records, results_page

logger = logging.getLogger(__name__)

CELLS = "cells.csv"
# So many cells are held at a time.
_PORTION = 1024


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Cell:
    """One picture of one cell; `pixels` is uint8 [patch, patch, C], of the middle of its planes."""

    name: str
    time: int
    planes: int
    pixels: np.ndarray


def assess_cells(request: Request) -> int:
    """Classes every picture, and returns the exit code: 0, 2 (all failed) or 3 (some did).

    Raises:
        InputError: The request is wrong, or its only input failed; nothing was written.
    """
    if request.mask is not None:
        raise InputError(
            f"`mask={request.mask}`: with `cells` each picture is one cell; leave it out"
        )
    if request.time_lapse:
        raise InputError("`time_lapse`: with `cells` each picture is one cell; leave one of them")
    if request.resume:
        raise InputError(
            "`resume`: cells are classified in a single pass; leave it out, or give `overwrite`"
        )
    found = find_inputs(request.inputs)
    check_files(
        request.out,
        [],
        overwrite=request.overwrite,
        tables=[request.out / name for name in (CELLS, COMPOSITION, REPORT)],
        also_read=[path for _, path in found],
    )
    use_device(request.device)
    model = load_colony_model(request.model or DEFAULT_CELL_MODEL)
    if model.config.subject != "cell":
        raise InputError(f"model '{model.name}' classifies colonies in wells; leave `cells` out")
    failed: dict[str, str] = {}
    with alone_in(request.out, "isl colony"):
        _assess(found, model, request, failed)
    return report_failures(list(failed.items()), len(found), what="pictures")


def _assess(
    found: Sequence[tuple[str, Path]], model: ColonyModel, request: Request, failed: dict[str, str]
) -> None:
    """Classifies every picture and writes the tables; what fails goes into `failed`."""
    cells: list[_Cell] = []
    said: list[np.ndarray] = []
    shown: list[_Cell] = []
    for cell in _cells(found, model, request, failed):
        cells.append(cell)
        if len(cells) == _PORTION:
            said.append(model.probabilities(np.stack([each.pixels for each in cells])))
            shown += [_without_pixels(each) if len(shown) > _PORTION else each for each in cells]
            cells = []
    if cells:
        said.append(model.probabilities(np.stack([each.pixels for each in cells])))
        shown += cells
    if len(found) == 1 and failed:
        raise InputError(next(iter(failed.values())))
    if shown:
        _write(shown, np.concatenate(said), model, failed, request.out)


def _cells(
    found: Sequence[tuple[str, Path]], model: ColonyModel, request: Request, failed: dict[str, str]
) -> Iterator[_Cell]:
    """Every frame of every picture as the network sees it; what fails goes into `failed`."""
    for name, path in found:
        try:
            picture, index = open_transmitted(path, axes=request.axes, channel=request.channel)
            with picture:
                channels = model_channels(picture, index, model)
                cells = [
                    _Cell(
                        name=name,
                        time=t,
                        planes=picture.shape[2],
                        pixels=_whole(picture, t, channels, model),
                    )
                    for t in range(picture.shape[0])
                ]
        except InputError as error:
            failed[name] = str(error)
            continue
        yield from cells


def _whole(picture: LazyPicture, t: int, channels: Sequence[int], model: ColonyModel) -> np.ndarray:
    """A picture at the size of a patch: uint8 [patch, patch, C]."""
    patch = model.config.patch
    height, width = picture.shape[3:]
    if max(height, width) > 8 * patch:
        raise InputError(
            f"{picture.source}: is {width} x {height} pixels, far more than a cell's "
            f"{patch} x {patch}; give pictures of single cells, or leave `cells` out"
        )
    planes = []
    for channel in channels:
        plane = picture.read(t=t, c=channel, z=_middle(picture.shape[2]))
        planes.append(whole_cell(plane, patch))
    return np.stack(planes, -1)


def whole_cell(plane: np.ndarray, patch: int) -> np.ndarray:
    """One channel of one cell as the network sees it, uint8 [patch, patch].

    A cell's picture is stretched between its own darkest and brightest pixel: cytometers store a
    narrow part of what 16 bits hold, and patches are standardized in any case.
    """
    values = plane.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    stretched = (values - low) * (255 / max(high - low, 1e-12))
    if plane.shape != (patch, patch):
        stretched = np.asarray(
            resize(stretched, (patch, patch), order=1, mode="edge", anti_aliasing=True)
        )
    return np.rint(stretched).astype(np.uint8)


def _middle(planes: int) -> int:
    return planes // 2


def _planes_left_out(cells: Sequence[_Cell]) -> list[str]:
    """Says, and logs, that of several planes one was looked at: thousands of cells in one line."""
    deep = [cell for cell in cells if cell.planes > 1]
    if not deep:
        return []
    first = deep[0]
    warning = (
        f"{len(deep)} of {len(cells)} cells have several planes; the middle one is looked at, such "
        f"as plane {_middle(first.planes)} of {first.planes} (from 0) of '{first.name}'"
    )
    logger.warning("%s", warning)
    return [warning]


def _without_pixels(cell: _Cell) -> _Cell:
    return dataclasses.replace(cell, pixels=np.zeros((1, 1, 1), np.uint8))


def _write(
    cells: Sequence[_Cell],
    probabilities: np.ndarray,
    model: ColonyModel,
    failed: dict[str, str],
    out: Path,
) -> None:
    classes = model.config.classes
    kinds = [named(each, model) for each in probabilities]
    columns = ("image", "time", "class", "probability", *(f"p_{name}" for name in classes))
    rows = [
        {
            "image": cell.name,
            "time": cell.time,
            "class": kind,
            "probability": f"{each.max():.4f}",
            **{f"p_{name}": f"{p:.4f}" for name, p in zip(classes, each, strict=True)},
        }
        for cell, kind, each in zip(cells, kinds, probabilities, strict=True)
    ]
    shares = shares_of_classes(kinds, probabilities, classes, model.config.confusion)
    of_all = {"image": "all", "time": 0, "minutes": ""}
    composition = [of_all | row for row in shares]
    warnings = _planes_left_out(cells)
    out.mkdir(parents=True, exist_ok=True)
    drawn = [(cell, kind) for cell, kind in zip(cells, kinds, strict=True) if cell.pixels.size > 1]
    report = results_page(
        "Cells",
        [
            paragraph(f"{len(cells)} cells, classified by model '{model.name}'."),
            paragraph(known_alone("cell", classes)),
            notices(warnings),
            records(
                composition,
                {
                    "Class": lambda row: row["class"],
                    "Cells": lambda row: row["colonies"],
                    "Share of those told": lambda row: row["share"],
                    "Share of all": lambda row: row["share_of_all"],
                    "Expected share": lambda row: row["expected_share"],
                    "Corrected share": lambda row: row["corrected_share"],
                },
                caption="Composition",
            ),
            paragraph(which_share(corrected=bool(model.config.confusion))),
            figure(draw_composition(composition, classes, of="cells"), alt="Shares of the classes"),
        ],
        [
            heading("Cells by class"),
            figure(
                draw_cells(
                    [cell.pixels[..., 0] for cell, _ in drawn], [kind for _, kind in drawn], classes
                ),
                alt="The first cells of every class",
                caption="The first cells that were called so, in the order of the files.",
            ),
        ],
        command="isl colony --cells",
        purpose=PURPOSE,
        failed=failed,
        card=model.card,
    )
    write_texts(
        out,
        {
            CELLS: as_csv(columns, rows),
            COMPOSITION: as_csv(COMPOSITION_COLUMNS, composition),
            REPORT: report,
        },
    )
    many = "cell" if len(cells) == 1 else "cells"
    print(f"{len(cells)} {many} ({most_first(kinds)})", file=sys.stderr)
    print(f"look at {out / REPORT}", file=sys.stderr)
