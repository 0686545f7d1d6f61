"""Names of channels: whether one is transmitted light, and of which modality."""

import itertools
import re

# Words in a channel's name that mean transmitted light, and the modality they tell, if any.
_TRANSMITTED = {
    "phasecontrast": "PHASE_CONTRAST",
    "phase": "PHASE_CONTRAST",
    "ph": "PHASE_CONTRAST",
    "ph1": "PHASE_CONTRAST",
    "ph2": "PHASE_CONTRAST",
    "ph3": "PHASE_CONTRAST",
    "brightfield": "BRIGHTFIELD",
    "bf": "BRIGHTFIELD",
    "dic": "DIC",
    "nomarski": "DIC",
    "trans": None,
    "transmitted": None,
    "transmittedlight": None,
    "transmission": None,
    "translight": None,
    "tl": None,
    "td": None,
    "tpmt": None,
    "oblique": None,
}
# Of these, names of dyes, sensors and organelles hold the shortest too (pH, Trans-Golgi, TL): those
# mean transmitted light only among words that mean nothing else.
_DOUBTFUL = {"phase", "ph", "ph1", "ph2", "ph3", "bf", "trans", "tl", "td"}
_NEUTRAL = {
    "with", "disk", "disc", "light", "contrast", "field", "channel", "ch", "cam", "camera", "led",
    "lamp", "halogen", "white", "pmt", "detector", "no", "none", "filter", "empty", "open", "mode",
    "default", "image", "images", "conf", "confocal", "widefield", "prime", "orca", "andor", "bsi",
    "left", "right", "top", "bottom", "air", "oil", "water", "objective", "low", "high", "mag",
    "raw", "aif", "focus", "all", "in", "and", "of", "the", "slow", "fast", "short", "long",
    "exposure", "ex", "em", "main", "aux", "new", "nofilter", "intensity", "condenser", "na",
}  # fmt: skip


def is_transmitted(channel: str) -> bool:
    """Whether a channel's name says transmitted light, e.g. "BF with Disk" or "Phase Contrast"."""
    return bool(_meant(channel))


def modality_of(channel: str) -> str | None:
    """The modality (PHASE_CONTRAST, BRIGHTFIELD or DIC) where a channel's name tells it."""
    return next((_TRANSMITTED[word] for word in _meant(channel) if _TRANSMITTED[word]), None)


def _meant(channel: str) -> list[str]:
    """Words of a name that mean transmitted light there."""
    words = re.findall(r"[a-z0-9]+", channel.casefold())
    # Neighbors joined, so that "Bright field" is "brightfield" too.
    joined = [first + second for first, second in itertools.pairwise(words)]
    found = [word for word in joined + words if word in _TRANSMITTED]
    if any(word not in _DOUBTFUL for word in found):
        return found
    others = {word for word in words if word not in _TRANSMITTED and not re.search(r"\d", word)}
    return found if all(word in _NEUTRAL or len(word) == 1 for word in others) else []
