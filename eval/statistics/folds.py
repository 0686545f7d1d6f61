"""Who is held out with whom: splits by group (embryo, well, patient), never by case."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from isl.errors import InputError, unknown

Folds = tuple[tuple[str, ...], ...]
"""Names of the groups that are held out together."""


def held_out_folds(
    groups: Iterable[str],
    folds: int | Literal["leave_one_out"] | Sequence[Sequence[str]],
    *,
    source: str,
    noun: str = "group",
) -> Folds:
    """The groups that are held out together.

    Args:
        groups: The group of everything that is judged.
        folds: How many folds, or one for each group, or the folds themselves.
        source: The file that says so, for messages.
        noun: What a group is, for messages.

    Raises:
        InputError: There are too few groups, or given folds name one twice, leave one out or name
            one that is not there.
    """
    names = list(dict.fromkeys(groups))
    if isinstance(folds, int):
        return dealt_folds(names, folds, noun=noun)
    if isinstance(folds, str):
        return tuple((name,) for name in names)
    return _checked(folds, names, source, noun)


def dealt_folds(groups: Iterable[str], count: int, *, noun: str = "group") -> Folds:
    """Groups dealt out in turn.

    Raises:
        InputError: There are fewer groups than folds.
    """
    names = list(dict.fromkeys(groups))
    if len(names) < count:
        raise InputError(f"{len(names)} {noun}s cannot be cut into {count} folds; give fewer folds")
    return tuple(tuple(names[first::count]) for first in range(count))


def stratified_folds(
    groups: Sequence[str],
    classes: Sequence[Any] | np.ndarray,
    count: int,
    *,
    rng: np.random.Generator,
    noun: str = "group",
) -> Folds:
    """Groups in folds that have nearly the same share of every class.

    Groups are taken in random order, those first whose classes differ most in number, and each
    goes to the fold that leaves shares most even (as scikit-learn's StratifiedGroupKFold does).
    Where every case is a group of its own, folds differ by one case of a class at the most.

    Args:
        groups: [N], the group of every case.
        classes: [N], its class.
        count: How many folds.
        rng: Orders the groups.
        noun: What a group is, for messages.

    Raises:
        InputError: There are fewer groups than folds.
    """
    names = list(dict.fromkeys(groups))
    if len(groups) != len(classes):
        raise ValueError(f"{len(groups)} groups of {len(classes)} classes; give [N] twice")
    dealt_folds(names, count, noun=noun)
    kinds, of_case = np.unique(np.asarray(classes), return_inverse=True)
    at = {name: number for number, name in enumerate(names)}
    held = np.zeros((len(names), kinds.size))
    np.add.at(held, (np.array([at[group] for group in groups]), of_case), 1)
    shares = held / held.sum(axis=0)
    order = rng.permutation(len(names))
    order = order[np.argsort(-held[order].std(axis=1), kind="stable")]
    of_fold = np.zeros((count, kinds.size))
    found: list[list[str]] = [[] for _ in range(count)]
    for group in order:
        unevenness = [
            (of_fold + shares[group] * (np.arange(count) == fold)[:, None]).std(axis=0).mean()
            for fold in range(count)
        ]
        # Of folds that would be equally even, the one with the fewest cases; none stays empty.
        sizes = of_fold.sum(axis=1)
        fold = min(range(count), key=lambda n: (round(unevenness[n], 12), sizes[n], len(found[n])))
        of_fold[fold] += shares[group]
        found[fold].append(names[group])
    return tuple(tuple(sorted(fold, key=at.__getitem__)) for fold in found)


def check_apart(
    judged: Iterable[str],
    trained: Iterable[str],
    *,
    where: str,
    remedy: str,
    noun: str = "group",
) -> None:
    """Refuses to judge groups by what was trained on them.

    Raises:
        InputError: Names those on both sides.
    """
    known = set(trained)
    shared = [name for name in dict.fromkeys(judged) if name in known]
    if shared:
        listed = ", ".join(f"'{name}'" for name in shared)
        raise InputError(
            f"{where}: {noun}{'s' if len(shared) > 1 else ''} {listed} would be judged by what was "
            f"trained on {'them' if len(shared) > 1 else 'it'}; {remedy}"
        )


def folds_touched(folds: Folds, groups: Iterable[str]) -> tuple[str, ...]:
    """All groups of the folds that hold any of `groups`."""
    wanted = set(groups)
    return tuple(group for fold in folds if wanted & set(fold) for group in fold)


def _checked(
    folds: Sequence[Sequence[str]], groups: Sequence[str], source: str, noun: str
) -> Folds:
    seen: set[str] = set()
    for number, fold in enumerate(folds, 1):
        if not fold:
            raise InputError(f"{source}: fold {number} is empty; name the {noun}s it holds out")
        for group in fold:
            if group not in groups:
                raise InputError(f"{source}: {unknown(noun, group, groups)}")
            if group in seen:
                raise InputError(
                    f"{source}: {noun} '{group}' is in more than one fold, so it would be trained "
                    "on and judged; name it once"
                )
            seen.add(group)
    for group in groups:
        if group not in seen:
            raise InputError(
                f"{source}: {noun} '{group}' is in no fold; add it to one, or name it in leave_out"
            )
    return tuple(tuple(fold) for fold in folds)
