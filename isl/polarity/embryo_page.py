"""The report on embryos: a table of onsets, and for each embryo the pictures to judge it by."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isl.polarity.outputs import PURPOSE, duration
from isl.polarity.outputs import sentence as verdict_of
from isl.report import (
    Badge,
    Block,
    Cell,
    Link,
    Tone,
    facts,
    figure,
    folded,
    notices,
    paragraph,
    records,
    results_page,
    section,
)
from isl.report.words import counted, sentence

_VERDICTS: Mapping[str, tuple[str, Tone]] = {
    "onset": ("polarized", "good"),
    "censored": ("not polarized", "plain"),
    "cannot_tell": ("cannot tell", "attention"),
}
_RULES = {
    "smoothed": "first call after smoothing",
    "change_point": "most likely single change",
    "posterior": "median of where a single change may be",
}
_HOW_TO_READ = (
    "A recording's frames are brought into focus, EZRIN is predicted for each of them, and every "
    "member of an ensemble says how likely the frame is after polarization began. Frames count "
    "from 0 in file order. The onset is the first frame after polarization began; a 90 % interval"
    " stands beside it, which is wide where members disagree or P(t) rises slowly. Where fewer "
    "than two thirds of the members put the onset within 2 frames of it, or the interval holds "
    "the whole recording and what follows, or frames look like nothing that the model learned "
    "from, the verdict is that it cannot be told: look at the frames."
)
_FILM_STRIP = (
    "Frames around the onset, cut out around the embryo; below, what the ensemble says of every "
    "frame, without any use of time, and the calls before and after smoothing. Predicted EZRIN is "
    "a hypothesis about a stain, not a measurement; one scale for all frames shown."
)
_OVERLAYS = (
    "What speaks for (red) and against (blue) what each frame is called after smoothing (the bar "
    "above it), averaged over members: maps weighted by that class's own weights, unless their "
    "difference from the other class's was asked for. It says where a network looked, not what it "
    "saw."
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EmbryoPictures:
    """One embryo that was assessed.

    Attributes:
        made: Its record, see `isl.polarity.outputs.record`.
        film_strip: A PNG.
        overlays: A PNG.
    """

    made: Mapping[str, Any]
    film_strip: bytes
    overlays: bytes


def embryo_page(
    embryos: Sequence[EmbryoPictures],
    failed: Mapping[str, str],
    *,
    card: str = "",
    fields: Mapping[str, bytes] | None = None,
) -> str:
    """The report as HTML.

    Args:
        embryos: At least one, in order.
        failed: What was wrong with recordings that could not be assessed, by name.
        card: What the model says of itself.
        fields: Pictures (PNG) of the fields that hold several embryos, by name.
    """
    shown = [
        figure(
            png,
            alt=f"The embryos of {name}, numbered",
            caption=f"{name}: its first frame, and the square that moves along with each embryo.",
        )
        for name, png in (fields or {}).items()
    ]
    made = [embryo.made for embryo in embryos]
    model, ezrin = (made[0][name] for name in ("model", "ezrin_model"))
    return results_page(
        f"Polarization onset of {counted(len(made), 'embryo')}",
        [
            records(made, _COLUMNS, caption="Onset of polarization"),
            *shown,
            paragraph(_HOW_TO_READ),
            paragraph(f"Model: {model['name']} ({_reads(model)}; EZRIN by {ezrin['name']})."),
        ],
        map(_embryo, embryos),
        command="isl polarity",
        purpose=PURPOSE,
        failed=failed,
        card=card,
    )


_ARMS = {
    "dic": "reads transmitted light",
    "ezrin": "reads predicted EZRIN",
    "dic+ezrin": "reads transmitted light and predicted EZRIN",
}


def _reads(model: Mapping[str, Any]) -> str:
    """What the calls follow from, and what predicted EZRIN has to do with them."""
    reads = _ARMS[model["arm"]]
    if "ezrin" in model["arm"]:
        return reads
    if model["centred"]:
        return f"{reads}, and predicted EZRIN only to find the embryo"
    return f"{reads} alone; predicted EZRIN is shown beside it and has no say"


def _interval(onset: Mapping[str, Any]) -> str:
    """Both ends, as far as they lie in the recording."""
    return (
        f"{onset['low']} or later"
        if onset["high"] is None
        else f"{onset['low']} to {onset['high']}"
    )


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], Cell]] = {
    "Embryo": lambda made: Link(made["embryo"], made["embryo"]),
    "Verdict": lambda made: Badge(*_VERDICTS[made["verdict"]]),
    "Onset": lambda made: made["onset"]["frame"],
    "90 % interval": lambda made: _interval(made["onset"]),
    "Time": lambda made: (
        None if made["onset"]["minutes"] is None else duration(made["onset"]["minutes"])
    ),
    "Agreement": lambda made: f"{made['onset']['agreement']:.0%}",
    "Frames": lambda made: len(made["frames"]),
}


def _embryo(embryo: EmbryoPictures) -> Block:
    made = embryo.made
    name = made["embryo"]
    text = verdict_of(made)
    return section(
        name,
        [
            paragraph(Badge(*_VERDICTS[made["verdict"]]), f" {sentence(text)}"),
            notices(map(sentence, made["warnings"])),
            figure(
                embryo.film_strip,
                alt=f"Film strip of {name}: {text}",
                caption=_FILM_STRIP,
                wide=True,
            ),
            figure(
                embryo.overlays,
                alt=f"Class activation maps over frames of {name} around the onset",
                caption=_OVERLAYS,
                wide=True,
            ),
            folded(f"How {name} was assessed", [facts(_facts(made))]),
        ],
        anchor=name,
    )


def _facts(made: Mapping[str, Any]) -> dict[str, Cell]:
    source, model, ezrin = made["input"], made["model"], made["ezrin_model"]
    by_rule = {
        f"Onset by {_RULES[rule]}": _onset(found["onset"]) for rule, found in made["rules"].items()
    }
    members = ["none" if own is None else str(own) for own in made["members"]["onsets"]]
    return {
        **by_rule,
        "Rule that counts": _RULES[made["rule"]],
        "Onsets of the members": ", ".join(members),
        "Threshold": f"{model['threshold']:g}",
        "Input": f"{source['path']} ({source['axes']} {' x '.join(map(str, source['shape']))})",
        "Frames used": f"{source['first_frame']} to {source['last_frame']}",
        "Interval": _minutes(source["interval_minutes"]),
        "Input sha256": source["sha256"],
        "Model": f"{model['name']}, sha256 {model['sha256']}",
        "EZRIN model": f"{ezrin['name']}, sha256 {ezrin['sha256']}",
        "Computed": f"{made['finished']} on {made['device']} in {made['seconds']:.1f} s",
        "Versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
    }


def _onset(onset: Mapping[str, Any]) -> str:
    if onset["frame"] is None:
        return f"none (90 %: {_interval(onset)})"
    return f"frame {onset['frame']} (90 %: {_interval(onset)})"


def _minutes(interval: float | None) -> str:
    return "not known" if interval is None else f"{interval:g} min"
