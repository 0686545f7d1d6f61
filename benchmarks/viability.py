"""The networks that viability can be told by, trained alike on simulated embryos and judged alike.

    python benchmarks/viability.py FOLDER [--only NAME ...] [--members N] [--set KEY=VALUE ...]

FOLDER holds what `isl phantom --kind development` wrote (recordings.csv, truth.csv, films/); runs
and key frames are left in FOLDER/../rivals. Every rival is trained by the shared trainer on the
train patients, its checkpoint chosen by the validation patients, and judged on the test patients,
whom nothing has seen. With several members the test AUROC is that of their mean logit, and those of
each alone stand beside it; the validation AUROC is the first one's. Seconds are CPU seconds of a
member's training; key frames and features of frames are made before. A rival that is done with the
same settings is not trained again.
"""

import argparse
import csv
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from isl.config import load_toml
from isl.viability import key_frames
from isl.viability.frame_features import DEPTH
from isl.viability.model import load_viability_model
from isl_eval.viability.evaluation import evaluate_viability
from isl_train.viability.config import ViabilityExperiment
from isl_train.viability.ensemble import train_viability
from isl_train.viability.ground import keep_features, load_cases

CONFIGS = Path(__file__).parents[1] / "configs"
FRAMES, FILM = "viability_phantom.toml", "viability_phantom_film.toml"
CNN = "kind = 'film_cnn', widths = [16, 32, 64], dropout = 0.2"
RIVALS: dict[str, tuple[str, list[str]]] = {
    "features, convolved over time, attention": (FRAMES, []),
    "features, convolved over time, mean": (FRAMES, ["network.pooling=mean"]),
    "features, attention over time": (FRAMES, ["network.frames=1"]),
    "features, attention, the hour alone": (FRAMES, ["network.frames=1", "network.waves=0"]),
    "features, mean over time": (FRAMES, ["network.frames=1", "network.pooling=mean"]),
    "features, GRU": (FRAMES, ["network.frames=1", "network.pooling=gru"]),
    "features, last frame alone": (FRAMES, ["network.frames=1", "network.last_only=true"]),
    "features, outcomes shuffled": (FRAMES, ["shuffle_outcomes=true"]),
    "Video Swin on films": (FILM, []),
    "convolutions of frames, GRU": (
        FILM,
        [f"network={{{CNN}, frames = 1, pooling = 'gru'}}"],
    ),
    "convolutions of space and time": (FILM, [f"network={{{CNN}, frames = 3}}"]),
}


def main() -> None:
    """Trains and judges them, and prints a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    settings = parser.parse_args()
    print(
        "network                                 weights  GFLOP/film  updates  CPU s  "
        "validation AUROC  test AUROC (95 % by patient); of each seed; frames in random order"
    )
    for name in settings.only:
        print(_line(name, settings), flush=True)


def _line(name: str, settings: argparse.Namespace) -> str:
    file, overrides = RIVALS[name]
    folder = settings.folder.resolve()
    overrides = [
        *overrides,
        f"members={settings.members}",
        f"dataset={folder / 'recordings.csv'}",
        *settings.overrides,
    ]
    experiment = load_toml(CONFIGS / file, ViabilityExperiment, overrides)
    rivals, count = folder.parent / "rivals", experiment.film.count
    run = rivals / f"{name.replace(' ', '_').replace(',', '')}_{_settings(experiment)}"
    store = rivals / f"key_frames_{count}"
    store.mkdir(parents=True, exist_ok=True)
    for part in (run, run / "judged"):
        part.mkdir(exist_ok=True)
        if not (part / "key_frames").exists():
            (part / "key_frames").symlink_to(store)
    clock = run / "cpu_seconds.json"
    if not clock.is_file():
        cases = load_cases(
            experiment.dataset,
            experiment.targets,
            experiment.film,
            store,
            patient=experiment.patient,
            say=lambda _: None,
        )
        keep_features(cases, experiment.network, store)
        began = time.process_time()
        train_viability(experiment, Path(), run, name="rival", say=lambda _: None)
        clock.write_text(json.dumps(time.process_time() - began))
    evaluate_viability(
        CONFIGS / "eval_viability_phantom.toml",
        [
            f"model={run / 'model'}",
            f"dataset={folder / 'recordings.csv'}",
            f"truth={folder / 'truth.csv'}",
        ],
        run / "judged",
    )
    metrics = json.loads((run / "judged" / "metrics.json").read_text())
    found, shuffled = metrics["auroc"], metrics["controls"]["frames in random order"]
    alone = ", ".join(f"{own['estimate']:.3f}" for own in metrics["members"])
    weights, flops = _size(run / "model")
    return (
        f"{name:38s} {weights:9,d} {flops / 1e9:11.3f} {experiment.training.steps:8d} "
        f"{json.loads(clock.read_text()) / settings.members:6.0f} "
        f"{_validation(run / 'member_0'):17.3f}  "
        f"{found['estimate']:.3f} ({found['low']:.3f} to {found['high']:.3f}); {alone}; "
        f"{shuffled['estimate']:.3f} ({shuffled['low']:.3f} to {shuffled['high']:.3f})"
    )


def _settings(experiment: ViabilityExperiment) -> str:
    """What tells a run from those of other settings, for a folder's name."""
    all_of_it = f"{key_frames.WAY} {experiment.model_dump_json()}"
    digest = hashlib.sha256(all_of_it.encode()).hexdigest()[:8]
    return f"{experiment.film.count}_frames_{experiment.members}_members_{digest}"


def _size(model: Path) -> tuple[int, float]:
    """Weights of one member, and its operations for a film without those of its encoder."""
    loaded = load_viability_model(model)
    member, film = loaded.members[0], loaded.config.film
    kind: Any = loaded.config.network
    each = (DEPTH + 1,) if kind.kind == "frames" else (film.size, film.size, 2)
    graph, state = nnx.split(member)
    run = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    analysis: Any = run.lower(state, jnp.zeros((1, film.count, *each))).compile().cost_analysis()
    weights = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(member, nnx.Param)))
    return weights, float(analysis["flops"])


def _validation(run: Path) -> float:
    """AUROC on the validation patients of the checkpoint that they chose."""
    with (run / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["heartbeat/cross_entropy"]))
    return float(best["heartbeat/auroc"])


if __name__ == "__main__":
    main()
