"""The part of an experiment's TOML file that every task shares."""

from pathlib import Path
from typing import Literal

import pydantic

from isl.config import Config, to_toml
from isl.errors import InputError

from .optimizer import OptimizerConfig


class TrainingConfig(Config):
    """How long and in which portions to train; all lengths are in optimizer updates.

    Attributes:
        steps: Updates in total.
        batch_size: Examples an update sees, over all parts, devices and processes.
        accumulate: Parts that a batch is cut into when it does not fit in memory. Parts are
            averaged, which equals the whole batch when every part has measured as many pixels and
            the network keeps no batch statistics.
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
        return self


class ExperimentConfig(Config):
    """What every experiment states; a task adds its own tables.

    Attributes:
        description: What the experiment is for.
        task: Which task to train, e.g. "labeling".
        seed: Everything random follows from it.
    """

    description: str = ""
    task: str
    seed: int = pydantic.Field(default=0, ge=0)
    training: TrainingConfig
    optimizer: OptimizerConfig = OptimizerConfig()


EXPERIMENT_FILE = "experiment.toml"
"""What a run's folder calls the settings it was begun with."""


def check_same_run(run: Path, experiment: ExperimentConfig) -> None:
    """Refuses a run of other settings, finished or not, which would be taken for this one's.

    Args:
        run: A run's folder, which need not exist.
        experiment: What it is to be gone on with.

    Raises:
        InputError: It was begun with other settings.
    """
    kept = run / EXPERIMENT_FILE
    if kept.is_file():
        same = kept.read_text(encoding="utf-8") == to_toml(experiment)
    else:
        same = not (run / "model").exists()
    if not same:
        raise InputError(
            f"{run}: holds a run of other settings; name another folder, or remove this one"
        )
