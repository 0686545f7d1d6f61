"""Whether an embryo looks like those a model knows: a distance on the encoder's features.

Oocytes, morulae and blastocysts, other species and other microscopes have other means of the
encoder's maps than the 2- to 8-cell embryos that the model knows. Which of these it is cannot be
told from the distance, and an embryo that is near may still be misjudged.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pydantic

from isl.config import Config

# An embryo may lie this much further off than the furthest of those that the model knows.
_MARGIN = 1.15
_TINY = 1e-6
_Positive = Annotated[pydantic.FiniteFloat, pydantic.Field(gt=0)]


class Familiar(Config):
    """What the embryos that a model knows look like.

    Attributes:
        mean: Of every feature, over embryos.
        deviation: Of every feature, over embryos.
        limit: The largest distance at which a model answers.
    """

    mean: tuple[pydantic.FiniteFloat, ...]
    deviation: tuple[_Positive, ...]
    limit: _Positive

    def distance(self, features: np.ndarray) -> float:
        """Root mean square of the deviations of features [D] from the mean; 1 is usual."""
        off = (features - np.asarray(self.mean)) / np.asarray(self.deviation)
        return float(np.sqrt(np.mean(off**2)))


def learned_familiar(features: np.ndarray, groups: Sequence[str]) -> Familiar | None:
    """What the given embryos look like; None where there are too few.

    The limit follows from embryos left out: each is measured by the others.

    Args:
        features: float32 [N, D], of N pictures.
        groups: N embryos.
    """
    names = sorted(set(groups))
    if len(names) < 5:
        return None
    belongs = np.array([names.index(group) for group in groups])
    furthest = 0.0
    for number in range(len(names)):
        others = _described(features[belongs != number])
        own = features[belongs == number]
        furthest = max(furthest, *(others.distance(each) for each in own))
    described = _described(features)
    return described.model_copy(update={"limit": round(_MARGIN * furthest, 4)})


def _described(features: np.ndarray) -> Familiar:
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), _TINY)
    return Familiar(
        mean=tuple(float(f"{v:.5g}") for v in mean),
        deviation=tuple(float(f"{v:.5g}") for v in deviation),
        limit=1.0,
    )
