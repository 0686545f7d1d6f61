"""Whether an embryo is at a cleavage stage: what comes before and after is not graded.

A line through the means of the encoder's maps, between cleavage stages on one side and oocytes,
one-cell stages, morulae and blastocysts on the other. Its threshold is set where a stated share of
cleavage stages is refused.
"""

import numpy as np
import pydantic

from isl.config import Config

CLEAVAGE = "cleavage"
OTHERS = ("oocyte", "zygote", "morula", "blastocyst")
"""Stages that are not graded."""
STAGES = (CLEAVAGE, *OTHERS)


class StageHead(Config):
    """What tells cleavage stages from others.

    Attributes:
        weights: Of every feature.
        bias: With the threshold in it: a score above 0 is refused.
        refused: Largest share that the threshold refuses of the cleavage stages that set it, of
            any site; of another site's it may refuse many more.
    """

    weights: tuple[pydantic.FiniteFloat, ...]
    bias: pydantic.FiniteFloat
    refused: float = pydantic.Field(ge=0, lt=1)

    def score(self, features: np.ndarray) -> np.ndarray:
        """How unlike a cleavage stage features [..., D] are, [...]; above 0: refused."""
        return features @ np.asarray(self.weights) + self.bias
