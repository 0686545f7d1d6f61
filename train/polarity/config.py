"""The TOML of a polarity experiment: an ensemble that tells frames before from frames after."""

import dataclasses
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from isl.backbones.resnet import ResNetConfig
from isl.config import Config
from isl.model_folder import KernelType
from isl.polarity.classifier import BackboneConfig
from isl.polarity.defects import DefectKind
from isl.polarity.embryo import Embryo
from isl.polarity.model import Arm, check_members, width_of
from isl.polarity.onset import Combine, Rule
from isl.polarity.pretrained import PretrainedConfig

from ..experiment import ExperimentConfig, TrainingConfig
from ..labeling.config import LabelingConfig
from ..lengths import of_share
from ..optimizer import OptimizerConfig


class PolarityTraining(TrainingConfig):
    """The table `training` of a polarity experiment.

    Attributes:
        batch_norm_decay: Memory of the running batch statistics for one step.
        reestimate_batches: Training batches over which batch statistics are taken anew for
            evaluation and export; 0 uses the running ones.
    """

    batch_norm_decay: float = pydantic.Field(default=0.95, ge=0, lt=1)
    reestimate_batches: int = pydantic.Field(default=24, ge=0)


class EzrinConfig(Config):
    """Where predicted EZRIN comes from.

    Attributes:
        experiment: The labeling experiment that is run once for each fold of embryos, so that no
            frame's EZRIN is predicted by a network that knew its embryo; relative to the
            configuration's file.
        folds: Parts the embryos are cut into.
        share: Instead of folds, the share of the embryos, the first ones, that one network learns
            EZRIN from. The onset is learned from the others, whom it never saw, and the finished
            model has the same network.
        model: What predicts EZRIN for the finished model: a bundled model's name; "": the
            experiment is run once more, on all embryos.
        steps: Updates of that experiment, in place of its own, its schedule with them; None: as
            its file says.
        evaluations: How often it is then judged.
    """

    experiment: Path
    folds: int = pydantic.Field(default=4, ge=2)
    share: float | None = pydantic.Field(
        default=None, gt=0, lt=1, exclude_if=lambda share: share is None
    )
    model: str = ""
    steps: int | None = pydantic.Field(default=None, ge=1)
    evaluations: int = pydantic.Field(default=1, ge=1, exclude_if=lambda count: count == 1)

    @pydantic.model_validator(mode="after")
    def _one_network_is_the_finished_one(self) -> "EzrinConfig":
        if self.share is not None and self.model:
            raise ValueError(
                f"model '{self.model}' and share both say what predicts EZRIN for the finished "
                "model; keep one"
            )
        return self


class EndToEndConfig(Config):
    """How the onset's loss is taken into the network of EZRIN; see `isl_train.polarity.end_to_end`.

    Attributes:
        weight: Of the onset's loss, beside those of the labels.
        length: Updates, as a share of those that EZRIN was learned by.
        rate: Of the learning rate, as a share of theirs.
        batch_size: Crops of an update, and frames.
    """

    weight: float = pydantic.Field(default=1.0, gt=0)
    length: float = pydantic.Field(default=0.5, gt=0)
    rate: float = pydantic.Field(default=0.3, gt=0)
    batch_size: int = pydantic.Field(default=4, ge=1)

    def of(self, labeling: LabelingConfig, start: Path) -> LabelingConfig:
        """A labeling experiment that goes on so from a model."""
        further = of_share(self.length, 1)(labeling)
        whole = {"batch_size": self.batch_size, "accumulate": 1, "micro_batch": None}
        return further.model_copy(
            update={
                "training": further.training.model_copy(update=whole),
                "optimizer": further.optimizer.model_copy(
                    update={"learning_rate": further.optimizer.learning_rate * self.rate}
                ),
                "start": further.start.model_copy(update={"model": str(start.absolute())}),
            }
        )


