"""The model folder that an ensemble leaves behind: what it says of itself, and its card."""

from collections.abc import Mapping, Sequence

from isl.polarity.embryo import Embryo
from isl.polarity.model import Calibration, PolarityConfig
from isl.polarity.pretrained import PretrainedConfig

from .config import PolarityExperiment, width_learned


def polarity_config(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    name: str,
    members: int,
    *,
    calibration: Calibration | None = None,
    anything: str | None = None,
) -> PolarityConfig:
    """What the model folder's `model.toml` says of a finished ensemble."""
    return PolarityConfig(
        name=name,
        arm=experiment.arm,
        backbone=experiment.backbone,
        members=members,
        size=experiment.sight.size,
        window=experiment.sight.window,
        width=width_learned(experiment.sight.window, embryos),
        centred=experiment.sight.centred,
        standardize=experiment.sight.standardize,
        symmetries=experiment.symmetries,
        combine=experiment.combine,
        rule=experiment.rule,
        threshold=experiment.threshold,
        calibration=calibration,
        ezrin=experiment.ezrin.model or anything,
        embryos=tuple(dict.fromkeys(embryo.group for embryo in embryos)),
    )


def card(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    config: PolarityConfig,
    held_out: Mapping[str, float] | None = None,
) -> str:
    """What a person must know before trusting the model, in Markdown.

    Args:
        experiment: How it was trained.
        embryos: On whom.
        config: What its folder says.
        held_out: Figures on embryos that were held out in turn, by name.
    """
    lines = [
        f"# {config.name}",
        "",
        experiment.description or "Tells frames before the onset of polarization from those after.",
        "",
        f"{config.members} classifiers ({config.backbone.kind}) of {config.arm}; views of "
        f"{config.size} pixels, {config.window:g} of a frame wide"
        f"{', around the embryo' if config.centred else ''}.",
        "",
        "## Training",
        "",
        f"{_training(experiment, config)} Embryos:",
        "",
        *[f"- {embryo.name}, {len(embryo.dic)} frames" for embryo in embryos],
        "",
        "No embryo was held out from the members; `isl eval` cross-validates."
        + _intervals(config.calibration),
        "",
        *_held_out(held_out or {}),
        "## Limits",
        "",
        "For research, not for clinical use. It has seen only embryos like those above.",
        "",
    ]
    return "\n".join(lines)


def _training(experiment: PolarityExperiment, config: PolarityConfig) -> str:
    if isinstance(config.backbone, PretrainedConfig):
        looks = ", ".join(map(str, config.backbone.looks))
        return (
            f"Logistic regressions on what the bundled encoder {config.backbone.encoder} sees "
            f"({looks}), every embryo and class alike, penalty {experiment.penalty:g}."
        )
    training = experiment.training
    kinds = ", ".join(
        dict.fromkeys(experiment.optimizer_of(member).kind for member in range(config.members))
    )
    return (
        f"{training.steps} updates of {training.batch_size} frames each ({kinds}); seeds "
        f"{experiment.seed} to {experiment.seed + config.members - 1}."
    )


def _held_out(figures: Mapping[str, float]) -> list[str]:
    if not figures:
        return []
    return [
        "## On embryos it never saw",
        "",
        "The same members, fitted anew without each embryo in turn:",
        "",
        *("| | |", "|---|---|"),
        *(f"| {name} | {value:.3g} |" for name, value in figures.items()),
        "",
    ]


def _intervals(calibration: Calibration | None) -> str:
    if calibration is None:
        return ""
    return (
        f" Intervals were calibrated on {calibration.embryos} embryos, each held out in turn: "
        f"temper {calibration.temper:g}, arms {calibration.spread:.2f} times the posterior's."
    )
