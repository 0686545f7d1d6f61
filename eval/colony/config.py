"""The TOML of a colony evaluation: which arms, at which shares of labels, over which folds."""

from pathlib import Path

import pydantic

from isl.config import Config

from ..statistics.resampled import ResampledConfig


class ArmConfig(Config):
    """One of the tables `[[arms]]`: a variant of the experiment.

    Attributes:
        name: Of the arm.
        changes: `key=value` texts that override keys of the experiment.
        shares: Shares of labels it is trained at; the evaluation's unless given.
        published: A row of the paper's tables 2 and 3, or 5, to be shown beside it.
    """

    name: str
    changes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    published: str = ""


class ColonyEvaluation(ResampledConfig):
    """What to judge: arms, each trained at every share of labels, for every fold and seed.

    Attributes:
        description: What the evaluation is for.
        experiment: The training experiment; relative to the configuration's file.
        changes: `key=value` texts that override keys of it, in all arms.
        arms: Variants.
        shares: Of the single-class images, how many lend their labels, those of the fold that is
            judged counted in, as in the paper.
        folds: Parts that images, or their groups where known, are cut into, evenly by class.
        judged: Which of the folds are held out in turn, from 0; all unless given.
        seeds: Of training and of the choice of labels.
        patches: Patches a colony, each judged for itself; the paper has 1.
        compare: Pairs of arms whose difference (first minus second) is given.
        seed: Of folds and bootstraps.
        keep_models: Whether models and checkpoints stay once they were judged.
    """

    description: str = ""
    task: str
    experiment: Path
    changes: tuple[str, ...] = ()
    arms: tuple[ArmConfig, ...] = pydantic.Field(min_length=1)
    shares: tuple[float, ...] = pydantic.Field(default=(0.1,), min_length=1)
    folds: int = pydantic.Field(default=5, ge=2)
    judged: tuple[int, ...] = ()
    seeds: tuple[int, ...] = pydantic.Field(default=(0,), min_length=1)
    patches: tuple[int, ...] = pydantic.Field(default=(1,), min_length=1)
    compare: tuple[tuple[str, str], ...] = ()
    keep_models: bool = False

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> "ColonyEvaluation":
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"arms {names}: a name occurs twice")
        for name in (name for pair in self.compare for name in pair):
            if name not in names:
                raise ValueError(f"compare: there is no arm '{name}' (arms: {', '.join(names)})")
        for fold in self.judged:
            if not 0 <= fold < self.folds:
                raise ValueError(f"judged: fold {fold} is none of 0 to {self.folds - 1}")
        for share in (*self.shares, *(s for arm in self.arms for s in arm.shares)):
            if not 0 < share <= 1:
                raise ValueError(f"shares: {share:g} is none; give numbers above 0 and up to 1")
        return self

    @property
    def held_out(self) -> tuple[int, ...]:
        """The folds that are judged."""
        return self.judged or tuple(range(self.folds))

    def shares_of(self, arm: ArmConfig) -> tuple[float, ...]:
        """Shares of labels of an arm."""
        return arm.shares or self.shares
