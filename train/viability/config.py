"""The TOML of a viability experiment."""

from pathlib import Path
from typing import Literal

import pydantic

from isl.backbones.video_swin import VIDEO_SWIN_SIZES
from isl.config import Config
from isl.model_folder import KernelType
from isl.viability.films import FilmConfig
from isl.viability.network import NetworkConfig

from ..experiment import ExperimentConfig, TrainingConfig


class ViabilityTraining(TrainingConfig):
    """The table `training` of a viability experiment.

    Attributes:
        films_in_memory: Films of a batch that are in memory at a time; "auto": as many as the
            device has memory for, as the compiled step says; 0: all. The gradient stays that of
            the whole batch however many outcomes are known in each part, unlike with `accumulate`
            and `micro_batch`, which average parts.
        checkpoint: Whether what lies within a block is computed once more for the gradient.
    """

    films_in_memory: int | Literal["auto"] = 0
    checkpoint: bool = False

    @pydantic.model_validator(mode="after")
    def _micro_batches_are_whole(self) -> "ViabilityTraining":
        if isinstance(self.films_in_memory, int) and self.films_in_memory:
            if (
                self.films_in_memory < 0
                or self.batch_size // self.accumulate % self.films_in_memory
            ):
                raise ValueError(
                    f"a batch of {self.batch_size // self.accumulate} films cannot be cut into "
                    f"equal parts of films_in_memory = {self.films_in_memory}"
                )
        return self


class AugmentConfig(Config):
    """What may happen to a film in training.

    Attributes:
        rotation: Turned by up to this many degrees either way, after a quarter turn or mirroring.
        contrast: Deviation of the logarithm of a factor.
        brightness: Deviation of an offset, in deviations of the film.
        hours: Deviation by which all hours are off, and a fifth of it by which each is.
        dropped: Share of frames that the one before takes the place of.
        cut: Chance that nothing is seen after an hour drawn evenly from the window's later two
            thirds, so that a film can be judged before it has ended.
    """

    rotation: float = pydantic.Field(default=45.0, ge=0, le=180)
    contrast: float = pydantic.Field(default=0.2, ge=0)
    brightness: float = pydantic.Field(default=0.2, ge=0)
    hours: float = pydantic.Field(default=0.5, ge=0)
    dropped: float = pydantic.Field(default=0.05, ge=0, lt=1)
    cut: float = pydantic.Field(default=0.5, ge=0, le=1)


class StartConfig(Config):
    """Where weights come from.

    Attributes:
        weights: A safetensors file of torchvision's swin3d weights, relative to the configuration.
        model: A viability model's folder whose first member's weights are gone on from.
        freeze: Paths of parameters that stay as they are, such as "stages".
    """

    weights: Path | None = None
    model: Path | None = None
    freeze: tuple[str, ...] = ()


class ViabilityExperiment(ExperimentConfig):
    """A viability experiment.

    Attributes:
        name: Of the model; the name of the configuration's file unless given.
        dataset: The table of recordings (CSV), relative to the configuration's file.
        patient: Its column that says whose embryo it is; splits are by it.
        targets: Its columns that are learned, the main one first; 0, 1, or empty: not known.
        unwanted: Those of them of which 1 is the worse outcome: ranks begin with the lowest.
        weights: Of the targets' losses; 1 each unless given.
        film: What becomes of a recording.
        network: What each member is.
        members: How many networks; each has its own seed.
        augment: What may happen to films.
        start: Where weights come from.
        leave_out: Patients that are not looked at, for cross-validation.
        shuffle_outcomes: Whether outcomes are dealt out anew among films, by which nothing is left
            to learn: a control.
        simulated: Whether the embryos are simulated, which the model then says of itself.
        kernels: What the finished model's kernels are stored as.
    """

    # Narrowed, as a frozen value may be.
    task: Literal["viability"]  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str = ""
    dataset: Path
    patient: str = "patient"
    targets: tuple[str, ...] = pydantic.Field(min_length=1)
    unwanted: tuple[str, ...] = ()
    weights: tuple[pydantic.NonNegativeFloat, ...] = ()
    film: FilmConfig = FilmConfig()
    network: NetworkConfig = VIDEO_SWIN_SIZES["T"]
    members: int = pydantic.Field(default=5, ge=1)
    augment: AugmentConfig = AugmentConfig()
    start: StartConfig = StartConfig()
    leave_out: tuple[str, ...] = ()
    shuffle_outcomes: bool = False
    simulated: bool = False
    kernels: KernelType = "float32"
    # Narrowed, as a frozen value may be.
    training: ViabilityTraining  # pyright: ignore[reportIncompatibleVariableOverride]

    @pydantic.model_validator(mode="after")
    def _one_weight_a_target(self) -> "ViabilityExperiment":
        if self.weights and len(self.weights) != len(self.targets):
            raise ValueError(
                f"{len(self.weights)} weights but {len(self.targets)} targets; give one of each"
            )
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("a target is named twice")
        if strange := [name for name in self.unwanted if name not in self.targets]:
            raise ValueError(
                f"unwanted: '{strange[0]}' is not among targets ({', '.join(self.targets)})"
            )
        return self

    def of_member(self, member: int) -> "ViabilityExperiment":
        """The experiment of one member, counted from 0, alone."""
        return self.model_copy(update={"seed": self.seed + member, "members": 1})
