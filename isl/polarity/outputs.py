"""What is written of every embryo: its record, rows of the tables, and its place on the disk.

The record (NAME.json) says everything in numbers; rows of the tables and sentences are made from it
alone, so that an embryo done before stands in a new table as it did in the old one. Frames are
counted from 0 in file order throughout, whether or not all of them were used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import as_options
from isl.files.provenance import made_by
from isl.imaging.image import FluorescenceImage
from isl.imaging.outputs.results import ResultFiles
from isl.labeling.run.outputs import as_stored
from isl.polarity.assess import EZRIN_STATISTICS, Assessment, OnsetModel
from isl.polarity.onset import Onset

PURPOSE = "For research only; not for clinical use."
ONSET_COLUMNS = (
    "embryo",
    "verdict",
    "onset_frame",
    "onset_low",
    "onset_high",
    "onset_minutes",
    "censored",
    "agreement",
    "frames",
)
FRAME_COLUMNS = ("embryo", "frame", "name", "probability", "call", "smoothed")
# Predicted images are stored as integers; full scale is 1.0.
PIXEL_TYPE = "uint16"
OVERLAYS = "activation"


def files_of(folder: Path, name: str) -> ResultFiles:
    """The files of the embryo `name` in `folder`; the film strip is its preview."""
    mean, deviation = EZRIN_STATISTICS
    return ResultFiles(
        images={
            mean: folder / f"{name}.ezrin.ome.tif",
            deviation: folder / f"{name}.ezrin.{deviation}.ome.tif",
            OVERLAYS: folder / f"{name}.{OVERLAYS}.png",
        },
        preview=folder / f"{name}.film_strip.png",
        record=folder / f"{name}.json",
    )


def ezrin_image(assessment: Assessment, statistic: str) -> FluorescenceImage:
    """One statistic of predicted EZRIN as it is stored, uint16 [T, 1, Y, X]; 65535 is 1.0."""
    return as_stored(assessment.ezrin.image(statistic), PIXEL_TYPE)


def record(
    assessment: Assessment,
    model: OnsetModel,
    *,
    ezrin_model: Mapping[str, str],
    settings: Mapping[str, Any],
    source_hash: str,
    files: ResultFiles,
    device: str,
    seconds: float,
) -> dict[str, Any]:
    """Everything found out about one embryo, and how.

    Args:
        assessment: What was found.
        model: By which ensemble.
        ezrin_model: Name and sha256 of the labeling model.
        settings: What was asked for.
        source_hash: `isl.imaging.inputs.steady.content_hash` of the input.
        files: Where the images are written.
        device: What computed it.
        seconds: Wall time from opening the input to the onset.
    """
    recording = assessment.recording
    facts = {
        "sha256": source_hash,
        "axes": "TZYX",
        "shape": list(recording.frames.shape),
        "dtype": str(recording.frames.dtype),
        "first_frame": recording.numbers[0],
        "last_frame": recording.numbers[-1],
        "interval_minutes": recording.interval,
    }
    if (window := recording.window) is not None:
        facts["window"] = {
            "embryo": window.number,
            "side": window.side,
            "corners": window.corners[list(recording.numbers)].tolist(),
        }
    made = made_by("isl polarity", source=recording.source, facts=facts, settings=settings)
    return made | {
        "purpose": PURPOSE,
        "embryo": recording.name,
        **_onset_record(assessment, assessment.onset),
        "refused": assessment.refused,
        "rule": assessment.rule,
        "rules": {rule: _onset_record(assessment, one) for rule, one in assessment.onsets.items()},
        "frames": _frame_records(assessment),
        "members": _member_records(assessment),
        "defects": [
            {
                "kind": defect.kind,
                "frame": assessment.recording.numbers[defect.frame],
                "found": defect.words,
            }
            for defect in assessment.defects
        ],
        "posterior": {
            "meaning": "P(onset = frame) for every frame used, and after the last one",
            "values": _rounded(assessment.onset.posterior),
        },
        "model": {
            "name": model.name,
            "sha256": model.hash,
            "arm": model.config.arm,
            "combine": model.config.combine,
            "threshold": model.config.threshold,
            "centred": model.config.centred,
        },
        "ezrin_model": dict(ezrin_model),
        "outputs": [path.name for path in files.all[:-1]],
        "warnings": [as_options(warning) for warning in assessment.warnings],
        "device": device,
        "seconds": round(seconds, 3),
    }


def onset_row(made: Mapping[str, Any]) -> dict[str, str]:
    """A record's row of onsets.csv, by `ONSET_COLUMNS`; what is not known is empty."""
    onset = made["onset"]
    return {
        "embryo": made["embryo"],
        "verdict": made["verdict"],
        "onset_frame": _cell(onset["frame"]),
        "onset_low": _cell(onset["low"]),
        "onset_high": _cell(onset["high"]),
        "onset_minutes": _cell(onset["minutes"]),
        "censored": str(int(onset["censored"])),
        "agreement": f"{onset['agreement']:.4g}",
        "frames": str(len(made["frames"])),
    }


