"""The model folder that an ensemble leaves behind: what it says of itself, and its card."""

from collections.abc import Sequence

from isl.polarity.embryo import Embryo
from isl.polarity.model import PolarityConfig

from .config import PolarityExperiment


def polarity_config(
    experiment: PolarityExperiment,
    embryos: Sequence[Embryo],
    name: str,
    members: int,
    *,
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
        standardize=experiment.sight.standardize,
        symmetries=experiment.symmetries,
        combine=experiment.combine,
        rule=experiment.rule,
        threshold=experiment.threshold,
        ezrin=experiment.ezrin.model or anything,
        embryos=tuple(dict.fromkeys(embryo.group for embryo in embryos)),
    )


def card(experiment: PolarityExperiment, embryos: Sequence[Embryo], config: PolarityConfig) -> str:
    """What a person must know before trusting the model, in Markdown."""
    training = experiment.training
    kinds = ", ".join(
        dict.fromkeys(experiment.optimizer_of(member).kind for member in range(config.members))
    )
    lines = [
        f"# {config.name}",
        "",
        experiment.description or "Tells frames before the onset of polarization from those after.",
        "",
        f"{config.members} classifiers ({config.backbone.kind}) of {config.arm}; views of "
        f"{config.size} pixels, {config.window:g} of a frame wide, around the embryo.",
        "",
        "## Training",
        "",
        f"{training.steps} updates of {training.batch_size} frames each ({kinds}); seeds "
        f"{experiment.seed} to {experiment.seed + config.members - 1}. Embryos:",
        "",
        *[f"- {embryo.name}, {len(embryo.dic)} frames" for embryo in embryos],
        "",
        "No embryo was held out; `isl eval` cross-validates.",
        "",
        "## Limits",
        "",
        "For research, not for clinical use. It has seen only embryos like those above.",
        "",
    ]
    return "\n".join(lines)
