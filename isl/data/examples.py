"""Datasets of any task: examples with their inputs and targets, groups and splits."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.data.splits import Split, without_groups
from isl.data.targets import Target, Value, as_array
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
