"""Simulated cells with known truth, seen by transmitted light and by fluorescence."""

from isl.phantom.dataset import write_phantoms
from isl.phantom.phantom import LABELS, PhantomConfig, make_phantom

__all__ = ["LABELS", "PhantomConfig", "make_phantom", "write_phantoms"]
