"""Who is held out with whom, and whose EZRIN comes from one labeling network."""

from collections.abc import Sequence
from typing import Literal

from isl.errors import InputError
from isl.polarity.embryo import Embryo

from ..statistics import folds as by_group
from ..statistics.folds import Folds, dealt_folds, folds_touched


def held_out_folds(
    embryos: Sequence[Embryo],
    folds: int | Literal["leave_one_out"] | Sequence[Sequence[str]],
    *,
    source: str,
) -> Folds:
    """The embryos that are held out together.

    Args:
        embryos: All that are judged.
        folds: How many folds, or one for each embryo, or the folds themselves.
        source: The file that says so, for messages.

    Raises:
        InputError: There are too few embryos, or given folds do not fit them.
    """
    groups = list(dict.fromkeys(embryo.group for embryo in embryos))
    if len(groups) < 3:
        raise InputError(
            f"{source}: cross-validation needs 3 embryos or more, one to hold out and two to "
            f"predict each other's EZRIN; there {'is 1' if len(groups) == 1 else 'are 2'}"
        )
    return by_group.held_out_folds(groups, folds, source=source, noun="embryo")


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
        groups = [embryo.group for embryo in embryos]
        found = dealt_folds(groups, min(max(wanted, 3), len(folds)), noun="embryo")
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
