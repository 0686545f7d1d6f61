"""Who sees what: examples belong to groups, and a group to one side of the splits.

Examples of one group (a well, an embryo, a patient) resemble each other, so what was learnt on one
of them is no news on another.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args

from isl.errors import InputError, unknown

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Grouped(Protocol):
    """An example of any dataset."""

    @property
    def name(self) -> str:
        """Once in a dataset."""
        ...

    @property
    def group(self) -> str:
        """Well, embryo or patient."""
        ...

    @property
    def split(self) -> Split:
        """Which side the group is on."""
        ...


AnyGrouped = TypeVar("AnyGrouped", bound=Grouped)


def check_names(source: Path, kind: str, examples: Iterable[Grouped]) -> None:
    """Refuses two examples of one name.

    Args:
        source: The manifest, for the message.
        kind: What an example is called there, such as "field".
        examples: All of them.

    Raises:
        InputError: The name.
    """
    seen: set[str] = set()
    for example in examples:
        if example.name in seen:
            raise InputError(f"{source}: two {kind}s are named '{example.name}'; names must differ")
        seen.add(example.name)


def check_groups(source: Path, kind: str, examples: Iterable[Grouped]) -> None:
    """Refuses a group that is on two sides of the splits; arguments as of `check_names`.

    Raises:
        InputError: The group, and two of its examples.
    """
    if (divided := divided_group(examples)) is not None:
        first, example = divided
        raise InputError(
            f"{source}: group '{example.group}' is on two sides: {kind} '{first.name}' in "
            f"'{first.split}', {kind} '{example.name}' in '{example.split}'; a group belongs "
            "to one"
        )


def divided_group(examples: Iterable[AnyGrouped]) -> tuple[AnyGrouped, AnyGrouped] | None:
    """Two examples of one group on two sides of the splits; None where there are none."""
    first_of: dict[str, AnyGrouped] = {}
    for example in examples:
        first = first_of.setdefault(example.group, example)
        if first.split != example.split:
            return first, example
    return None


def without_groups(
    source: Path | None, examples: Sequence[AnyGrouped], groups: Iterable[str]
) -> tuple[AnyGrouped, ...]:
    """The examples of all other groups.

    Raises:
        InputError: There is no such group.
    """
    left_out = frozenset(groups)
    known = {example.group for example in examples}
    for group in left_out:
        if group not in known:
            raise InputError(f"{source or 'the dataset'}: {unknown('group', group, known)}")
    return tuple(example for example in examples if example.group not in left_out)
