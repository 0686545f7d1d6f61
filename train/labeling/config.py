"""The TOML of a labeling experiment."""

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from isl.config import Config
from isl.labeling.exact import exact_geometry
from isl.labeling.label_scale import Percentile
from isl.labeling.network import ArchitectureConfig
from isl.tiling.geometry import Geometry, padded_geometry
from isl.tiling.plan import Stitch

from ..experiment import ExperimentConfig, TrainingConfig
from .augment import AugmentConfig


class LabelingTraining(TrainingConfig):
    """The table `training` of a labeling experiment.

    Attributes:
        crop: Input width of a crop, in pixels; it must fit the network's geometry.
        padded: Whether crops are padded inside the network while it learns, so that none of their
            pixels is margin. What is trained predicts without padding.
        batch_norm_decay: Memory of the running batch statistics for one step; the published code
            has 0.999, short runs need less.
        toward_light: Of the crops that are drawn, one is taken with the chance of its share of the
            light that a crop of its field can hold at most, to this power; 0: all are. Light is
            the sum of all labels.
        memory: GiB that the fields of training and validation may take together; what would take
            more is kept in files, mapped as it is looked at. None: all are in memory. It changes
            no result, and a run may be resumed with another.
    """

    crop: int = pydantic.Field(ge=1)
    padded: bool = False
    batch_norm_decay: float = pydantic.Field(default=0.99, ge=0, lt=1)
    toward_light: float = pydantic.Field(default=0.0, ge=0, exclude_if=operator.not_)
    memory: pydantic.PositiveFloat | None = pydantic.Field(
        default=None, allow_inf_nan=False, exclude_if=operator.not_
    )