class SightConfig(Config):
    """What the classifiers see of a frame, and what may happen to it in training.

    Attributes:
        size: Width of the view, in pixels.
        window: Width of the view, in widths of the frame.
        centred: Whether the embryo, as predicted EZRIN shows it, is in its middle.
        rotation: Turned by up to this many degrees either way.
        turned: Share of views that are turned at all.
        flip_rows: Whether views are upside down half the time, besides mirrored half the time;
            without turning by any angle that is not the same.
        scale: Enlarged or made smaller by up to this share.
        shift: Moved by up to this share of the view, along each axis.
        contrast: Deviation of the logarithm of a factor on each channel's distance from its mean.
        brightness: Deviation of an offset of each channel, in its deviations.
        standardize: For the members in turn, whether views are brought to mean 0 and deviation 1
            first. Otherwise brightness is seen as it is in the stretched frame.
    """

    size: int = pydantic.Field(default=84, ge=16)
    centred: bool = pydantic.Field(default=True, exclude_if=operator.truth)
    window: float = pydantic.Field(default=0.656, gt=0, le=2)
    rotation: float = pydantic.Field(default=180.0, ge=0, le=180)
    turned: float = pydantic.Field(default=1.0, gt=0, le=1, exclude_if=lambda turned: turned == 1)
    flip_rows: bool = pydantic.Field(default=False, exclude_if=operator.not_)
    scale: float = pydantic.Field(default=0.15, ge=0, lt=1)
    shift: float = pydantic.Field(default=0.08, ge=0, lt=1)
    contrast: float = pydantic.Field(default=0.2, ge=0)
    brightness: float = pydantic.Field(default=0.05, ge=0)
    standardize: tuple[bool, ...] = pydantic.Field(default=(True,), min_length=1)


