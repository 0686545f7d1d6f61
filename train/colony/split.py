"""Which images are labelled, which are for validation, and which lend their pixels alone."""

import dataclasses
from collections.abc import Callable

import numpy as np

from isl.errors import InputError, unknown

from .config import SplitConfig
from .images import NONE, Images


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Indices into an experiment's images.

    Attributes:
        labelled: L, whose labels are learned.
        validation: Cut from what may be labelled; never learned.
        unlabelled: U, whose labels are not looked at.
    """

    labelled: np.ndarray
    validation: np.ndarray
    unlabelled: np.ndarray


def split(
    images: Images,
    config: SplitConfig,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> Split:
    """Cuts images in three; those left out are in none.

    Labels are lent by the same share of every class, and at least by one image of each. Where
    groups are known, no group lends to both training and validation.

    Args:
        images: All images.
        config: The shares.
        seed: Of the draw.
        say: Told of classes that have too few examples to be judged.

    Raises:
        InputError: A name to leave out is not known, or a class has no example left.
    """
    rng = np.random.default_rng([seed, 19])
    outside = left_out(images, config)
    chosen: list[int] = []
    for number, name in enumerate(images.classes):
        own = np.flatnonzero((images.labels == number) & ~outside)
        if not len(own):
            raise InputError(
                f"class '{name}' has no example that is not left out; give some, or leave the "
                "class out"
            )
        count = max(1, round(config.labelled * len(own)))
        chosen += rng.permutation(own)[:count].tolist()
    lent = np.sort(np.array(chosen))
    validation = _validation(images, lent, config, rng)
    labelled = np.setdiff1d(lent, validation)
    for number, name in enumerate(images.classes):
        learned = int((images.labels[labelled] == number).sum())
        judged = int((images.labels[validation] == number).sum())
        if learned == 1:
            say(f"class '{name}' has one labelled example; what is learned of it is that one")
        if config.validation and not judged:
            say(f"class '{name}' has no example for validation; give more labels to judge it")
    rest = ~outside
    rest[lent] = False
    if not config.multi_label:
        rest &= images.labels != NONE
    return Split(labelled=labelled, validation=validation, unlabelled=np.flatnonzero(rest))


def left_out(images: Images, config: SplitConfig) -> np.ndarray:
    """Bool [N], whether an image, or its group, is to be left out.

    Raises:
        InputError: A name is neither an image's nor a group's.
    """
    known = {*images.names, *images.groups}
    for name in config.leave_out:
        if name not in known:
            raise unknown("image or group to leave out", name, sorted(known)[:50])
    avoided = set(config.leave_out)
    return np.array(
        [
            name in avoided or group in avoided
            for name, group in zip(images.names, images.groups, strict=True)
        ]
    )


def check_method(method: str, parts: Split) -> None:
    """Refuses a method that learns from images without a label where there is none.

    Contrast looks at the labelled images' pixels, too.

    Raises:
        InputError: There is none.
    """
    if method in ("fixmatch", "meta") and not len(parts.unlabelled):
        raise InputError(
            f"method '{method}' learns from images without a label, and there is none; "
            "lower split.labelled, or take method = 'supervised'"
        )


def _validation(
    images: Images, lent: np.ndarray, config: SplitConfig, rng: np.random.Generator
) -> np.ndarray:
    """Part of what may be labelled, by group where groups are known, else by class."""
    if not config.validation:
        return np.zeros(0, int)
    if images.grouped:
        groups = np.array(images.groups)[lent]
        names = rng.permutation(np.unique(groups))
        held = np.isin(groups, names[: round(config.validation * len(names))])
        learned = images.labels[lent[~held]]
        # A class that would not be learned at all stays, with the groups that show it.
        for number in range(len(images.classes)):
            if number not in learned:
                keep = groups[images.labels[lent] == number]
                held &= ~np.isin(groups, keep[:1])
        return lent[held]
    taken: list[int] = []
    for number in range(len(images.classes)):
        own = rng.permutation(lent[images.labels[lent] == number])
        # One for training at least; of two or more, one for validation at least.
        count = min(len(own) - 1, max(1, round(config.validation * len(own))))
        taken += own[:count].tolist()
    return np.sort(np.array(taken, int))
