"""The arithmetic of valid networks: which input widths fit, what comes out, and on which grid.

A network of valid convolutions turns a square of width n into one of width n - 2 * margin, and is
exact under shifts by `step` pixels only (the stride of its coarsest level). Everything that cuts
images into tiles or crops relies on these three numbers and nothing else; rows and columns are
independent of each other.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of a valid network, in pixels.

    Attributes:
        margin: Pixels lost on each side of the input.
        step: Widths, and the positions at which a pass gives equal values, repeat with this step.
        smallest: The smallest input width with which every layer comes out even.
    """

    margin: int
    step: int
    smallest: int

    @property
    def receptive_field(self) -> int:
        """Width of the smallest input: what one pass sees to predict its smallest output."""
        return self.smallest

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