class OnsetLossConfig(Config):
    """What is minimized.

    Attributes:
        softness: Frames over which the target rises from before to after, as a logistic function
            of the time from the onset, which nobody knows to the frame; 0: a step.
        balance: Frames before and after, of every embryo, are drawn equally often, but none more
            often than if there were this many of its kind; 0 draws all frames equally. Otherwise
            knowing an embryo by sight would be worth knowing when it polarized.
        auxiliary: Weight of predicting the measured Ezrin, standardized frame by frame, from the
            same maps.
    """

    softness: float = pydantic.Field(default=1.5, ge=0)
    balance: int = pydantic.Field(default=4, ge=0)
    auxiliary: float = pydantic.Field(default=0.0, ge=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What classifiers look at; see `isl.polarity.model.Sight`."""

    arm: Arm
    backbone: BackboneConfig
    size: int
    window: float
    centred: bool
    width: float | None = None


def width_learned(window: float, embryos: Sequence[Embryo]) -> float | None:
    """Micrometres that a window of their frames comes to; see `isl.polarity.model.width_of`."""
    return width_of(window, [(max(e.dic.shape[1:]), e.pixel_size) for e in embryos])


class PolarityExperiment(ExperimentConfig):
    """A polarity experiment.

    Attributes:
        name: Of the model; the name of the configuration's file unless given.
        dataset: The manifest of time-lapses, relative to the configuration's file.
        leave_out: Embryos that are not looked at, for cross-validation.
        leave_out_defects: Embryos whose recordings have a defect of these kinds are not looked at,
            either; see `isl.polarity.defects`.
        arm: What the classifiers look at.
        ezrin: Where predicted EZRIN comes from.
        backbone: What each classifier is. Of kind "pretrained", they are fitted at once: the tables
            training, optimizer and loss have no say.
        penalty: Of squared weights of logistic regressions on a pretrained backbone.
        encoder_start: Whether an encoder starts from the weights of the network that predicts
            EZRIN, or from fresh ones.
        members: How many classifiers; each has its own seed.
        optimizers: Their optimizers in turn; the table `optimizer` unless given.
        imagenet_weights: A safetensors file for the backbone to start from, relative to the
            configuration's file; "": none. See `isl.backbones.imagenet_weights`.
        end_to_end: How the network of EZRIN learns from the onset, too; None: it does not.
        symmetries: Whether the finished model sees each frame in its eight orientations.
        combine: How members become one.
        rule: How calls become an onset.
        threshold: A frame is called after onset above it.
        kernels: What the finished model's kernels are stored as; float16 halves its size.
    """

    # Frozen, which pyright cannot see: narrower types than the base's are sound.
    task: Literal["polarity"]  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str = ""
    dataset: Path
    leave_out: tuple[str, ...] = ()
    leave_out_defects: tuple[DefectKind, ...] = ()
    arm: Arm = "dic+ezrin"
    ezrin: EzrinConfig
    backbone: BackboneConfig = ResNetConfig()
    penalty: float = pydantic.Field(default=1000.0, gt=0, exclude_if=lambda given: given == 1000.0)
    encoder_start: Literal["labeling", "fresh"] = "labeling"
    members: int = pydantic.Field(default=6, ge=1)
    optimizers: tuple[OptimizerConfig, ...] = ()
    imagenet_weights: Path | None = None
    end_to_end: EndToEndConfig | None = pydantic.Field(
        default=None, exclude_if=lambda given: given is None
    )
    symmetries: bool = True
    combine: Combine = "mean"
    rule: Rule = "smoothed"
    threshold: float = pydantic.Field(default=0.5, gt=0, lt=1)
    kernels: KernelType = "float32"
    # Narrowed, as a frozen value may be.
    training: PolarityTraining  # pyright: ignore[reportIncompatibleVariableOverride]
    sight: SightConfig = SightConfig()
    loss: OnsetLossConfig = OnsetLossConfig()

    @pydantic.field_validator("imagenet_weights", mode="before")
    @classmethod
    def _none_if_empty(cls, given: Any) -> Any:
        # What --set and `changes` can say, who have no word for nothing.
        return None if given == "" else given

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fitted_at_once(cls, tables: Any) -> Any:
        """A pretrained backbone has no training, and a member for every look."""
        backbone = tables.get("backbone")
        if not isinstance(backbone, dict) or backbone.get("kind") != "pretrained":
            return tables
        given = [name for name in ("optimizer", "optimizers", "stages") if name in tables]
        if given:
            raise ValueError(
                f"{given[0]} has no say where the backbone is of kind 'pretrained'; leave it out"
            )
        looks = len(PretrainedConfig.model_validate(backbone).looks)
        return {"training": {"steps": 1}, "members": looks, **tables}

    @pydantic.model_validator(mode="after")
    def _a_member_for_every_look(self) -> "PolarityExperiment":
        check_members(self.backbone, self.members)
        return self

    @pydantic.model_validator(mode="after")
    def _end_to_end_is_of_one_network(self) -> "PolarityExperiment":
        if self.end_to_end is None:
            return self
        wanted = {
            "ezrin.share (one network, and embryos that it never saw)": self.ezrin.share,
            "backbone.kind = 'pretrained'": isinstance(self.backbone, PretrainedConfig),
            "an arm with predicted EZRIN": "ezrin" in self.arm.split("+"),
            "sight.window = 1.0 and sight.centred = false": self.sight.window == 1
            and not self.sight.centred,
        }
        missing = [what for what, there in wanted.items() if not there]
        if missing:
            raise ValueError(f"end_to_end needs {missing[0]}")
        return self

    @property
    def needs_ezrin(self) -> bool:
        """Whether predicted EZRIN is looked at, or shows where the embryo is."""
        return self.sight.centred or "ezrin" in self.arm.split("+")

    def look_at(self, embryos: Sequence[Embryo]) -> "Look":
        """What is looked at, for `isl.polarity.model.seen_by`, where these are learned from."""
        sight = self.sight
        return Look(
            arm=self.arm,
            backbone=self.backbone,
            size=sight.size,
            window=sight.window,
            centred=sight.centred,
            width=width_learned(sight.window, embryos),
        )

    @pydantic.model_validator(mode="after")
    def _encoders_know_standardized_views(self) -> "PolarityExperiment":
        pretrained = self.backbone.kind == "encoder" and self.encoder_start == "labeling"
        if pretrained and not all(self.sight.standardize):
            raise ValueError(
                "a backbone of kind 'encoder' needs sight.standardize = [true], unless "
                'encoder_start = "fresh"'
            )
        return self

    def of_member(self, member: int) -> "PolarityExperiment":
        """The experiment of one member, counted from 0, alone: its seed, optimizer and sight."""
        standardize = self.sight.standardize[member % len(self.sight.standardize)]
        return self.model_copy(
            update={
                "seed": self.seed + member,
                "optimizer": self.optimizer_of(member),
                "sight": self.sight.model_copy(update={"standardize": (standardize,)}),
            }
        )

    def optimizer_of(self, member: int) -> OptimizerConfig:
        """The optimizer of one member, counted from 0."""
        return self.optimizers[member % len(self.optimizers)] if self.optimizers else self.optimizer
