"""Channels by their names and notes: transmitted light, of which modality, or fluorescence."""

import itertools
import re
from collections.abc import Mapping

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
    "esid": None,
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
# Words of dyes and fluorescent proteins.
_DYE = re.compile(
    r"dapi|h?33342|h?33258|hoechst(33342|33258)?|fitc|tritc|cy[2357]|cy[357]5|tx2?red|texasred|"
    r"e?[bcgry]fp|i?rfp\d*|tagrfp\w*|dsred\d?|m(cherry|scarlet|plum|kate|ruby|apple|orange)\w*|"
    r"(td)?tomato|mneongreen|mneon|mvenus|mturquoise\d?|mcerulean\d?|mcitrine|gcamp\w*|"
    r"alexa(fluor)?\d*|af\d{3}|atto\d{3}|dylight\d*|rhodamine|fluorescein|calcein|phalloidin|"
    r"propidium|draq\d|syto\d+|sytox\w*|mitotracker\w*|lysotracker\w*|bodipy|fura\d|"
    r"(epi)?fluorescence|fluorescent"
)


def is_transmitted(channel: str) -> bool:
    """Whether a channel's name says transmitted light, e.g. "BF with Disk" or "Phase Contrast"."""
    return bool(_meant(channel))


def modality_of(channel: str) -> str | None:
    """The modality (PHASE_CONTRAST, BRIGHTFIELD or DIC) where a channel's name tells it."""
    return next((_TRANSMITTED[word] for word in _meant(channel) if _TRANSMITTED[word]), None)


def is_fluorescence(channel: str) -> bool:
    """Whether a channel's name says fluorescence, e.g. "DAPI" or "EZRIN-RFP", and nothing else."""
    words = re.findall(r"[a-z0-9]+", channel.casefold())
    joined = [first + second for first, second in itertools.pairwise(words)]
    return not is_transmitted(channel) and any(_DYE.fullmatch(word) for word in joined + words)


def was_emitted(notes: Mapping[str, str | None]) -> bool:
    """Whether a microscope's notes on a channel say fluorescence.

    Transmitted light that is scanned has a laser's wavelength too.

    Args:
        notes: ContrastMethod, IlluminationType, AcquisitionMode, Fluor, EmissionWavelength and
            ExcitationWavelength as OME calls them and has them; what is not there is not said.
    """
    contrast, light, mode = (
        (notes.get(key) or "").casefold()
        for key in ("ContrastMethod", "IlluminationType", "AcquisitionMode")
    )
    dye = notes.get("Fluor") or ""
    if contrast not in ("", "other"):
        return contrast.startswith("fluo")
    if light in ("transmitted", "oblique") or is_transmitted(dye):
        return False
    if light == "epifluorescence" or is_fluorescence(dye):
        return True
    excited = _is_wavelength(notes.get("ExcitationWavelength")) and not mode.startswith("laser")
    return excited or _is_wavelength(notes.get("EmissionWavelength"))


def _is_wavelength(text: str | None) -> bool:
    try:
        return float(text or 0) > 0
    except ValueError:
        return False


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
