"""The runs of a comparison: every variant with every budget and seed, each made once and kept.

`DIR/runs/NAME/` holds one run: the training as `isl train` leaves it while it is under way, and
`judged.npz` once it was judged; checkpoints go then. A run that was stopped goes on, a finished one
is not made again, and variants, budgets and seeds may be added to a study. `DIR/paces.json` keeps
how long an update of each variant takes, from which budgets in seconds were turned into updates.
"""

import csv
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from isl.config import load_toml
from isl.data.manifest import load_manifest
from isl.data.timelapse import Split
from isl.files.whole import written_whole
from isl.labeling.model import read_model_config
from isl.model_folder import WEIGHTS_FILE, model_directory
from isl_train.budget import of_length, pixels_per_update, seconds_per_update, updates_for
from isl_train.labeling.config import LabelingConfig  # pyright: ignore[reportMissingImports]
from isl_train.labeling.ground import load_ground, with_planes
from isl_train.labeling.regression import RegressionTask  # pyright: ignore[reportMissingImports]
from isl_train.labeling.task import (  # pyright: ignore[reportMissingImports]
    LabelingTask,
    check_crop,
)
from isl_train.loop import fit  # pyright: ignore[reportMissingImports]

from ..labeling.blocks import BlockRows, joined
from ..labeling.ground import Ground, bounding_window, survey_ground
from ..writing.kept_arrays import ArrayShelf
from .config import OWN, BoostingVariant, MeanVariant, NetworkVariant, RegressorVariant, StudyConfig
from .contenders import (
    BoostingPredictor,
    Judged,
    MeanPredictor,
    NetworkPredictor,
    Predictor,
    RegressorPredictor,
)
from .gradient_boosting import fit_boosting

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a study.

    Attributes:
        variant: Its name.
        budget: Its name; `OWN` for what has none.
        seed: Of all its random draws.
    """

    variant: str
    budget: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder; digits, letters and few other signs."""
        words = (self.variant, self.budget, str(self.seed))
        return ".".join("".join(c if c.isalnum() else "_" for c in word) for word in words)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunResult:
    """What became of a run.

    Attributes:
        run: Which.
        updates: Of the optimizer; None: there is none.
        pixels: Training pixels: those that the loss was taken over, or trees were fitted to.
        seconds: Spent on fitting.
        parameters: Numbers that were fitted; None where that says nothing.
        curve: Validation figures while it trained: `update`, `pixels`, `seconds`, and each figure.
        rows: Sums by block, by label.
        pictures: float32 [y, x] around the judged ground of the first field, by label.
    """

    run: Run
    updates: int | None
    pixels: float
    seconds: float
    parameters: int | None
    curve: tuple[Mapping[str, float], ...]
    rows: Mapping[str, BlockRows]
    pictures: Mapping[str, np.ndarray]


def plan_runs(config: StudyConfig) -> tuple[Run, ...]:
    """Every run, all of one seed before the next: a study that is cut short is whole for some."""
    runs = []
    for number, seed in enumerate(config.seeds):
        for budget in config.budget or (OWN,):
            for name, variant in config.variant.items():
                if isinstance(variant, NetworkVariant | RegressorVariant):
                    runs.append(Run(variant=name, budget=budget, seed=seed))
        for name, variant in config.variant.items():
            seeds_matter = isinstance(variant, BoostingVariant)
            if seeds_matter or (isinstance(variant, MeanVariant) and number == 0):
                runs.append(Run(variant=name, budget=OWN, seed=seed))
    return tuple(runs)


