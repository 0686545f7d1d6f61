"""Figures of fragmentation: picture by picture, then over embryos."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from isl.fragmentation.dataset import UNKNOWN, Ground
from isl.fragmentation.grades import GradeScale
from isl.fragmentation.model import FragmentationConfig
from isl.fragmentation.network import EMBRYO, FRAGMENT, Seen

from ..statistics.agreement import bland_altman, quadratic_weighted_kappa
from ..statistics.bootstrap import Interval, bootstrap

PIXEL_FIGURES = (
    "fragment_dice",
    "fragment_iou",
    "fragment_hd95",
    "embryo_dice",
    "embryo_iou",
    "embryo_hd95",
    "false_inside",
)
SHARES = ("area", "regression", "given")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What one network says of every picture; NaN where nothing can be measured.

    Attributes:
        groups: N embryos.
        sites: N sites.
        truth: float64 [N], the true share.
        figures: float64 [N] each, by name: those of PIXEL_FIGURES.
        shares: float64 [N] each, by name: those of SHARES.
        covered: float64 [N], 1 where the 90 % interval of the given share holds the truth; NaN,
            too, where too few embryos were held out for an interval.
    """

    groups: tuple[str, ...]
    sites: tuple[str, ...]
    truth: np.ndarray
    figures: Mapping[str, np.ndarray]
    shares: Mapping[str, np.ndarray]
    covered: np.ndarray


def rows_of(said: Seen, ground: Ground, config: FragmentationConfig) -> Rows:
    """Measures what a network says of pictures.

    Args:
        said: Arrays [N, ...].
        ground: The N pictures.
        config: Of the model, which says which share it gives and how wide its intervals are.
    """
    logits = np.asarray(said.logits)
    embryo = logits[..., EMBRYO] > 0
    fragment = embryo & (logits[..., FRAGMENT] > 0)
    known = ground.labels != UNKNOWN
    figures = {name: np.full(len(ground), np.nan) for name in PIXEL_FIGURES}
    for i in range(len(ground)):
        if not known[i].any() or not config.segments:
            continue
        labels = ground.labels[i]
        for name, found, true in (
            ("embryo", embryo[i] & known[i], (labels == 1) | (labels == 2)),
            ("fragment", fragment[i] & known[i], labels == 2),
        ):
            overlap = overlap_of(found, true)
            figures[f"{name}_dice"][i], figures[f"{name}_iou"][i] = overlap
            figures[f"{name}_hd95"][i] = hausdorff_95(found, true)
        area = int(((labels == 1) | (labels == 2)).sum())
        if area:
            figures["false_inside"][i] = (fragment[i] & (labels == 1)).sum() / area
    area = embryo.sum(axis=(1, 2))
    by_area = np.where(
        (area > 0) & config.segments, fragment.sum(axis=(1, 2)) / np.maximum(area, 1), np.nan
    )
    nothing = np.full(len(ground), np.nan)
    regressed = nothing if said.share is None else np.asarray(said.share, float)
    given = regressed if config.share_from == "regression" and said.share is not None else by_area
    truth = ground.shares.astype(float)
    inside = (np.abs(given - truth) <= config.radius).astype(float)
    judged = np.isfinite(truth) & np.isfinite(given) & np.isfinite(config.radius)
    return Rows(
        groups=ground.groups,
        sites=ground.sites,
        truth=truth,
        figures=figures,
        shares={"area": by_area, "regression": regressed, "given": given},
        covered=np.where(judged, inside, np.nan),
    )


