"""How fast models were on this machine's devices, kept between runs, to say how long one will take.

`speeds.json` lies in the folder where compiled programs are kept. It is no result: what cannot be
read is unknown, and what cannot be written is left.
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from isl.devices import cache_folder
from isl.labeling.run.provenance import Call

# What decides how much work a pixel is, besides the model and the number of results.
_SETTINGS = ("stitch", "symmetries", "resample")
# Earlier runs count half as much with every new one.
_FORGOTTEN = 0.5


class Timing(NamedTuple):
    """What one field took.

    Attributes:
        device: What computed it.
        pixels: T x Y x X of the field.
        seconds: From opening it to the last image.
    """

    device: str
    pixels: int
    seconds: float


def timing(made: Mapping[str, Any]) -> Timing:
    """What a field took, from its record."""
    axes, shape = made["input"]["axes"], made["input"]["shape"]
    pixels = math.prod(n for axis, n in zip(axes, shape, strict=True) if axis != "Z")
    return Timing(made["device"], pixels, made["seconds"])


def kept_speed(call: Call, device: str) -> float | None:
    """Pixels per second, or None where such a run was never finished here."""
    try:
        found = _kept()[_key(call, device)]
        speed = found["pixels"] / found["seconds"]
    except (KeyError, TypeError, ZeroDivisionError):
        return None
    return speed if speed > 0 and math.isfinite(speed) else None


def keep_speed(call: Call, timings: Sequence[Timing]) -> None:
    """Adds what a run took.

    Args:
        call: How fields were predicted.
        timings: Of fields in the order in which they were done; of several, the first is left out,
            as it waited for compiling.
    """
    counted = timings[1:] or timings
    pixels = sum(timing.pixels for timing in counted)
    seconds = sum(timing.seconds for timing in counted)
    if not seconds > 0:
        return
    kept, key = _kept(), _key(call, counted[0].device)
    with contextlib.suppress(KeyError, TypeError):
        pixels += _FORGOTTEN * kept[key]["pixels"]
        seconds += _FORGOTTEN * kept[key]["seconds"]
    kept[key] = {"pixels": pixels, "seconds": seconds}
    path = cache_folder() / "speeds.json"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(4)}.json")
        temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        os.replace(temporary, path)


def _key(call: Call, device: str) -> str:
    settings = call.settings()
    work = [f"{name} {settings[name]}" for name in _SETTINGS if name in settings]
    results = f"{len(call.options.labels)} labels, {len(call.options.statistics)} statistics"
    return ", ".join((call.model, device, *work, results))


def _kept() -> dict[str, Any]:
    try:
        found = json.loads((cache_folder() / "speeds.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
