"""What a trained model says of itself: its figures on held-out embryos, and its card."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from isl.fragmentation.dataset import UNKNOWN, Ground
from isl.fragmentation.model import FragmentationConfig
from isl.fragmentation.network import EMBRYO, FRAGMENT, Seen

from .config import FragmentationExperiment

_DISAGREEMENT = 0.95
_NOTICE = (
    "## Notice",
    "",
    "The encoder began as EfficientNet-Lite0 trained on ImageNet: copyright the TensorFlow "
    "Authors, of its conversion copyright 2020 ML Illustrated, licensed under the Apache License, "
    "Version 2.0 (http://www.apache.org/licenses/LICENSE-2.0), without warranties of any kind; "
    "see the card of efficientnet-lite0.",
    "",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What held-out embryos say of a model.

    Attributes:
        metrics: By name; NaN where nothing was measured.
        share_from: Which share was nearer to the truth.
        residuals: Truth minus that share, of every embryo's worst frame.
        disagreement: 95th percentile, over embryos, of the largest difference of the two shares;
            None without a regression.
    """

    metrics: dict[str, float]
    share_from: Literal["regression", "area"]
    residuals: tuple[float, ...]
    disagreement: float | None


def held_out_figures(said: Seen, ground: Ground, *, segments: bool = True) -> Figures:
    """Judges what a network says of held-out pictures with masks or shares.

    Args:
        said: Arrays [N, ...].
        ground: The N pictures.
        segments: Whether the network was taught to segment; else its masks mean nothing.
    """
    logits = np.asarray(said.logits)
    embryo = logits[..., EMBRYO] > 0
    fragment = embryo & (logits[..., FRAGMENT] > 0)
    known = ground.labels != UNKNOWN
    area = embryo.sum(axis=(1, 2))
    metrics = {}
    by_area = np.where(
        (area > 0) & segments, fragment.sum(axis=(1, 2)) / np.maximum(area, 1), np.nan
    )
    if segments:
        metrics = {
            "embryo_dice": _mean_dice(embryo & known, np.isin(ground.labels, (1, 2)), known),
            "fragment_dice": _mean_dice(fragment & known, ground.labels == 2, known),
            "area_mae": _mean(np.abs(by_area - ground.shares)),
        }
    shares, origin, disagreement = by_area, "area", None
    if said.share is not None:
        regressed = np.asarray(said.share)
        metrics["regression_mae"] = _mean(np.abs(regressed - ground.shares))
        if not metrics.get("area_mae", np.inf) < metrics["regression_mae"]:
            shares, origin = regressed, "regression"
        apart = _worst(ground.groups, np.abs(regressed - by_area))
        disagreement = float(np.quantile(apart, _DISAGREEMENT)) if len(apart) else None
    residuals = _worst(ground.groups, ground.shares - shares)
    return Figures(
        metrics=metrics,
        share_from="area" if origin == "area" else "regression",
        residuals=tuple(round(float(r), 5) for r in residuals),
        disagreement=disagreement,
    )


def card(
    experiment: FragmentationExperiment,
    config: FragmentationConfig,
    train: Ground,
    validation: Ground | None,
    metrics: Mapping[str, float],
    *,
    start: str = "",
) -> str:
    """What a person must know before trusting the model, in Markdown.

    Args:
        experiment: What was trained, and how.
        config: Of the finished model.
        train: What was learned from.
        validation: What was held out.
        metrics: By name.
        start: Card of the model that it began with, whose notice holds of this one, too.
    """
    notice = _NOTICE if experiment.pretrained or _NOTICE[0] in start.splitlines() else ()
    masks = int((train.labels != UNKNOWN).any(axis=(1, 2)).sum())
    held = "none" if validation is None else f"{len(set(validation.groups))} embryos"
    lines = [
        f"# {config.name}",
        "",
        experiment.description or "Finds the fragments of cleavage-stage embryos.",
        "",
        f"{config.network.encoder.kind}, {config.network.decoder} decoder, gates "
        f"{config.network.gates}, injection {config.network.inject}; whole frames at "
        f"{config.size} pixels{_looks(config)}. The share it gives is the one by "
        f"{config.share_from}, which was nearer to the truth on the held-out embryos.",
        "",
        "## Training",
        "",
        f"{len(set(train.groups))} embryos, {len(train)} pictures, {masks} with masks; mode "
        f"{experiment.mode}, {experiment.training.steps} updates of "
        f"{experiment.training.batch_size}, seed {experiment.seed}. Held out: {held}.",
        "",
        *[f"- {name}: {value:.4g}" for name, value in metrics.items()],
        "",
        "## Limits",
        "",
        "For research only: it decides nothing about any embryo. It knows cleavage stages (2 to 8 "
        f"cells) as in its training pictures{_stages(config)} Polar bodies and granules may be "
        "taken for fragments.",
        "",
        *notice,
    ]
    return "\n".join(lines)


def _stages(config: FragmentationConfig) -> str:
    if config.stages is None:
        return ", and nothing of oocytes, morulae or blastocysts, which it grades like any embryo."
    return (
        ". Oocytes, one-cell stages, morulae and blastocysts that are found by themselves are "
        '"cannot tell" by a line through the means of its encoder\'s maps, whose threshold refuses '
        f"at most {config.stages.refused:.0%} of the cleavage stages that set it, and may refuse "
        "many more of another laboratory's."
    )


def _looks(config: FragmentationConfig) -> str:
    if config.closer is None:
        return ""
    return f", then a square around what was found, {config.closer:g} times as wide"


def _worst(groups: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """Of every group, the value that is largest in size; NaN ones do not count."""
    found: dict[str, float] = {}
    for group, value in zip(groups, values, strict=True):
        if np.isfinite(value) and abs(value) >= abs(found.get(group, 0.0)):
            found[group] = float(value)
    return np.array(list(found.values()))


def _mean_dice(found: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Mean over pictures with masks in which either holds something."""
    values = []
    for own, true, is_known in zip(found, truth, known, strict=True):
        total = own.sum() + true.sum()
        if is_known.any() and total:
            values.append(2 * (own & true).sum() / total)
    return float(np.mean(values)) if values else float("nan")


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
