"""Labeling as a study compares it: networks, regressors, trees and the mean on the same ground."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic

from isl.data.splits import Split
from isl.errors import InputError
from isl.labeling.dataset import Manifest, load_manifest
from isl.labeling.label_scale import LabelScale
from isl.labeling.model_config import read_model_config
from isl.model_folder import WEIGHTS_FILE, model_directory
from isl.tiling.memory import memory_budget
from isl_train.budget import seconds_per_update
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.ground import Ground as TrainingGround
from isl_train.labeling.ground import load_ground, with_planes
from isl_train.labeling.regression import RegressionTask
from isl_train.labeling.task import LabelingTask, check_crop
from isl_train.loop import fit

from ..study.bench import Bench, Fitted, Run, read_curve
from ..study.config import Placed, StudyConfig, Variant
from ..study.subject import Subject
from ..study.tables import Findings
from .blocks import BLOCK, FEWEST_GROUPS, FIGURES, BlockRows, joined, with_all_columns
from .gradient_boosting import BoostingConfig, fit_boosting
from .ground import Ground, bounding_window, survey_ground
from .study_predictors import (
    BoostingPredictor,
    MeanPredictor,
    NetworkPredictor,
    Predictor,
    RegressorPredictor,
)

Scales = Mapping[str, LabelScale]
"""By label."""


class NetworkVariant(Variant):
    """A labeling network: the base experiment with changes."""

    kind: Literal["network"] = "network"
    about: ClassVar[str] = "distributions"


class RegressorVariant(Variant):
    """The same body with one number a label, fitted by squared error: the plain yardstick."""

    kind: Literal["regressor"] = "regressor"
    about: ClassVar[str] = "one number a label"


class BoostingVariant(BoostingConfig, Placed):
    """Gradient boosting on filter features; see `BoostingConfig`. It has a budget of its own."""

    trained: ClassVar[bool] = False
    about: ClassVar[str] = "trees on filter features"


class MeanVariant(Placed):
    """The label's mean and histogram on the training ground, at every pixel."""

    trained: ClassVar[bool] = False
    random: ClassVar[bool] = False
    about: ClassVar[str] = "training mean, histogram"
    kind: Literal["mean"] = "mean"


def _network_unless_said(given: Any) -> Any:
    return {"kind": "network", **given} if isinstance(given, dict) else given


AnyVariant = Annotated[
    Annotated[
        NetworkVariant | RegressorVariant | BoostingVariant | MeanVariant,
        pydantic.Field(discriminator="kind"),
    ],
    pydantic.BeforeValidator(_network_unless_said),
]


class LabelingStudyConfig(StudyConfig):
    """A study of labeling.

    Attributes:
        variant: Networks unless they say otherwise.
        image: Which statistic of a distribution is the image that is judged.
    """

    # A configuration is frozen, so a narrower type than that of any study does no harm.
    variant: Mapping[str, AnyVariant] = pydantic.Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        min_length=1
    )
    image: Literal["median", "mean"] = "mean"


