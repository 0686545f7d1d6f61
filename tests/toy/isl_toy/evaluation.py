"""How a model is judged: the error on a table of images, as a report."""

from pathlib import Path

import numpy as np

from isl import report
from isl.config import Config, load_toml
from isl.files.whole import written_whole
from isl.model_kinds import load_model

from .data import load_images


class BrightnessEvaluation(Config):
    """The TOML of an evaluation."""

    task: str
    model: str
    dataset: Path


def evaluate(path: Path, overrides: list[str], out: Path) -> None:
    config = load_toml(path, BrightnessEvaluation, overrides)
    model = load_model(path.parent / config.model)
    images, brightness = load_images(path.parent / config.dataset, "test")
    error = np.mean([abs(model.predict(i) - b) for i, b in zip(images, brightness, strict=True)])
    shown = report.section("Error", [report.paragraph(f"mean absolute error {error:.3f}")])
    with written_whole(out / "report.html", overwrite=True) as unfinished:
        unfinished.write_text(report.page("Brightness", [shown]), encoding="utf-8")
