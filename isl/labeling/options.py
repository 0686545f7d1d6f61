"""What is predicted, and how: checked against a model before any image is read."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack

from isl.errors import InputError, unknown
from isl.imaging.normalize import Unit
from isl.labeling.abstention import ABSTAINED, check_width, from_distributions
from isl.labeling.bins import FURTHER_STATISTICS, STATISTICS
from isl.labeling.coherence import check_coherence
from isl.labeling.contract import INTERPOLATE, Planes
from isl.labeling.medians import MedianKind, median_kind, with_median
from isl.labeling.model_config import ModelConfig
from isl.tiling.plan import BORDERS, STITCHES, Border, Stitch

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is predicted, and how; checked against a model before any image is read.

    Attributes:
        labels: Names, in the output's order.
        statistics: Any of `bins.STATISTICS` and `bins.FURTHER_STATISTICS`, in the output's order;
            and `abstained`, where `abstain` says from what.
        stitch: "dense" or "exact"; see `isl.tiling.plan`.
        border: "reflect": the output has the input's size. "valid": the area without the margin.
        normalize: "auto" or "off"; see `isl.imaging.normalize`.
        normalized_by: What one choice of "auto" holds for; the model's.
        tile: The largest output width of a tile in pixels, or "auto".
        planes: Planes to use, counted from 0, or "interpolate"; None takes those that lie as the
            model's do; see `isl.labeling.contract`.
        renormalize: Whether predicted intensities are brought to the training labels' mean and
            standard deviation (the paper's last step).
        original_unit: Whether intensities are given in the training images' unit, where the model
            stretched its labels (`label_scale`).
        resample: Whether the image is brought to the model's pixel size, and the result back.
        allow_mismatch: Whether an image known not to fit is predicted with a warning.
        symmetries: Whether distributions are the means of those of the eight turned images.
        abstain: The widest 90 % interval that is accepted, in intensities; wider ones are 1 in the
            statistic `abstained`. None: there is no such statistic.
        seed: Of the statistic `sample`: another seed, another sample.
        median: "interpolated" within a bin, or "published": whole bins, as the published code's.
    """

    labels: tuple[str, ...]
    statistics: tuple[str, ...] = ("median",)
    stitch: Stitch = "dense"
    border: Border = "reflect"
    normalize: Literal["auto", "off"] = "auto"
    normalized_by: Unit = "recording"
    tile: int | Literal["auto"] = "auto"
    planes: Planes | None = None
    renormalize: bool = False
    original_unit: bool = False
    resample: bool = False
    allow_mismatch: bool = False
    symmetries: bool = False
    abstain: float | None = None
    seed: int = 0
    median: MedianKind = "interpolated"

    @property
    def from_distributions(self) -> tuple[str, ...]:
        """The statistics that a network's distributions are asked for."""
        return with_median(from_distributions(self.statistics), self.median)


class Asked(TypedDict, total=False):
    """What may be asked for; `Options` says what each is, and what it is unless given.

    Besides, `labels` may be None, for all of the model's, `normalize` and `stitch` None, for the
    model's own, `median` None, for the published one with `stitch` "exact", `tile` "auto" or a
    number as text, and `abstain` adds `abstained` to the statistics, as the last unless it is among
    them.
    """

    labels: Sequence[str] | None
    statistics: Sequence[str]
    stitch: str | None
    border: str
    normalize: str | None
    tile: int | str
    planes: Sequence[int] | str | None
    renormalize: bool
    original_unit: bool
    resample: bool
    allow_mismatch: bool
    symmetries: bool
    abstain: float | None
    seed: int
    median: str | None


_UNLESS_GIVEN = Asked(labels=None, normalize=None, stitch=None, median=None) | {
    field.name: field.default
    for field in dataclasses.fields(Options)
    if field.name not in ("labels", "normalize", "normalized_by", "stitch", "median")
}


