"""What `isl viability` leaves: a record and a film strip an embryo, one table, one report."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isl.errors import as_options
from isl.files.provenance import made_by
from isl.imaging.outputs.results import ResultFiles
from isl.viability.assess import Assessment, ranks
from isl.viability.model import PURPOSE, SIMULATED, TargetConfig, ViabilityModel, Word
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
    "role",
    "rank_by",
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
    warnings: Sequence[str] = (),
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
        warnings: What a person should know.
    """
    film, place = assessment.film, recording.place
    facts = {"sha256": film.source, "frames": len(recording)}
    made = made_by("isl viability", source=place.path, facts=facts, settings=settings)
    return made | {
        "purpose": PURPOSE,
        **({"warning": SIMULATED} if model.config.simulated else {}),
        "recording": place.name,
        "cohort": place.cohort,
        "main": word_record(assessment.main),
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
        "warnings": [as_options(warning) for warning in warnings],
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rank:
    """An embryo's place in its cohort.

    Attributes:
        place: From 1, the best.
        size: Of the cohort.
        by: By what, such as "highest heartbeat first".
    """

    place: int
    size: int
    by: str

    def __str__(self) -> str:
        """E.g. "2 of 5"."""
        return f"{self.place} of {self.size}"


Ranks = Mapping[str, Mapping[str, Rank | None]]
"""Places by recording and target; None where nobody says what cohort a recording is of."""


def ranked(records: Sequence[Mapping[str, Any]], targets: Sequence[TargetConfig]) -> Ranks:
    """The place of every embryo in its cohort, for every target.

    Args:
        records: Of all embryos.
        targets: Of the model that made them.
    """
    cohorts = [made["cohort"] for made in records]
    sizes = Counter(cohorts)
    found: dict[str, dict[str, Rank | None]] = {made["recording"]: {} for made in records}
    for number, target in enumerate(targets):
        values = [made["targets"][number]["probability"] for made in records]
        by = f"{'lowest' if target.unwanted else 'highest'} {target.name} first"
        places = ranks(cohorts, values, unwanted=target.unwanted)
        for made, place in zip(records, places, strict=True):
            found[made["recording"]][target.name] = (
                None if place is None else Rank(place=place, size=sizes[made["cohort"]], by=by)
            )
    return found


def main_first(records: Sequence[Mapping[str, Any]], places: Ranks) -> list[dict[str, str]]:
    """Rows of viability.csv: the main target of every recording, then the others."""
    each = [rows(made, places[made["recording"]]) for made in records]
    return [own[0] for own in each] + [row for own in each for row in own[1:]]


def rows(made: Mapping[str, Any], places: Mapping[str, Rank | None]) -> list[dict[str, str]]:
    """A record's rows of viability.csv, by `COLUMNS`, the main target's first.

    Args:
        made: The record.
        places: The embryo's place in its cohort, by target.
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
            "rank": "" if rank is None else str(rank.place),
            "cohort_size": "" if rank is None else str(rank.size),
            "hours": f"{hours:g}",
            "purpose": "research only",
            "role": "other" if number else "main",
            "rank_by": "" if rank is None else rank.by,
        }
        for number, word in enumerate(made["targets"])
        for rank in [places[word["target"]]]
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
