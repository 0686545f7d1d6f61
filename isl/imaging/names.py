"""Names: of a field, from its file; of a channel, and whether it is transmitted light."""

import itertools
import re
from pathlib import Path

from isl.imaging.formats.table import image_ending

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


def field_name(path: Path) -> str:
    """The file's name without its ending (.ome.tif, .tif, .png, in any case), or the folder's."""
    ending = None if path.is_dir() else image_ending(path)
    name = path.name or path.resolve().name
    return name[: -len(ending)] if ending else name


def is_transmitted(channel: str) -> bool:
    """Whether a channel's name says transmitted light, e.g. "BF with Disk" or "Phase Contrast"."""
    return any(word in _TRANSMITTED for word in _words(channel))


def modality_of(channel: str) -> str | None:
    """The modality (PHASE_CONTRAST, BRIGHTFIELD or DIC) where a channel's name tells it."""
    return next((_TRANSMITTED[w] for w in _words(channel) if _TRANSMITTED.get(w)), None)


def _words(channel: str) -> list[str]:
    """Words of a name, and neighbors joined, so that "Bright field" is "brightfield" too."""
    words = re.findall(r"[a-z0-9]+", channel.casefold())
    return [first + second for first, second in itertools.pairwise(words)] + words
