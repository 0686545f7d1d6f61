"""Nuclei of living and dead cells, divided by people's points, in measured and predicted images."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from skimage.segmentation import relabel_sequential

from isl.data.points import Points, joined_points
from isl.errors import InputError
from isl.imaging.image import PixelSize

from ..metrics.live_dead import STATES, LiveDead, State, live_and_dead, together
from ..metrics.object_matching import SizeTest, compare_sizes, objects_that_count
from .config import LabelingEvaluation, of_field
from .ground import Ground
from .points import check_own_files, points_of

Image = Literal["measured", "predicted"]
IMAGES: tuple[Image, ...] = ("measured", "predicted")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """Where people marked cells of one field.

    Attributes:
        points: All that were marked.
        state: What these cells are; all others are the other.
        reach: Of a point, micrometres.
        pixel_size: Of the field, micrometres.
    """

    points: Points
    state: State
    reach: float
    pixel_size: PixelSize


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LiveDeadScores:
    """Nuclei of living and dead cells, of a field or of all of them.

    Attributes:
        measured: Those of the measured image.
        predicted: Those of the predicted image, divided by the same points.
        between: Kolmogorov-Smirnov, measured against predicted, by state.
        notes: What is undefined, and why.
    """

    measured: LiveDead
    predicted: LiveDead
    between: Mapping[str, SizeTest]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RadiusSummary:
    """Radii of the nuclei of one state in one image.

    Attributes:
        nuclei: How many.
        mean: Micrometres; None: there is none.
        deviation: Unbiased sample deviation; None: fewer than two.
    """

    nuclei: int
    mean: float | None
    deviation: float | None


AllMarks = Mapping[tuple[str, str], Marks]
"""By label and field."""


def read_marks(
    config: LabelingEvaluation, folder: Path, ground: Ground
) -> tuple[AllMarks, tuple[str, ...]]:
    """Reads all marked cells that a configuration names, before anything is computed.

    Args:
        config: What was asked for.
        folder: Where its file lies.
        ground: Whose fields may be marked.

    Returns:
        The marks, and a line for each field that has none.

    Raises:
        InputError: A file cannot be read, no field has one, or a marked field has no pixel size.
    """
    marks: dict[tuple[str, str], Marks] = {}
    notes = []
    for label, entry in config.live_dead.items():
        shown = [field for field in ground.fields if label in field.pixels]
        check_own_files(f"live_dead.{label}", entry.files, shown)
        for field in shown:
            paths = [
                path
                for text in entry.files
                if (path := of_field(text, folder, field.name)).is_file()
            ]
            if not paths:
                notes.append(
                    f"Field {field.name} has no file of points: its {label} nuclei are not divided."
                )
                continue
            if field.pixel_size is None:
                raise InputError(
                    f"live_dead.{label}: {entry.reach:g} um around a point need the pixel size of "
                    f"field '{field.name}', which nothing says; give it 'pixel_size' in the dataset"
                )
            marks[label, field.name] = Marks(
                points=joined_points(
                    {path: points_of(path, field, entry.unit) for path in paths}, entry.state
                ),
                state=entry.state,
                reach=entry.reach,
                pixel_size=field.pixel_size,
            )
        if not any(marked == label for marked, _ in marks):
            first = of_field(entry.files[0], folder, shown[0].name)
            raise InputError(
                f"live_dead.{label}: no field has a file of points such as {first}; correct "
                f"'{entry.state}'"
            )
    return marks, tuple(notes)


def nuclei_by_state(
    measured: np.ndarray, predicted: np.ndarray, mask: np.ndarray, marks: Marks
) -> LiveDeadScores:
    """Nuclei of one field: labels int [Y, X] of either image, bool [Y, X] mask.

    Nuclei that are cut off by the image's edge or the mask have no size to compare.
    """
    divided = {
        name: live_and_dead(
            _whole(labels, mask),
            marks.points,
            marks.pixel_size,
            state=marks.state,
            reach=marks.reach,
        )
        for name, labels in zip(IMAGES, (measured, predicted), strict=True)
    }
    notes = [line for name, found in divided.items() for line in _notes(name, found, marks)]
    return _compared(**divided, notes=tuple(notes))


def all_nuclei(fields: Sequence[LiveDeadScores]) -> LiveDeadScores | None:
    """The nuclei of all fields as one sample; None where no field was marked."""
    if not fields:
        return None
    measured, predicted = (together([getattr(each, name) for each in fields]) for name in IMAGES)
    notes = [
        f"no {name} nucleus counts as that of a {state} cell: its sizes cannot be compared"
        for name, found in zip(IMAGES, (measured, predicted), strict=True)
        for state in STATES
        if not getattr(found, state).size
    ]
    return _compared(measured, predicted, tuple(notes))


def summary_of(scores: LiveDeadScores, image: Image, state: State) -> RadiusSummary:
    """How many nuclei there are of one state in one image, and how large they are."""
    radii = getattr(getattr(scores, image), state)
    return RadiusSummary(
        nuclei=radii.size,
        mean=float(radii.mean()) if radii.size else None,
        deviation=float(radii.std(ddof=1)) if radii.size > 1 else None,
    )


def _compared(measured: LiveDead, predicted: LiveDead, notes: tuple[str, ...]) -> LiveDeadScores:
    between = {
        state: compare_sizes(getattr(measured, state), getattr(predicted, state))
        for state in STATES
    }
    return LiveDeadScores(measured=measured, predicted=predicted, between=between, notes=notes)


def _whole(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The objects that count, int [Y, X]."""
    numbered = relabel_sequential(labels)[0]
    counts = objects_that_count(numbered, mask, exclude_edge=True)
    return np.where(np.concatenate([[False], counts])[numbered], numbered, 0)


def _notes(name: str, found: LiveDead, marks: Marks) -> list[str]:
    if not found.live.size + found.dead.size:
        return [f"the {name} image holds no nucleus that counts, live or dead"]
    if not found.points:
        return [f"no {marks.state} cell was marked in it"] if name == IMAGES[0] else []
    if not found.met:
        return [
            f"no nucleus of the {name} image lies within {marks.reach:g} um of a point marked "
            f"{marks.state}; look whether the points are pixels of this image"
        ]
    return []
