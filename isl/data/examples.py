"""Datasets of any task: examples with their inputs and targets, groups and splits."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.data.splits import Split, without_groups
from isl.data.targets import ClassTarget, Target, Value, as_array
from isl.errors import InputError, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One example, of which nothing has been read yet.

    Attributes:
        name: Once in a dataset.
        group: Well, embryo or patient.
        split: Which side of the splits the group is on.
        inputs: Files or folders by what they are, such as "image".
        targets: What is known of it, as its `Target` reads it; what is not known is not there.
        row: Its row of a table, by column, where it comes from one.
    """

    name: str
    group: str
    split: Split
    inputs: Mapping[str, Path]
    targets: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    row: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Examples, and what may be known of them.

    Attributes:
        examples: In the manifest's order.
        targets: By name.
        path: The manifest's file, None for one that was never written.
    """

    examples: tuple[Example, ...]
    targets: Mapping[str, Target]
    path: Path | None = None

    def without(self, groups: Iterable[str]) -> "Dataset":
        """The dataset without the examples of some groups.

        Raises:
            InputError: There is no such group.
        """
        return dataclasses.replace(self, examples=without_groups(self.path, self.examples, groups))

    def examples_for(self, split: Split) -> tuple[Example, ...]:
        """The examples on one side of the splits."""
        return tuple(example for example in self.examples if example.split == split)

    def target(self, name: str) -> Target:
        """What one target is.

        Raises:
            InputError: There is none of that name.
        """
        if name not in self.targets:
            raise InputError(
                f"{self.path or 'the dataset'}: {unknown('target', name, self.targets)}"
            )
        return self.targets[name]

    def array(self, name: str, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        """A target of some examples, and whether it is known; see `isl.data.targets.as_array`."""
        return as_array(self.target(name), [example.targets.get(name) for example in examples])

    def require_classes(self, name: str, groups: int = 2) -> None:
        """Refuses a class that is in too few groups to be learnt from some and judged on others.

        Args:
            name: A target of classes.
            groups: How many there must be.

        Raises:
            InputError: The first such class, and its examples where there are any.
        """
        target = self.target(name)
        if not isinstance(target, ClassTarget):
            raise TypeError(f"target '{name}' has no classes")
        for index, label in enumerate(target.classes):
            held = [example for example in self.examples if example.targets.get(name) == index]
            found = Counter(example.group for example in held)
            if len(found) < groups:
                where = ", ".join(f"'{group}' ({count})" for group, count in found.items())
                raise InputError(
                    f"{self.path or 'the dataset'}: class '{label}' of '{name}' is in "
                    f"{len(found)} groups{f', {where},' if found else ''} and {groups} are needed; "
                    "add examples of other groups, or leave the class out"
                )
