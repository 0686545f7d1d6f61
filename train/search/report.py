"""What a search leaves to look at: a table of its trials, and a page with a picture of each key."""

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from isl.files.records import as_csv
from isl.files.whole import write_text
from isl.report import Block, Cell, figure, heading, page, paragraph, table

from .config import SearchConfig

_SHOWN = 20
_COLOR = "#2f6db3"


def write_results(study: Any, config: SearchConfig, metric: str, workdir: Path) -> None:
    """Writes `trials.csv` and `report.html`, replacing older ones.

    Args:
        study: Optuna's.
        config: What was asked for.
        metric: What trials are worth, in words.
        workdir: The search's folder.
    """
    rows = _rows(study, config)
    trials = [
        {
            "trial": trial,
            "state": state,
            metric: "" if value is None else f"{value:.6g}",
            **{key: params.get(key, "") for key in config.space},
        }
        for trial, state, value, params in rows
    ]
    for name, content in (
        ("trials.csv", as_csv(["trial", "state", metric, *config.space], trials)),
        ("report.html", _page(study, config, metric, rows)),
    ):
        write_text(workdir / name, content, overwrite=True)


Row = tuple[int, str, float | None, dict[str, Any]]


def _rows(study: Any, config: SearchConfig) -> list[Row]:
    return [
        (trial.number, trial.state.name.lower(), trial.value, dict(trial.params))
        for trial in study.get_trials(deepcopy=False)
    ]


def _page(study: Any, config: SearchConfig, metric: str, rows: list[Row]) -> str:
    done = [row for row in rows if row[2] is not None]
    upward = study.direction.name == "MAXIMIZE"
    best = sorted(done, key=lambda row: row[2] or 0.0, reverse=upward)
    states = ", ".join(
        f"{sum(row[1] == state for row in rows)} {state}"
        for state in dict.fromkeys(row[1] for row in rows)
    )
    blocks: list[Block] = [paragraph(config.description)] if config.description else []
    blocks += [paragraph(f"Trials: {states or 'none yet'}. Values are {metric}, the best of each.")]
    if best:
        cells: list[list[Cell]] = [
            [trial, f"{value:.4f}", *(_shown(params.get(key)) for key in config.space)]
            for trial, _, value, params in best[:_SHOWN]
        ]
        blocks += [
            heading("Best trials"),
            table(["Trial", metric, *config.space], cells),
            heading("Each key by itself"),
            figure(
                _draw(config, metric, done),
                alt=f"{metric} against each key of the search",
                caption="A dot a trial. The search looks where it hopes, not evenly: what seems "
                "good of one key may be owed to another.",
                wide=True,
            ),
        ]
    return page("Hyperparameter search", blocks, footer="Made by isl search.")


def _draw(config: SearchConfig, metric: str, rows: list[Row]) -> bytes:
    columns = min(3, len(config.space))
    lines = -(-len(config.space) // columns)
    canvas = Figure(figsize=(4.2 * columns, 3.2 * lines), dpi=110, layout="constrained")
    for number, (key, dimension) in enumerate(config.space.items()):
        axes = canvas.add_subplot(lines, columns, number + 1)
        points = [(params[key], value) for _, _, value, params in rows if key in params]
        if dimension.choices:
            # Text on an axis is placed by its order.
            points = [(str(at), value) for at, value in points]
        elif dimension.logarithmic:
            axes.set_xscale("log")
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=_COLOR, alpha=0.6)
        axes.set(xlabel=key, ylabel=metric)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png")
    return buffer.getvalue()


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
