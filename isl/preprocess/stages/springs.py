"""Positions of all tiles from the offsets of neighbors: springs at rest.

Every link is a spring between two tiles whose length at rest is the measured offset. At rest the
positions l minimize

    sum over links (i, j) of c_ij |l_j - l_i - o_ij|^2,

with o_ij the offset of tile j from tile i and c_ij its confidence (Christiansen et al. 2018, Image
stitching, where l_i - l_j - o_ij has the other sign of o). One wrong offset would bend the whole
field, so links are first judged, and only those that are trusted pull. What the trusted links
leave free the stage's nominal positions hold: weakly, and after a correction for what the stage
gets wrong everywhere.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg

from isl.errors import InputError

# A trusted offset is met to within this many pixels; measured ones err by a fraction of one.
TOLERANCE = 2.0
# An offset is plausible within so many deviations of what the corrected stage says, and within so
# many pixels whatever the deviation.
PLAUSIBLE_DEVIATIONS = 4.0
PLAUSIBLE_PIXELS = 10.0
# A stage stretches, shears or turns by parts in a hundred: against this lever, in pixels, a
# correction has to be borne out by the offsets (250 pixels x 2 % = 5 pixels).
LEVER = 250.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """A measured offset between two tiles.

    Attributes:
        i: Number of the first tile.
        j: Number of the second tile.
        offset: (y, x) of the second tile's origin from the first's, pixels.
        confidence: In [0, 1]; 0 says that nothing was measured.
    """

    i: int
    j: int
    offset: tuple[float, float]
    confidence: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where the tiles lie.

    Attributes:
        positions: float64 [n, 2], row and column of each tile's first pixel, pixels; the smallest
            row and column are 0.
        residuals: float64 [links], how far each link's offset is from the placement's, pixels.
        trusted: bool [links], which links the placement rests on.
        anchored: The tiles that no chain of trusted links ties to the largest group of tiles, so
            that only their nominal position places them among the others.
        stage: float64 [2, 2], what turns the stage's nominal offsets into the measured ones; the
            identity for a stage that errs at random only.
    """

    positions: np.ndarray
    residuals: np.ndarray
    trusted: np.ndarray
    anchored: tuple[int, ...]
    stage: np.ndarray


def solve_positions(
    count: int, links: Sequence[Link], nominal: np.ndarray, *, prior: float = 1e-4
) -> Placement:
    """The positions at which the springs are at rest.

    1. `stage`, a linear map from nominal to measured offsets, is fitted to all links of some
       confidence by a loss that a minority of wrong ones does not move. An overlap that is not
       what was stated, or a camera turned against the stage, thereby no longer counts as an error.
    2. Links are judged. The springs are solved again and again with weights
       (s^2 / (s^2 + residual^2))^2, s falling from the largest residual to the tolerance
       (graduated non-convexity; Yang et al., IEEE Robot. Autom. Lett. 5, 1127, 2020): links that
       contradict the loops they close lose. A link far from what the stage says starts with less
       weight, and where it alone ties two groups of tiles together, nothing can contradict or
       confirm it: it is not trusted.
    3. The trusted links are solved by plain weighted least squares. Between groups that they leave
       apart, the other links pull towards their nominal offset with the weight `prior`.

    Args:
        count: Number of tiles, at least 1.
        links: Measured offsets. Those of confidence 0 say which tiles are neighbors.
        nominal: float [count, 2], row and column of each tile's first pixel by the stage, pixels.
        prior: Weight of a nominal offset against a measured one of confidence 1; small.

    Raises:
        InputError: There is no tile; nominal positions or offsets are missing or not finite; a
            link names a tile that is not there, a tile twice, or has a confidence outside [0, 1].
    """
    nominal = _checked_nominal(count, nominal)
    ends, offsets, confidence = _checked_links(count, links)
    expected = nominal[ends[:, 1]] - nominal[ends[:, 0]]
    stage = _stage(expected, offsets, confidence)
    nominal, expected = nominal @ stage.T, expected @ stage.T
    trusted = _judge(count, ends, offsets, confidence, nominal, expected, prior)
    positions = _at_rest(count, ends, offsets, confidence * trusted, nominal, expected, prior)
    groups = _groups(count, ends[trusted])
    largest = np.bincount(groups).argmax()
    alone = count > 1 and not trusted.any()
    return Placement(
        positions=positions - positions.min(axis=0),
        residuals=_residuals(positions, ends, offsets),
        trusted=trusted,
        anchored=tuple(np.flatnonzero((groups != largest) | alone).tolist()),
        stage=stage,
    )