class LabelingBench(Bench[LabelingStudyConfig]):
    """Makes and judges the runs of a study of labeling; see `Bench`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """As `Bench`."""
        self._grounds: dict[tuple[Any, ...], Ground] = {}
        self._units: dict[tuple[Any, ...], tuple[Scales, Mapping[str, Scales]]] = {}
        super().__init__(*given, **named)

    def check(self, experiment: LabelingConfig) -> None:
        """See `Bench.check`."""
        check_crop(experiment)

    def ground(self, variant: str) -> Ground:
        """The validation ground that a variant is judged on, with the planes it sees."""
        return self._surveyed(variant, "validation")

    def ground_of(self, variant: str) -> Mapping[str, Mapping[str, Any]]:
        """See `Bench.ground_of`."""
        learned, judged = self._surveyed(variant, "train"), self.ground(variant)
        return {
            "learned_from": learned.identities,
            "weights": learned.weights,
            "judged": judged.identities,
        }

    def read_ground(self) -> None:
        """See `Bench.read_ground`."""
        seen: dict[str, tuple[str, frozenset[LabelScale | None]]] = {}
        for variant in self.config.variant:
            ground = self.ground(variant)
            for label in ground.labels:
                first, unit = seen.setdefault(label, (variant, ground.unit_of(label)))
                if unit != ground.unit_of(label):
                    raise InputError(
                        f"'{first}' and '{variant}' learn {label} in different units "
                        "(label_scale, label_moments, or other ground that they are taken from); "
                        "compare them in studies of their own"
                    )

    def _surveyed(self, variant: str, split: Split) -> Ground:
        experiment: LabelingConfig = self.experiment(variant, self.config.seeds[0])
        planes = (experiment.planes, experiment.planes_of)
        unit = (experiment.label_scale, experiment.label_moments)
        left_out = tuple(experiment.leave_out)
        key = (str(experiment.dataset), planes, experiment.labels, left_out, unit)
        if (split, *key) not in self._grounds:
            if key not in self._units:
                self._units[key] = self._unit(experiment)
            manifest = self._manifest(experiment)
            labels = experiment.labels or manifest.labels()
            scales, by_experiment = self._units[key]
            self._grounds[split, *key] = survey_ground(
                manifest,
                split=split,
                labels=labels,
                predicted=labels,
                scales=scales,
                scales_by_experiment=by_experiment,
            )
        return self._grounds[split, *key]

    def _unit(self, experiment: LabelingConfig) -> tuple[Scales, Mapping[str, Scales]]:
        """The unit that an experiment's labels are learned in, and so judged in."""
        if experiment.label_scale is None and experiment.label_moments is None:
            return {}, {}
        learned = self._learned(experiment)
        return learned.label_scale, learned.label_scales

    def _manifest(self, experiment: LabelingConfig) -> Manifest:
        manifest = load_manifest(self.folder / experiment.dataset).without(experiment.leave_out)
        return with_planes(manifest, experiment.planes, experiment.planes_of)

    def _learned(self, experiment: LabelingConfig) -> TrainingGround:
        """What an experiment learns from, as it is read for training."""
        memory = experiment.training.memory
        return load_ground(
            self._manifest(experiment),
            experiment.labels,
            experiment.normalization,
            experiment.label_scale,
            experiment.label_moments,
            None if memory is None else memory_budget(memory),
        )

    def own_settings(self, run: Run, experiment: LabelingConfig) -> Mapping[str, Any]:
        """See `Bench.own_settings`."""
        if not self.config.variant[run.variant].trained:
            # These look at none of it.
            ignored = ("training", "optimizer", "loss", "augment", "validation", "start", "network")
            excluded = {"description", "name", *ignored}
            stated = experiment.model_dump(mode="json", exclude=excluded)
            return {"experiment": stated, "weights": {}}
        settings: dict[str, Any] = {"image": self.config.image}
        if experiment.start.model is not None:
            # A model that was made anew under its old name is another start.
            settings["started_from"] = self._weights_of(experiment.start.model)
        return settings

    def truths(self, targets: tuple[str, ...]) -> Mapping[str, np.ndarray]:
        """What was measured on the judged ground of the first field that holds it, by label."""
        found: dict[str, np.ndarray] = {}
        for variant in self.config.variant:
            ground = self.ground(variant)
            for facts in ground.fields:
                lacking = [
                    label for label in targets if label not in found and label in facts.pixels
                ]
                if not lacking:
                    continue
                field = ground.read(facts.name)
                for label in lacking:
                    number = field.labels.index(label)
                    window = bounding_window(field.measured[number])
                    found[label] = np.where(field.measured[number], field.truth[number], 0)[window]
        return found

    def seconds_per_update(self, variant: str, experiment: LabelingConfig) -> float:
        """See `Bench.seconds_per_update`."""
        task = self._task(variant, experiment)
        return seconds_per_update(task, experiment, experiment.start.freeze)

    def _task(self, variant: str, experiment: LabelingConfig) -> LabelingTask | RegressionTask:
        plain = isinstance(self.config.variant[variant], RegressorVariant)
        kind = RegressionTask if plain else LabelingTask
        return kind(experiment, self.folder, name=variant)

    def train(self, run: Run, experiment: LabelingConfig, place: Path) -> tuple[Fitted, Predictor]:
        """See `Bench.train`."""
        task = self._task(run.variant, experiment)
        freeze = experiment.start.freeze
        progress = fit(task, experiment, place, freeze=freeze, console=self._console)
        if progress.update < experiment.training.steps:
            raise KeyboardInterrupt
        pixels = experiment.pixels_per_update
        fitted = Fitted(
            updates=progress.update,
            pixels=progress.update * pixels,
            seconds=progress.seconds,
            parameters=task.parameters,
            curve=read_curve(place, pixels),
        )
        model = place / "model"
        if isinstance(self.config.variant[run.variant], RegressorVariant):
            return fitted, RegressorPredictor(model)
        return fitted, NetworkPredictor(model, image=self.config.image, seed=run.seed)

    def fit(self, run: Run, variant: BoostingVariant | MeanVariant) -> tuple[Fitted, Predictor]:
        """See `Bench.fit`."""
        experiment: LabelingConfig = self.experiment(run.variant, run.seed)
        ground = self._learned(experiment).part(experiment.ground_share, experiment.seed)
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
        seconds = time.monotonic() - began
        return Fitted(updates=None, pixels=pixels, seconds=seconds, parameters=None), predictor

    def judge(
        self, run: Run, model: Predictor
    ) -> tuple[Mapping[str, BlockRows], Mapping[str, np.ndarray]]:
        """See `Bench.judge`."""
        ground = self.ground(run.variant)
        parts: dict[str, list[BlockRows]] = {}
        pictures: dict[str, np.ndarray] = {}
        for facts in ground.fields:
            field = ground.read(facts.name)
            for label, each in model.judge(field).items():
                parts.setdefault(label, []).append(each.rows)
                if label not in pictures:
                    window = bounding_window(field.measured[field.labels.index(label)])
                    pictures[label] = each.image[window]
        return {label: joined(rows) for label, rows in parts.items()}, pictures

    def restored(self, facts: Mapping[str, Any], sums: np.ndarray) -> BlockRows:
        """See `Bench.restored`."""
        fields, groups = tuple(facts["fields"]), tuple(facts["groups"])
        sums = with_all_columns(sums)
        return BlockRows(**{**facts, "fields": fields, "groups": groups, "sums": sums})

    def _weights_of(self, model: str) -> str:
        """The hash of a model's weights; one beside the experiment goes before a bundled one."""
        beside = self.folder / model
        directory = model_directory(beside if beside.is_dir() else model)
        return read_model_config(directory).sha256.get(WEIGHTS_FILE, "")


