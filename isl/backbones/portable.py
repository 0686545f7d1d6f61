"""One operation a layer, for programs that leave JAX.

Networks here are written for XLA: on a CPU a pooling is a maximum of shifted copies, a convolution
a loop over rows. Other runtimes know a convolution as a convolution, and image sizes are symbols
while a program is exported. Within `portably()` every layer is the operation that it is called by;
what comes out is the same up to rounding.
"""

import contextlib
import contextvars
from collections.abc import Iterator

_PORTABLE = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portably() -> Iterator[None]:
    """Layers called within are one operation each."""
    before = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(before)


def is_portable() -> bool:
    """Whether they are to be."""
    return _PORTABLE.get()
