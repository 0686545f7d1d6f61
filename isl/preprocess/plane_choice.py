"""Which planes of a stack are taken: evenly spaced and centered on the sharpest."""

import dataclasses

from isl.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaneChoice:
    """Planes chosen from a stack.

    Attributes:
        planes: Their indices, increasing, from 0.
        spacing: Steps from one to the next.
        shifted: Steps that the choice was moved, upward positive, to stay inside the stack; the
            sharpest plane is that far from its middle.
    """

    planes: tuple[int, ...]
    spacing: int
    shifted: int

    @property
    def note(self) -> str:
        """A sentence for people where the choice is not centered; empty where it is."""
        if not self.shifted:
            return ""
        side = "bottom" if self.shifted > 0 else "top"
        steps = "1 plane" if abs(self.shifted) == 1 else f"{abs(self.shifted)} planes"
        return f"the sharpest plane is near the {side} of the stack: planes moved by {steps}"


def choose_planes(
    available: int, wanted: int, sharpest: int, spacing: int | None = None, *, source: object
) -> PlaneChoice:
    """Chooses `wanted` planes around the sharpest.

    An even number of planes has one more below the sharpest than above it.

    Args:
        available: Planes that the stack has.
        wanted: Planes to choose.
        sharpest: Index of the sharpest plane, from 0.
        spacing: Steps from one chosen plane to the next; None: as many as the stack allows.
        source: The field or file, named in messages.

    Raises:
        InputError: The stack has too few planes.
    """
    if wanted < 1 or (spacing is not None and spacing < 1):
        raise InputError(f"{source}: {wanted} planes at spacing {spacing}; both must be 1 or more")
    if not 0 <= sharpest < available:
        raise InputError(f"{source}: plane {sharpest} is none of the stack's {available}")
    if wanted > available:
        raise InputError(
            f"{source}: {wanted} planes are wanted, but the stack has {available}; ask for "
            f"{available} or fewer"
        )
    step = spacing or (1 if wanted == 1 else (available - 1) // (wanted - 1))
    extent = step * (wanted - 1)
    if extent >= available:
        raise InputError(
            f"{source}: {wanted} planes at spacing {step} span {extent + 1}, but the stack has "
            f"{available}; give a smaller spacing or fewer planes"
        )
    centered = sharpest - step * (wanted // 2)
    start = min(max(centered, 0), available - 1 - extent)
    return PlaneChoice(
        planes=tuple(range(start, start + extent + 1, step)),
        spacing=step,
        shifted=start - centered,
    )
