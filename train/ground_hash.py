"""Hashes of what a run learns from, by which data that have changed are noticed when it goes on."""

import hashlib
from collections.abc import Iterable

import numpy as np


def hash_of(arrays: Iterable[np.ndarray | None]) -> str:
    """sha256 of arrays one after the other, their types and shapes; None: one that is not there."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"-" if array is None else repr((array.dtype.str, array.shape)).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()
