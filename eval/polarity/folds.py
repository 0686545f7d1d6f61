"""Who is held out with whom: splits by embryo, never by frame."""

from collections.abc import Iterable, Sequence
from typing import Literal

from isl.errors import InputError, unknown
from isl_train.polarity.crossfit import folds_of  # pyright: ignore[reportMissingImports]
from isl_train.polarity.embryos import Embryo  # pyright: ignore[reportMissingImports]

Folds = tuple[tuple[str, ...], ...]


def held_out_folds(
    embryos: Sequence[Embryo],
    folds: int | Literal["leave_one_out"] | Sequence[Sequence[str]],
    *,
    source: str,
) -> Folds:
    """The groups that are held out together.

    Args:
        embryos: All that are judged.
        folds: How many folds, or one for each embryo, or the folds themselves.
        source: The file that says so, for messages.

    Raises:
        InputError: There are too few embryos, or given folds name one twice, leave one out or name
            one that is not there.
    """
    groups = list(dict.fromkeys(embryo.group for embryo in embryos))
    if len(groups) < 3:
        raise InputError(
            f"{source}: cross-validation needs 3 embryos or more, one to hold out and two to "
            f"predict each other's EZRIN; there {'is 1' if len(groups) == 1 else 'are 2'}"
        )
    if isinstance(folds, int):
        return folds_of(embryos, folds)
    if isinstance(folds, str):
        return tuple((group,) for group in groups)
    return _checked(folds, groups, source)


def crossfit_folds(embryos: Sequence[Embryo], folds: Folds, *, wanted: int, source: str) -> Folds:
    """Groups whose EZRIN comes from one labeling network.

    They are the held-out folds themselves, with two exceptions. Of two folds nothing would be left
    while one is held out, so they are halved. Where single embryos are held out, one network for
    every pair of them would be many, so a few share one.

    Args:
        embryos: All that are judged.
        folds: Who is held out together.
        wanted: How many folds of EZRIN where single embryos are held out; 3 at least.
        source: The file that says so, for messages.

    Raises:
        InputError: While one fold is held out, so few embryos are left that no network could have
            learned without them.
    """
    if all(len(fold) == 1 for fold in folds):
        found = folds_of(embryos, min(max(wanted, 3), len(folds)))
    elif len(folds) == 2:
        found = tuple(half for fold in folds for half in (fold[0::2], fold[1::2]) if half)
    else:
        found = folds
    for number, fold in enumerate(folds, 1):
        touched = folds_touched(found, fold)
        left = [own for own in found if not set(own) & set(touched)]
        if len(left) < 2:
            raise InputError(
                f"{source}: while fold {number} is held out, no network is left that could predict "
                "the others' EZRIN without having seen them; give more folds"
            )
    return found


def check_apart(judged: Iterable[str], trained: Iterable[str], *, where: str, remedy: str) -> None:
    """Refuses to judge embryos by what was trained on them.

    Raises:
        InputError: Names those on both sides.
    """
    known = set(trained)
    shared = [name for name in dict.fromkeys(judged) if name in known]
    if shared:
        listed = ", ".join(f"'{name}'" for name in shared)
        raise InputError(
            f"{where}: embryo{'s' if len(shared) > 1 else ''} {listed} would be judged by what was "
            f"trained on {'them' if len(shared) > 1 else 'it'}; {remedy}"
        )


def folds_touched(folds: Folds, groups: Iterable[str]) -> tuple[str, ...]:
    """All groups of the folds that hold any of `groups`."""
    wanted = set(groups)
    return tuple(group for fold in folds if wanted & set(fold) for group in fold)


def _checked(folds: Sequence[Sequence[str]], groups: Sequence[str], source: str) -> Folds:
    seen: set[str] = set()
    for number, fold in enumerate(folds, 1):
        if not fold:
            raise InputError(f"{source}: fold {number} is empty; name the embryos it holds out")
        for group in fold:
            if group not in groups:
                raise InputError(f"{source}: {unknown('embryo', group, groups)}")
            if group in seen:
                raise InputError(
                    f"{source}: embryo '{group}' is in more than one fold, so it would be trained "
                    "on and judged; name it once"
                )
            seen.add(group)
    for group in groups:
        if group not in seen:
            raise InputError(
                f"{source}: embryo '{group}' is in no fold; add it to one, or name it in leave_out"
            )
    return tuple(tuple(fold) for fold in folds)
