"""Which wells or embryos are trained on and which are kept apart."""

from collections.abc import Mapping, Sequence

import numpy as np

from isl.data.splits import SPLITS, Split
from isl.errors import InputError, unknown


def split_groups(
    groups: Sequence[str],
    shares: Mapping[str, float],
    seed: int,
    assigned: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Puts every group into one split; fields of one group are never divided.

    The result depends on the set of groups, not on their order. Whatever is not assigned is drawn
    so that the splits come as near to their shares as whole groups allow, none of them empty.

    Args:
        groups: Names of wells or embryos; a name may come several times.
        shares: Of each split, "train", "validation" and "test"; only their ratios count.
        seed: A number from 0.
        assigned: The split of groups that a person has chosen.

    Returns:
        The split of each group, by sorted name.

    Raises:
        InputError: A split or an assigned group is unknown, shares are negative or all 0, or there
            are too few groups.
    """
    names = sorted(set(groups))
    fixed: dict[str, Split] = dict(assigned or {})
    _check_assigned(names, fixed)
    wanted = _shares(shares)
    free = [name for name in names if name not in fixed]
    taken: dict[Split, int] = {split: list(fixed.values()).count(split) for split in SPLITS}
    counts = _counts(len(names), len(free), wanted, taken)
    if seed < 0:
        raise InputError(f"split: seed {seed} is negative; give 0 or more")
    drawn = np.random.default_rng(seed).permutation(len(free))
    order = [split for split in SPLITS for _ in range(counts[split])]
    fixed |= {free[index]: split for index, split in zip(drawn, order, strict=True)}
    return {name: fixed[name] for name in names}


def _check_assigned(names: Sequence[str], assigned: Mapping[str, Split]) -> None:
    for name, split in assigned.items():
        _check_split(split)
        if name not in names:
            raise InputError(f"split: {unknown('group', name, names)}")


def _shares(shares: Mapping[str, float]) -> dict[Split, float]:
    """Shares of all splits, with sum 1."""
    for split, share in shares.items():
        _check_split(split)
        if not 0 <= share < float("inf"):
            raise InputError(f"split: the share of {split} is {share:g}; give 0 or more")
    total = sum(shares.values())
    if total <= 0:
        raise InputError("split: all shares are 0; give at least one split a share above 0")
    return {split: shares.get(split, 0.0) / total for split in SPLITS}


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise InputError(f"split: {unknown('split', split, SPLITS)}")


def _counts(
    total: int, free: int, shares: Mapping[Split, float], taken: Mapping[Split, int]
) -> dict[Split, int]:
    """How many of the free groups each split gets."""
    counts: dict[Split, int] = {
        split: int(shares[split] > 0 and not taken[split]) for split in SPLITS
    }
    needed = sum(counts.values())
    if needed > free:
        without = [split for split in SPLITS if counts[split]]
        raise InputError(
            f"split: {', '.join(without)} need at least one group each, but of {total} groups "
            f"{free} are left for them; give more wells or embryos, or a share of 0"
        )
    for _ in range(free - needed):
        # The next group goes where most is missing; the first of equals, so to training.
        missing: dict[Split, float] = {
            split: share * total - taken[split] - counts[split]
            for split, share in shares.items()
            if share > 0
        }
        counts[max(missing, key=lambda split: missing[split])] += 1
    return counts
