"""Small pictures of two classes that anyone tells apart: stripes across, and stripes along."""

from pathlib import Path

import numpy as np

from isl.config import parse
from isl_train.colony.config import ColonyExperiment
from isl_train.recipe import Run

CLASSES = ("across", "along")


def write_stripes(path: Path, counts: tuple[int, int] = (40, 20), size: int = 16) -> Path:
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(size) * 1.6)
    pictures, kinds = [], []
    for kind, count in zip(CLASSES, counts, strict=True):
        for _ in range(count):
            stripes = np.tile(wave, (size, 1)) if kind == "along" else np.tile(wave[:, None], size)
            noisy = stripes + rng.normal(0, 0.4, (size, size))
            pictures.append(np.clip(1000 + 200 * noisy, 0, 65535).astype(np.uint16))
            kinds.append(kind)
    np.savez(path, light=np.stack(pictures), kind=np.array(kinds))
    return path


def experiment(path: Path, **settings) -> ColonyExperiment:
    tables = {
        "task": "colony",
        "name": "stripes",
        "data": {"kind": "arrays", "path": str(path), "channels": ["light"], "labels": "kind"},
        "split": {"labelled": 0.3, "validation": 0.3},
        "network": {
            "scales": 1,
            "backbone": {"kind": "vgg", "depth": 11, "width": 2, "blocks": 2},
        },
        "patch": 16,
        "subject": "cell",
        "augment": {"rotation": 10.0},
        "training": {
            "steps": 12,
            "batch_size": 8,
            "log_every": 4,
            "evaluate_every": 6,
            "checkpoint_every": 4,
        },
        "pretraining": {"steps": 6},
        "meta": {"warmup_epochs": 1, "uda_steps": 10},
        "optimizer": {"kind": "sgd", "learning_rate": 0.05, "b1": 0.9, "weight_decay": 1e-4},
    }
    for name, value in settings.items():
        same = isinstance(value, dict) and isinstance(tables.get(name), dict) and name != "data"
        tables[name] = {**tables[name], **value} if same else value
    return parse(tables, ColonyExperiment, source="test")


def run_in(folder: Path, lines: list[str] | None = None) -> Run:
    said = [] if lines is None else lines
    return Run(folder=folder, workdir=folder / "run", name="stripes", say=said.append)
