"""What a person must know of a viability model before trusting it, in Markdown."""

from collections.abc import Sequence

from isl.viability.model import PURPOSE, SIMULATED, ViabilityConfig

from .config import ViabilityExperiment
from .ground import Case, counted


def card(experiment: ViabilityExperiment, cases: Sequence[Case], config: ViabilityConfig) -> str:
    """The card of a finished ensemble.

    Args:
        experiment: How it was trained.
        cases: What on.
        config: What it is.
    """
    training, film = experiment.training, experiment.film
    first, last = film.window_hours
    lines = [
        f"# {config.name}",
        "",
        f"**{PURPOSE}**",
        "",
        *([f"**{SIMULATED}**", ""] if config.simulated else []),
        experiment.description or "Gives the chance of an outcome from an embryo's time-lapse.",
        "",
        f"{config.members} networks ({config.network.kind}) of {film.count} key frames "
        f"({film.key_frames}) of {film.size} pixels, {first:g} to {last:g} hours after "
        f"insemination. Targets: {', '.join(experiment.targets)}.",
        "",
        "## Training",
        "",
        f"{training.steps} updates of {training.batch_size} films each "
        f"({experiment.optimizer.kind}); seeds {experiment.seed} to "
        f"{experiment.seed + config.members - 1}. {counted(cases, experiment.targets)}.",
        "",
        f"{_temperatures(config)} Intervals are those in which one more network, trained alike, "
        "would be expected; they know nothing of other clinics.",
        "",
        "## Limits",
        "",
        "Where outcomes are those of transfers, only embryos that were transferred have one: the "
        "model has learned from those that somebody had chosen, and says nothing reliable of "
        "others.",
        "",
    ]
    return "\n".join(lines)


def _temperatures(config: ViabilityConfig) -> str:
    scaled = [target for target in config.targets if target.temperature != 1]
    if not scaled:
        return "Probabilities are as the networks give them."
    listed = ", ".join(f"{target.name} {target.temperature:.2f}" for target in scaled)
    return (
        f"Probabilities are at temperatures fitted on validation films ({listed}), where a "
        "temperature fitted on the other patients made those of one that was left out better."
    )