class Workbench:
    """Makes the runs of a study, one at a time.

    Attributes:
        config: What was asked for.
        folder: Where paths in the training experiment start from.
        out: Folder for results.
    """

    def __init__(
        self,
        config: StudyConfig,
        path: Path,
        out: Path,
        *,
        say: Say,
        console: Console | None = None,
    ) -> None:
        """Reads and checks the experiments of all variants; nothing is written.

        Args:
            config: What was asked for.
            path: The file it comes from.
            out: Folder for results.
            say: Told what a person should know, a line at a time.
            console: Where the training's progress is shown; None: nowhere.

        Raises:
            InputError: An experiment has unknown keys, or crops that do not fit its network.
        """
        self.config = config
        self.out = out
        self._file = path.parent / config.experiment
        self.folder = self._file.parent
        self._say = say
        self._console = console
        self._grounds: dict[tuple[Any, ...], Ground] = {}
        for name in config.variant:
            check_crop(self.experiment(name, config.seeds[0]))

    def experiment(self, variant: str, seed: int) -> LabelingConfig:
        """The training experiment of a variant, of the length it has itself."""
        changes = getattr(self.config.variant[variant], "changes", ())
        overrides = [*self.config.changes, *changes, f"seed={seed}"]
        return load_toml(self._file, LabelingConfig, overrides)

    def ground(self, variant: str) -> Ground:
        """The validation ground that a variant is judged on, with the planes it sees."""
        return self._surveyed(variant, "validation")

    def _surveyed(self, variant: str, split: Split) -> Ground:
        experiment = self.experiment(variant, self.config.seeds[0])
        key = (split, str(experiment.dataset), experiment.planes, experiment.labels)
        if key not in self._grounds:
            manifest = load_manifest(self.folder / experiment.dataset)
            manifest = with_planes(manifest.without(experiment.leave_out), experiment.planes)
            labels = experiment.labels or manifest.labels()
            self._grounds[key] = survey_ground(
                manifest, split=split, labels=labels, predicted=labels
            )
        return self._grounds[key]

    def result(self, run: Run) -> RunResult:
        """Makes a run, or reads what it once gave.

        Raises:
            InputError: Its folder holds a run of other settings, or something does not fit.
            KeyboardInterrupt: The training was stopped; it goes on from there the next time.
        """
        place = self.out / "runs" / run.name
        shelf = ArrayShelf(place, self._settings(run))
        kept = shelf.read(place / "judged.npz")
        if kept is not None:
            return _from_shelf(run, *kept)
        variant = self.config.variant[run.variant]
        if isinstance(variant, NetworkVariant | RegressorVariant):
            facts, predictor = self._trained(run, variant, place)
        else:
            facts, predictor = self._fitted(run, variant)
        rows, pictures = self._judge(run, predictor)
        made = {**facts, "labels": {label: _facts_of(of) for label, of in rows.items()}}
        arrays = {f"rows/{label}": of.sums for label, of in rows.items()}
        arrays |= {f"picture/{label}": image for label, image in pictures.items()}
        shelf.write(place / "judged.npz", made, arrays)
        shutil.rmtree(place / "checkpoints", ignore_errors=True)
        return _from_shelf(run, made, arrays)

    def pace(self, variant: str) -> float:
        """Seconds for an update of a variant, measured once and kept."""
        path = self.out / "paces.json"
        paces = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if variant not in paces:
            self._say(f"{variant}: measuring the pace of its updates")
            experiment = self.experiment(variant, self.config.seeds[0])
            paces[variant] = seconds_per_update(self._task(variant, experiment), experiment)
            with written_whole(path, overwrite=True) as temporary:
                temporary.write_text(json.dumps(paces, indent=1) + "\n", encoding="utf-8")
        return paces[variant]

    def _task(self, variant: str, experiment: LabelingConfig) -> LabelingTask:
        plain = isinstance(self.config.variant[variant], RegressorVariant)
        kind = RegressionTask if plain else LabelingTask
        return kind(experiment, self.folder, name=variant)

    def _trained(
        self, run: Run, variant: NetworkVariant | RegressorVariant, place: Path
    ) -> tuple[dict[str, Any], Predictor]:
        experiment = self._with_budget(run)
        task = self._task(run.variant, experiment)
        freeze = experiment.start.freeze
        progress = fit(task, experiment, place, freeze=freeze, console=self._console)
        if progress.update < experiment.training.steps:
            raise KeyboardInterrupt
        facts = {
            "updates": progress.update,
            "pixels": progress.update * pixels_per_update(experiment),
            "seconds": progress.seconds,
            "parameters": task.parameters,
            "curve": read_curve(place, pixels_per_update(experiment)),
        }
        if isinstance(variant, RegressorVariant):
            return facts, RegressorPredictor(place / "model")
        image = self.config.image
        return facts, NetworkPredictor(place / "model", image=image, seed=self.config.seed)

    def _with_budget(self, run: Run) -> LabelingConfig:
        experiment = self.experiment(run.variant, run.seed)
        updates = experiment.training.steps
        if run.budget != OWN:
            budget = self.config.budget[run.budget]
            pace = self.pace(run.variant) if budget.seconds is not None else None
            updates = updates_for(budget, experiment, pace)
        return of_length(experiment, updates, evaluations=self.config.evaluations)

    def _fitted(
        self, run: Run, variant: BoostingVariant | MeanVariant
    ) -> tuple[dict[str, Any], Predictor]:
        experiment = self.experiment(run.variant, run.seed)
        manifest = load_manifest(self.folder / experiment.dataset).without(experiment.leave_out)
        ground = load_ground(
            with_planes(manifest, experiment.planes), experiment.labels, experiment.normalization
        ).part(experiment.ground_share, experiment.seed)
        facts = {"updates": None, "parameters": None, "curve": []}
        began = time.monotonic()
        if isinstance(variant, MeanVariant):
            pixels = max(
                sum(int(f.measured[..., i].sum()) for f in ground.training)
                for i in range(len(ground.labels))
            )
            predictor: Predictor = MeanPredictor(ground)
        else:
            boosting = fit_boosting(ground.training, ground.labels, variant, seed=run.seed)
            pixels = boosting.pixels
            predictor = BoostingPredictor(boosting, experiment.normalization)
        return {**facts, "pixels": pixels, "seconds": time.monotonic() - began}, predictor

    def _judge(
        self, run: Run, predictor: Predictor
    ) -> tuple[dict[str, BlockRows], dict[str, np.ndarray]]:
        ground = self.ground(run.variant)
        parts: dict[str, list[BlockRows]] = {}
        pictures: dict[str, np.ndarray] = {}
        for facts in ground.fields:
            field = ground.read(facts.name)
            judged: dict[str, Judged] = predictor.judge(field)
            for label, each in judged.items():
                parts.setdefault(label, []).append(each.rows)
                if label not in pictures:
                    window = bounding_window(field.measured[field.labels.index(label)])
                    # Half precision is finer than the 256 intensities.
                    pictures[label] = each.image[window].astype(np.float16)
        return {label: joined(rows) for label, rows in parts.items()}, pictures

    def _settings(self, run: Run) -> dict[str, Any]:
        """All that a run depends on."""
        variant = self.config.variant[run.variant]
        experiment = self.experiment(run.variant, run.seed)
        settings: dict[str, Any] = {
            "experiment": experiment.model_dump(mode="json", exclude={"description", "name"}),
            "variant": variant.model_dump(mode="json", exclude={"changes", "at", "line"}),
            "learned_from": _fingerprints(self._surveyed(run.variant, "train")),
            "judged": _fingerprints(self.ground(run.variant)),
            "image": self.config.image,
        }
        if isinstance(variant, NetworkVariant | RegressorVariant):
            budget = None if run.budget == OWN else self.config.budget[run.budget]
            settings["budget"] = None if budget is None else budget.model_dump(mode="json")
            settings["evaluations"] = self.config.evaluations
            if experiment.start.model is not None:
                # A model that was made anew under its old name is another start.
                settings["started_from"] = self._weights_of(experiment.start.model)
        else:
            # These look at none of it.
            for name in ("training", "optimizer", "loss", "augment", "validation", "start"):
                del settings["experiment"][name]
            del settings["experiment"]["network"], settings["image"]
        return settings

    def _weights_of(self, model: str) -> str:
        """The hash of a model's weights; one beside the experiment goes before a bundled one."""
        beside = self.folder / model
        directory = model_directory(beside if beside.is_dir() else model)
        return read_model_config(directory).sha256.get(WEIGHTS_FILE, "")


