"""The arithmetic of valid networks: which input widths fit, what comes out, and on which grid.

A network of valid convolutions turns a square of width n into one of width n - 2 * margin, and is
exact under shifts by `step` pixels only (the stride of its coarsest level). Everything that cuts
images into tiles or crops relies on these three numbers and nothing else; rows and columns are
independent of each other.
"""

import dataclasses
import math
from collections.abc import Sequence

WHOLE = 1024
"""Widths of an output that networks which see beyond their margin predict at once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of a valid network, in pixels.

    Attributes:
        margin: Pixels lost on each side of the input.
        step: Widths, and the positions at which a pass gives equal values, repeat with this step.
        smallest: The smallest input width with which every layer comes out even.
        overhang: Pixels of the margin, the outermost, that no result depends on; see
            `joint_geometry`.
        whole: Outputs up to this width are best predicted at once, since pixels see further than
            the margin; 0: tiles of any width give the same.
    """

    margin: int
    step: int
    smallest: int
    overhang: int = 0
    whole: int = 0

    def is_valid(self, input_size: int) -> bool:
        """Whether an input of this width passes through the network without remainder."""
        return input_size >= self.smallest and (input_size - self.smallest) % self.step == 0

    def output_size(self, input_size: int) -> int:
        """Width of the output for an input of a valid width.

        Raises:
            ValueError: The width is not smallest + m * step.
        """
        if not self.is_valid(input_size):
            raise ValueError(
                f"input width {input_size} does not fit: expected {self.smallest} + m * {self.step}"
            )
        return input_size - 2 * self.margin

    def input_size(self, output_size: int) -> int:
        """The smallest valid input width whose output is at least `output_size` wide."""
        lacking = max(0, output_size - self.output_size(self.smallest))
        return self.smallest + -(-lacking // self.step) * self.step


def padded_geometry(geometry: Geometry) -> Geometry:
    """Sizes of a valid network whose convolutions are padded: nothing is lost."""
    return Geometry(margin=0, step=geometry.step, smallest=geometry.step)


def joint_geometry(geometries: Sequence[Geometry], *, turned: bool = False) -> Geometry:
    """Sizes of patches for several networks at once, or for one that sees the image turned.

    The grids of networks that differ, and those of a network on an image and on the same image
    flipped, need not begin at the same pixel. A step more on each side lets every network have the
    window that fits its grid; patches then are as wide as all steps allow.

    Args:
        geometries: Of all networks.
        turned: Whether they see flipped images too.
    """
    first = geometries[0]
    if not turned and all(geometry == first for geometry in geometries):
        return first
    seen = max(geometry.margin for geometry in geometries)
    margin = max(geometry.margin + geometry.step for geometry in geometries)
    step = math.lcm(*(geometry.step for geometry in geometries))
    return Geometry(
        margin=margin,
        step=step,
        smallest=2 * margin + step,
        overhang=margin - seen,
        whole=max(geometry.whole for geometry in geometries),
    )
