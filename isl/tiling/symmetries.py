"""The eight symmetries of the square: an image as it is, flipped, and turned by quarters."""

from typing import NamedTuple, TypeVar

import jax
import numpy as np

Array = TypeVar("Array", np.ndarray, jax.Array)


class Symmetry(NamedTuple):
    """One of the eight; rows and columns are reversed first, and change places after that.

    Attributes:
        rows: Whether the rows are reversed.
        columns: Whether the columns are.
        swapped: Whether rows become columns.
    """

    rows: bool = False
    columns: bool = False
    swapped: bool = False

    @property
    def parts(self) -> tuple["Symmetry", "Symmetry"]:
        """What reverses, and what swaps after that."""
        return Symmetry(rows=self.rows, columns=self.columns), Symmetry(swapped=self.swapped)

    def apply(self, image: Array, axes: tuple[int, int] = (-2, -1)) -> Array:
        """The image [..., Y, X, ...] turned; `axes` says which are its rows and columns."""
        turned = self._reversed(image, axes)
        return turned.swapaxes(*axes) if self.swapped else turned

    def undo(self, image: Array, axes: tuple[int, int] = (-2, -1)) -> Array:
        """The image that `apply` made this one of."""
        return self._reversed(image.swapaxes(*axes) if self.swapped else image, axes)

    def _reversed(self, image: Array, axes: tuple[int, int]) -> Array:
        index = [slice(None)] * image.ndim
        for axis, reverse in zip(axes, (self.rows, self.columns), strict=True):
            if reverse:
                index[axis] = slice(None, None, -1)
        return image[tuple(index)]


IDENTITY = Symmetry()
# By the names that people know them by.
SYMMETRIES = {
    "identity": IDENTITY,
    "upside down": Symmetry(rows=True),
    "left to right": Symmetry(columns=True),
    "half turn": Symmetry(rows=True, columns=True),
    "quarter turn": Symmetry(columns=True, swapped=True),
    "three quarters": Symmetry(rows=True, swapped=True),
    "diagonal": Symmetry(swapped=True),
    "other diagonal": Symmetry(rows=True, columns=True, swapped=True),
}
