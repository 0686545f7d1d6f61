"""Whether a field looks like those a model learned from, before its prediction is believed.

Crops of normalized transmitted light are described by how strong detail is at each size (octaves of
an averaging pyramid), whether it is rather bright or rather dark, how sparse it is, and, where
there are several planes, which of them are sharp and how like their neighbours they are; where the
model learned light from one side alone, from which side it comes. A field's mean is compared with
the crops of the training ground, in units of how far the mean of so many crops may lie off; its
score is the root of the mean square of the three largest deviations. The limit is the largest score
that a field of the training ground has when its whole group is left out; where there is one group
only, it is a little above what neighbouring parts of it score. A small image, which shows less of
what may be there, has a larger limit: what pieces of the training ground score when each is
normalized alone, as a file of its own would be. Where a model has autoencoding heads, how well they
say what the planes are is one more statistic.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic

from isl.config import Config
from isl.data.computed import Computed
from isl.errors import InputError
from isl.imaging.normalize import PlaneNormalization, normalize
from isl.imaging.resample import resample, resampled_size
from isl.labeling.autoencoding import PlaneLoss
from isl.labeling.source import TransmittedField, normalized
from isl.tiling.plan import Window

CROP = 128
"""Width of a crop, in pixels; a smaller image is one crop of the largest multiple of 64."""
CROPS = 36
"""How many are looked at in a field, at most, spread evenly."""

_OCTAVES = 5
_SMALLEST = 2 ** (_OCTAVES + 1)
_AUTOENCODING = "autoencoding loss"
# Networks read far around what they predict: they are asked about fewer places.
_AUTOENCODED_CROPS = 9
# What may differ between two fields of one kind, whatever the crops of one field say: in natural
# logarithms (detail, sharpness, sparsity), cubic roots of skewness, and Fisher's z.
_TOLERATED = {
    "detail": 0.15,
    "asymmetry": 0.1,
    "sparsity": 0.3,
    "sharpness": 0.05,
    "likeness": 0.1,
    "shading": 0.1,
    "autoencoding": 0.15,
}
# Crops of one field resemble each other: of their variance, this much does not average out.
_SHARED = 0.05
_LARGEST = 3
_FOLDS = 12
# Neighbouring parts of one group differ less than fields of several do.
_MARGIN = 1.15
# Where all ground is alike, fields within what is tolerated are not warned of.
_LEAST = 2.0
# What one crop may score, in limits, where a model does not say what its own ground's crops do.
_CROP_TO_FIELD = 1.5
# Crops of a field: 512 x 512 pixels.
_FIELD = 16
# Widths of pieces, in crops, that are to be familiar, and how many of a hundred of them.
_PIECES = (1, 2, 3)
_PIECES_WITHIN = 99
_TRAINING_CROPS = 600
# Looking at a field takes a second, and thousands would tell no more.
_TRAINING_FIELDS = 100
_TRAINING_LOSSES = 64
_FEWEST = 8
_TINY = 1e-9
# So many deviations are no chance.
_SURELY = 2.0
# A deviation within which light may come from anywhere.
_ANY = 10.0
_SHADINGS = ("shading downwards", "shading to the right")


class Familiarity(Config):
    """What a model's training ground looks like.

    Attributes:
        limit: The largest score of a field, of 16 crops or more, that is not warned of.
        piece_limits: The same of pieces of one crop, of two by two, and of three by three; (): it
            is not known.
        statistics: By name, the mean and the standard deviation over crops.
        autoencoding: The same of the model's autoencoding loss; None: it has no such heads.
    """

    limit: pydantic.PositiveFloat
    piece_limits: tuple[pydantic.PositiveFloat, ...] = ()
    statistics: Mapping[str, tuple[pydantic.FiniteFloat, pydantic.NonNegativeFloat]]
    autoencoding: tuple[pydantic.FiniteFloat, pydantic.NonNegativeFloat] | None = None

    @property
    def turned(self) -> bool:
        """Whether the model learned images turned in every way, so that no side is told."""
        return _SHADINGS[0] not in self.statistics

    def limit_of(self, crops: float) -> float:
        """The largest score that is not warned of, of an image as large as so many crops.

        Between the sizes that are known it follows the root of their number, with which chance
        averages out; below one crop it grows on as it does from a large field to one crop.
        """
        known = self.piece_limits or (_CROP_TO_FIELD * self.limit,)
        sizes = [_small(along**2) for along in range(1, len(known) + 1)]
        size = _small(crops)
        if size > 1:
            return round(self.limit + (known[0] - self.limit) * size, 3)
        return round(float(np.interp(size, [0, *sizes[::-1]], [self.limit, *known[::-1]])), 3)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LearnedField:
    """A field of the training ground.

    Attributes:
        group: Well, embryo or patient.
        transmitted: float32 [Z, Y, X] in [0, 1], normalized.
        usable: bool [Y, X], what the model may have learned from.
    """

    group: str
    transmitted: np.ndarray
    usable: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Unfamiliarity:
    """How far a field is from the training ground.

    Attributes:
        score: 1 to 2 is what other parts of the same ground have.
        limit: The model's for an image so large; above it, a person is to be warned.
        deviations: By statistic, how many deviations the field lies above (or below) the ground.
    """

    score: float
    limit: float
    deviations: Mapping[str, float]

    @property
    def unlike(self) -> bool:
        """Whether a person is to be warned."""
        return self.score > self.limit

    @property
    def largest(self) -> dict[str, float]:
        """The deviations that the score is made of, the largest first."""
        ranked = sorted(self.deviations.items(), key=lambda item: -abs(item[1]))
        return dict(ranked[:_LARGEST])

    @property
    def record(self) -> dict[str, Any]:
        """As records hold it."""
        return {
            "score": round(self.score, 3),
            "limit": self.limit,
            "unlike": self.unlike,
            "deviations": {name: round(value, 3) for name, value in self.largest.items()},
        }

    @property
    def reason(self) -> str:
        """What is most unusual, in words."""
        name, value = next(iter(self.largest.items()))
        side = "above" if value > 0 else "below"
        return f"{name} is {abs(value):.1f} deviations {side} what it learned from"


def statistic_names(planes: int, turned: bool = True) -> tuple[str, ...]:
    """Names of all statistics of crops of so many planes, in order.

    Args:
        planes: Z.
        turned: Of a model that learned images turned in every way; see
            `isl.labeling.model_config.InputContract`.
    """
    sizes = [2 ** (octave + 1) for octave in range(_OCTAVES)]
    kinds = ("detail", "asymmetry", "sparsity")
    names = [f"{kind} at {size} pixels" for kind in kinds for size in sizes]
    if planes > 1:
        names += [f"sharpness of plane {plane}" for plane in range(planes)]
        names += [f"likeness of planes {plane} and {plane + 1}" for plane in range(planes - 1)]
    return tuple(names) if turned else (*names, *_SHADINGS)


def statistics_of(crop: np.ndarray, turned: bool = True) -> np.ndarray:
    """Describes a crop, in the order of `statistic_names`.

    Args:
        crop: float32 [Z, y, x] in [0, 1], y and x multiples of 64.
        turned: As there.

    Returns:
        float64 [F].
    """
    levels = [crop]
    for _ in range(_OCTAVES + 1):
        levels.append(_halved(levels[-1]))
    details, asymmetries, sparsities = [], [], []
    for octave in range(_OCTAVES):
        fine = levels[octave] - _enlarged(levels[octave + 1], 2)
        details.append(np.log(_mean(fine * fine) + _TINY) / 2)
        wide = levels[octave] - _enlarged(levels[octave + 2], 4)
        squares = wide * wide
        variance = _mean(squares) + _TINY
        asymmetries.append(np.cbrt(_mean(squares * wide)) / np.sqrt(variance))
        sparsities.append(np.log(_mean(squares * squares) / variance**2 + _TINY))
    found = [np.mean([*details, *asymmetries, *sparsities], axis=1)]
    if len(crop) > 1:
        sharpness = (details[0] + details[1]) / 2
        found += [sharpness - sharpness.mean(), _likeness(levels[1] - _enlarged(levels[4], 8))]
    if not turned:
        found.append(_shading(levels[1]))
    return np.concatenate(found)


def learn_familiarity(
    fields: Sequence[LearnedField],
    plane_loss: PlaneLoss | None = None,
    normalization: str = "auto",
    *,
    turned: bool = True,
    mirrored: bool = False,
) -> Familiarity | None:
    """What training ground looks like, and how much parts of it differ from the rest.

    The parts are fields, and the rest is all other groups; of one group, neighbouring crops. Of
    very many fields a hundred are looked at, evenly spread.

    Args:
        fields: The training ground, all of one number of planes.
        plane_loss: Of the model that learned from it; None: it has no autoencoding heads.
        normalization: How a file that holds a crop would be normalized.
        turned: Whether it learned images turned in every way.
        mirrored: Whether it learned them mirrored, left and right, as well.

    Returns:
        None where there are too few crops to tell.
    """
    all_fields, looked_at = fields, _spread_over(len(fields), _TRAINING_FIELDS)
    # One at a time: those that lie in files are in memory for as long as somebody holds them.
    fields = Computed(lambda number: all_fields[looked_at[number]], len(looked_at))
    share = max(1, len(fields))
    # Fewer than a field is looked at by would show some places of it only.
    crops_at_most = max(CROPS, _TRAINING_CROPS // share)
    losses_at_most = max(1, _TRAINING_LOSSES // share)
    described: list[np.ndarray] = []
    asked: list[float] = []
    members: list[int] = []
    for number, field in enumerate(fields):
        corners = _training_corners(field, crops_at_most)
        # Networks are asked few times: in another place of each field.
        with_loss = {
            (index + number) % len(corners) for index in _spread_over(len(corners), losses_at_most)
        }
        for index, window in enumerate(corners):
            rows, columns = (slice(*part) for part in window)
            described.append(statistics_of(field.transmitted[:, rows, columns], turned))
            around = plane_loss and _around(window, plane_loss.width, field.usable.shape)
            if plane_loss and around and index in with_loss:
                rows, columns = (slice(*part) for part in around)
                asked.append(plane_loss(field.transmitted[:, rows, columns]))
            else:
                asked.append(np.nan)
            members.append(number)
    if len(described) < _FEWEST:
        return None
    crops, losses = np.array(described), np.array(asked)
    sides_alike = mirrored and not turned
    if sides_alike:
        crops[:, -1] = 0.0
    names = statistic_names(len(fields[0].transmitted), turned)

    def score(part: _Part) -> float:
        mean = crops[part.indices].mean(axis=0)
        found = _deviations(names, mean, part.worth, *_spread(crops[part.rest]))
        here, there = (_known(losses[indices]) for indices in (part.indices, part.rest))
        if here.size and there.size > 1:
            found = np.append(found, _loss_deviation(here, *_mean_and_deviation(there)))
        return _score(found)

    left_out = [score(part) for part in _left_out(fields, np.array(members))]
    neighbours = [] if left_out else [score(part) for part in _neighbours(len(crops))]
    limit = max(_LEAST, max(left_out) if left_out else _MARGIN * max(neighbours))
    center, deviation = _spread(crops)
    if sides_alike:
        deviation[-1] = _ANY
    known = _known(losses)
    familiarity = Familiarity(
        statistics={
            name: (round(float(c), 5), round(float(d), 5))
            for name, c, d in zip(names, center, deviation, strict=True)
        },
        autoencoding=_mean_and_deviation(known) if known.size > 1 else None,
        limit=round(limit, 3),
    )
    pieces = piece_limits(familiarity, fields, normalization)
    return familiarity.model_copy(update={"piece_limits": pieces})


def side_of_light(fields: Sequence[LearnedField]) -> tuple[float, float] | None:
    """How far light seems to come from above (or, below 0, from below) and from the left.

    Args:
        fields: The training ground.

    Returns:
        The statistics "shading downwards" and "shading to the right", means over crops; None where
        they are no larger than chance makes them, or there are too few crops to tell.
    """
    found = [
        _shading(_halved(field.transmitted[:, slice(*rows), slice(*columns)]))
        for field in fields
        for rows, columns in _training_corners(field, max(1, CROPS // len(fields)))
    ]
    if len(found) < _FEWEST:
        return None
    mean, deviation = _spread(np.array(found))
    chance = np.sqrt(np.square(deviation) * _share(len(found)) + _TOLERATED["shading"] ** 2)
    if np.all(np.abs(mean) < _SURELY * chance):
        return None
    down, right = mean.tolist()
    return down, right


def piece_limits(
    familiarity: Familiarity, fields: Sequence[LearnedField], normalization: str = "auto"
) -> tuple[float, ...]:
    """What pieces of a field may score, so that those of the training ground are familiar.

    Pieces of one crop, of two by two and of three by three are asked about, each normalized alone.
    Of each size all but a hundredth are to be a little below the limit: normalization makes noise
    of pieces that happen to show nothing.

    Args:
        familiarity: What the ground looks like.
        fields: The ground, some of which must be usable in whole crops.
        normalization: How a file that holds a piece would be normalized.
    """
    found: list[float] = []
    for along in _PIECES:
        scores = [
            score
            for field in fields
            for score in _scores_of_pieces(familiarity, field, along, normalization, len(fields))
        ]
        if not scores:
            break
        limit = _MARGIN * float(np.percentile(scores, _PIECES_WITHIN))
        found.append(round(max(familiarity.limit, limit), 3))
    return tuple(found)


def _scores_of_pieces(
    familiarity: Familiarity, field: LearnedField, along: int, normalization: str, fields: int
) -> Iterator[float]:
    """The score of each piece of a field, so many crops wide."""
    center, deviation = np.array(list(familiarity.statistics.values())).T
    side = _width(field.usable.shape)
    at_most = max(1, max(CROPS, _TRAINING_CROPS // fields) // along**2)
    for rows, columns in _usable_windows(field, along * side, at_most):
        piece = field.transmitted[:, slice(*rows), slice(*columns)]
        try:
            piece, _ = normalize(piece, normalization)
        except InputError:
            # A plane of one value is refused in a file.
            continue
        crops = [piece[:, slice(*y), slice(*x)] for y, x in crop_windows(piece.shape[1:])]
        worth = len(crops) * side**2 / CROP**2
        mean = np.mean([statistics_of(crop, familiarity.turned) for crop in crops], axis=0)
        names = tuple(familiarity.statistics)
        yield _score(_deviations(names, mean, worth, center, deviation))


def _small(crops: float) -> float:
    """How far an image of so many crops is from a field: 1 for one crop, 0 from _FIELD on."""
    large = 1 / math.sqrt(_FIELD)
    return max(0.0, 1 / math.sqrt(crops) - large) / (1 - large)


def unfamiliarity(
    familiarity: Familiarity, crops: Iterable[np.ndarray], losses: Sequence[float] = ()
) -> Unfamiliarity | None:
    """Compares a field with the training ground.

    Args:
        familiarity: The model's.
        crops: float32 [Z, y, x] in [0, 1] of the field, normalized, y and x multiples of 64.
        losses: The model's autoencoding losses in places of the field.

    Returns:
        None where there are no crops.
    """
    described, area = [], 0
    for crop in crops:
        described.append(statistics_of(crop, familiarity.turned))
        area += crop.shape[1] * crop.shape[2]
    if not described:
        return None
    center, deviation = np.array(list(familiarity.statistics.values())).T
    names = tuple(familiarity.statistics)
    found = _deviations(names, np.mean(described, axis=0), area / CROP**2, center, deviation)
    deviations = dict(zip(familiarity.statistics, found.tolist(), strict=True))
    if familiarity.autoencoding is not None and len(losses):
        known = np.array(losses)
        deviations[_AUTOENCODING] = _loss_deviation(known, *familiarity.autoencoding)
    return Unfamiliarity(
        score=_score(np.array(list(deviations.values()))),
        limit=familiarity.limit_of(area / CROP**2),
        deviations=deviations,
    )


def look_at(
    familiarity: Familiarity,
    field: TransmittedField,
    records: Sequence[PlaneNormalization],
    scale: tuple[float, float] | None = None,
    plane_loss: PlaneLoss | None = None,
) -> Unfamiliarity | None:
    """Compares a field (of a movie, its first time point) with the training ground.

    Args:
        familiarity: The model's.
        field: Windows of it are read.
        records: How the planes used are normalized, in the model's order.
        scale: Factors (y, x) that enlarge the image to the model's pixel size, or None.
        plane_loss: The model's; None: it has no autoencoding heads.

    Returns:
        None where it is too small to tell.
    """
    y, x = scale or (1.0, 1.0)
    whole = resampled_size(field.size, (y, x))

    def pixels(window: Window) -> np.ndarray:
        rows, columns = window
        size = (rows[1] - rows[0], columns[1] - columns[0])
        stored = (_stored(rows, y, field.size[0]), _stored(columns, x, field.size[1]))
        planes = normalized(field, 0, records, stored)
        return planes if scale is None else resample(planes, size)

    windows = crop_windows(whole)
    losses: list[float] = []
    if familiarity.autoencoding is not None and plane_loss is not None:
        for index in _spread_over(len(windows), _AUTOENCODED_CROPS):
            around = _around(windows[index], plane_loss.width, whole)
            losses += [plane_loss(pixels(around))] if around else []
    return unfamiliarity(familiarity, map(pixels, windows), losses)


def _stored(window: tuple[int, int], scale: float, size: int) -> tuple[int, int]:
    """What covers a window on the model's pixel size, in the image's pixels."""
    start = min(round(window[0] / scale), size - 1)
    return start, max(start + 1, min(round(window[1] / scale), size))


def crop_windows(size: tuple[int, int]) -> tuple[Window, ...]:
    """Where a field is looked at: at most CROPS windows; none in one too small to tell."""
    width = _width(size)
    if not width:
        return ()
    along = round(np.sqrt(CROPS))
    tops, lefts = (_spread_evenly(length, width, along) for length in size)
    return tuple(((top, top + width), (left, left + width)) for top in tops for left in lefts)


def _width(size: tuple[int, ...]) -> int:
    """Of crops of an image; 0 where it is too small for any."""
    return min(CROP, min(size) // _SMALLEST * _SMALLEST)


def _spread_evenly(length: int, width: int, at_most: int) -> list[int]:
    count = min(at_most, length // width)
    return [round(place) for place in np.linspace(0, length - width, count)]


def _training_corners(field: LearnedField, at_most: int) -> list[Window]:
    """Windows half a crop apart all of whose pixels are usable."""
    return _usable_windows(field, _width(field.usable.shape), at_most)


def _usable_windows(field: LearnedField, side: int, at_most: int) -> list[Window]:
    """Windows of a width, half a crop apart, all of whose pixels are usable."""
    height, width = field.usable.shape
    if not 0 < side <= min(height, width):
        return []
    step = _width((height, width)) // 2
    windows = [
        ((y, y + side), (x, x + side))
        for y in range(0, height - side + 1, step)
        for x in range(0, width - side + 1, step)
        if field.usable[y : y + side, x : x + side].all()
    ]
    return [windows[index] for index in _spread_over(len(windows), at_most)]


def _spread_over(count: int, at_most: int) -> list[int]:
    """Of so many, the indices of at most so many, evenly spread."""
    if not count:
        return []
    return np.unique(np.linspace(0, count - 1, at_most).round().astype(int)).tolist()


def _around(window: Window, width: int, size: tuple[int, ...]) -> Window | None:
    """The square of this width around a window, moved into the image; None where none fits."""
    if width > min(size):
        return None
    starts = [
        min(max((low + high - width) // 2, 0), length - width)
        for (low, high), length in zip(window, size, strict=True)
    ]
    rows, columns = ((start, start + width) for start in starts)
    return rows, columns


class _Part(NamedTuple):
    """A part of the training crops that the rest is asked about.

    Attributes:
        indices: Of its crops.
        rest: Indices of those it is compared with.
        worth: How many crops side by side it stands for.
    """

    indices: np.ndarray
    rest: np.ndarray
    worth: float


def _left_out(fields: Sequence[LearnedField], members: np.ndarray) -> Iterator[_Part]:
    """Every field, compared with all groups but its own; `members` says whose each crop is."""
    groups = np.array([field.group for field in fields])[members]
    for number, field in enumerate(fields):
        indices, rest = np.flatnonzero(members == number), np.flatnonzero(groups != field.group)
        if indices.size and rest.size >= _FEWEST:
            # Windows overlap; together they say no more than the ground that they lie on.
            area = np.count_nonzero(field.usable) / CROP**2
            yield _Part(indices, rest, min(indices.size, CROPS, area))


def _neighbours(count: int) -> Iterator[_Part]:
    """Crops that follow each other, compared with all others."""
    everything = np.arange(count)
    for indices in np.array_split(everything, min(count, _FOLDS)):
        yield _Part(indices, np.setdiff1d(everything, indices), indices.size)


def _spread(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return crops.mean(axis=0), crops.std(axis=0, ddof=1)


def _deviations(
    names: Sequence[str], mean: np.ndarray, count: float, center: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    """How far the mean of `count` crops lies off, [F]."""
    tolerated = np.array([_TOLERATED[name.split(" ", 1)[0]] for name in names])
    return (mean - center) / np.sqrt(np.square(deviation) * _share(count) + np.square(tolerated))


def _loss_deviation(losses: np.ndarray, center: float, deviation: float) -> float:
    """The same of autoencoding losses, [N]."""
    spread = np.square(deviation) * _share(losses.size) + _TOLERATED["autoencoding"] ** 2
    return float((losses.mean() - center) / np.sqrt(spread))


def _share(count: float) -> float:
    """Of the variance of crops, what is left in the mean of so many."""
    return _SHARED + (1 - _SHARED) / max(count, _TINY)


def _known(losses: np.ndarray) -> np.ndarray:
    return losses[np.isfinite(losses)]


def _mean_and_deviation(losses: np.ndarray) -> tuple[float, float]:
    return round(float(losses.mean()), 5), round(float(losses.std(ddof=1)), 5)


def _score(deviations: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sort(np.square(deviations))[-_LARGEST:])))


def _halved(images: np.ndarray) -> np.ndarray:
    planes, height, width = images.shape
    return images.reshape(planes, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _enlarged(images: np.ndarray, factor: int) -> np.ndarray:
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _shading(images: np.ndarray) -> np.ndarray:
    """From which side the light seems to come, downwards and to the right: [Z, y, x] to [2].

    Lit from one side, a cell is dark on one side and bright on the other, so that brightness rises
    steeply in its middle and falls slowly around it. Turned, the slopes are another axis's; turned
    by half, their signs change.
    """
    slopes = (np.diff(images, axis=axis) for axis in (1, 2))
    return np.array(
        [
            np.mean(np.cbrt(_mean(slope**3)) / np.sqrt(_mean(slope * slope) + _TINY))
            for slope in slopes
        ]
    )


def _mean(images: np.ndarray) -> np.ndarray:
    """Of every plane, float64 [Z]."""
    return images.mean(axis=(1, 2), dtype=np.float64)


def _likeness(images: np.ndarray) -> np.ndarray:
    """Fisher's z of the correlation of neighbouring planes: [Z, y, x] to [Z - 1]."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(flat).sum(axis=1)) + _TINY
    products = (flat[:-1] * flat[1:]).sum(axis=1) / (lengths[:-1] * lengths[1:])
    return np.arctanh(np.clip(products, -0.999, 0.999))
