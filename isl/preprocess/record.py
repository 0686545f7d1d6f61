"""What was done to a field, beside its images: where its tiles lie, and how to undo its scale."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pydantic

from isl.files.whole import write_text
from isl.preprocess.quality import Measures
from isl.preprocess.stages.normalization import Normalization
from isl.preprocess.stages.registration import Shift


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlacedTile:
    """A tile on the canvas; lengths in pixels of the result.

    Attributes:
        name: What the layout calls it.
        nominal: (y, x) of its first pixel where it should lie.
        position: (y, x) where it lies.
        anchored: Whether only the layout says so, because no neighbour does.
    """

    name: str
    nominal: tuple[float, float]
    position: tuple[float, float]
    anchored: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredLink:
    """What two neighbours say of each other.

    Attributes:
        tiles: Their indices.
        offset: (y, x) of the second's first pixel from the first's.
        confidence: 0 to 1.
        residual: Pixels between that and where they lie.
        trusted: Whether it was believed.
    """

    tiles: tuple[int, int]
    offset: tuple[float, float]
    confidence: float
    residual: float
    trusted: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldRecord:
    """A finished field.

    Attributes:
        name: Of the field.
        group: Well, embryo or patient.
        condition: What was done to its cells; "" where nothing says.
        inputs: Digest of the names, sizes and times of its files.
        size: Y, X of the canvas.
        tile_size: Y, X of a tile on it.
        pixel_size: Micrometres, or None.
        z_step: Micrometres between the planes kept, or None.
        planes: Which of the acquired planes were kept.
        sharpness: Of every acquired plane of transmitted light.
        sharpest: Which of them is sharpest.
        tiles: Where they lie.
        links: What neighbours say of each other.
        covered: Share of the canvas that tiles cover.
        exposures: Of each channel, summed.
        gains: Of each channel, what each tile was divided by.
        normalization: Of each channel, one a plane kept; its inverse gives counts again.
        registration: How each label lies to transmitted light.
        measures: What quality is judged by.
        warnings: What a person should know.
    """

    name: str
    group: str
    inputs: str
    size: tuple[int, int]
    tile_size: tuple[int, int]
    pixel_size: float | None
    z_step: float | None
    planes: tuple[int, ...]
    sharpness: tuple[float, ...]
    sharpest: int
    tiles: tuple[PlacedTile, ...]
    links: tuple[MeasuredLink, ...]
    covered: float
    exposures: dict[str, int]
    gains: dict[str, tuple[float, ...]]
    normalization: dict[str, tuple[Normalization, ...]]
    registration: dict[str, Shift]
    measures: Measures
    warnings: tuple[str, ...]
    condition: str = ""

    @property
    def residuals(self) -> list[float]:
        """Of the links that were believed, pixels."""
        return [link.residual for link in self.links if link.trusted]


def write_record(path: Path, record: FieldRecord, beside: Sequence[Path] = ()) -> None:
    """Writes a record as JSON.

    Args:
        path: The file.
        record: What is written.
        beside: Images of the field that are no transmitted light: nobody who looks for inputs takes
            them for any (see `isl.files.provenance.results_in`).

    Raises:
        InputError: It cannot be written.
    """
    said = {
        "made_by": "isl preprocess",
        "outputs": [file.name for file in beside],
        **dataclasses.asdict(record),
    }
    write_text(path, json.dumps(said, indent=1) + "\n", overwrite=True)


def read_record(path: Path) -> FieldRecord:
    """What `write_record` wrote.

    Raises:
        OSError: It is not there.
        ValueError: It is no such record.
    """
    return _ADAPTER.validate_json(path.read_bytes())


_ADAPTER = pydantic.TypeAdapter(FieldRecord)
