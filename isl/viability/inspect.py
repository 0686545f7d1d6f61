"""What a viability model is shown and was trained on, as facts to print."""

from pathlib import Path

import numpy as np

from isl.model_folder import read_folder_config, stored_shapes
from isl.viability.kind import summary
from isl.viability.model import PURPOSE, SIMULATED, ViabilityConfig


def describe_model(directory: Path) -> list[tuple[str, str]]:
    """Facts from a model's folder; no weights are read."""
    config = read_folder_config(directory, ViabilityConfig)
    film = config.film
    network = config.network.model_dump()
    kind = network.pop("kind")
    settings = ", ".join(f"{key} {value}" for key, value in network.items())
    values = sum(int(np.prod(shape)) for shape in stored_shapes(directory).values())
    temperatures = ", ".join(f"{t.name} {t.temperature:.3g}" for t in config.targets)
    facts = [
        ("model", config.name),
        ("summary", summary(directory)),
        ("gives the chance of", config.targets[0].name),
        ("tells besides", ", ".join(target.name for target in config.targets[1:]) or "nothing"),
        ("unwanted", ", ".join(t.name for t in config.targets if t.unwanted) or "none of these"),
        ("temperatures", temperatures),
        ("window", f"{film.window_hours[0]:g} to {film.window_hours[1]:g} h"),
        ("key frames", f"{film.count} of {film.size} x {film.size} pixels, {film.key_frames}"),
        ("members", str(config.members)),
        ("network", f"{kind} ({settings})"),
        ("stored values", f"{values:,}"),
        ("trained on", f"{len(config.patients)} patients"),
        ("purpose", PURPOSE),
        ("card", str(directory / "card.md")),
    ]
    return [*facts, ("warning", SIMULATED)] if config.simulated else facts
