"""The keys of an evaluation that say how its intervals are drawn."""

import pydantic

from isl.config import Config

from .bootstrap import LEVEL, REPLICATES, Resampling


class ResampledConfig(Config):
    """An evaluation whose intervals are bootstrapped.

    Attributes:
        replicates: Of every bootstrap.
        level: Of every interval.
        seed: Of every bootstrap, and of whatever else the evaluation draws.
    """

    replicates: int = pydantic.Field(default=REPLICATES, ge=1)
    level: float = pydantic.Field(default=LEVEL, gt=0, lt=1)
    seed: int = pydantic.Field(default=0, ge=0)

    @property
    def resampling(self) -> Resampling:
        """How intervals are drawn."""
        return Resampling(replicates=self.replicates, level=self.level, seed=self.seed)
