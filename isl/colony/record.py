"""What is written of every well: its record, and the rows of the tables that are made from it.

The record (NAME.json) says everything in numbers, so that a well done before stands in a new table
as it did in the old one. Frames count from 0.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.colony.assess import CANNOT_TELL, Assessment
from isl.colony.model import ColonyModel, corrected_composition
from isl.errors import as_options
from isl.files.provenance import made_by
from isl.imaging.outputs.results import ResultFiles
from isl.imaging.times import minutes_at

PURPOSE = "For research only."


def files_of(folder: Path, name: str) -> ResultFiles:
    """The files of the well `name` in `folder`; the overlay is its preview."""
    return ResultFiles(
        images={"colonies": folder / f"{name}.ome.tif"},
        preview=folder / f"{name}.overlay.png",
        record=folder / f"{name}.json",
    )


def record(
    assessment: Assessment,
    model: ColonyModel,
    *,
    settings: Mapping[str, Any],
    source_hash: str,
    files: ResultFiles,
    device: str,
    seconds: float,
) -> dict[str, Any]:
    """Everything found out about one well, and how."""
    config = model.config
    facts = {"sha256": source_hash, "shape": list(assessment.labels.shape)}
    made = made_by("isl colony", source=assessment.source, facts=facts, settings=settings)
    return made | {
        "purpose": PURPOSE,
        "image": assessment.name,
        "frames": len(assessment.labels),
        "pixel_size": assessment.pixel_size,
        "interval_minutes": assessment.interval,
        "minutes": [None if m is None else round(m, 4) for m in assessment.minutes],
        "classes": list(config.classes),
        "colonies": [
            {
                "time": colony.time,
                "colony": colony.number,
                "box": list(colony.box),
                "area": colony.area,
                "border": colony.border,
                "class": colony.kind,
                "probabilities": [round(p, 6) for p in colony.probabilities],
                "patches": colony.patches,
            }
            for colony in assessment.colonies
        ],
        "model": {
            "name": model.name,
            "sha256": model.hash,
            "temperature": config.temperature,
            "undecided": config.undecided,
            "confusion": [list(row) for row in config.confusion],
            "calibration_error": list(config.calibration_error),
        },
        "outputs": [path.name for path in files.all[:-1]],
        "warnings": [as_options(warning) for warning in assessment.warnings],
        "device": device,
        "seconds": round(seconds, 3),
    }


def colony_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Columns of colonies.csv."""
    return (
        *("image", "time", "minutes", "colony", "class", "probability"),
        *(f"p_{name}" for name in classes),
        *("area_pixels", "area_um2", "border", "top", "left", "bottom", "right", "patches"),
    )


def colony_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A record's rows of colonies.csv; what is not known is empty."""
    size = made["pixel_size"]
    return [
        {
            "image": made["image"],
            "time": each["time"],
            "minutes": _minutes(made, each["time"]),
            "colony": each["colony"],
            "class": each["class"],
            "probability": f"{max(each['probabilities']):.4f}",
            **{
                f"p_{name}": f"{p:.4f}"
                for name, p in zip(made["classes"], each["probabilities"], strict=True)
            },
            "area_pixels": each["area"],
            "area_um2": "" if size is None else f"{each['area'] * size**2:.1f}",
            "border": int(each["border"]),
            **dict(zip(("top", "left", "bottom", "right"), each["box"], strict=True)),
            "patches": each["patches"],
        }
        for each in made["colonies"]
    ]


def _minutes(made: Mapping[str, Any], t: int) -> str:
    """When a frame was taken, since the first; empty where nobody knows.

    Records from before frames had times of their own have an interval alone.
    """
    if "minutes" in made:
        minutes = made["minutes"][t]
    else:
        minutes = minutes_at(t, made["interval_minutes"])
    return "" if minutes is None else f"{minutes:g}"


COMPOSITION_COLUMNS = (
    "image",
    "time",
    "minutes",
    "class",
    "colonies",
    "share",
    "area_share",
    "corrected_share",
    "expected_share",
)


def composition_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A record's rows of composition.csv: one for every frame and class.

    Shares are of the colonies that were told; "cannot tell" has its count and its share of all. The
    corrected share allows for how often each class is called another (`corrected_composition`); it
    is empty where the model's confusion was not measured or nothing was told. The expected share is
    the mean of the calibrated probabilities.
    """
    confusion = np.array(made["model"]["confusion"], float)
    rows = []
    for t in range(made["frames"]):
        own = [each for each in made["colonies"] if each["time"] == t]
        told = [each for each in own if each["class"] != CANNOT_TELL]
        counts = [sum(each["class"] == name for each in told) for name in made["classes"]]
        areas = [
            sum(each["area"] for each in told if each["class"] == name) for name in made["classes"]
        ]
        corrected: Sequence[float] | None = None
        if len(confusion) and told:
            shares = np.array(counts) / len(told)
            corrected = [float(s) for s in corrected_composition(shares, confusion)]
        expected = np.mean([each["probabilities"] for each in told], axis=0) if told else ()
        shared = {
            "image": made["image"],
            "time": t,
            "minutes": _minutes(made, t),
        }
        for i, name in enumerate(made["classes"]):
            rows.append(
                {
                    **shared,
                    "class": name,
                    "colonies": counts[i],
                    "share": f"{counts[i] / len(told):.4f}" if told else "",
                    "area_share": f"{areas[i] / sum(areas):.4f}" if told else "",
                    "corrected_share": f"{corrected[i]:.4f}" if corrected else "",
                    "expected_share": f"{expected[i]:.4f}" if told else "",
                }
            )
        unknown = len(own) - len(told)
        if unknown:
            rows.append(
                {
                    **shared,
                    "class": CANNOT_TELL,
                    "colonies": unknown,
                    "share": f"{unknown / len(own):.4f}",
                    "area_share": "",
                    "corrected_share": "",
                    "expected_share": "",
                }
            )
    return rows


def known_alone(subject: str, classes: Sequence[str]) -> str:
    """What a report says of kinds that a model was never shown."""
    return (
        f"The model knows these classes and no other: {', '.join(classes)}. A {subject} of any "
        "other kind is called one of them, unless it cannot be told."
    )


def sentence(made: Mapping[str, Any]) -> str:
    """What was found, e.g. "12 colonies (9 spread, 3 dense)"."""
    last = made["frames"] - 1
    own = [each for each in made["colonies"] if each["time"] == last]
    when = "" if made["frames"] == 1 else f" in frame {last}"
    if not own:
        return f"no colony{when}"
    counts = {
        name: sum(each["class"] == name for each in own) for name in (*made["classes"], CANNOT_TELL)
    }
    listed = ", ".join(
        f"{count} {name}"
        for name, count in sorted(counts.items(), key=lambda item: -item[1])
        if count
    )
    return f"{len(own)} {'colony' if len(own) == 1 else 'colonies'}{when} ({listed})"