def _stage(expected: np.ndarray, offsets: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """float64 [2, 2] that turns nominal offsets into measured ones, but for a minority."""
    used = confidence > 0
    if not used.any():
        return np.eye(2)
    weight = np.sqrt(confidence[used])[:, None]

    def residuals(change: np.ndarray) -> np.ndarray:
        error = expected[used] @ (np.eye(2) + change.reshape(2, 2)).T - offsets[used]
        return np.concatenate([(weight * error).ravel(), LEVER * change])

    # Beyond a pixel the loss grows like the distance, not its square: a median's robustness.
    fit = scipy.optimize.least_squares(residuals, np.zeros(4), loss="soft_l1", x_scale=1e-2)
    return np.eye(2) + fit.x.reshape(2, 2)


def _judge(
    count: int,
    ends: np.ndarray,
    offsets: np.ndarray,
    confidence: np.ndarray,
    nominal: np.ndarray,
    expected: np.ndarray,
    prior: float,
) -> np.ndarray:
    """Which links agree with each other, bool [links]."""
    measured = confidence > 0
    if not measured.any():
        return measured
    error = np.linalg.norm(offsets - expected, axis=1)
    # The median of distances in a plane is 1.18 deviations per axis.
    usual = max(PLAUSIBLE_DEVIATIONS * np.median(error[measured]) / 1.18, PLAUSIBLE_PIXELS)
    doubt = confidence / (1 + np.square(2 * error / usual)) ** 2
    scale, residuals = np.inf, error
    while scale > TOLERANCE:
        scale = max(TOLERANCE, min(scale / 1.5, residuals[measured].max(initial=TOLERANCE)))
        weights = doubt / (1 + np.square(residuals / scale)) ** 2
        positions = _at_rest(count, ends, offsets, weights, nominal, expected, prior)
        residuals = _residuals(positions, ends, offsets)
    trusted = measured & (residuals <= TOLERANCE)
    return trusted & ~_unconfirmed(count, ends, trusted, error > usual)


def _unconfirmed(
    count: int, ends: np.ndarray, trusted: np.ndarray, implausible: np.ndarray
) -> np.ndarray:
    """Implausible links that alone join two groups of tiles, bool [links].

    The groups are those of the other trusted links. Two implausible links between the same two
    groups confirm each other, for both are trusted: a tile that the stage lost, say, with two
    neighbors on its side of the field.
    """
    groups = _groups(count, ends[trusted & ~implausible])
    between = np.sort(groups[ends], axis=1)
    asked = trusted & implausible & (between[:, 0] != between[:, 1])
    pairs = between[:, 0] * np.int64(count) + between[:, 1]
    _, which, times = np.unique(pairs[asked], return_inverse=True, return_counts=True)
    single = np.zeros(len(ends), bool)
    single[asked] = times[which] == 1
    return single


def _at_rest(
    count: int,
    ends: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    nominal: np.ndarray,
    expected: np.ndarray,
    prior: float,
) -> np.ndarray:
    """float64 [count, 2]: where springs of these weights come to rest.

    Links of weight 0 that join groups which no other link joins pull towards their expected offset
    by `prior`. Each tile is held to its nominal position by the square of `prior`, which pulls no
    link by a thousandth of a pixel: it says where the whole lies, and tiles without any link.
    """
    groups = _groups(count, ends[weights > 0])
    weak = (weights == 0) & (groups[ends[:, 0]] != groups[ends[:, 1]])
    springs = np.where(weak, prior, weights)
    targets = np.where(weak[:, None], expected, offsets)
    links = np.arange(len(ends))
    differences = scipy.sparse.coo_array(
        (
            np.repeat([-1.0, 1.0], len(ends)),
            (np.tile(links, 2), ends.T.ravel()),
        ),
        shape=(len(ends), count),
    ).tocsr()
    pull = differences.T @ scipy.sparse.diags_array(springs)
    stiffness = pull @ differences + prior**2 * scipy.sparse.eye_array(count)
    return scipy.sparse.linalg.splu(scipy.sparse.csc_array(stiffness)).solve(
        pull @ targets + prior**2 * nominal
    )


def _groups(count: int, ends: np.ndarray) -> np.ndarray:
    """The group of each tile, where links join tiles, int [count]."""
    joined = scipy.sparse.coo_array((np.ones(len(ends)), tuple(ends.T)), shape=(count, count))
    return scipy.sparse.csgraph.connected_components(joined, directed=False)[1].astype(np.int64)


def _residuals(positions: np.ndarray, ends: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64 [links]: how far the positions are from each measured offset, pixels."""
    return np.linalg.norm(positions[ends[:, 1]] - positions[ends[:, 0]] - offsets, axis=1)


def _checked_nominal(count: int, nominal: np.ndarray) -> np.ndarray:
    """float64 [count, 2]."""
    if count < 1:
        raise InputError(f"a field of {count} tiles cannot be placed; give at least one")
    nominal = np.asarray(nominal, np.float64)
    if nominal.shape != (count, 2) or not np.isfinite(nominal).all():
        raise InputError(
            f"nominal positions have shape {nominal.shape} or are not finite; give row and column "
            f"of each of {count} tiles"
        )
    return nominal


def _checked_links(count: int, links: Sequence[Link]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64 [links, 2] tiles, float64 [links, 2] offsets, float64 [links] confidence."""
    for link in links:
        name = f"link {link.i} to {link.j}"
        if not (0 <= link.i < count and 0 <= link.j < count) or link.i == link.j:
            raise InputError(f"{name}: give two different tiles of 0 to {count - 1}")
        if not 0 <= link.confidence <= 1:
            raise InputError(f"{name}: confidence {link.confidence} is not within 0 to 1")
        if not np.isfinite(link.offset).all():
            raise InputError(f"{name}: offset {link.offset} is not finite")
    return (
        np.array([(link.i, link.j) for link in links], np.int64).reshape(-1, 2),
        np.array([link.offset for link in links], np.float64).reshape(-1, 2),
        np.array([link.confidence for link in links], np.float64),
    )
