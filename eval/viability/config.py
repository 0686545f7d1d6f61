"""The TOML of a viability evaluation: which model, on which embryos, against what."""

from pathlib import Path
from typing import Literal

from ..statistics.resampled import ResampledConfig


class ViabilityEvaluation(ResampledConfig):
    """What to judge.

    Attributes:
        description: What the evaluation is for.
        model: A viability model: a folder relative to the configuration's file, or a bundled one's
            name.
        dataset: The table of recordings, relative to the configuration's file.
        split: Only embryos of this side; "": of every side.
        target: What is judged; the model's main one unless given.
        patient: The column that says whose embryo it is.
        cohort: The column that says which embryos are ordered among themselves; the patient's
            unless given.
        orders: Columns of numbers that order embryos too, higher first, such as grades.
        groups: Columns by which figures are given apart, such as clinics.
        hours: Hours after which nothing is seen, for probability over time.
        truth: A table with the columns `recording` and `chance`, of simulated embryos: the best
            that can be reached. Relative to the configuration's file.
        controls: Whether films are also shown with their frames in random order, and their last
            frame alone.
        seed: Of every bootstrap and of the random order.
    """

    description: str = ""
    task: Literal["viability"]
    model: str
    dataset: Path
    split: str = "test"
    target: str = ""
    patient: str = "patient"
    cohort: str = ""
    orders: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    hours: tuple[float, ...] = (48.0, 72.0, 96.0)
    truth: Path | None = None
    controls: bool = True
