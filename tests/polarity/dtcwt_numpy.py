"""The dtcwt package's own NumPy transform, which tests and benchmarks compare ours with.

dtcwt 0.13.0 calls two functions that NumPy 2 removed, in its `asfarray` and
`appropriate_complex_type_for`. Both are replaced here inside the package's modules, and nowhere
else. A test fails once the package works by itself, and this file may go then.
"""

import dtcwt.numpy.common
import dtcwt.numpy.lowlevel
import dtcwt.numpy.transform2d
import dtcwt.utils
import numpy as np


def numpy_transform() -> dtcwt.numpy.transform2d.Transform2d:
    """The package's transform with our filters, near_sym_b and qshift_b."""
    for module in (
        dtcwt.utils,
        dtcwt.numpy.common,
        dtcwt.numpy.lowlevel,
        dtcwt.numpy.transform2d,
    ):
        for mended in (asfarray, appropriate_complex_type_for):
            if hasattr(module, mended.__name__):
                setattr(module, mended.__name__, mended)
    return dtcwt.numpy.transform2d.Transform2d(biort="near_sym_b", qshift="qshift_b")


def asfarray(values: np.ndarray) -> np.ndarray:
    """Floating-point and complex arrays as they are, all else as float64."""
    values = np.asanyarray(values)
    return values if np.issubdtype(values.dtype, np.inexact) else values.astype(np.float64)


def appropriate_complex_type_for(values: np.ndarray) -> np.dtype:
    """complex64 for float32, complex128 for float64 and integers, complex types as they are."""
    return np.result_type(asfarray(values).dtype, np.complex64)