def read_curve(place: Path, pixels_an_update: int) -> list[dict[str, float]]:
    """Validation figures of a run by update, with the pixels and the seconds it had spent."""
    seconds = {row["update"]: row["seconds"] for row in _table(place / "clock.csv")}
    return [
        {
            "update": row["update"],
            "pixels": row["update"] * pixels_an_update,
            "seconds": seconds[row["update"]],
            **{name: value for name, value in row.items() if name != "update"},
        }
        for row in _table(place / "validation.csv")
    ]


def _table(path: Path) -> list[dict[str, float]]:
    """Rows of numbers; what was not measured is left out."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _fingerprints(ground: Ground) -> dict[str, str]:
    return {field.name: field.fingerprint for field in ground.fields}


def _facts_of(rows: BlockRows) -> dict[str, Any]:
    return {
        "fields": rows.fields,
        "groups": rows.groups,
        "lowest": rows.lowest,
        "highest": rows.highest,
    }


def _from_shelf(run: Run, made: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> RunResult:
    rows = {
        label: BlockRows(
            fields=tuple(facts["fields"]),
            groups=tuple(facts["groups"]),
            sums=arrays[f"rows/{label}"],
            lowest=facts["lowest"],
            highest=facts["highest"],
        )
        for label, facts in made["labels"].items()
    }
    return RunResult(
        run=run,
        updates=made["updates"],
        pixels=made["pixels"],
        seconds=made["seconds"],
        parameters=made["parameters"],
        curve=tuple(made["curve"]),
        rows=rows,
        pictures={label: arrays[f"picture/{label}"].astype(np.float32) for label in made["labels"]},
    )
