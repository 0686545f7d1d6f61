"""The TOML of a labeling evaluation: which models, on which ground, judged how."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from isl.config import Config
from isl.data.splits import Split
from isl.tiling.plan import Stitch

from ..metrics.live_dead import REACH, State
from ..statistics.resampled import ResampledConfig


def _several(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


Members = Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)]
"""One model, or several that are mixed as distributions."""


Unit = Literal["pixels", "micrometres"]
"""Of positions in tables of points: micrometres as Fiji writes them of images that have a scale."""


def of_field(text: str, folder: Path, field: str) -> Path:
    """The path that a configuration in a folder means for one field: {field} is its name."""
    return folder / text.replace("{field}", field)


class AnnotatedPoints(Config):
    """Points that people set into measured and predicted images, in place of segmented objects.

    In paths, which are relative to the configuration's file, {field} stands for a field's name;
    fields without a file were not annotated. Who saw nothing in one gives a table without rows.

    Attributes:
        label: In whose images.
        of: Whose predicted images the people saw, in words.
        measured: By annotator, the CSV of points in a measured image; columns y, x (pixels) and,
            if wanted, kind.
        predicted: By annotator, the same of a predicted image.
        diameter: Of the disc around a point, pixels.
        exclude_edge: Whether discs that touch the image's edge are left out, as nuclei are.
        mask: An image that is 0 where points are left out, such as where nuclei lie too densely.
        debris: Points that someone set at debris in the transmitted light; points of predicted
            images that were added there are no errors. Of several files for a field all count.
        unit: Of the positions in all of these tables.
    """

    label: str
    of: str = ""
    measured: Mapping[str, str] = pydantic.Field(min_length=1)
    predicted: Mapping[str, str] = pydantic.Field(default_factory=dict)
    diameter: float = pydantic.Field(ge=1, allow_inf_nan=False)
    exclude_edge: bool = True
    mask: str | None = None
    debris: Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)] = ()
    unit: Unit = "pixels"

    @pydantic.model_validator(mode="after")
    def _something_to_compare(self) -> "AnnotatedPoints":
        strangers = set(self.predicted) - set(self.measured)
        if strangers:
            raise ValueError(
                f"annotator '{min(strangers)}' of 'predicted' has no points in 'measured'"
            )
        if not self.predicted and len(self.measured) < 2:
            raise ValueError("give 'predicted', or two annotators or more to compare")
        if self.debris and not self.predicted:
            raise ValueError("'debris' is where predicted points were added; give 'predicted'")
        return self


class MarkedCells(Config):
    """Points that distinguish the nuclei of dead cells from those of living ones.

    Paths are as in `AnnotatedPoints`. Of several files for a field all points count; of points
    that have a kind, those of the kind "dead" or "live" only.

    Attributes:
        dead: CSV files of points at dead cells; all other nuclei are those of living ones.
        live: Of points at living cells instead; all other nuclei are those of dead ones.
        reach: How far from a point the centre of its nucleus may lie, micrometres.
        unit: Of the positions in these files.
    """

    dead: Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)] = ()
    live: Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)] = ()
    reach: pydantic.PositiveFloat = REACH
    unit: Unit = "pixels"

    @pydantic.model_validator(mode="after")
    def _one_state(self) -> "MarkedCells":
        if bool(self.dead) == bool(self.live):
            raise ValueError("give either 'dead' or 'live': a file of points, or several")
        return self

    @property
    def state(self) -> State:
        """What the marked cells are."""
        return "dead" if self.dead else "live"

    @property
    def files(self) -> tuple[str, ...]:
        """Where they are marked."""
        return self.dead or self.live


class LabelingEvaluation(ResampledConfig):
    """What to judge, and on what.

    Attributes:
        description: What the evaluation is for.
        model: Model folders relative to the configuration's file, or names of bundled models; a
            list in the list is an ensemble, whose members' distributions are mixed.
        predictions: Images that were predicted elsewhere, by the name they get in the report:
            folders that hold NAME.ome.tif or NAME.tif for every field, as `isl predict` writes
            them; of included experiments EXPERIMENT/NAME.ome.tif. They have no distributions, so
            only pictures are judged.
        dataset: The manifest.
        split: Only ground on this side of the manifest's splits; every side unless given.
        leave_out: Groups that are not judged.
        labels: What is judged; unless given, all that the ground holds and any model predicts.
        planes: Planes given to every model, counted from 0, or "interpolate": blended where the
            model's lie; all unless given.
        symmetries: Whether distributions are the means of those of the eight turned images.
        stitch: "dense" or "exact"; each model's own unless given.
        renormalize: Whether predicted images are brought to the training labels' mean and deviation
            before they are judged, the paper's last step; distributions are judged as they are.
        allow_mismatch: Whether ground known not to fit a model is judged, with a warning.
        allow_seen: Whether models may be judged on groups that they say they were trained on; the
            report then says so in large letters.
        image: Which statistic of a distribution is the image that is judged.
        objects: Labels whose images show nuclei, to be segmented and counted.
        diameter: Of a typical nucleus, in micrometres; estimated from the image unless given.
        points: Points set by people.
        live_dead: By label of `objects`, which of its nuclei are those of dead cells.
    """

    description: str = ""
    task: Literal["labeling"]
    model: Annotated[tuple[Members, ...], pydantic.BeforeValidator(_several)] = ()
    predictions: Mapping[str, Path] = pydantic.Field(default_factory=dict)
    dataset: Path
    split: Split | None = None
    leave_out: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = pydantic.Field(default=None, min_length=1)
    planes: (
        Annotated[tuple[pydantic.NonNegativeInt, ...], pydantic.Field(min_length=1)]
        | Literal["interpolate"]
        | None
    ) = None
    symmetries: bool = False
    stitch: Stitch | None = None
    renormalize: bool = False
    allow_mismatch: bool = False
    allow_seen: bool = False
    image: Literal["median", "mean"] = "median"
    objects: tuple[str, ...] = ()
    diameter: pydantic.PositiveFloat | None = None
    points: tuple[AnnotatedPoints, ...] = ()
    live_dead: Mapping[str, MarkedCells] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _something_to_judge(self) -> "LabelingEvaluation":
        if not self.model and not self.predictions:
            raise ValueError("give 'model', 'predictions' or both: there is nothing to judge")
        if any(not members for members in self.model):
            raise ValueError("an ensemble in 'model' is empty; name its members")
        for label in self.live_dead:
            if label not in self.objects:
                raise ValueError(f"'live_dead' divides the nuclei of {label}: name it in 'objects'")
        return self
