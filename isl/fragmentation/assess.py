"""From what a model says of a frame to embryos with share, interval, grade, or "cannot tell"."""

import dataclasses
import math

import numpy as np
from scipy import ndimage

from isl.fragmentation.grades import GradeScale
from isl.fragmentation.model import Alone, FragmentationConfig, Prediction
from isl.fragmentation.polygons import EMBRYO, FRAGMENT
from isl.fragmentation.separation import connected, separate

GRADED, CANNOT_TELL = "graded", "cannot tell"
# What is smaller, as a share of the embryo, is a granule: a body of some 3 um in one of 110 um.
_SPECK = 1e-3
# More of the embryo's outline at the frame's border than this, and it is cut.
_CUT = 0.04
_FLAT = 0.004
_SATURATED = 0.6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assessed:
    """One embryo in one frame.

    Attributes:
        frame: From 0.
        embryo: From 1, in the order from left to right.
        verdict: GRADED or CANNOT_TELL.
        reason: Why it cannot be told; "" where it can.
        area: Of the embryo, pixels.
        share: Fragment area over embryo area as the model gives it; None where it cannot be told.
        low: Lower end of the 90 % interval; None where too few embryos were held out.
        high: Upper end likewise.
        by_area: The share by mask area.
        by_regression: The share by regression; None without, or where several embryos share one
            look.
        grade: Of the share.
        probabilities: Of every grade, in the scale's order.
        to_next: Distance of the share to the nearest bound.
        next_grade: The grade beyond it.
        fragments: How many there are, touching ones as one.
        largest: Area of the largest over that of the embryo.
    """

    frame: int
    embryo: int
    verdict: str
    reason: str = ""
    area: int = 0
    share: float | None = None
    low: float | None = None
    high: float | None = None
    by_area: float | None = None
    by_regression: float | None = None
    grade: str | None = None
    probabilities: tuple[float, ...] = ()
    to_next: float | None = None
    next_grade: str | None = None
    fragments: int = 0
    largest: float = 0.0


def assess_frame(
    image: np.ndarray,
    prediction: Prediction,
    config: FragmentationConfig,
    *,
    frame: int,
    scale: GradeScale | None = None,
) -> tuple[list[Assessed], np.ndarray]:
    """Judges one frame.

    Args:
        image: float32 [Y, X] in [0, 1], as read.
        prediction: What the model says of it.
        config: Of the model.
        frame: Its number.
        scale: Grades to use; None: the model's.

    Returns:
        One entry an embryo (one with a reason where there is none), and the labels uint8 [Y, X],
        without what belongs to no embryo.
    """
    scale = scale or config.scale
    problem = _problem(image)
    if problem:
        empty = np.zeros(image.shape, np.uint8)
        return [Assessed(frame=frame, embryo=1, verdict=CANNOT_TELL, reason=problem)], empty
    labels = prediction.labels
    embryos = separate(labels, smallest=config.smallest)
    labels = _without_specks(labels, embryos)
    kept = np.where(embryos > 0, labels, 0).astype(np.uint8)
    count = int(embryos.max())
    if not count:
        reason = "no embryo found"
        return [Assessed(frame=frame, embryo=1, verdict=CANNOT_TELL, reason=reason)], kept
    found = [
        _assess_embryo(
            np.where(embryos == number, labels, 0),
            said.regressed,
            config,
            scale,
            frame=frame,
            number=number,
            strange=_strange(said.features, config),
        )
        for number, said in enumerate(_alone(prediction, count), start=1)
    ]
    return found, kept


def _alone(prediction: Prediction, count: int) -> tuple[Alone, ...]:
    """What is said of each of a frame's embryos alone; a look at several regresses no share."""
    if len(prediction.each) == count:
        return prediction.each
    regressed = prediction.regressed if count == 1 else None
    return (Alone(regressed=regressed, features=prediction.features),) * count


