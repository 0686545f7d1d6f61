"""The TOML of a polarity evaluation: which arms or models, on which embryos, held out how."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from isl.config import Config
from isl.data.splits import Split
from isl.polarity.defects import DefectKind
from isl.polarity.model import ARMS, Arm

from ..statistics.resampled import ResampledConfig

Metric = Literal["auc", "accuracy", "onset_error"]


class RatersConfig(Config):
    """People who said of the same embryos what the model says; see `raters`.

    Attributes:
        frames: Columns of the annotation's table, a person each: calls of frames shown shuffled.
        ordered: Columns likewise: films shown in order, 1 from the onset on.
    """

    frames: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _each_once(self) -> "RatersConfig":
        named = (*self.frames, *self.ordered)
        twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
        if twice:
            raise ValueError(f"column '{twice[0]}' is named twice; name it once")
        return self


def _several(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


class PolarityEvaluation(ResampledConfig):
    """What to judge: arms, cross-validated; or models that exist, on embryos they do not know.

    Attributes:
        description: What the evaluation is for.
        experiment: The training experiment that is run for every fold and arm; relative to the
            configuration's file. Or else:
        model: Polarity models as they are: folders relative to the configuration's file, or names
            of bundled ones.
        changes: `key=value` texts that override keys of the training experiment.
        ezrin_changes: Likewise, of the labeling experiment that it names.
        dataset: The manifest; the experiment's unless given.
        split: Only embryos on this side of the manifest's splits; every side for models unless
            given, always "train" for cross-validation.
        leave_out: Embryos that are neither judged nor trained on.
        leave_out_defects: Likewise, embryos whose recordings have a defect of these kinds; see
            `isl.polarity.defects`.
        arms: Which arms to train.
        variants: In place of arms, `key=value` texts that override the experiment's keys further,
            by name: other backbones, say, all on the experiment's arm and the same folds.
        folds: Parts the embryos are cut into, "leave_one_out", or the parts themselves, as lists of
            embryos.
        level: Of every interval but the onsets' own.
        raters: People to compare with.
        decide_by: The measure by which the default arm is chosen.
        seed: Of every bootstrap; the training has its own.
    """

    description: str = ""
    task: Literal["polarity"]
    experiment: Path | None = None
    model: Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)] = ()
    changes: tuple[str, ...] = ()
    ezrin_changes: tuple[str, ...] = ()
    dataset: Path | None = None
    split: Split | None = None
    leave_out: tuple[str, ...] = ()
    leave_out_defects: tuple[DefectKind, ...] = ()
    arms: tuple[Arm, ...] = pydantic.Field(default=ARMS, min_length=1)
    variants: Mapping[str, tuple[str, ...]] = pydantic.Field(default_factory=dict)
    folds: int | Literal["leave_one_out"] | tuple[tuple[str, ...], ...] = 4
    raters: RatersConfig = RatersConfig()
    decide_by: Metric = "auc"

    @pydantic.field_validator("folds")
    @classmethod
    def _two_or_more(cls, folds: Any) -> Any:
        count = folds if isinstance(folds, int) else len(folds)
        if count < 2:
            raise ValueError(f"{count} folds leave nothing to train on; give 2 or more")
        return folds

    @pydantic.field_validator("arms")
    @classmethod
    def _each_once(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        return tuple(dict.fromkeys(arms))

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> "PolarityEvaluation":
        if (self.experiment is None) == (not self.model):
            raise ValueError(
                "give either 'experiment' (arms are trained and cross-validated) or 'model' "
                "(judged as it is)"
            )
        if self.model and self.dataset is None:
            raise ValueError("'model' needs a 'dataset' to be judged on")
        if self.variants and self.experiment is None:
            raise ValueError("'variants' are of an 'experiment'; models are judged as they are")
        if self.experiment is not None and self.split not in (None, "train"):
            raise ValueError(f"arms are trained on split 'train', so split cannot be {self.split}")
        return self
