"""What is written of every well: its record, and the rows of the tables that are made from it.

The record (NAME.json) says everything in numbers, so that a well done before stands in a new table
as it did in the old one. Frames count from 0.
"""

from collections import Counter
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
        "planes": assessment.depth,
        "planes_used": [list(planes) for planes in assessment.planes],
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
    "share_of_all",
)


def composition_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A record's rows of composition.csv; see `shares_of_classes`."""
    rows = []
    for t in range(made["frames"]):
        own = [each for each in made["colonies"] if each["time"] == t]
        found = shares_of_classes(
            [each["class"] for each in own],
            np.array([each["probabilities"] for each in own]),
            made["classes"],
            made["model"]["confusion"],
            areas=[each["area"] for each in own],
        )
        frame = {"image": made["image"], "time": t, "minutes": _minutes(made, t)}
        rows += [frame | row for row in found]
    return rows


def shares_of_classes(
    kinds: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    confusion: Sequence[Sequence[float]],
    *,
    areas: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """Shares of the classes among colonies, or cells, of one picture.

    All shares but the last are of those whose class was told, so that those of the classes add up
    to 1; "cannot tell" has none of them. The corrected share allows for how often each class is
    called another (`corrected_composition`), and is empty where that was not measured; the expected
    share is the mean of the calibrated probabilities. The share of all counts "cannot tell", too,
    and adds up to 1 with it. What is a share of nothing is empty.

    Args:
        kinds: What each of N is called.
        probabilities: float [N, K].
        classes: K names.
        confusion: [K, K], or nothing.
        areas: Of each; None: not known.

    Returns:
        A row for each class, and one for "cannot tell" where there are such.
    """
    told = [kind != CANNOT_TELL for kind in kinds]
    shares: dict[str, Sequence[float] | np.ndarray] = {}
    if any(told):
        shares["share"] = np.array([kinds.count(name) for name in classes]) / sum(told)
        shares["expected_share"] = probabilities[told].mean(axis=0)
        if areas is not None:
            own = [
                sum(area for area, kind in zip(areas, kinds, strict=True) if kind == name)
                for name in classes
            ]
            shares["area_share"] = np.array(own) / sum(own)
        if len(confusion):
            corrected = corrected_composition(shares["share"], np.array(confusion, float))
            shares["corrected_share"] = corrected
    rows = []
    for i, name in enumerate((*classes, CANNOT_TELL)):
        count = kinds.count(name)
        if name == CANNOT_TELL and not count:
            continue
        row = {"class": name, "colonies": count}
        for column in ("share", "area_share", "corrected_share", "expected_share"):
            known = column in shares and name != CANNOT_TELL
            row[column] = f"{shares[column][i]:.4f}" if known else ""
        rows.append(row | {"share_of_all": f"{count / len(kinds):.4f}" if kinds else ""})
    return rows


def which_share(*, corrected: bool) -> str:
    """What a report says of the shares that are estimates: which to take.

    Args:
        corrected: Whether the model has a confusion to correct by.
    """
    text = (
        "The expected share is the mean of the calibrated probabilities, and the one to take where "
        "classes may be rarer or more frequent than in training."
    )
    if corrected:
        text += (
            " The corrected share allows for how often the network calls a class another one; "
            "where few validation images measured that, it strays further from the truth."
        )
    return text


def known_alone(subject: str, classes: Sequence[str]) -> str:
    """What a report says of kinds that a model was never shown."""
    return (
        f"The model knows these classes and no other: {', '.join(classes)}. A {subject} of any "
        "other kind is called one of them, unless it cannot be told."
    )


def most_first(kinds: Sequence[str]) -> str:
    """How many there are of each kind, the most frequent first, e.g. "9 spread, 3 dense"."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(sorted(kinds)).most_common())


def sentence(made: Mapping[str, Any]) -> str:
    """What was found, e.g. "12 colonies (9 spread, 3 dense)"."""
    last = made["frames"] - 1
    own = [each for each in made["colonies"] if each["time"] == last]
    when = "" if made["frames"] == 1 else f" in frame {last}"
    if not own:
        return f"no colony{when}"
    listed = most_first([each["class"] for each in own])
    return f"{len(own)} {'colony' if len(own) == 1 else 'colonies'}{when} ({listed})"
