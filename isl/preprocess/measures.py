"""What quality is judged by, measured of a field that is put together."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.imaging.sharpness import index_of_sharpest, sharpness
from isl.preprocess import scratch
from isl.preprocess.quality import Measures
from isl.preprocess.stages.image_quality import content, uneven
from isl.preprocess.stages.registration import Shift
from isl.preprocess.stages.springs import Placement
from isl.preprocess.stored import Canvases
from isl.preprocess.tiles import CorrectedTiles
from isl.workers import Workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaneMeasures:
    """What is measured of a plane of transmitted light: see `sharpness` and `content`."""

    sharpness: float
    content: float


def measure_planes(
    canvases: Canvases, channel: str, error: float, workers: Workers
) -> tuple[PlaneMeasures, ...]:
    """Sharpness and content of every plane of a channel.

    Args:
        canvases: The field.
        channel: Of transmitted light.
        error: What dust errs by, see `Estimates`.
        workers: Who does it.
    """
    file = canvases.files[channel]
    one = functools.partial(_measure_plane, file=file, covered=canvases.covered, error=error)
    return tuple(workers.map(one, range(scratch.shape_of(file)[0])))


def _measure_plane(plane: int, *, file: Path, covered: np.ndarray, error: float) -> PlaneMeasures:
    image = scratch.load(file, plane=plane)
    imprint = error * float(image[covered].mean(dtype=np.float64))
    return PlaneMeasures(
        sharpness=sharpness(image, covered), content=content(image, covered, imprint=imprint)
    )


def measure_field(
    name: str,
    canvases: Canvases,
    transmitted: str,
    tiles: Mapping[str, CorrectedTiles],
    placement: Placement,
    planes: Sequence[PlaneMeasures],
    shifts: Mapping[str, Shift],
) -> Measures:
    """All that quality is judged by.

    Args:
        name: Of the field.
        canvases: It, put together.
        transmitted: The channel of transmitted light.
        tiles: Of each channel.
        placement: Where they lie.
        planes: What `measure_planes` gave.
        shifts: How each label lies to transmitted light.
    """
    sharpest = index_of_sharpest([plane.sharpness for plane in planes])
    trusted = placement.trusted
    residuals = placement.residuals[trusted]
    known = [shift.length for shift in shifts.values() if shift.known]
    in_labels = [
        content(scratch.load(canvases.files[label], plane=0), canvases.covered, tiles[label].noise)
        for label in shifts
    ]
    light = scratch.load(canvases.files[transmitted], plane=sharpest)
    return Measures(
        field=name,
        sharpness=planes[sharpest].sharpness,
        sharpest_plane=sharpest,
        content=max(plane.content for plane in planes),
        label_content=min(in_labels) if in_labels else None,
        saturated=max(each.saturated for each in tiles.values()),
        uneven=uneven(light, canvases.covered),
        stitching_residual=float(np.sqrt(np.mean(residuals**2))) if len(residuals) else None,
        trusted_links=float(np.mean(trusted)) if len(trusted) else None,
        registration_shift=max(known) if known else None,
    )