class LossConfig(Config):
    """What is minimized (specification, section 6).

    Attributes:
        labels: Share of the fluorescence loss, a weighted mean over the labels present.
        autoencoding: Share of the mean over input planes; 0 leaves these heads out.
        label_weights: Weight of single labels in their mean; 1 unless given.
        cross_entropy: Weight of the cross-entropy, in units of ln 256.
        ranked_probability_score: Weight of the ranked probability score.
        squared_error: Weight of the squared error of the distribution's mean.
        softening: Deviation, in bins, of a Gaussian that takes the place of the single true bin in
            the cross-entropy; 0: the published loss.
        initial_bias: "histogram" starts head biases at the logarithm of what each label's
            intensities are on the training ground, with small kernels; "zero" starts biases at 0.
        pixels_per_crop: Heads are evaluated at this many output pixels of a crop, drawn anew each
            step; 0: at all of them.
        misregistration: Labels may lie so many pixels beside the light, either way: each crop's are
            moved to where they fit the prediction best before they are compared; 0: they are not.
        window: Heads are evaluated in a square of this many output pixels a side, drawn anew each
            step, in place of single pixels; 0: they are not.
        window_stride: And there at every so many rows and columns.
        local_error: Weight of the squared error of what a mean over a neighbourhood leaves of the
            distribution's mean: detail counts, and shade does not. It needs a window.
        correlation: Weight of 1 less the correlation of the distribution's mean with the label,
            crop by crop, where it is bright: as they are, and of what a mean over a neighbourhood
            leaves of them. It needs a window.
        local_width: Width of the neighbourhood, in evaluated pixels, odd.
    """

    labels: float = pydantic.Field(default=0.5, ge=0)
    autoencoding: float = pydantic.Field(default=0.5, ge=0)
    label_weights: dict[str, float] = pydantic.Field(default_factory=dict)
    cross_entropy: float = pydantic.Field(default=1.0, ge=0)
    ranked_probability_score: float = pydantic.Field(default=0.0, ge=0)
    squared_error: float = pydantic.Field(default=0.0, ge=0)
    softening: float = pydantic.Field(default=0.0, ge=0)
    initial_bias: Literal["histogram", "zero"] = "histogram"
    pixels_per_crop: int = pydantic.Field(default=0, ge=0)
    misregistration: int = pydantic.Field(default=0, ge=0, le=8, exclude_if=operator.not_)
    window: int = pydantic.Field(default=0, ge=0, exclude_if=operator.not_)
    window_stride: int = pydantic.Field(default=1, ge=1, exclude_if=lambda stride: stride == 1)
    local_error: float = pydantic.Field(default=0.0, ge=0, exclude_if=operator.not_)
    correlation: float = pydantic.Field(default=0.0, ge=0, exclude_if=operator.not_)
    local_width: int = pydantic.Field(default=17, ge=3, exclude_if=lambda width: width == 17)

    @pydantic.model_validator(mode="after")
    def _windows_hold_neighbourhoods(self) -> "LossConfig":
        if self.window and self.pixels_per_crop:
            raise ValueError("window and pixels_per_crop both choose pixels; leave one out")
        needing = [name for name in ("local_error", "correlation") if getattr(self, name)]
        if needing and -(-self.window // self.window_stride) < self.local_width:
            raise ValueError(
                f"{needing[0]} needs a window of at least {self.local_width * self.window_stride} "
                f"pixels, not {self.window}"
            )
        if self.correlation and self.local_width % 2 == 0:
            raise ValueError(f"correlation needs an odd local_width, not {self.local_width}")
        return self

    @pydantic.model_validator(mode="after")
    def _something_is_minimized(self) -> "LossConfig":
        if not self.cross_entropy + self.ranked_probability_score + self.squared_error:
            raise ValueError("every term has weight 0; give cross_entropy = 1.0")
        if not self.labels + self.autoencoding:
            raise ValueError("labels and autoencoding are both 0; give labels = 0.5")
        return self


class ValidationConfig(Config):
    """How the network is judged while it trains.

    Attributes:
        select: What decides which checkpoint is best.
        tile: Output width of a tile, at most, in pixels.
        reestimate_batches: Training batches over which batch statistics are taken anew for
            evaluation and export; 0 uses the running ones.
    """

    select: Literal["pearson_median", "pearson_mean", "cross_entropy"] = "pearson_median"
    tile: int = pydantic.Field(default=256, ge=1)
    reestimate_batches: int = pydantic.Field(default=0, ge=0)


class StartConfig(Config):
    """Weights to start from.

    Attributes:
        model: A model folder, relative to the configuration's file, or the name of a bundled model.
        freeze: Paths of parameters that stay as they are, e.g. "body" or "body/down/0".
    """

    model: str | None = None
    freeze: tuple[str, ...] = ()


def outward(wanted: int, count: int) -> tuple[int, ...]:
    """So many planes of a stack of `count`, as the paper takes them.

    The centre one, then outward in steps of two, then those between, again from the centre; each
    number's planes hold those of every smaller one.
    """
    centre = (count - 1) // 2
    order = sorted(range(count), key=lambda z: ((z - centre) % 2, abs(z - centre), z))
    return tuple(sorted(order[:wanted]))


def _in_words(planes: Any) -> tuple[int, int] | None:
    """Numbers of "3 of 13"."""
    words = re.fullmatch(r"(\d+) of (\d+)", planes) if isinstance(planes, str) else None
    return None if words is None else (int(words[1]), int(words[2]))


def _from_words(planes: Any) -> Any:
    words = _in_words(planes)
    if words is None:
        return planes
    wanted, count = words
    if not 1 <= wanted <= count:
        raise ValueError(f"{planes}: expected at least 1 plane, and no more than there are")
    return outward(wanted, count)


class LabelingConfig(ExperimentConfig):
    """A labeling experiment.

    Attributes:
        name: Of the model; the name of the configuration's file unless given.
        dataset: The manifest, relative to the configuration's file.
        labels: Labels to learn; all that the manifest holds unless given.
        leave_out: Groups that are neither trained on nor judged by, for cross-validation.
        planes: Which planes of every field to take, by index, in this order, whatever the manifest
            says of them, if that is the same for all; or "3 of 13": so many, from the centre
            outward (`outward`). None: those it names.
        planes_of: How many planes every field must have, as such words say; None: any number.
        ground_share: Share of every training field's measured ground that is learned from: a
            rectangle that the seed places.
        normalization: The rule for transmitted planes, stored with the model.
        label_scale: Percentiles of every label's training pixels, all fields together, that become
            0 and 1, such as [0.1, 99.9]; for labels that fill few of the 256 bins. Stored with the
            model. None: labels are divided by their type's full scale. Of a dataset that includes
            others, every experiment has percentiles of its own.
        label_moments: Instead, the mean and deviation that every label's training pixels are
            brought to, experiment by experiment; the paper's are [0.25, 0.125].
        network: Towers, unet, deeplab or encoder_unet.
    """

    # Frozen, which pyright cannot see: narrower types than the base's are sound.
    task: Literal["labeling"]  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str = ""
    dataset: Path
    labels: tuple[str, ...] | None = None
    leave_out: tuple[str, ...] = ()
    planes: Annotated[
        tuple[pydantic.NonNegativeInt, ...] | None, pydantic.BeforeValidator(_from_words)
    ] = pydantic.Field(default=None, min_length=1)
    planes_of: pydantic.PositiveInt | None = pydantic.Field(
        default=None, exclude_if=lambda count: count is None
    )
    ground_share: float = pydantic.Field(default=1.0, gt=0, le=1)
    normalization: Literal["auto", "off"] = "auto"
    label_scale: tuple[Percentile, Percentile] | None = pydantic.Field(
        default=None, exclude_if=lambda percentiles: percentiles is None
    )
    label_moments: (
        tuple[
            Annotated[float, pydantic.Field(gt=0, lt=1)],
            Annotated[float, pydantic.Field(gt=0, lt=1)],
        ]
        | None
    ) = pydantic.Field(default=None, exclude_if=lambda moments: moments is None)
    network: ArchitectureConfig
    # Narrowed, as a frozen value may be.
    training: LabelingTraining  # pyright: ignore[reportIncompatibleVariableOverride]
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    validation: ValidationConfig = ValidationConfig()
    start: StartConfig = StartConfig()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _as_many_planes_as_the_words_say(cls, given: Any) -> Any:
        words = _in_words(given.get("planes")) if isinstance(given, Mapping) else None
        return given if words is None else {**given, "planes_of": words[1]}

    @property
    def training_geometry(self) -> Geometry:
        """Which crops pass through the network while it learns, and what comes out of them."""
        geometry = self.network.geometry
        return padded_geometry(geometry) if self.training.padded else geometry

    @property
    def stitch(self) -> Stitch:
        """How what is trained must be predicted.

        A smallest crop shows the towers' coarsest level at one phase of four; the others never
        learn.
        """
        smallest = self.network.geometry.smallest
        patches = self.network.kind == "towers" and not self.training.padded
        alone = patches and self.training.crop == smallest
        return "exact" if alone else "dense"

    @property
    def predicting_geometry(self) -> Geometry:
        """Of the network as it predicts."""
        geometry = self.network.geometry
        return exact_geometry(geometry) if self.stitch == "exact" else geometry

    @property
    def pixels_per_update(self) -> int:
        """Pixels of a batch of crops that the loss is taken over."""
        output = self.training_geometry.output_size(self.training.crop) ** 2
        return self.training.batch_size * min(output, self.loss.pixels_per_crop or output)

    @pydantic.model_validator(mode="after")
    def _one_unit(self) -> "LabelingConfig":
        if self.label_scale is not None and self.label_moments is not None:
            raise ValueError("label_scale and label_moments both choose labels' unit; keep one")
        return self

    @pydantic.model_validator(mode="after")
    def _percentiles_are_a_range(self) -> "LabelingConfig":
        if self.label_scale is not None and not self.label_scale[0] < self.label_scale[1]:
            raise ValueError("label_scale: give the lower percentile first, such as [0.1, 99.9]")
        return self
