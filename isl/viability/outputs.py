"""What `isl viability` leaves: a record and a film strip an embryo, one table, one report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isl.files.provenance import made_by
from isl.imaging.outputs.results import ResultFiles
from isl.viability.assess import Assessment
from isl.viability.model import PURPOSE, SIMULATED, ViabilityModel, Word
from isl.viability.recording import Recording

TABLE = "viability.csv"
REPORT = "report.html"
COLUMNS = (
    "recording",
    "target",
    "probability",
    "low",
    "high",
    "verdict",
    "cohort",
    "rank",
    "cohort_size",
    "hours",
    "purpose",
)


def files_of(folder: Path, name: str) -> ResultFiles:
    """The files of one embryo in a folder of results; the film strip is its preview."""
    return ResultFiles(
        images={},
        preview=folder / f"{name}.film_strip.png",
        record=folder / f"{name}.json",
    )


def record(
    assessment: Assessment,
    recording: Recording,
    model: ViabilityModel,
    *,
    settings: Mapping[str, Any],
    files: ResultFiles,
    device: str,
    seconds: float,
) -> dict[str, Any]:
    """Everything found out about one embryo, and how.

    Args:
        assessment: What was found.
        recording: Of what.
        model: By which model.
        settings: What was asked for.
        files: Where its film strip is written.
        device: What computed it.
        seconds: Wall time.
    """
    film, place = assessment.film, recording.place
    facts = {"sha256": film.source, "frames": len(recording)}
    made = made_by("isl viability", source=place.path, facts=facts, settings=settings)
    return made | {
        "purpose": PURPOSE,
        **({"warning": SIMULATED} if model.config.simulated else {}),
        "recording": place.name,
        "cohort": place.cohort,
        "targets": [word_record(word) for word in assessment.words],
        "by_hour": [
            {"hours": hour, **word_record(word)} for hour, word in assessment.by_hour.items()
        ],
        "members": {
            "count": len(assessment.member_logits),
            "logits": [[round(float(v), 5) for v in own] for own in assessment.member_logits],
        },
        "key_frames": [
            {
                "frame": int(index),
                "name": recording.frame_names[int(index)],
                "hours": round(float(hour), 4),
                "why": why,
            }
            for index, hour, why in zip(film.indices, film.hours, film.why, strict=True)
        ],
        "covered": round(assessment.covered, 4),
        "blank_frames": list(assessment.blank),
        "outputs": [path.name for path in files.all[:-1]],
        "model": {"name": model.name, "sha256": model.hash},
        "device": device,
        "seconds": round(seconds, 3),
    }


def word_record(word: Word) -> dict[str, Any]:
    """What is said of one target, as it is stored."""
    return {
        "target": word.target,
        "probability": round(word.probability, 5),
        "low": round(word.low, 5),
        "high": round(word.high, 5),
        "verdict": "estimate" if word.can_tell else "cannot_tell",
    }


def rows(
    made: Mapping[str, Any], ranks: Mapping[str, int | None], size: int
) -> list[dict[str, str]]:
    """A record's rows of viability.csv, by `COLUMNS`.

    Args:
        made: The record.
        ranks: The embryo's place in its cohort, by target.
        size: Of its cohort; 0: it has none.
    """
    hours = made["key_frames"][-1]["hours"]
    return [
        {
            "recording": made["recording"],
            "target": word["target"],
            "probability": f"{word['probability']:.4f}",
            "low": f"{word['low']:.4f}",
            "high": f"{word['high']:.4f}",
            "verdict": word["verdict"],
            "cohort": made["cohort"],
            "rank": "" if ranks[word["target"]] is None else str(ranks[word["target"]]),
            "cohort_size": str(size or ""),
            "hours": f"{hours:g}",
            "purpose": "research only",
        }
        for word in made["targets"]
    ]


def sentence(word: Mapping[str, Any]) -> str:
    """What is said of one target, in words."""
    between = f"90 % interval {word['low']:.2f} to {word['high']:.2f}"
    if word["verdict"] == "cannot_tell":
        return f"{word['target']}: cannot tell ({between}; the networks do not agree)"
    return f"{word['target']}: {word['probability']:.2f} ({between})"


def in_order(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Records by cohort, then in the order they were made."""
    return sorted(records, key=lambda made: made["cohort"])
