"""What `model.toml` says of a labeling model, and what several models say together."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from isl.backbones.networks import Compute
from isl.config import Config
from isl.errors import InputError
from isl.imaging.normalize import Unit
from isl.labeling.coherence import SCALES
from isl.labeling.familiarity import Familiarity, statistic_names
from isl.labeling.label_scale import LabelScale
from isl.labeling.network import ArchitectureConfig, LabelingNetwork, abstract_network
from isl.model_folder import FolderConfig, read_folder_config
from isl.tiling.plan import Stitch


class InputContract(Config):
    """What the network was trained on, and so expects; None where it is not known.

    Attributes:
        planes: Z, the number of planes.
        any_planes: Whether it learned from fewer planes in their place, too, and so takes any
            number of them (`isl.labeling.contract.spread`).
        turned: Whether it learned images turned by quarters and mirrored, too. Otherwise light and
            shade must lie as they did where it learned.
        modality: PHASE_CONTRAST, BRIGHTFIELD or DIC.
        pixel_size: Micrometres.
        z_step: Micrometres between planes.
        normalization: "auto" or "off", see `isl.imaging.normalize`.
        normalized_by: What one choice of "auto" holds for; "plane" for models trained before there
            was one for a file or recording.
    """

    planes: int = pydantic.Field(ge=1)
    any_planes: bool = pydantic.Field(default=False, exclude_if=operator.not_)
    turned: bool = pydantic.Field(default=True, exclude_if=bool)
    modality: str | None = None
    pixel_size: float | None = pydantic.Field(default=None, gt=0)
    z_step: float | None = pydantic.Field(default=None, gt=0)
    normalization: Literal["auto", "off"] = "auto"
    normalized_by: Unit = "plane"


class LabelStatistics(Config):
    """Mean and deviation of a label's training intensities, in [0, 1], where it was measured."""

    mean: float
    standard_deviation: float


Coherence = Annotated[
    tuple[Annotated[float, pydantic.Field(ge=0, le=1, allow_inf_nan=False)], ...],
    pydantic.Field(min_length=len(SCALES), max_length=len(SCALES)),
]
Temperature = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class ModelConfig(FolderConfig):
    """What `model.toml` says, besides what `FolderConfig` holds.

    Attributes:
        labels: What it predicts.
        autoencode: Whether it holds heads for the input planes as well.
        architecture: What its body is.
        input: What it expects.
        stitch: How it is predicted unless one says otherwise: "exact" for towers that learned
            smallest patches alone, which saw one phase of four of their coarsest tower. None, of
            several models: they differ.
        label_statistics: By label, for re-normalization; may be empty.
        label_scale: By label, what its intensities 0 and 1 were in the training images; labels not
            named were divided by their type's full scale.
        label_scales: By experiment and label, the same of a model that learned from several, each
            brought to one unit; {}: it learned from one, or from images as they were.
        temperature: By label, what its logits are divided by; labels not named have 1. Above 1,
            distributions are wider than the network gives them (`isl calibrate` fits it).
        coherence: By label, how far its errors reach: weights of `isl.labeling.coherence.SCALES`,
            which the statistic `sample` draws by (`isl calibrate` measures them).
        familiarity: What its training ground looks like; None: it does not say.
        trained_on: Groups (wells, embryos, patients) that it learned from, those of the model it
            started from included; None: it does not say.
        chosen_on: Groups that chose which of its weights were kept, or fitted its temperatures.
    """

    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["labeling"] = "labeling"  # pyright: ignore[reportIncompatibleVariableOverride]
    labels: tuple[str, ...]
    autoencode: bool = False
    architecture: ArchitectureConfig
    input: InputContract
    stitch: Stitch | None = "dense"
    label_statistics: Mapping[str, LabelStatistics] = pydantic.Field(default_factory=dict)
    label_scale: Mapping[str, LabelScale] = pydantic.Field(
        default_factory=dict, exclude_if=operator.not_
    )
    label_scales: Mapping[str, Mapping[str, LabelScale]] = pydantic.Field(
        default_factory=dict, exclude_if=operator.not_
    )
    temperature: Mapping[str, Temperature] = pydantic.Field(default_factory=dict)
    coherence: Mapping[str, Coherence] = pydantic.Field(
        default_factory=dict, exclude_if=operator.not_
    )
    familiarity: Familiarity | None = None
    trained_on: tuple[str, ...] | None = None
    chosen_on: tuple[str, ...] = ()

    @property
    def architectures(self) -> tuple[ArchitectureConfig, ...]:
        """Of all networks that predict together: this one's."""
        return (self.architecture,)

    @pydantic.field_validator("coherence")
    @classmethod
    def _weights_have_a_sum_of_1(cls, given: Mapping[str, Coherence]) -> Mapping[str, Coherence]:
        for label, weights in given.items():
            if abs(sum(weights) - 1) > 0.01:
                raise ValueError(f"coherence of '{label}' has a sum of {sum(weights):g}, and not 1")
        return given

    @pydantic.model_validator(mode="after")
    def _temperatures_are_of_labels(self) -> "ModelConfig":
        for label in self.temperature:
            if label not in self.labels:
                raise ValueError(f"temperature is given for '{label}', which is no label")
        return self

    @pydantic.model_validator(mode="after")
    def _familiarity_is_of_its_planes(self) -> "ModelConfig":
        names = statistic_names(self.input.planes, self.input.turned)
        if self.familiarity is not None and tuple(self.familiarity.statistics) != names:
            way = "" if self.input.turned else " and of light from one side (input.turned = false)"
            raise ValueError(
                f"familiarity.statistics are not those of {self.input.planes} planes{way}"
            )
        return self


