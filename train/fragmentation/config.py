"""What `isl train` reads for the fragmentation task."""

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic

from isl.config import Config
from isl.fragmentation.network import NetworkConfig

from ..experiment import ExperimentConfig, TrainingConfig

Mode = Literal["decoupled", "joint", "segmentation", "regression"]
SEGMENTATION = ("encoder", "decoder", "classes", "classes_bias")
"""Paths of what the first stage trains."""
LOSSES = ("segmentation", "share", "range")


class AugmentationConfig(Config):
    """How every view is changed before it is learned from.

    Attributes:
        rotation: Most degrees, either way; views are also mirrored.
        scale: Most of the natural logarithm of the enlargement, either way.
        shift: Most of the shift, in widths.
        contrast: Standard deviation of the logarithm of the contrast.
        brightness: Standard deviation of the brightness.
        noise: Most of the added noise's standard deviation.
    """

    rotation: float = pydantic.Field(default=180.0, ge=0)
    scale: float = pydantic.Field(default=0.15, ge=0)
    shift: float = pydantic.Field(default=0.08, ge=0)
    contrast: float = pydantic.Field(default=0.25, ge=0)
    brightness: float = pydantic.Field(default=0.1, ge=0)
    noise: float = pydantic.Field(default=0.03, ge=0)


class LengthsConfig(Config):
    """Updates of the stages that `mode` makes.

    Attributes:
        first: Of the only stage, or of segmentation in decoupled training.
        second: Of regression in decoupled training.
    """

    first: int = pydantic.Field(default=2000, ge=1)
    second: int = pydantic.Field(default=1000, ge=1)


class FragmentationTraining(TrainingConfig):
    """See `isl_train.experiment.TrainingConfig`.

    Attributes:
        batch_norm_decay: Memory of the batch statistics.
    """

    batch_norm_decay: float = pydantic.Field(default=0.98, ge=0, lt=1)


