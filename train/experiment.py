"""The part of an experiment's TOML file that every task shares."""

import operator
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from isl.config import Config, to_toml
from isl.errors import InputError

from .optimizer import OptimizerConfig
from .stages import Stage, StageConfig, stages_of


class TrainingConfig(Config):
    """How long and in which portions to train; all lengths are in optimizer updates.

    Attributes:
        steps: Updates in total; those of all stages where there are stages.
        batch_size: Examples an update sees, over all parts, devices and processes.
        accumulate: Parts that a batch is cut into when it does not fit in memory. They equal the
            whole batch unless the network keeps batch statistics, or losses are means over what is
            measured, of which parts have unlike much.
        micro_batch: Examples of a part, in place of `accumulate`; "auto": as many as fit into the
            memory that is free when the run starts. A run may be resumed with another.
        precision: Number format of the network's arithmetic; parameters stay float32.
        ema_decay: Decay of the running average of parameters that is evaluated and exported in
            their place; 0 turns it off.
        log_every: Updates between lines of the metrics file.
        evaluate_every: Updates between evaluations; 0: only at the end.
        picture_every: Evaluations between pictures; 0: no pictures.
        checkpoint_every: Updates between checkpoints; 0: only at the end and at the best.
        workers: Processes that prepare batches; 0: threads of this process.
    """

    steps: int = pydantic.Field(ge=1)
    batch_size: int = pydantic.Field(default=16, ge=1)
    accumulate: int = pydantic.Field(default=1, ge=1)
    micro_batch: pydantic.PositiveInt | Literal["auto"] | None = pydantic.Field(
        default=None, exclude_if=operator.not_
    )
    precision: Literal["float32", "bfloat16"] = "float32"
    ema_decay: float = pydantic.Field(default=0.0, ge=0.0, lt=1.0)
    log_every: int = pydantic.Field(default=20, ge=1)
    evaluate_every: int = pydantic.Field(default=500, ge=0)
    picture_every: int = pydantic.Field(default=1, ge=0)
    checkpoint_every: int = pydantic.Field(default=500, ge=0)
    workers: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _parts_are_whole(self) -> "TrainingConfig":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into accumulate = "
                f"{self.accumulate} equal parts"
            )
        if self.micro_batch is None:
            return self
        if self.accumulate > 1:
            raise ValueError("accumulate and micro_batch both cut batches; leave one out")
        if self.micro_batch != "auto" and self.batch_size % self.micro_batch:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into parts of micro_batch = "
                f"{self.micro_batch}"
            )
        return self

    @property
    def parts(self) -> int | None:
        """Parts that a batch is cut into; None: as memory allows."""
        if self.micro_batch is None:
            return self.accumulate
        return None if self.micro_batch == "auto" else self.batch_size // self.micro_batch


class ExperimentConfig(Config):
    """What every experiment states; a task adds its own tables.

    Attributes:
        description: What the experiment is for.
        task: Which task to train, e.g. "labeling".
        seed: Everything random follows from it.
        stages: What is trained one after the other; see `isl_train.stages`. `training.steps` is
            then left out.
    """

    description: str = ""
    task: str
    seed: int = pydantic.Field(default=0, ge=0)
    training: TrainingConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    stages: tuple[StageConfig, ...] = pydantic.Field(default=(), exclude_if=operator.not_)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _steps_of_stages(cls, tables: Any) -> Any:
        """Fills in how long the run is, from how long its stages are."""
        stages, training = tables.get("stages"), tables.get("training")
        if not stages or not isinstance(training, dict) or "steps" in training:
            return tables
        lengths = [stage.get("steps") for stage in stages if isinstance(stage, dict)]
        whole = [length for length in lengths if isinstance(length, int)]
        if len(whole) < len(stages):
            return tables
        return {**tables, "training": {**training, "steps": sum(whole)}}

    @pydantic.model_validator(mode="after")
    def _stages_fill_the_run(self) -> "ExperimentConfig":
        total = sum(stage.steps for stage in self.stages)
        if self.stages and self.training.steps != total:
            raise ValueError(
                f"training.steps is {self.training.steps}, but the stages have {total} steps; "
                "leave training.steps out"
            )
        return self

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages of the run; a single one where the configuration has none."""
        return stages_of(self.stages, self.training.steps, self.optimizer)


EXPERIMENT_FILE = "experiment.toml"
"""What a run's folder calls the settings it was begun with."""


# Keys of the table `training` that no result depends on.
_WITHOUT_RESULT = ("memory", "workers", "picture_every", "checkpoint_every")


def decisive(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Of an experiment's tables those keys that its result follows from.

    Words about it are no part, nor where its fields lie, who prepares batches of them and how often
    something is kept, nor paths whose hash stands beside.
    """
    training = tables.get("training", {}).items()
    return {
        **{
            key: value
            for key, value in tables.items()
            if key != "description" and f"{key}_sha256" not in tables
        },
        "training": {key: value for key, value in training if key not in _WITHOUT_RESULT},
    }


def check_same_run(run: Path, experiment: ExperimentConfig) -> None:
    """Refuses a run of other settings, finished or not, which would be taken for this one's.

    Args:
        run: A run's folder, which need not exist.
        experiment: What it is to be resumed with.

    Raises:
        InputError: It was begun with other settings.
    """
    kept = run / EXPERIMENT_FILE
    if kept.is_file():
        stated = (kept.read_text(encoding="utf-8"), to_toml(experiment))
        begun, now = (decisive(tomllib.loads(text)) for text in stated)
        same = begun == now
    else:
        same = not (run / "model").exists()
    if not same:
        raise InputError(
            f"{run}: holds a run of other settings; name another folder, or remove this one"
        )
