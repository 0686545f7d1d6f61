"""Sequences of what is too large to be had all at once."""

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

Item = TypeVar("Item", covariant=True)


class Computed(Sequence[Item]):
    """A sequence whose items are made whenever they are asked for, and not kept."""

    def __init__(self, make: Callable[[int], Item], count: int) -> None:
        """Takes what makes an item of its index, and how many there are."""
        self._make = make
        self._indices = range(count)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> "Computed[Item]": ...

    def __getitem__(self, index: int | slice) -> "Item | Computed[Item]":
        """An item, or those of a slice."""
        if isinstance(index, slice):
            chosen = self._indices[index]
            return Computed(lambda place: self._make(chosen[place]), len(chosen))
        return self._make(self._indices[index])