def overlap_of(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Dice and IoU of masks bool [Y, X]; NaN where both are empty."""
    both, total = int((found & true).sum()), int(found.sum()) + int(true.sum())
    if not total:
        return float("nan"), float("nan")
    return 2 * both / total, both / (total - both)


def hausdorff_95(found: np.ndarray, true: np.ndarray) -> float:
    """95th percentile of the distances between two outlines, pixels of the view.

    Both ways at once, as usual; NaN where one of the masks is empty.
    """
    outlines = [mask & ~np.asarray(ndimage.binary_erosion(mask), bool) for mask in (found, true)]
    if not all(outline.any() for outline in outlines):
        return float("nan")
    away = [np.asarray(ndimage.distance_transform_edt(~outline)) for outline in outlines]
    distances = np.concatenate([away[1][outlines[0]], away[0][outlines[1]]])
    return float(np.percentile(distances, 95))


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """What networks say of several sets of pictures, as one."""
    first = parts[0]
    return Rows(
        groups=tuple(group for part in parts for group in part.groups),
        sites=tuple(site for part in parts for site in part.sites),
        truth=np.concatenate([part.truth for part in parts]),
        figures={n: np.concatenate([part.figures[n] for part in parts]) for n in first.figures},
        shares={n: np.concatenate([part.shares[n] for part in parts]) for n in first.shares},
        covered=np.concatenate([part.covered for part in parts]),
    )


def mean_rows(rows: Sequence[Rows]) -> Rows:
    """The mean over seeds, picture by picture; NaN ones do not count."""
    first = rows[0]
    return dataclasses.replace(
        first,
        figures={n: _mean([r.figures[n] for r in rows]) for n in first.figures},
        shares={n: _mean([r.shares[n] for r in rows]) for n in first.shares},
        covered=_mean([r.covered for r in rows]),
    )


def statistics_of(rows: Rows, scale: GradeScale) -> dict[str, float | None]:
    """Every figure of one network over all pictures."""
    return _statistics(scale, *_columns(rows))


def intervals_of(
    rows: Rows, scale: GradeScale, *, rng: np.random.Generator, replicates: int
) -> dict[str, Interval]:
    """The same with intervals by embryo."""
    return bootstrap(
        lambda *columns: _statistics(scale, *columns),
        _columns(rows),
        groups=rows.groups,
        rng=rng,
        replicates=replicates,
    )


def differences_of(
    rows: Sequence[Rows],
    reference: Sequence[Rows],
    *,
    rng: np.random.Generator,
    replicates: int,
) -> dict[str, Interval]:
    """Mean differences to a reference over seeds and pictures, with intervals by embryo.

    Dice and the errors of shares: averaged over seeds first, so that embryos alone are drawn.
    """
    own, other = _errors(rows), _errors(reference)
    names = list(own)
    columns = [own[name] - other[name] for name in names]
    return bootstrap(
        lambda *drawn: {n: _nanmean(c) for n, c in zip(names, drawn, strict=True)},
        columns,
        groups=rows[0].groups,
        rng=rng,
        replicates=replicates,
    )


def bias_by_bin(rows: Rows, scale: GradeScale) -> dict[str, dict[str, float | None]]:
    """Mean error of each way to a share, by the grade of the true share."""
    grades = np.array([scale.grade(t) if np.isfinite(t) else "" for t in rows.truth])
    return {
        grade: {
            way: _nanmean((shares - rows.truth)[grades == grade])
            for way, shares in rows.shares.items()
        }
        for grade in scale.grades
    }


def _columns(rows: Rows) -> list[np.ndarray]:
    return [
        rows.truth,
        rows.covered,
        *(rows.figures[name] for name in PIXEL_FIGURES),
        *(rows.shares[name] for name in SHARES),
    ]


def _statistics(scale: GradeScale, *columns: np.ndarray) -> dict[str, float | None]:
    truth, covered, *rest = columns
    figures = dict(zip(PIXEL_FIGURES, rest[: len(PIXEL_FIGURES)], strict=True))
    shares = dict(zip(SHARES, rest[len(PIXEL_FIGURES) :], strict=True))
    found: dict[str, float | None] = {name: _nanmean(f) for name, f in figures.items()}
    found["coverage"] = _nanmean(covered)
    for way, share in shares.items():
        both = np.isfinite(share) & np.isfinite(truth)
        found[f"{way}_mae"] = _nanmean(np.abs(share - truth))
        agreement = bland_altman(share[both], truth[both])
        found[f"{way}_bias"] = agreement.bias
        found[f"{way}_low"], found[f"{way}_high"] = agreement.low, agreement.high
        grades = [
            np.searchsorted(scale.bounds, values[both], side="right") for values in (share, truth)
        ]
        found[f"{way}_accuracy"] = _nanmean((grades[0] == grades[1]).astype(float))
        found[f"{way}_kappa"] = (
            quadratic_weighted_kappa(grades[0], grades[1], len(scale.grades))
            if both.any()
            else None
        )
    return found


def _errors(rows: Sequence[Rows]) -> dict[str, np.ndarray]:
    errors = {
        f"{way}_mae": _mean([np.abs(r.shares[way] - r.truth) for r in rows]) for way in SHARES
    }
    dice = {n: _mean([r.figures[n] for r in rows]) for n in ("fragment_dice", "embryo_dice")}
    return {**dice, **errors}


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack(arrays)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _nanmean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None
