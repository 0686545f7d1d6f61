"""Pictures of single cells, as imaging flow cytometry takes them: each classified as a whole."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage.transform import resize

from isl.colony.assess import named
from isl.colony.drawing import draw_cells, draw_composition
from isl.colony.model import (
    DEFAULT_CELL_MODEL,
    ColonyModel,
    corrected_composition,
    load_colony_model,
)
from isl.colony.record import COMPOSITION_COLUMNS, PURPOSE, known_alone
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
from isl.report import figure, heading, paragraph, records, results_page

CELLS = "cells.csv"
# So many cells are held at a time.
_PORTION = 1024


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Cell:
    """One picture of one cell; `pixels` is uint8 [patch, patch, C]."""

    name: str
    time: int
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
                    _Cell(name=name, time=t, pixels=_whole(picture, t, channels, model))
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
        plane = picture.read(t=t, c=channel, z=picture.shape[2] // 2)
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
    composition = cell_composition(kinds, probabilities, model)
    out.mkdir(parents=True, exist_ok=True)
    drawn = [(cell, kind) for cell, kind in zip(cells, kinds, strict=True) if cell.pixels.size > 1]
    report = results_page(
        "Cells",
        [
            paragraph(f"{len(cells)} cells, classified by model '{model.name}'."),
            paragraph(known_alone("cell", classes)),
            records(
                composition,
                {
                    "Class": lambda row: row["class"],
                    "Cells": lambda row: row["colonies"],
                    "Share": lambda row: row["share"],
                    "Corrected share": lambda row: row["corrected_share"],
                },
                caption="Composition",
            ),
            figure(draw_composition(composition, classes), alt="Shares of the classes"),
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
    print(f"look at {out / REPORT}", file=sys.stderr)


def cell_composition(
    kinds: Sequence[str], probabilities: np.ndarray, model: ColonyModel
) -> list[dict[str, Any]]:
    """Shares of the classes among cells, as rows of composition.csv of one image "all".

    Args:
        kinds: What each of N cells is called.
        probabilities: float [N, K].
        model: Names the classes.
    """
    classes = model.config.classes
    told = [kind for kind in kinds if kind in classes]
    counts = np.array([kinds.count(name) for name in classes])
    corrected = (
        corrected_composition(counts / len(told), np.array(model.config.confusion))
        if told and model.config.confusion
        else None
    )
    sure = np.isin(kinds, classes)
    expected = probabilities[sure].mean(axis=0) if told else None
    shared = {"image": "all", "time": 0, "minutes": "", "area_share": ""}
    rows: list[dict[str, Any]] = [
        {
            **shared,
            "class": name,
            "colonies": int(count),
            "share": f"{count / len(told):.4f}" if told else "",
            "corrected_share": "" if corrected is None else f"{corrected[i]:.4f}",
            "expected_share": "" if expected is None else f"{expected[i]:.4f}",
        }
        for i, (name, count) in enumerate(zip(classes, counts, strict=True))
    ]
    if len(told) < len(kinds):
        unknown = len(kinds) - len(told)
        share = f"{unknown / len(kinds):.4f}"
        rows.append(
            {**shared, "class": "cannot tell", "colonies": unknown, "share": share}
            | {"corrected_share": "", "expected_share": ""}
        )
    return rows