def _assess_embryo(
    labels: np.ndarray,
    regressed: float | None,
    config: FragmentationConfig,
    scale: GradeScale,
    *,
    frame: int,
    number: int,
    strange: str,
) -> Assessed:
    area = int((labels > 0).sum())
    fragment = labels == FRAGMENT
    by_area = float(fragment.sum()) / area
    parts, count = connected(fragment, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    plain = Assessed(
        frame=frame,
        embryo=number,
        verdict=CANNOT_TELL,
        area=area,
        by_area=by_area,
        by_regression=regressed,
        fragments=count,
        largest=float(sizes.max(initial=0)) / area,
    )
    if _is_cut(labels > 0):
        return dataclasses.replace(plain, reason="the embryo is cut by the frame's border")
    if strange:
        return dataclasses.replace(plain, reason=strange)
    apart = None if regressed is None else abs(regressed - by_area)
    if apart is not None and config.disagreement is not None and apart > config.disagreement:
        assert regressed is not None
        return dataclasses.replace(
            plain,
            reason=(
                f"segmentation says {by_area:.0%}, regression {regressed:.0%}: further apart than "
                f"in 95 % of held-out embryos ({config.disagreement:.0%})"
            ),
        )
    wants_regression = config.share_from == "regression"
    share = regressed if wants_regression and regressed is not None else by_area
    low, high = None, None
    # Residuals are of the one share; a frame with two embryos has only the other.
    if not wants_regression or regressed is not None:
        low, high = interval(share, config.radius)
    to_next, next_grade = scale.to_next(share)
    return dataclasses.replace(
        plain,
        verdict=GRADED,
        share=share,
        low=low,
        high=high,
        grade=scale.grade(share),
        probabilities=tuple(scale.probabilities(share, config.residuals).tolist()),
        to_next=to_next,
        next_grade=next_grade,
    )


def _without_specks(labels: np.ndarray, embryos: np.ndarray) -> np.ndarray:
    """Labels whose fragments are none smaller than a speck of their embryo, [Y, X] each."""
    parts, count = connected(labels == FRAGMENT, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    areas = np.bincount(embryos.ravel())
    small = (parts > 0) & (sizes[parts] < np.maximum(2, _SPECK * areas[embryos]))
    return np.where(small, EMBRYO, labels)


def interval(share: float, radius: float) -> tuple[float | None, float | None]:
    """The interval around a share within [0, 1]; None where the radius is infinite."""
    if not math.isfinite(radius):
        return None, None
    return max(0.0, share - radius), min(1.0, share + radius)


def sentence(made: Assessed, name: str) -> str:
    """One sentence from an embryo's numbers."""
    who = f"{name}, frame {made.frame}, embryo {made.embryo}"
    if made.verdict != GRADED or made.share is None or made.to_next is None:
        return f"{who}: cannot tell ({made.reason})."
    span = (
        f" (90 % interval {made.low:.0%} to {made.high:.0%})"
        if made.low is not None and made.high is not None
        else " (no interval: too few held-out embryos)"
    )
    said = f"{made.by_area:.1%} by area"
    if made.by_regression is not None:
        said += f", {made.by_regression:.1%} by regression"
    count = f"{made.fragments} fragment" + "s" * (made.fragments != 1)
    largest = f", the largest {made.largest:.1%} of the embryo" if made.fragments else ""
    return (
        f"{who}: fragments are {made.share:.1%} of the embryo{span}, grade {made.grade}, "
        f"{100 * made.to_next:.1f} percentage points from {made.next_grade}; "
        f"{count}{largest}; {said}."
    )


def _problem(image: np.ndarray) -> str:
    """What is wrong with a frame; "" where nothing is."""
    if not np.isfinite(image).all():
        return "the frame holds values that are no numbers"
    if float(image.std()) < _FLAT:
        return "the frame is blank"
    extreme = max(float((image >= 1).mean()), float((image <= 0).mean()))
    if extreme > _SATURATED:
        return f"{extreme:.0%} of the frame is saturated"
    return ""


def _strange(features: np.ndarray | None, config: FragmentationConfig) -> str:
    """Why an embryo is none that the model grades; "" where it is, or the model does not compare.

    Args:
        features: float32 [D], means of the encoder's maps.
        config: Of the model.
    """
    if features is None:
        return ""
    if config.stages is not None and config.stages.score(features) > 0:
        return (
            "looks like no cleavage stage but an oocyte, a one-cell stage, a morula or a "
            f"blastocyst (the threshold refuses up to {config.stages.refused:.0%} of the 2- to "
            "8-cell frames that set it; of another laboratory's it may refuse many more)"
        )
    if config.familiar is None:
        return ""
    distance, limit = config.familiar.distance(features), config.familiar.limit
    if distance <= limit:
        return ""
    return (
        f"unlike the cleavage-stage embryos that the model knows (distance {distance:.2f}, at most "
        f"{limit:.2f}): an oocyte, a morula or blastocyst, or another microscope"
    )


def _is_cut(inside: np.ndarray) -> bool:
    outline = inside & ~np.asarray(ndimage.binary_erosion(inside), bool)
    border = np.zeros_like(inside)
    border[[0, -1]] = border[:, [0, -1]] = True
    # `binary_erosion` counts what lies beyond the border as outside: border pixels are outline.
    return float((outline & border).sum()) > _CUT * float(outline.sum())
