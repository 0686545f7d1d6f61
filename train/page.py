"""One HTML page of a training run, with its curves, which are a PNG besides."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isl.files.whole import write_text, written_whole
from isl.model_folder import CARD_FILE
from isl.report import Block, figure, folded, page, paragraph, records, section, verbatim
from isl.report import plots as drawn
from isl.report.words import number

from .experiment import EXPERIMENT_FILE

PAGE_FILE = "report.html"
CURVES_FILE = "curves.png"

_COLUMNS = 3


def write_page(workdir: Path) -> Path | None:
    """Writes `report.html` and `curves.png` of all that was fitted in a folder and those within.

    Args:
        workdir: The folder of a run, finished or not.

    Returns:
        The page; None where nothing was fitted.
    """
    fitted = [path.parent for path in sorted(workdir.rglob("training.csv"))]
    if not fitted:
        return None
    blocks = [
        block
        for folder in fitted
        for block in _blocks(folder, "" if folder == workdir else str(folder.relative_to(workdir)))
    ]
    card = workdir / "model" / CARD_FILE
    if card.is_file():
        blocks.append(folded("The model's card", [verbatim(card.read_text(encoding="utf-8"))]))
    written = workdir / PAGE_FILE
    write_text(written, page(f"Training in {workdir.name}", blocks), overwrite=True)
    return written


def _blocks(folder: Path, title: str) -> list[Block]:
    training, validation = (_read(folder / f"{kind}.csv") for kind in ("training", "validation"))
    curves = _curves(training, validation)
    with written_whole(folder / CURVES_FILE, overwrite=True) as temporary:
        temporary.write_bytes(curves)
    blocks = [
        paragraph(f"Update {int(training['update'][-1])}."),
        figure(curves, alt="loss and validation figures by update", wide=True),
        records(
            [(name, values) for name, values in validation.items() if name != "update"],
            {
                "Figure": lambda each: each[0],
                "Last": lambda each: number(each[1][-1], 4),
                "Lowest": lambda each: number(_known(each[1], np.min), 4),
                "Highest": lambda each: number(_known(each[1], np.max), 4),
            },
        ),
        *_pictures(folder / "pictures"),
    ]
    settings = (folder / EXPERIMENT_FILE).read_text(encoding="utf-8")
    blocks.append(folded("All settings", [verbatim(settings)]))
    return [section(title, blocks)] if title else blocks


def _pictures(folder: Path) -> list[Block]:
    """Those of the last evaluation that made some."""
    made = sorted(folder.glob("*/")) if folder.is_dir() else []
    if not made:
        return []
    return [
        figure(
            path.read_bytes(),
            alt=f"validation field {path.stem}",
            caption=f"{path.stem}, update {int(made[-1].name)}",
            wide=True,
        )
        for path in sorted(made[-1].glob("*.png"))
    ]


def _curves(training: dict[str, np.ndarray], validation: dict[str, np.ndarray]) -> bytes:
    """The loss, and beside it every validation figure; those of one name before "/" together."""
    groups: dict[str, list[str]] = {}
    for name in validation:
        if name != "update":
            groups.setdefault(name.partition("/")[0], []).append(name)
    plots, axes = drawn.panels(1 + len(groups), columns=_COLUMNS, width=4, height=3)
    axes[0].set_title("training loss", fontsize=10, loc="left")
    axes[0].plot(training["update"], training["loss"], color=drawn.color(0))
    for panel, (group, names) in zip(axes[1:], groups.items(), strict=True):
        panel.set_title(f"validation: {group}", fontsize=10, loc="left")
        for index, name in enumerate(names):
            updates, values = validation["update"], validation[name]
            panel.plot(updates, values, color=drawn.color(index), marker=".", label=name)
        if len(names) > 1:
            panel.legend(frameon=False, fontsize=7)
    for panel in axes:
        panel.set_xlabel("update", fontsize=9)
    return drawn.png(plots)


def _read(path: Path) -> dict[str, np.ndarray]:
    """The columns of a table of numbers; what is missing is NaN."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names: Sequence[str] = list(rows[0]) if rows else []
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _known(values: np.ndarray, of: Callable[[np.ndarray], float]) -> float:
    known = values[np.isfinite(values)]
    return float(of(known)) if known.size else float("nan")
