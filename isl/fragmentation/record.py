"""The record of a recording, for people and laboratory systems: JSON with a published schema."""

from typing import Any, Literal

import pydantic

from isl.config import Config

PURPOSE = "For research only; it decides nothing about any embryo."
SCHEMA_FILE = "fragmentation.schema.json"


class EmbryoRecord(Config):
    """One embryo in one frame; see `isl.fragmentation.assess.Assessed`."""

    frame: int = pydantic.Field(ge=0, description="Number of the frame, from 0.")
    frame_name: str = pydantic.Field(description="Its file, or 'frame N'.")
    minutes: float | None = pydantic.Field(description="Since the first frame, where known.")
    embryo: int = pydantic.Field(ge=1, description="From 1, left to right.")
    verdict: Literal["graded", "cannot tell"]
    reason: str = pydantic.Field(description="Why it cannot be told.")
    area_pixels: int = pydantic.Field(ge=0)
    share: float | None = pydantic.Field(
        ge=0, le=1, description="Fragment area over embryo area, as the model gives it."
    )
    low: float | None = pydantic.Field(description="Lower end of the 90 % interval.")
    high: float | None = pydantic.Field(description="Upper end of the 90 % interval.")
    share_by_area: float | None = pydantic.Field(description="By the area of the mask.")
    share_by_regression: float | None
    grade: str | None
    probabilities: dict[str, float] = pydantic.Field(description="Of every grade.")
    points_to_next: float | None = pydantic.Field(
        description="Distance of the share to the nearest bound between grades."
    )
    next_grade: str | None
    fragments: int = pydantic.Field(ge=0)
    largest_share: float = pydantic.Field(description="Largest fragment over embryo area.")
    sentence: str


class Record(Config):
    """What became of one recording."""

    schema_version: Literal["isl.fragmentation/1"] = "isl.fragmentation/1"
    made_by: str
    finished: str
    name: str
    input: dict[str, Any] = pydantic.Field(description="Its path, sha256 and number of frames.")
    model: dict[str, str]
    scale: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str]
    purpose: str = PURPOSE
    outputs: list[str] = pydantic.Field(
        default=[], description="Names of the files beside the record."
    )
    warnings: list[str] = pydantic.Field(
        default=[], description="What a person should know, such as frames that are missing."
    )
    embryos: list[EmbryoRecord]


def record_schema() -> dict[str, Any]:
    """The JSON schema of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema()}


COLUMNS = ("name", *(name for name in EmbryoRecord.model_fields if name != "probabilities"))


def rows_of(record: Record) -> list[dict[str, Any]]:
    """The record's embryos as rows of the table; probabilities as columns of their own."""
    rows = []
    for embryo in record.embryos:
        row = {"name": record.name, **embryo.model_dump(exclude={"probabilities"})}
        row |= {f"P({grade})": round(p, 4) for grade, p in embryo.probabilities.items()}
        rows.append(row)
    return rows