class FragmentationExperiment(ExperimentConfig):
    """A fragmentation experiment.

    Attributes:
        name: Of the model; the configuration's name unless given.
        dataset: The examples' file, relative to the configuration.
        more: Further datasets.
        repeat: How many times as often as the first dataset's the examples of each of `more` are
            drawn; once unless given.
        mode: decoupled: segmentation, then regression on what does not change any more; joint: all
            losses at once; segmentation or regression: that alone. Makes the stages where the
            configuration lists none.
        lengths: Of these stages.
        network: What is trained.
        start: A model folder, relative to the configuration, or a bundled model's name, of the same
            network, whose weights it begins with; a regression or injection that it lacks is fresh.
        start_sha256: What sha256 the weights of `start` must have; "": any. Where it is given, runs
            are compared by it, wherever that folder is.
        pretrained: Whether EfficientNet-Lite0 starts from ImageNet's weights.
        imagenet_weights: A state dict that a ResNet starts from, relative to the configuration.
        freeze_encoder: Whether the encoder stays as it starts, batch statistics too.
        cached_views: With a frozen encoder: how many changed views of each picture are made before
            training, with their features, in place of a new view at every draw; 0: none.
        size: Of the views, pixels; a multiple of 16.
        closer: Side of the model's second, closer look; see
            `isl.fragmentation.model.FragmentationConfig`. Masked pictures are learned from as a
            whole and as close.
        familiar: Datasets whose pictures, labelled or not, are embryos that the model is to answer
            for, besides those held out; see `isl.fragmentation.familiar`.
        other_stages: Datasets whose examples say at which stage they are, from which the model
            learns what it does not grade; see `isl_train.fragmentation.stages`.
        keep_masks: Share of the training embryos whose masks are used.
        leave_out_site: The site none of whose examples is learned from or calibrated by; "": none.
            What `start` learned from is not known: `isl eval` takes it with `after` alone.
        use_ranges: Whether examples without masks teach by their ranges and shares.
        augmentation: Of views.
        log_conflict: Whether the cosine between the gradients of the two tasks is measured.
        kernels: What kernels are stored as.
    """

    name: str = ""
    dataset: Path
    more: tuple[Path, ...] = ()
    repeat: tuple[pydantic.PositiveInt, ...] = ()
    mode: Mode = "decoupled"
    lengths: LengthsConfig = LengthsConfig()
    # Narrowed, as a frozen value may be.
    training: FragmentationTraining  # pyright: ignore[reportIncompatibleVariableOverride]
    network: NetworkConfig = NetworkConfig()
    start: str = ""
    start_sha256: str = pydantic.Field(default="", exclude_if=operator.not_)
    pretrained: bool = False
    imagenet_weights: Path | None = None
    freeze_encoder: bool = False
    cached_views: int = pydantic.Field(default=0, ge=0)
    size: int = pydantic.Field(default=256, ge=32, multiple_of=16)
    closer: float | None = pydantic.Field(default=None, ge=1)
    familiar: tuple[Path, ...] = ()
    other_stages: tuple[Path, ...] = pydantic.Field(default=(), exclude_if=operator.not_)
    keep_masks: float = pydantic.Field(default=1.0, ge=0, le=1)
    leave_out_site: str = pydantic.Field(default="", exclude_if=operator.not_)
    use_ranges: bool = True
    augmentation: AugmentationConfig = AugmentationConfig()
    log_conflict: bool = False
    kernels: Literal["float32", "float16"] = "float16"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _stages_of_mode(cls, tables: Any) -> Any:
        if not isinstance(tables, dict) or tables.get("stages"):
            return tables
        lengths = tables.get("lengths") or {}
        if not isinstance(lengths, Mapping):
            return tables
        mode = tables.get("mode", "decoupled")
        if mode not in get_args(Mode):
            raise ValueError(f"mode = {mode!r}: expected {', '.join(get_args(Mode))}")
        first = lengths.get("first", LengthsConfig().first)
        second = lengths.get("second", LengthsConfig().second)
        network = tables.get("network") or {}
        inject = network.get("inject", "off") if isinstance(network, Mapping) else "off"
        stages = stages_of_mode(
            mode,
            (first, second),
            inject=inject,
            freeze_encoder=bool(tables.get("freeze_encoder", False)),
        )
        return {**tables, "stages": stages}

    @pydantic.model_validator(mode="after")
    def _mode_fits(self) -> "FragmentationExperiment":
        if self.mode != "segmentation" and self.network.regression == "off":
            raise ValueError(f"mode = '{self.mode}' needs a regression; network.regression is off")
        if self.repeat and len(self.repeat) != len(self.more):
            raise ValueError(
                f"repeat has {len(self.repeat)} numbers; expected one for each of `more`, which "
                f"names {len(self.more)}"
            )
        if self.cached_views and not (self.freeze_encoder and (self.pretrained or self.start)):
            raise ValueError(
                "cached_views needs freeze_encoder = true, and pretrained = true or a start"
            )
        if self.network.inject == "second_stage" and self.mode != "decoupled":
            raise ValueError("network.inject = 'second_stage' needs mode = 'decoupled'")
        return self


def stages_of_mode(
    mode: str, lengths: tuple[int, int], *, inject: str, freeze_encoder: bool
) -> list[dict[str, Any]]:
    """The tables `[[stages]]` of a mode.

    Args:
        mode: Of the experiment.
        lengths: Of the first and the second stage, in updates.
        inject: See `isl.fragmentation.network.NetworkConfig`.
        freeze_encoder: Whether the encoder is never trained.
    """
    first, second = lengths
    segmentation = [path for path in SEGMENTATION if not (freeze_encoder and path == "encoder")]
    encoder = [] if freeze_encoder else ["encoder"]
    injected = ["injection"] if inject != "off" else []
    own = {"segmentation": 1.0}
    shares = {"share": 1.0, "range": 1.0}
    everything = {**own, **shares}
    if mode == "decoupled":
        free = ["regression", *injected]
        return [
            {"name": "segmentation", "steps": first, "free": segmentation, "losses": own},
            {
                "name": "regression",
                "steps": second,
                "free": free,
                "losses": everything if injected else shares,
            },
        ]
    if mode == "joint":
        free = [*segmentation, "regression", *injected]
        return [{"name": "joint", "steps": first, "free": free, "losses": everything}]
    if mode == "segmentation":
        return [{"name": "segmentation", "steps": first, "free": segmentation, "losses": own}]
    free = [*encoder, "regression"]
    return [{"name": "regression", "steps": first, "free": free, "losses": shares}]