def _about(findings: Findings) -> list[str]:
    config = findings.config
    assert isinstance(config, LabelingStudyConfig)
    fields = {label: ", ".join(names) for label, names in findings.fields.items()}
    drawn = {label: _drawn(len(names)) for label, names in findings.groups.items()}
    return [
        f"Judged on the validation ground ({_of_labels(fields)}), which also chose when each "
        "network was at its best, so networks' figures are a little too good, while trees and "
        "means chose nothing. Where it lies in a field that was trained on, figures are "
        "optimistic, for all variants alike.",
        f"Judged is the {config.image} of each distribution, its median beside it by its own "
        "correlation, and the distribution itself by its "
        "cross-entropy (in units of ln 256: a uniform prediction scores 1). Labels that are "
        "stretched for training are judged stretched.",
        "± is the unbiased deviation over training runs with different seeds.",
        f"In brackets: the interval of {config.level:.0%} over {config.replicates} bootstrap "
        f"replicates, which draw {_of_labels(drawn)}. Of the means over the runs that there "
        "are: they do not hold the spread over seeds, so a difference counts only where it is "
        "clear of that, too.",
        "Training pixels are the outputs of all crops that a network was asked for; trees are "
        "fitted to pixels drawn once. Seconds are those of updates, without compiling and judging.",
    ]


def _drawn(groups: int) -> str:
    if groups >= FEWEST_GROUPS:
        return f"the {groups} groups"
    counted = "one group" if groups == 1 else f"{groups} groups"
    return (
        f"blocks of {BLOCK} pixels, since the ground is of {counted} (they say how far a figure "
        "depends on the ground within, and nothing of other groups)"
    )


def _of_labels(said: Mapping[str, str]) -> str:
    """What is said of each label; once where it is the same of all."""
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{label}: {words}" for label, words in said.items())


_CURVES = {
    "pearson": "Pearson, mean over labels",
    "cross_entropy": "cross-entropy, mean over labels",
}

SUBJECT = Subject(
    config=LabelingStudyConfig,
    bench=LabelingBench,
    figures=FIGURES,
    titles={
        "pearson": ("Pearson", 3),
        "pearson_median": ("Pearson of the median image", 3),
        "mae": ("Mean absolute error", 4),
        "ssim": ("SSIM", 3),
        "cross_entropy": ("Cross-entropy", 4),
        "ranked_probability_score": ("Ranked probability score", 4),
    },
    overview=("pearson", "pearson_median", "mae", "cross_entropy"),
    in_tables=("pearson", "pearson_median", "mae", "ssim", "cross_entropy"),
    main="pearson",
    curves={"pearson_mean": _CURVES["pearson"], "cross_entropy": _CURVES["cross_entropy"]},
    along=_CURVES,
    about=_about,
)