class EnsembleConfig(ModelConfig):
    """What several models together expect and predict.

    Attributes:
        members: What each of them says.
    """

    members: tuple[ModelConfig, ...]

    @property
    def architectures(self) -> tuple[ArchitectureConfig, ...]:
        """Of all members."""
        return tuple(member.architecture for member in self.members)


def read_model_config(directory: Path) -> ModelConfig:
    """What a model folder's `model.toml` says; no weights are read."""
    return read_folder_config(directory, ModelConfig)


def learned_from(groups: Iterable[str], trained_on: Iterable[str] | None) -> tuple[str, ...]:
    """Which groups may be among those that a model was trained on.

    They are where they are named alike, or alike but for the name of an included experiment.
    """
    own = tuple(trained_on or ())
    return tuple(
        group
        for group in groups
        if any(
            group == other or group.endswith(f"/{other}") or other.endswith(f"/{group}")
            for other in own
        )
    )


def network_of(config: ModelConfig, compute: Compute | None = None) -> LabelingNetwork:
    """The network that a configuration describes, with shapes in place of arrays."""
    return abstract_network(
        config.architecture,
        planes=config.input.planes,
        labels=config.labels,
        autoencode=config.autoencode,
        compute=compute,
    )


def joined(configs: Sequence[ModelConfig]) -> EnsembleConfig:
    """What several models expect and predict together.

    Labels are in the first one's order; statistics of training labels are kept where all agree, and
    a group that any of them saw was seen. What training ground looks like is each member's own.

    Raises:
        InputError: They do not predict the same labels from the same input.
    """
    first = configs[0]
    for other in configs[1:]:
        if set(other.labels) != set(first.labels):
            raise InputError(
                f"models '{first.name}' and '{other.name}' cannot be averaged: they predict "
                f"{', '.join(first.labels)} and {', '.join(other.labels)}"
            )
        differing = (
            key
            for key in type(first.input).model_fields
            if key != "turned" and getattr(first.input, key) != getattr(other.input, key)
        )
        key = next(differing, None)
        if key is not None:
            raise InputError(
                f"models '{first.name}' and '{other.name}' cannot be averaged: they expect another "
                f"{key}, {getattr(first.input, key)} and {getattr(other.input, key)}"
            )
    for other in configs[1:]:
        if other.label_scale != first.label_scale:
            raise InputError(
                f"models '{first.name}' and '{other.name}' cannot be averaged: their labels have "
                "another unit (label_scale in their model.toml)"
            )
    agreed: dict[str, LabelStatistics] = {
        label: known
        for label, known in first.label_statistics.items()
        if all(config.label_statistics.get(label) == known for config in configs)
    }
    trained = [config.trained_on for config in configs]
    return EnsembleConfig(
        name=",".join(config.name for config in configs),
        labels=first.labels,
        architecture=first.architecture,
        input=first.input.model_copy(
            update={"turned": all(config.input.turned for config in configs)}
        ),
        stitch=first.stitch if len({config.stitch for config in configs}) == 1 else None,
        label_statistics=agreed,
        label_scale=first.label_scale,
        coherence=first.coherence,
        trained_on=None
        if None in trained
        else tuple(sorted({g for t in trained for g in t or ()})),
        chosen_on=tuple(sorted({group for config in configs for group in config.chosen_on})),
        members=tuple(configs),
    )
