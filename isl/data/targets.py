"""What may be known of an example: images, classes, numbers, ranges; each may be unknown.

A target's kind says how a value is written in a manifest or in a cell of a table, and what it
becomes: an index of `classes`, a number, two of them, or a path. A value that nobody knows is None,
and masked where targets become arrays.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from isl.config import Config

# An index of a class, a number, the ends of a range, an image; None: not known.
Value = int | float | tuple[float, float] | Path | None


class ClassTarget(Config):
    """One of several classes.

    Attributes:
        kind: "class".
        classes: Their names in the order of their indices.
    """

    kind: Literal["class"] = "class"
    classes: Annotated[tuple[str, ...], pydantic.Field(min_length=2)]

    @pydantic.field_validator("classes")
    @classmethod
    def _differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("two classes have the same name")
        return classes

    def read(self, stated: Any, root: Path) -> int:
        """The index of a class.

        Raises:
            ValueError: There is no such class.
        """
        del root
        if str(stated) not in self.classes:
            raise ValueError(f"{stated!r} is none of the classes {', '.join(self.classes)}")
        return self.classes.index(str(stated))


class BinaryTarget(Config):
    """Whether something is so: 0 or 1."""

    kind: Literal["binary"] = "binary"

    def read(self, stated: Any, root: Path) -> int:
        """0 or 1.

        Raises:
            ValueError: It is something else.
        """
        del root
        if str(stated) not in ("0", "1"):
            raise ValueError(f"{stated!r} is neither 0 nor 1")
        return int(stated)


class _Limited(Config):
    """What lies between two limits.

    Attributes:
        low: The least that it can be; None: no limit.
        high: The most that it can be; None: no limit.
    """

    low: float | None = None
    high: float | None = None

    def _number(self, stated: Any) -> float:
        try:
            number = float(stated)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{stated!r} is no number") from error
        if not math.isfinite(number):
            raise ValueError(f"{stated!r} is no finite number; leave it out where it is not known")
        if self.low is not None and number < self.low:
            raise ValueError(f"{number:g} is less than {self.low:g}")
        if self.high is not None and number > self.high:
            raise ValueError(f"{number:g} is more than {self.high:g}")
        return number


class NumberTarget(_Limited):
    """A number."""

    kind: Literal["number"] = "number"

    def read(self, stated: Any, root: Path) -> float:
        """The number.

        Raises:
            ValueError: It is none, or outside the limits.
        """
        del root
        return self._number(stated)


class RangeTarget(_Limited):
    """A number of which only a lower and an upper end are known, such as those of a grade."""

    kind: Literal["range"] = "range"

    def read(self, stated: Any, root: Path) -> tuple[float, float]:
        """Both ends; a single number is both.

        Raises:
            ValueError: It is no range, or outside the limits.
        """
        del root
        ends = list(stated) if isinstance(stated, list | tuple) else [stated, stated]
        if len(ends) != 2:
            raise ValueError(f"{stated!r} is no range; give its lower and its upper end")
        low, high = map(self._number, ends)
        if low > high:
            raise ValueError(f"{low:g} to {high:g} is no range: its lower end comes first")
        return low, high


class ImageTarget(Config):
    """An image, such as a mask."""

    kind: Literal["image"] = "image"

    def read(self, stated: Any, root: Path) -> Path:
        """The image file.

        Raises:
            ValueError: There is no such file.
        """
        path = root / str(stated)
        if not path.exists():
            raise ValueError(f"there is no file {path}")
        return path


Target = Annotated[
    ClassTarget | BinaryTarget | NumberTarget | RangeTarget | ImageTarget,
    pydantic.Field(discriminator="kind"),
]


def as_array(target: Target, values: Sequence[Value]) -> tuple[np.ndarray, np.ndarray]:
    """One target of N examples as arrays; where it is not known, it is 0 and masked.

    Args:
        target: Of another kind than images.
        values: N, as `read` returned them, or None.

    Returns:
        int32 [N] of classes and binary targets, float32 [N] of numbers or float32 [N, 2] of ranges;
        and bool [N], whether it is known.
    """
    if isinstance(target, ImageTarget):
        raise TypeError("images are read one by one")
    nothing = (0.0, 0.0) if isinstance(target, RangeTarget) else 0
    dtype = np.int32 if isinstance(target, ClassTarget | BinaryTarget) else np.float32
    known = np.array([value is not None for value in values], bool)
    filled = np.array([nothing if value is None else value for value in values], dtype)
    return filled.reshape(len(values), *np.shape(nothing)), known
