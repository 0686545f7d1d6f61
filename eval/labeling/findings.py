"""All that a labeling evaluation found, and what its figures are called."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from isl.labeling.familiarity import Unfamiliarity

from .ground import Ground
from .judge import BASELINE, Comparison, FieldScores, LabelScores
from .models import Contender
from .points import PointScores
from .shown import Shown

TITLES: Mapping[str, str] = {
    "pearson": "Pearson",
    "foreground_pearson": "Pearson of the foreground",
    "mae": "Mean absolute error",
    "nrmse": "NRMSE",
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
    "cross_entropy": "Cross-entropy (uniform = 1)",
    "ranked_probability_score": "Ranked probability score",
    "sharpness": "Width of the 90 % interval",
    "pearson_median": "Pearson of the median image",
    "coverage_50": "Within the 50 % interval",
    "coverage_80": "Within the 80 % interval",
    "coverage_90": "Within the 90 % interval",
    "coverage_95": "Within the 95 % interval",
}
"""What each figure is called."""
HIGHER_IS_BETTER = {"pearson", "pearson_median", "foreground_pearson", "ssim", "psnr"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """All that an evaluation found.

    Attributes:
        title: What was judged, in words.
        ground: On what.
        contenders: Who.
        scores: Of every contender and label, the baseline's after the others'.
        comparisons: Of contenders with the first one and with the baseline.
        seen: Groups of the ground that a contender was trained on, where there are any.
        shown: Pictures of the ground.
        points: What people's points say.
        warnings: By contender, what differs from what it expects.
        familiarity: By contender and field, how far the field is from what it learned from;
            without what is not known.
        headlines: The outcome in words.
        settings: What was asked for.
    """

    title: str
    ground: Ground
    contenders: tuple[Contender, ...]
    scores: tuple[LabelScores, ...]
    comparisons: tuple[Comparison, ...]
    seen: Mapping[str, tuple[str, ...]]
    shown: Shown
    points: tuple[PointScores, ...]
    warnings: Mapping[str, tuple[str, ...]]
    familiarity: Mapping[str, Mapping[str, Unfamiliarity]]
    headlines: tuple[str, ...]
    settings: Mapping[str, Any]

    def of_label(self, label: str) -> tuple[LabelScores, ...]:
        """Every contender's scores of a label, the baseline's last."""
        return tuple(each for each in self.scores if each.label == label)

    @property
    def judged(self) -> tuple[LabelScores, ...]:
        """Scores without the baseline's."""
        return tuple(each for each in self.scores if each.contender != BASELINE)


def field_figures(field: FieldScores) -> dict[str, float | None]:
    """Every figure of a field, those of its image first."""
    pixels = dataclasses.asdict(field.pixels)
    of_image = {name: value for name, value in pixels.items() if name not in ("notes", "pixels")}
    return {**field.rows.figures, **of_image}