def frame_rows(made: Mapping[str, Any]) -> list[dict[str, str]]:
    """A record's rows of frames.csv, by `FRAME_COLUMNS`."""
    return [
        {
            "embryo": made["embryo"],
            "frame": str(frame["frame"]),
            "name": frame["name"],
            "probability": f"{frame['probability']:.6f}",
            "call": str(frame["call"]),
            "smoothed": str(frame["smoothed"]),
        }
        for frame in made["frames"]
    ]


def sentence(made: Mapping[str, Any]) -> str:
    """What was found, e.g. "polarized at frame 21 (14 h 0 min), between 19 and 22"."""
    onset = made["onset"]
    first, last = made["frames"][0]["frame"], made["frames"][-1]["frame"]
    between = _between(onset, last)
    if onset["censored"]:
        found = f"not polarized in frames {first} to {last}"
    elif onset["left_censored"]:
        found = f"polarized at frame {first} or before{_clock(onset['minutes'])}"
    else:
        found = f"polarized at frame {onset['frame']}{_clock(onset['minutes'])}"
    if made["verdict"] != "cannot_tell":
        return f"{found}, {between}"
    if made.get("refused") is not None:
        return f"cannot tell: {made['refused']}"
    members = made["members"]["count"]
    agreeing = round(onset["agreement"] * members)
    if 3 * agreeing >= 2 * members:
        return (
            f"cannot tell: it may be anywhere from frame {first} or before to after frame {last}; "
            f"most likely {found}"
        )
    return (
        f"cannot tell: {agreeing} of {members} members agree within 2 frames; most likely {found}, "
        f"{between}"
    )


def duration(minutes: float) -> str:
    """Minutes as a person says them, e.g. "14 h 0 min" or "40 min"."""
    whole = round(minutes)
    return f"{whole // 60} h {whole % 60} min" if whole >= 60 else f"{minutes:.3g} min"


def _onset_record(assessment: Assessment, onset: Onset) -> dict[str, Any]:
    recording = assessment.recording
    minutes = None if onset.frame is None else recording.minutes(onset.frame)
    return {
        "verdict": onset.verdict,
        "onset": {
            "frame": _number(assessment, onset.frame),
            "name": None if onset.frame is None else recording.frame_names[onset.frame],
            "minutes": minutes,
            "low": _number(assessment, onset.low),
            "high": _number(assessment, onset.high),
            "censored": onset.censored,
            "left_censored": onset.left_censored,
            "agreement": onset.agreement,
        },
    }


def _number(assessment: Assessment, t: int | None) -> int | None:
    """A frame of those used, as it is counted in the file; the one after the last follows on it."""
    if t is None:
        return None
    numbers = assessment.recording.numbers
    return numbers[t] if t < len(numbers) else numbers[-1] + 1


def _frame_records(assessment: Assessment) -> list[dict[str, Any]]:
    recording, onset = assessment.recording, assessment.onset
    return [
        {
            "frame": number,
            "name": recording.frame_names[t],
            "minutes": recording.minutes(t),
            "probability": round(float(onset.probability[t]), 6),
            "call": int(onset.calls[t]),
            "smoothed": int(onset.smoothed[t]),
        }
        for t, number in enumerate(recording.numbers)
    ]


def _member_records(assessment: Assessment) -> dict[str, Any]:
    members = assessment.member_probabilities
    frames = members.shape[1]
    return {
        "count": len(members),
        "onsets": [
            None if own == frames else _number(assessment, own)
            for own in assessment.onset.member_onsets
        ],
        "probabilities": [_rounded(own) for own in members],
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _between(onset: Mapping[str, Any], last: int) -> str:
    """The 90 % interval in words."""
    low, high = onset["low"], onset["high"]
    if low > last:
        return f"after frame {last}"
    if high is None:
        return f"not before frame {low}"
    return f"between {low} and {high}"


def _clock(minutes: float | None) -> str:
    return "" if minutes is None else f" ({duration(minutes)})"