def check_options(config: ModelConfig, **asked: Unpack[Asked]) -> Options:
    """Options a model can honor; unknown names are refused with the nearest known one.

    "exact" stitching is refused for models without towers and together with symmetries, those for a
    model that learned light from one side alone, the border
    "valid" together with resampling, and `renormalize` where the model does not know its training
    labels' statistics.

    Args:
        config: The model's.
        **asked: See `Options`.

    Raises:
        InputError: An option is not known, or not possible with this model.
        TypeError: There is no option of that name.
    """
    for name in asked.keys() - _UNLESS_GIVEN.keys():
        raise TypeError(f"unexpected keyword argument '{name}'")
    given: dict[str, Any] = {**_UNLESS_GIVEN, **asked}
    labels, border = given["labels"], given["border"]
    stitch = given["stitch"] or config.stitch
    if stitch is None:
        raise InputError(
            f"models '{config.name}' learned from crops and from single patches; choose "
            "`stitch=dense` or `stitch=exact` for both"
        )
    renormalize, resample, symmetries = given["renormalize"], given["resample"], given["symmetries"]
    chosen = tuple(dict.fromkeys(config.labels if labels is None else labels))
    for label in chosen:
        if label not in config.labels:
            raise unknown("label", label, config.labels)
    names = _statistics(given["statistics"], given["abstain"])
    check_coherence(names, chosen, config.coherence, config.name)
    if given["seed"] < 0:
        raise InputError(f"`seed={given['seed']}`: expected a number from 0 on")
    if not chosen or not names:
        raise InputError("give at least one label and one statistic")
    normalization = given["normalize"] or config.input.normalization
    for kind, name, known in (
        ("stitch", stitch, STITCHES),
        ("border", border, BORDERS),
        ("normalization", normalization, ("auto", "off")),
    ):
        if name not in known:
            raise unknown(kind, name, known)
    for architecture in config.architectures if stitch == "exact" else ():
        if architecture.kind != "towers":
            raise InputError(
                f"stitch 'exact' is defined for towers only; model '{config.name}' is a "
                f"{architecture.kind} (take 'dense')"
            )
    if stitch == "exact" and symmetries:
        raise InputError(
            "stitch 'exact' is what the published code gives, which turns no image: it cannot be "
            "combined with symmetries (take 'dense')"
        )
    if symmetries and not config.input.turned:
        raise InputError(
            f"model '{config.name}' learned light from one side alone: turned, images are unlike "
            "what it knows (leave `symmetries` out)"
        )
    if stitch == "dense" and config.stitch == "exact":
        logger.warning(
            "model '%s' learned from single patches, where its coarsest tower stands at one phase "
            "of four; with `stitch=dense` it stands at the others too, which never learned",
            config.name,
        )
    if resample and border == "valid":
        raise InputError("border 'valid' cannot be combined with resampling (take 'reflect')")
    for label in chosen if renormalize else ():
        if label not in config.label_statistics:
            raise InputError(
                f"model '{config.name}' does not know the mean and deviation of its training "
                f"images of {label}; predict without renormalizing"
            )
    if given["original_unit"] and not any(label in config.label_scale for label in chosen):
        raise InputError(
            f"model '{config.name}' did not stretch its labels, so its predictions are in their "
            "images' unit already; leave `original_unit` out"
        )
    chosen_stitch: Stitch = "exact" if stitch == "exact" else "dense"
    return Options(
        labels=chosen,
        statistics=names,
        stitch=chosen_stitch,
        border="valid" if border == "valid" else "reflect",
        normalize="off" if normalization == "off" else "auto",
        normalized_by=config.input.normalized_by,
        tile=_tile(given["tile"]),
        planes=_planes(given["planes"]),
        renormalize=renormalize,
        original_unit=given["original_unit"],
        resample=resample,
        allow_mismatch=given["allow_mismatch"],
        symmetries=symmetries,
        abstain=given["abstain"],
        seed=given["seed"],
        median=median_kind(given["median"], chosen_stitch),
    )


def _statistics(asked: Sequence[str], abstain: float | None) -> tuple[str, ...]:
    known = STATISTICS + FURTHER_STATISTICS
    if abstain is not None:
        check_width(abstain)
        asked, known = (*asked, ABSTAINED), (*known, ABSTAINED)
    for name in asked:
        if name == ABSTAINED and abstain is None:
            raise InputError(
                f"statistic '{ABSTAINED}' needs the widest 90 % interval that is accepted (give "
                "`abstain=WIDTH`)"
            )
        if name not in known:
            raise unknown("statistic", name, known)
    return tuple(dict.fromkeys(asked))


def _planes(planes: Sequence[int] | str | None) -> Planes | None:
    if planes is None or planes == INTERPOLATE:
        return None if planes is None else INTERPOLATE
    if isinstance(planes, str):
        raise unknown("choice of planes", planes, [INTERPOLATE])
    return tuple(planes)


def _tile(tile: int | str) -> int | Literal["auto"]:
    if tile == "auto":
        return "auto"
    try:
        width = int(tile)
    except ValueError:
        width = 0
    if width < 1:
        raise InputError(f"tile '{tile}': expected 'auto' or a number of pixels")
    return width
